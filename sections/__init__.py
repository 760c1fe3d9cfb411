"""The settings of each system: one section a system, and what sections share."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict


class Section(BaseModel):
    """What all sections share: they cannot be changed and accept no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def like(pattern: str, words: str) -> Any:
    """Text that is all of the form `pattern`; whoever gives another is told `words`."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise ValueError(words)
        return value

    return AfterValidator(check)


def one_of(*accepted: int) -> Any:
    """A number that is one of `accepted`."""

    def check(value: int) -> int:
        if value not in accepted:
            raise ValueError(" or ".join(map(str, accepted)))
        return value

    return AfterValidator(check)


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):  # Python takes true for 1
        raise ValueError("a number")
    return value


Number = Annotated[float, BeforeValidator(_no_truth_value)]
WholeNumber = Annotated[int, BeforeValidator(_no_truth_value)]
Email = Annotated[str, like(r"[^@\s]+@[^@\s]+\.[^@\s]+", "an e-mail address, such as ops@example.com")]
VpcId = Annotated[str, like(r"vpc-([0-9a-f]{8}|[0-9a-f]{17})", "the id of a VPC, such as vpc-0123456789abcdef0")]
