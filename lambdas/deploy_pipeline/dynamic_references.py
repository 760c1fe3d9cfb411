"""Dynamic references without a version, whose values can change although the template does not.

CloudFormation compares only the text of a reference, but uses its current value when it updates the
resource for another reason. A new value of a create-only property replaces the resource; that of another property can
lose data.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

START = "{{resolve:"
# No field contains a colon, except that the ID can be an ARN. Names of secrets can begin like the next field.
SECRET_VERSION = re.compile(
    r"(arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:)?[^:]*:SecretString:[^:]*:[^:]*:[^:]+"  # ID, key, stage, version
)


def unversioned(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Return the paths of texts with such a reference; elements of a list have the path of the list."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from unversioned(item, (*path, name))
    elif isinstance(value, list):
        for item in value:
            yield from unversioned(item, path)
    elif isinstance(value, str) and not all(map(_has_version, value.split(START)[1:])):
        yield path


def has_unversioned(value: object) -> bool:
    return any(True for _ in unversioned(value))


def with_unknown_values(value: object) -> object:
    """Replace the texts with such a reference by texts that differ from every value in the template."""
    if isinstance(value, Mapping):
        return {name: with_unknown_values(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_unknown_values(item) for item in value]
    return value.replace(START, f"{START}?:") if isinstance(value, str) and has_unversioned(value) else value


def _has_version(text: str) -> bool:
    """Parse ``ssm:name:version`` or ``secretsmanager:id:SecretString:key:stage:version``."""
    service, _, parameter = text.partition("}}")[0].partition(":")
    if service == "secretsmanager":
        return bool(SECRET_VERSION.fullmatch(parameter))
    return bool(re.search(r":\d+$", parameter))


def in_create_only(paths: Iterable[tuple[str, ...]], create_only: Iterable[str] | None) -> list[str]:
    """Return the top-level properties that contain a create-only path; without a schema, all of them."""
    if create_only is None:
        return sorted({path[0] for path in paths})
    pointers = [tuple(step for step in pointer.split("/")[2:] if step != "*") for pointer in create_only]
    return sorted({path[0] for path in paths if any(_overlap(path, pointer) for pointer in pointers)})


def _overlap(path: tuple[str, ...], pointer: tuple[str, ...]) -> bool:
    return all(step == other for step, other in zip(path, pointer, strict=False))
