"""The settings that the stack adds to the functions' package as `settings.json`."""

import json
from pathlib import Path
from typing import NotRequired, TypedDict

SETTINGS = Path(__file__).with_name("settings.json")


class DependencySettings(TypedDict):
    """A dependency, with either `table` or `url`."""

    name: str
    table: NotRequired[str]
    partition_key: str
    url: NotRequired[str]
    timeout_seconds: float


class HandlerSettings(TypedDict):
    """Settings of the functions. `drain_urls` are by Region; the name of another Region is appended."""

    allowed_origins: list[str]
    drain_urls: dict[str, str]
    dependencies: list[DependencySettings]


def read_settings(path: Path = SETTINGS) -> HandlerSettings:
    """Return the settings in the functions' package."""
    settings: HandlerSettings = json.loads(path.read_text())
    return settings
