"""The settings of each system: one section a system, and what sections share."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """What all sections share: they cannot be changed and accept no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid")
