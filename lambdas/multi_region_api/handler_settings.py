"""The settings that the stack adds to the functions' package as `settings.json`.

Without `pathlib`, which would lengthen the cold start by a third.
"""

import json
import os
from typing import NotRequired, TypedDict

SETTINGS = f"{os.path.dirname(__file__)}/settings.json"


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


def read_settings(path: str = SETTINGS) -> HandlerSettings:
    """Return the settings in the functions' package."""
    with open(path, encoding="utf-8") as file:
        settings: HandlerSettings = json.load(file)
    return settings
