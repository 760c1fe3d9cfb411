"""Base class and types of all settings.

Each type checks a value against the grammar of the AWS parameter that it becomes, and describes the
valid values in error messages.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

MAX_TEXT_CHARACTERS = 1024  # checked first, to keep matching fast
EMAIL_CHARACTERS = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~-"
EMAIL_LOCAL_PART = rf"(?!.*\.\.)[{EMAIL_CHARACTERS}]([.{EMAIL_CHARACTERS}]{{0,62}}[{EMAIL_CHARACTERS}])?"
DOMAIN_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
TOP_LEVEL_DOMAIN = r"([a-z]{2,63}|xn--[a-z0-9-]{0,58}[a-z0-9])"

PLACEHOLDER = re.compile(r"{(\w+)}")  # another setting, in the text of a conflict


class Conflict(NamedTuple):
    """Settings of a system that are valid separately, but not together.

    field: the setting to change. text: the problem, which follows the field and its value; ``{name}``
    stands for another setting of the system, with its value.
    """

    field: str
    text: str

    @property
    def fields(self) -> set[str]:
        """All settings that the conflict mentions."""
        return {self.field, *PLACEHOLDER.findall(self.text)}


class SettingsModel(BaseModel):
    """Base class of all settings: immutable, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def conflicts(self) -> Iterable[Conflict]:
        """Yield settings that conflict, or that have no effect in combination.

        Override this method in the settings of a system instead of adding a `model_validator`, which pydantic runs
        only if all fields are valid, and whose errors name no setting. Nested models need a `model_validator`; see
        `conflicting_fields_error`.
        """
        return ()


def conflicting_fields_error(text: str) -> PydanticCustomError:
    """Create a validation error for conflicting fields of a nested model."""
    return PydanticCustomError("conflicting_fields", "{text}", {"text": text})


def nested_model(annotation: Any) -> type[SettingsModel] | None:
    """Return the model in a field's annotation, such as ``Rule`` in ``tuple[Rule, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, SettingsModel):
        return annotation
    return next(filter(None, map(nested_model, get_args(annotation))), None)


@dataclass(frozen=True)
class Pattern:
    """The grammar of a text: a regular expression for the whole text, and its maximum length."""

    expression: re.Pattern[str]
    max_length: int

    def __call__(self, value: str) -> bool:
        """Match `value`. Check the length first, so that long values are never matched against the expression."""
        return len(value) <= self.max_length and bool(self.expression.fullmatch(value))


@dataclass(frozen=True)
class Range:
    """Numbers from `minimum` to `maximum`, inclusive."""

    minimum: float
    maximum: float

    def __call__(self, value: float) -> bool:
        """Compare `value`; NaN is not accepted."""
        return self.minimum <= value <= self.maximum


def accepts(description: str, check: Callable[[Any], bool]) -> WrapValidator:
    """Accept values that satisfy `check`. `description` describes them in error messages."""
    return WrapValidator(partial(_validate, description, check))


def _validate(description: str, check: Callable[[Any], bool], value: Any, convert: Callable[[Any], Any]) -> Any:
    try:
        result = convert(value)
    except ValidationError:
        raise ValueError(description) from None
    if isinstance(value, bool) or not check(result):  # True equals 1
        raise ValueError(description)
    return result


def matches(pattern: str, description: str, max_length: int = MAX_TEXT_CHARACTERS) -> WrapValidator:
    """Accept text that matches all of `pattern`. `description` describes it in error messages."""
    return accepts(description, Pattern(re.compile(pattern, re.ASCII), max_length))


def one_of(*values: int) -> WrapValidator:
    """Accept one of `values`; unlike `Literal`, also as text, because the command line passes text."""
    return accepts(" or ".join(map(str, values)), values.__contains__)


def whole_number(minimum: int, maximum: int) -> WrapValidator:
    """Accept a whole number from `minimum` to `maximum`."""
    return accepts(f"a whole number from {minimum} to {maximum}", Range(minimum, maximum))


def number(minimum: float, maximum: float) -> WrapValidator:
    """Accept a number from `minimum` to `maximum`."""
    return accepts(f"a number from {minimum} to {maximum}", Range(minimum, maximum))


def _network(version: int, value: Any, convert: Callable[[Any], str]) -> str:
    """Return a CIDR block as EC2 stores it: ``10.1.2.3/8`` becomes ``10.0.0.0/8``."""
    try:
        network = ipaddress.ip_network(convert(value), strict=False)
    except ValueError:  # ValidationError is a subclass
        network = None
    if network is None or network.version != version or not re.search(r"/\d{1,3}\Z", value):
        example = "203.0.113.0/24" if version == 4 else "2001:db8::/32"
        raise ValueError(f"an IPv{version} range in CIDR notation, such as {example}")
    return str(network)


Ipv4Cidr = Annotated[str, WrapValidator(partial(_network, 4))]
Ipv6Cidr = Annotated[str, WrapValidator(partial(_network, 6))]
# SNS publishes no grammar; this is RFC 5321's, without quoted names.
Email = Annotated[
    str,
    matches(
        rf"{EMAIL_LOCAL_PART}@(?i:({DOMAIN_LABEL}\.)+{TOP_LEVEL_DOMAIN})",
        "an email address of at most 254 characters, such as ops@example.com",
        max_length=254,
    ),
]
VpcId = Annotated[str, matches(r"vpc-([0-9a-f]{8}|[0-9a-f]{17})", "the ID of a VPC, such as vpc-0123456789abcdef0")]
