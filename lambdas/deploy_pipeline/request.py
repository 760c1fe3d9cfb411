"""The input of the state machine: what to deploy, under which name, and how careful to be."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import InvalidInputError
from .inspection import Policy

NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
NAME_IN_WORDS = "letters, digits and hyphens, a letter first"
LONGEST_STACK_NAME = 119  # of CloudFormation's 128, what leaves room for "-" and 8 characters
CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
RECREATE = ("never_worked", "always", "never")
# Characters, escaped as in a text within JSON. Step Functions leaves an input of more than 248 KiB out of
# the event that tells of the execution's end, and that event is how a change set left behind is found.
LARGEST_INPUT = 200_000
MAX_PATH = 1024  # characters
MAX_DEPTH = 32  # levels; three are enough, and some thousands are more than Python's recursion takes
PATH = re.compile(rf".{{1,{MAX_PATH}}}", re.DOTALL)
MOST_MISTAKES, LONGEST_FIELD = 20, 60
ALWAYS_SAFE_TYPES = ("AWS::CDK::Metadata",)  # it describes the CDK's version, and is nothing in AWS


@dataclass(frozen=True)
class Request:
    """One deployment, as it was asked for.

    recreate: what to do with a stack whose creation failed, one of `RECREATE`. beside: make a
    second stack when the changes are not safe, rather than fail.
    """

    environment_name: str
    stack_name: str  # as in CloudFormation: with the environment's name before it
    template_path: str
    bucket: str
    key: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    capabilities: tuple[str, ...]
    policy: Policy
    recreate: str
    beside: bool


def read_request(given: Any) -> Request:
    """Check the input of an execution and give it as a `Request`.

    Raises:
        InvalidInputError: naming every field that is wrong, and what it should be.
    """
    if not isinstance(given, dict):
        raise InvalidInputError("The input has to be a JSON object.")
    if too_deep(given):
        raise InvalidInputError(f"The input is nested more than {MAX_DEPTH} deep.")
    if len(json.dumps(json.dumps(given))) > LARGEST_INPUT:
        raise InvalidInputError(f"The input has more than {LARGEST_INPUT:,} characters, escaped.")
    reader = _Reader(given)
    environment_name = reader.text("environmentName", NAME, NAME_IN_WORDS)
    stack_name = reader.text("stackName", NAME, NAME_IN_WORDS)
    template_path = reader.text("templatePath", PATH, f"text of at most {MAX_PATH} characters")
    bucket, key = reader.text("revisionS3Bucket"), reader.text("revisionS3Key")
    parameters = reader.each("parameters", _parameter, "text, finite numbers, true or false, or lists of these")
    tags = reader.optional("tags", {}, _tags, "an object of at most 50 texts")
    capabilities = reader.optional("capabilities", [], _each_of(CAPABILITIES), f"a list of {_or(CAPABILITIES)}")
    policy = reader.optional("policy", {}, _object, "an object")
    on_unsafe = reader.optional("onUnsafe", "fail", _choice("fail", "blue_green"), "fail or blue_green")
    reader.nothing_else()
    rules = _Reader(policy, "policy.")
    types = rules.optional("exemptTypes", list(ALWAYS_SAFE_TYPES), _texts, "a list of resource types")
    ids = rules.optional("exemptLogicalIds", [], _texts, "a list of logical ids")
    conditional = rules.optional("conditional", "reject", _choice("reject", "allow"), "reject or allow")
    dynamic = rules.optional("dynamic", "reject", _choice("reject", "allow"), "reject or allow")
    recreate = rules.optional("recreate", RECREATE[0], _choice(*RECREATE), _or(RECREATE))
    rules.nothing_else()
    full_name = f"{environment_name}-{stack_name}"
    mistakes = reader.mistakes + rules.mistakes
    if not mistakes and len(full_name) > LONGEST_STACK_NAME:
        mistakes.append(f"stackName: with environmentName before it at most {LONGEST_STACK_NAME} characters")
    if mistakes:
        more = [f"and {len(mistakes) - MOST_MISTAKES} more"] if len(mistakes) > MOST_MISTAKES else []
        raise InvalidInputError("The input is wrong. " + "; ".join(mistakes[:MOST_MISTAKES] + more))
    return Request(
        environment_name=environment_name,
        stack_name=full_name,
        template_path=template_path,
        bucket=bucket,
        key=key,
        parameters={name: _as_parameter(value) for name, value in parameters.items()},
        tags=tags,
        capabilities=tuple(capabilities),
        policy=Policy(frozenset(types), frozenset(ids), conditional == "allow", dynamic == "allow"),
        recreate=recreate,
        beside=on_unsafe == "blue_green",
    )


def too_deep(value: Any) -> bool:
    """Whether objects and lists are nested more than `MAX_DEPTH` deep, found without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [inner for item in nested for inner in (item.values() if isinstance(item, dict) else item)]
    return any(isinstance(item, dict | list) for item in level)


class _Reader:
    """Takes fields out of an object, and keeps what is wrong with them."""

    def __init__(self, given: Mapping[str, Any], prefix: str = "") -> None:
        self.given = given
        self.prefix = prefix
        self.known: set[str] = set()
        self.mistakes: list[str] = []

    def text(self, name: str, pattern: re.Pattern[str] | None = None, accepted: str = "text") -> str:
        value = self._take(name)
        if not isinstance(value, str) or not value or (pattern and not pattern.fullmatch(value)):
            self._wrong(name, accepted)
            return ""
        return value

    def optional(self, name: str, default: Any, fits: Callable[[Any], bool], accepted: str) -> Any:
        value = self._take(name, default)
        if not fits(value):
            self._wrong(name, accepted)
            return default
        return value

    def each(self, name: str, fits: Callable[[Any], bool], accepted: str) -> dict[str, Any]:
        """Read an object, each value of which is checked by itself."""
        value = self.optional(name, {}, _object, f"an object of {accepted}")
        for item in sorted(item for item in value if not fits(value[item])):
            given = _shortened(value[item])
            self.mistakes.append(f"{self.prefix}{name}.{item[:LONGEST_FIELD]}: {given} given, accepted is {accepted}")
        return dict(value)

    def nothing_else(self) -> None:
        for name in sorted(set(self.given) - self.known):
            self.mistakes.append(
                f"{self.prefix}{name[:LONGEST_FIELD]}: no such field; there is {', '.join(sorted(self.known))}"
            )

    def _take(self, name: str, default: Any = None) -> Any:
        self.known.add(name)
        return self.given.get(name, default)

    def _wrong(self, name: str, accepted: str) -> None:
        found = "is missing, accepted is" if name not in self.given else "accepted is"
        self.mistakes.append(f"{self.prefix}{name}: {found} {accepted}")


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _simple(value: Any) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _parameter(value: Any) -> bool:
    return _simple(value) or (isinstance(value, list) and all(map(_simple, value)))


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= LONGEST_FIELD else f"{text[:LONGEST_FIELD]}..."


def _tags(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= 50 and all(isinstance(item, str) for item in value.values())


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _each_of(accepted: tuple[str, ...]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(item in accepted for item in value)


def _choice(*accepted: str) -> Callable[[Any], bool]:
    return lambda value: value in accepted


def _or(accepted: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(accepted[:-1]), accepted[-1])))


def _as_parameter(value: Any) -> str:
    """CloudFormation takes text only: a list with commas, ``true`` and ``false``."""
    if isinstance(value, list):
        return ",".join(map(_as_parameter, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
