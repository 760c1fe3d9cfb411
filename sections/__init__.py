"""The settings of each system: one section a system, and what sections share."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Section(BaseModel):
    """What all sections share: they cannot be changed and accept no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _email(value: Any) -> Any:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", str(value)):
        raise ValueError("an e-mail address, such as ops@example.com")
    return value


Email = Annotated[str, BeforeValidator(_email)]
