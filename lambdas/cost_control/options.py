"""The settings that the functions need, from ``options.json`` in their package."""

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from .plan import Threshold

FILE = Path(__file__).with_name("options.json")


@dataclass(frozen=True)
class Options:
    """Settings of the stack. `groups` and `roles` include their path, `exempt_principals` also their type."""

    project: str
    tag: str
    exempt_tag: str
    mode: str
    thresholds: tuple[Threshold, ...]
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    exempt_principals: tuple[str, ...] = ()
    stop_instances: bool = True
    stop_databases: bool = False

    @classmethod
    def from_json(cls, values: Any) -> Self:
        thresholds = tuple(
            Threshold(Decimal(str(threshold["percent"])), threshold["kind"], frozenset(threshold["actions"]))
            for threshold in values["thresholds"]
        )
        lists = {name: tuple(values[name]) for name in ("groups", "roles", "exempt_principals")}
        return cls(**values | lists | {"thresholds": thresholds})

    @classmethod
    def load(cls) -> Self:
        """Read the options of the deployed package."""
        return cls.from_json(json.loads(FILE.read_text()))
