"""Typed settings, read from CDK context.

Each setting is one flat context key: ``<system>:<field>``, or ``<field>`` for all systems, in
`cdk.json` under ``context`` or on the command line: ``cdk deploy SecurityGroupRevert -c
security_group_revert:email=ops@example.com``. Lists and objects on the command line are JSON.
Only this module reads settings from CDK context; it never calls AWS. Each system has a module with
its settings.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, Self, TypeVar

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from .analytics_host import AnalyticsHostSettings
from .cost_control import CostControlSettings
from .deploy_pipeline import DeployPipelineSettings
from .lambda_canary import LambdaCanarySettings
from .multi_region_api import MultiRegionApiSettings
from .security_group_revert import SecurityGroupRevertSettings
from .static_site import StaticSiteSettings
from .types import PLACEHOLDER, Conflict, SettingsModel, nested_model

# Context keys of CDK: feature flags and options of packages, keys that the CDK CLI passes, its cached
# lookups (ContextProvider of the cloud assembly schema), and keys that it writes to cdk.json.
CDK_KEY = re.compile(
    r"@[\w.-]+/.+|aws:.+|aws-cdk:.+"
    r"|(ami|availability-zones|hosted-zone|ssm|vpc-provider|endpoint-service-availability-zones|load-balancer"
    r"|load-balancer-listener|security-group|key-provider|cc-api-provider|plugin):.+"
    r"|acknowledged-issue-numbers|cli-telemetry|cdk-migrate|assets-ecr-repository-name"
)
MAX_VALUE_CHARACTERS = 80  # of a value in a message
MESSAGE_PREFIX = "Value error, "  # of pydantic's message for a ValueError
AnyModel = TypeVar("AnyModel", bound=SettingsModel)


class SettingsError(Exception):
    """All invalid settings, as one message."""


class Settings(SettingsModel):
    """Settings of the application, with a field for each system."""

    production: bool = Field(False, description="Retain data and protect stacks from termination.")
    deploy_pipeline: DeployPipelineSettings = DeployPipelineSettings()
    multi_region_api: MultiRegionApiSettings = MultiRegionApiSettings()
    static_site: StaticSiteSettings = StaticSiteSettings()
    security_group_revert: SecurityGroupRevertSettings = SecurityGroupRevertSettings()
    analytics_host: AnalyticsHostSettings = AnalyticsHostSettings()
    cost_control: CostControlSettings = CostControlSettings()
    lambda_canary: LambdaCanarySettings = LambdaCanarySettings()

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Self:
        """Read the settings from CDK context, as returned by `app.node.get_all_context()`.

        Keys of CDK are ignored; any other key that is not a setting is an error.

        Raises:
            SettingsError: with each invalid key, the value given and the accepted values.
        """
        values = {key: _parse_json(value) for key, value in context.items() if not CDK_KEY.fullmatch(key)}
        systems = cls._systems()
        shared = [name for name in cls.model_fields if name not in systems]
        fields = {"": shared, **{f"{name}:": list(model.model_fields) for name, model in systems.items()}}
        keys = {prefix + name for prefix, names in fields.items() for name in names}
        errors = [_unknown_key(key, fields) for key in values if key not in keys]
        settings, shared_errors = _validate(cls, _select(values, "", shared), "")
        errors += shared_errors
        for name, model in systems.items():
            prefix = f"{name}:"
            system_settings, system_errors = _validate(model, _select(values, prefix, fields[prefix]), prefix)
            settings = settings.model_copy(update={name: system_settings})
            errors += system_errors
        if errors:
            raise SettingsError("\n".join(["Invalid settings:", *(f"  {line}" for line in errors)]))
        return settings

    @classmethod
    def _systems(cls) -> dict[str, type[SettingsModel]]:
        models = {name: nested_model(field.annotation) for name, field in cls.model_fields.items()}
        return {name: model for name, model in models.items() if model}


def _select(values: Mapping[str, Any], prefix: str, fields: list[str]) -> dict[str, Any]:
    """Return the values of `fields`, whose keys begin with `prefix`."""
    return {field: values[prefix + field] for field in fields if prefix + field in values}


def _parse_json(value: Any) -> Any:
    """Parse a list or object from the command line, where every value is text."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _unknown_key(key: str, fields: Mapping[str, list[str]]) -> str:
    """Describe an unknown key, with the settings that it resembles or the valid ones."""
    system, _, name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key.strip()).replace(".", ":").rpartition(":")
    system, name = (re.sub(r"\W", "_", part).lower() for part in (system, name))
    if not system and f"{name}:" in fields:
        valid = [f"{name}:{field}" for field in fields[f"{name}:"]]
        return f"{key}: is a system, not a setting (valid: {', '.join(valid)})"
    prefixes = get_close_matches(f"{system}:", fields, n=1) if system else list(fields)
    similar = [prefix + field for prefix in prefixes for field in _similar(name, prefix, fields[prefix])]
    if similar:
        return f"{key}: unknown setting; did you mean {' or '.join(similar)}?"
    systems = [f"{prefix}<setting>" for prefix in fields if prefix]
    valid = fields[prefixes[0]] if len(prefixes) == 1 else [*fields[""], *systems]
    return f"{key}: unknown setting (valid: {', '.join(valid)})"


def _similar(name: str, prefix: str, fields: list[str]) -> list[str]:
    """Find the field that `name` resembles: misspelled, abbreviated, or with another separator."""
    names = [*fields, *(prefix.replace(":", "_") + field for field in fields)]
    similar = get_close_matches(name, names, n=1, cutoff=0.8)
    similar = similar or [field for field in fields if len(name) > 3 and field.startswith(name)]
    return [field.removeprefix(prefix.replace(":", "_")) for field in similar[:1]]


def _validate(model: type[AnyModel], values: dict[str, Any], prefix: str) -> tuple[AnyModel, list[str]]:
    """Validate the settings of one model; return them and the errors.

    The valid settings are also checked for conflicts, so that all errors are reported at once. A conflict with
    an invalid setting is not reported, because correcting that setting may resolve it.
    """
    settings, invalid, errors = model(), set(), []
    try:
        settings = model.model_validate(values)
    except ValidationError as error:
        errors = list(_describe(model, error, prefix))
        invalid = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
        with suppress(ValidationError):  # of a model validator, whose errors have no location
            settings = model.model_validate({name: value for name, value in values.items() if name not in invalid})
    for conflict in settings.conflicts():
        if not invalid & conflict.fields:
            errors.append(_describe_conflict(settings, conflict, prefix))
    return settings, errors


def _describe_conflict(settings: SettingsModel, conflict: Conflict, prefix: str) -> str:
    def key_and_value(name: str) -> str:
        value = getattr(settings, name)
        return f"{prefix}{name}" + ("" if value is None else f"={_truncate(value)}")

    text = PLACEHOLDER.sub(lambda match: key_and_value(match[1]), conflict.text)
    return f"{key_and_value(conflict.field)} {text}"


def _describe(model: type[SettingsModel], error: ValidationError, prefix: str) -> Iterator[str]:
    """Describe each of pydantic's errors in one line."""
    details = error.errors()
    for detail in details:
        location = detail["loc"]
        if detail["type"] == "too_short" and _has_errors_inside(location, details):
            continue  # pydantic counts only valid items, so the list may be long enough once they are corrected
        key = prefix + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")
        if not location:  # a model validator of the system
            yield f"{prefix.rstrip(':') or 'settings'}: {detail['msg'].removeprefix(MESSAGE_PREFIX)}"
        elif detail["type"] == "extra_forbidden":
            yield f"{key}: unknown field (valid: {', '.join(_model_for(model, location[:-1]).model_fields)})"
        elif detail["type"] == "missing":
            yield f"{key}: required"
        elif detail["type"] == "conflicting_fields":
            yield f"{key}: {detail['msg']}"
        else:
            yield f"{key}: invalid value {_truncate(detail['input'])} (valid: {_valid_values(detail, key)})"


def _has_errors_inside(location: tuple[int | str, ...], details: list[ErrorDetails]) -> bool:
    """Return whether an item of the list at `location` has an error."""
    inner = (detail["loc"] for detail in details if len(detail["loc"]) > len(location))
    return any(other[: len(location)] == location for other in inner)


def _model_for(model: type[SettingsModel], location: tuple[int | str, ...]) -> type[SettingsModel]:
    """Follow the location of an error to the model that contains the field."""
    for step in location:
        if isinstance(step, str):
            model = nested_model(model.model_fields[step].annotation) or model
    return model


# Valid values, by the prefix of the type of pydantic's error.
VALID_VALUES = {
    "bool": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "model_type": "a JSON object",
    "too_short": "at least one item",
}


def _valid_values(detail: Any, key: str) -> str:
    if detail["type"] == "tuple_type" and len(detail["loc"]) == 1 and isinstance(detail["input"], str):
        return f"a JSON list; quote it for the shell: -c '{key}=[\"...\"]'"
    if detail["type"] == "literal_error":
        return str(detail["ctx"]["expected"])
    if detail["type"] == "too_long":
        return f"at most {detail['ctx']['max_length']} items"
    descriptions = (text for prefix, text in VALID_VALUES.items() if detail["type"].startswith(prefix))
    return next(descriptions, str(detail["msg"]).removeprefix(MESSAGE_PREFIX))


def _truncate(value: Any) -> str:
    text = json.dumps(value, default=lambda model: model.model_dump(exclude_unset=True))
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - 3] + "..."
