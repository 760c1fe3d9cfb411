"""Typed settings of the five systems, read from CDK context.

Each setting is one flat context key, ``<system>:<field>``, or ``production`` for all, given in `cdk.json` under
``context`` or on the command line: ``cdk deploy SecurityGroupRevert -c
security_group_revert:email=ops@example.com``. Lists and objects given on the command
line are JSON. This is the only module that reads CDK context; it never calls AWS. What
each system takes is in `sections/`.
"""

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Self

from pydantic import Field, ValidationError

from sections import Section
from sections.analytics_host import AnalyticsHostSettings
from sections.deploy_pipeline import DeployPipelineSettings
from sections.multi_region_api import MultiRegionApiSettings
from sections.security_group_revert import SecurityGroupRevertSettings
from sections.static_site import StaticSiteSettings

OUR_KEY = re.compile(r"[a-z_]+:[a-z][a-z0-9_]*")
LIKE_OURS = re.compile(r"([A-Za-z_-]+)[:.]\w")


class SettingsError(Exception):
    """Everything that is wrong with the settings, as one text for a person to read."""


class Settings(Section):
    """The settings of the whole application, one section a system."""

    production: bool = Field(False, description="Keep data when a stack is removed, and keep stacks from that.")
    deploy_pipeline: DeployPipelineSettings = DeployPipelineSettings()
    multi_region_api: MultiRegionApiSettings = MultiRegionApiSettings()
    static_site: StaticSiteSettings = StaticSiteSettings()
    security_group_revert: SecurityGroupRevertSettings = SecurityGroupRevertSettings()
    analytics_host: AnalyticsHostSettings = AnalyticsHostSettings()

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Self:
        """Read the settings out of CDK context, as `app.node.get_all_context()` gives it.

        Other keys belong to CDK and are passed over, but for those that seem to be meant for us.

        Raises:
            SettingsError: naming every key that is wrong, what was given, what is accepted.
        """
        given: dict[str, Any] = {"production": context["production"]} if "production" in context else {}
        mistakes = []
        systems = cls._systems()
        for key, value in context.items():
            if not OUR_KEY.fullmatch(key):
                mistakes += cls._meant(key)
                continue
            system, field = key.split(":")
            section = systems.get(system)
            if section is None:
                mistakes.append(f"{key}: no such system; there is {', '.join(sorted(systems))}")
            elif field not in _fields_of(section):
                mistakes.append(f"{key}: no such setting; there is {', '.join(_fields_of(section))}")
            else:
                given.setdefault(system, {})[field] = _parsed(value)
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            details = error.errors()
            mistakes += [_mistake(detail) for detail in details if not _follows_from_another(detail, details)]
        if mistakes:
            raise SettingsError("\n".join(["Wrong settings:", *(f"  {line}" for line in mistakes)]))
        return settings

    @classmethod
    def _systems(cls) -> dict[str, Any]:
        return {name: field for name, field in cls.model_fields.items() if name != "production"}

    @classmethod
    def _meant(cls, key: str) -> list[str]:
        """What is wrong with a key that seems to be meant for us, such as `static-site.waf` or `volume_gb`."""
        word = LIKE_OURS.match(key)
        system = word[1].replace("-", "_").lower() if word else ""
        if system in cls._systems():
            return [f"{key}: settings of {system} are written {system}:<name>"]
        owners = [f"{name}:{key}" for name, section in cls._systems().items() if key in _fields_of(section)]
        if owners:
            return [f"{key}: settings are written with their system, {' or '.join(owners)}"]
        if key != "production" and get_close_matches(key, ["production"]):
            return [f"{key}: no such setting; there is production"]
        return []


def _fields_of(section: Any) -> list[str]:
    return list(section.annotation.model_fields)


def _parsed(value: Any) -> Any:
    """`-c` gives every value as text; an object or a list is JSON there."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _mistake(detail: Any) -> str:
    system, *path = detail["loc"]
    key = f"{system}:{path[0]}" if path else str(system)
    inner = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path[1:])
    message = detail["msg"].removeprefix("Value error, ")
    whole = isinstance(detail["input"], dict) and not path  # a section, which would be too long
    given = "" if detail["type"] == "missing" or whole else f" given {_short(detail['input'])};"
    return f"{key}{inner}:{given} accepted: {_accepted(detail, message)}"


def _follows_from_another(detail: Any, details: list[Any]) -> bool:
    """A list is also said to be too short when what is in it has mistakes."""
    inside = [other for other in details if other["loc"][: len(detail["loc"])] == detail["loc"]]
    return detail["type"] == "too_short" and len(inside) > 1


# What is accepted, by how pydantic's name of the mistake begins.
ACCEPTED = {
    "bool": "true or false",
    "int": "a whole number",
    "string_type": "text",
    "tuple_type": "a list, as JSON (its quotes must reach CDK: -c 'key=[\"...\"]')",
    "extra_forbidden": "no field of this name",
    "missing": "a value, which is missing",
    "too_short": "at least one",
}


def _accepted(detail: Any, message: str) -> str:
    if detail["type"] == "literal_error":
        return str(detail["ctx"]["expected"])
    if detail["type"] == "too_long":
        return f"at most {detail['ctx']['max_length']}"
    known = (words for start, words in ACCEPTED.items() if detail["type"].startswith(start))
    return next(known, message.removeprefix("Input should be "))


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
