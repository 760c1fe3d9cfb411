"""References whose values can change although the template does not, so that no detail of a change lists them.

These are dynamic references without a version, and ``Fn::GetStackOutput``. CloudFormation compares only the text of a
reference, but uses its current value when it updates the resource for another reason. A new value of a create-only
property replaces the resource; that of another property can lose data.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from .api_types import ResourceChangeDetail, ResourceChangeWithValues
from .lossy_conditions import KNOWN_AFTER_APPLY

START = "{{resolve:"
UNRESOLVED = "a dynamic reference without a version, or the output of another stack"
# No field contains a colon, except that the ID can be an ARN. Names of secrets can begin like the next field.
SECRET_VERSION = re.compile(
    r"(arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:)?[^:]*:SecretString:[^:]*:[^:]*:[^:]+"  # ID, key, stage, version
)


def unresolved(
    resource: ResourceChangeWithValues, details: Iterable[ResourceChangeDetail]
) -> Iterator[tuple[str, ...]]:
    """Return the paths of texts in the new properties with such a reference.

    CloudFormation shows ``Fn::GetStackOutput`` as known after the update, but does not list the property. It shows the
    ID of a resource that is updated in place, and its attributes, as they are before the update.

    details: those that explain why the value of the property that they list is known only after the update.
    """
    listed = {(detail.get("Target") or {}).get("Name") for detail in details}
    for path, text in _texts((resource["After"] or {}).get("Properties")):
        if has_unversioned(text) or (KNOWN_AFTER_APPLY in text and path[0] not in listed):
            yield path


def _texts(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Return all texts with their paths; elements of a list have the path of the list."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, (*path, name))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, path)
    elif isinstance(value, str) and path:
        yield path, value


def has_unversioned(text: str) -> bool:
    return not all(map(_has_version, text.split(START)[1:]))


def with_unknown_values(value: object, *, listed: bool) -> object:
    """Replace the texts with such a reference by texts that differ from every value in the template.

    listed: a detail lists the property, so that a value known after the update can be that of another reference.
    """
    if isinstance(value, Mapping):
        return {name: with_unknown_values(item, listed=listed) for name, item in value.items()}
    if isinstance(value, list):
        return [with_unknown_values(item, listed=listed) for item in value]
    if not isinstance(value, str):
        return value
    value = value.replace(START, f"{START}?:") if has_unversioned(value) else value
    return value if listed else value.replace(KNOWN_AFTER_APPLY, f"{START}?:{KNOWN_AFTER_APPLY}")


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
