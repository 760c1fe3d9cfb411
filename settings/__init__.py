"""Typed settings of the five systems, read from CDK context.

Each setting is one flat context key: ``<system>:<field>``, or ``<field>`` for all systems, in
`cdk.json` under ``context`` or on the command line: ``cdk deploy SecurityGroupRevert -c
security_group_revert:email=ops@example.com``. Lists and objects on the command line are JSON.
This is the only module that reads CDK context; it never calls AWS. The settings of each system
are in `settings/`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Self, TypeVar

from pydantic import Field, ValidationError

from .analytics_host import AnalyticsHostSettings
from .deploy_pipeline import DeployPipelineSettings
from .multi_region_api import MultiRegionApiSettings
from .security_group_revert import SecurityGroupRevertSettings
from .static_site import StaticSiteSettings
from .types import Conflict, SettingsModel, section_of

# Context that is not ours: feature flags and options of packages, what the CDK CLI passes on, its
# cached lookups (ContextProvider of the cloud assembly schema), and what it writes to cdk.json.
CDK_KEY = re.compile(
    r"@[\w.-]+/.+|aws:.+|aws-cdk:.+"
    r"|(ami|availability-zones|hosted-zone|ssm|vpc-provider|endpoint-service-availability-zones|load-balancer"
    r"|load-balancer-listener|security-group|key-provider|cc-api-provider|plugin):.+"
    r"|acknowledged-issue-numbers|cli-telemetry|cdk-migrate|assets-ecr-repository-name"
)
MAX_SHOWN = 80  # characters of a value in a message
AnySection = TypeVar("AnySection", bound=SettingsModel)


class SettingsError(Exception):
    """Everything that is wrong with the settings, as one text for a person to read."""


class Settings(SettingsModel):
    """The settings of the whole application, one section per system."""

    production: bool = Field(False, description="Retain data and protect stacks from termination.")
    deploy_pipeline: DeployPipelineSettings = DeployPipelineSettings()
    multi_region_api: MultiRegionApiSettings = MultiRegionApiSettings()
    static_site: StaticSiteSettings = StaticSiteSettings()
    security_group_revert: SecurityGroupRevertSettings = SecurityGroupRevertSettings()
    analytics_host: AnalyticsHostSettings = AnalyticsHostSettings()

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Self:
        """Read the settings from CDK context, as returned by `app.node.get_all_context()`.

        Keys that belong to CDK are ignored; any other key that is not a setting is an error.

        Raises:
            SettingsError: naming every invalid key, the value given and the accepted values.
        """
        given = {key: _parsed(value) for key, value in context.items() if not CDK_KEY.fullmatch(key)}
        systems = cls._systems()
        shared = [name for name in cls.model_fields if name not in systems]
        fields = {"": shared, **{f"{name}:": list(section.model_fields) for name, section in systems.items()}}
        settings, problems = _checked(cls, _taken(given, "", fields[""]), "")
        for name, section in systems.items():
            prefix = f"{name}:"
            checked, found = _checked(section, _taken(given, prefix, fields[prefix]), prefix)
            settings = settings.model_copy(update={name: checked})
            problems += found
        problems = [_unknown(key, fields) for key in given] + problems
        if problems:
            raise SettingsError("\n".join(["Invalid settings:", *(f"  {line}" for line in problems)]))
        return settings

    @classmethod
    def _systems(cls) -> dict[str, type[SettingsModel]]:
        sections = {name: section_of(field.annotation) for name, field in cls.model_fields.items()}
        return {name: section for name, section in sections.items() if section}


def _taken(given: dict[str, Any], prefix: str, fields: list[str]) -> dict[str, Any]:
    """Take the settings of one section out of those given."""
    return {field: given.pop(prefix + field) for field in fields if prefix + field in given}


def _parsed(value: Any) -> Any:
    """Parse a list or object, which on the command line is JSON; every value there is text."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _unknown(key: str, fields: Mapping[str, list[str]]) -> str:
    """Explain a key that is no setting, with the settings that it resembles."""
    system, _, name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key.strip()).replace(".", ":").rpartition(":")
    system, name = (re.sub(r"\W", "_", part).lower() for part in (system, name))
    if not system and f"{name}:" in fields:
        valid = [f"{name}:{field}" for field in fields[f"{name}:"]]
        return f"{key}: names a system, not a setting (valid: {', '.join(valid)})"
    prefixes = get_close_matches(f"{system}:", fields, n=1) if system else list(fields)
    similar = [prefix + field for prefix in prefixes for field in _resembling(name, prefix, fields[prefix])]
    if similar:
        return f"{key}: unknown setting; did you mean {' or '.join(similar)}?"
    systems = [f"{prefix}<setting>" for prefix in fields if prefix]
    valid = fields[prefixes[0]] if len(prefixes) == 1 else [*fields[""], *systems]
    return f"{key}: unknown setting (valid: {', '.join(valid)})"


def _resembling(name: str, prefix: str, fields: list[str]) -> list[str]:
    """Find the field that `name` may stand for: misspelled, abbreviated, or with the wrong separator."""
    names = [*fields, *(prefix.replace(":", "_") + field for field in fields)]
    found = get_close_matches(name, names, n=1, cutoff=0.8)
    found = found or [field for field in fields if len(name) > 3 and field.startswith(name)]
    return [field.removeprefix(prefix.replace(":", "_")) for field in found[:1]]


def _checked(section: type[AnySection], values: dict[str, Any], prefix: str) -> tuple[AnySection, list[str]]:
    """Validate the settings of one section, and describe what is wrong with them.

    When some are invalid, the others are validated without them: that shows how those contradict each other.
    """
    invalid, problems = set(), []
    try:
        model = section.model_validate(values)
    except ValidationError as error:
        invalid = {str(detail["loc"][0]) for detail in error.errors()}
        problems = list(_problems(section, error, prefix))
        model = section.model_validate({name: value for name, value in values.items() if name not in invalid})
    for conflict in model.conflicts():
        if not invalid & {conflict.field, *re.findall(r"{(\w+)}", conflict.text)}:
            problems.append(_conflict(model, conflict, prefix))
    return model, problems


def _conflict(model: SettingsModel, conflict: Conflict, prefix: str) -> str:
    def named(match: re.Match[str]) -> str:
        value = getattr(model, match[1])
        return f"{prefix}{match[1]}" + ("" if value is None else f"={_short(value)}")

    text = re.sub(r"{(\w+)}", named, conflict.text)
    return f"{prefix}{conflict.field}: given {_short(getattr(model, conflict.field))}; {text}"


def _problems(section: type[SettingsModel], error: ValidationError, prefix: str) -> Iterator[str]:
    """Describe each error of pydantic's in one line."""
    details = error.errors()
    for detail in details:
        location = detail["loc"]
        inside = (other for other in details if len(other["loc"]) > len(location))
        if detail["type"] == "too_short" and any(other["loc"][: len(location)] == location for other in inside):
            continue  # pydantic counts only the valid items of a list
        key = prefix + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")
        if detail["type"] == "extra_forbidden":
            yield f"{key}: unknown field (valid: {', '.join(_section_at(section, location[:-1]).model_fields)})"
        elif detail["type"] == "missing":
            yield f"{key}: required, but not given"
        elif detail["type"] == "contradiction":
            yield f"{key}: {detail['msg']}"
        else:
            yield f"{key}: given {_short(detail['input'])}; accepted: {_accepted(detail, key)}"


def _section_at(section: type[SettingsModel], location: tuple[int | str, ...]) -> type[SettingsModel]:
    """Follow the location of an error to the section that it is in."""
    for step in location:
        if isinstance(step, str):
            section = section_of(section.model_fields[step].annotation) or section
    return section


# What is accepted, by how the type of pydantic's error begins.
ACCEPTED = {
    "bool": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "model_type": "an object, as JSON",
    "too_short": "at least one",
}


def _accepted(detail: Any, key: str) -> str:
    if detail["type"] == "tuple_type" and len(detail["loc"]) == 1 and isinstance(detail["input"], str):
        return f"a list, as JSON (its quotes must reach CDK: -c '{key}=[\"...\"]')"
    if detail["type"] == "literal_error":
        return str(detail["ctx"]["expected"])
    if detail["type"] == "too_long":
        return f"at most {detail['ctx']['max_length']}"
    known = (words for start, words in ACCEPTED.items() if detail["type"].startswith(start))
    return next(known, str(detail["msg"]).removeprefix("Value error, "))


def _short(value: Any) -> str:
    text = json.dumps(value, default=lambda section: section.model_dump(exclude_unset=True))
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
