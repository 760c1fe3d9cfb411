"""Aliases: routing between two versions, and the requests that Lambda rejects.

Each invocation of a weighted alias chooses its version, also each retry of an asynchronous one. Sources: Lambda
developer guide, "Implement Lambda canary deployments using a weighted alias"; API reference of CreateAlias and
UpdateAlias. The wording for different dead-letter queues is not documented.
"""

import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..ministack import lambda_functions
from ..ministack.cloudformation import add_steps
from ..ministack.requests import get_region, json_error

Function = Callable[..., Any]
VERSION_KEY = (
    "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length "
    "greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+]"
)
WEIGHT = (
    "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value "
    "greater than or equal to 0.0, Member must not be null]"
)
# The versions that ran for the request that is being served.
_executed: ContextVar[list[str] | None] = ContextVar("EXECUTED_VERSIONS", default=None)


def install() -> None:
    """Route invocations of aliases, and validate aliases."""
    lambda_functions.record_of_qualifier.extend(_with_alias_arn)
    lambda_functions.run.extend(_with_routing)
    lambda_functions.invoke_request.extend(_with_executed_version)
    lambda_functions.invoke_asynchronously.extend(_with_retry_settings)
    lambda_functions.create_alias.extend(_validating_creation)
    lambda_functions.update_alias.extend(_validating_update)
    add_steps("AWS::Lambda::Alias", check=_check_resource)


def name_and_qualifier(arn: str) -> tuple[str, str]:
    """Return the function name and the alias or version of an ARN; the latter is empty for an unqualified ARN."""
    name, _, qualifier = arn.split(":function:")[1].partition(":")
    return name, qualifier


def _with_alias_arn(find: Function, function: dict[str, Any] | None, qualifier: str | None) -> tuple[Any, Any]:
    """Use the ARN of the alias for its versions, as in responses and in the context object."""
    record, config = find(function, qualifier)
    alias = function["aliases"].get(qualifier) if function and config else None
    if alias is None:
        return record, config
    config = config | {"FunctionArn": alias["AliasArn"]}
    return record | {"config": config}, config


def _with_routing(run: Function, record: dict[str, Any], event: Any) -> Any:
    config = record.get("config") or record
    name, qualifier = name_and_qualifier(config["FunctionArn"])
    function = lambda_functions.functions.get(name)
    if function is None or config["FunctionArn"].split(":")[3] != get_region():
        return run(record, event)  # MiniStack calls this again in the function's Region
    if qualifier in function["aliases"]:
        record = _version_of(function, qualifier, record)
    if (executed := _executed.get()) is not None:
        executed.append((record.get("config") or record)["Version"])
    return run({**record, "concurrency": function.get("concurrency")}, event)


def _version_of(function: dict[str, Any], alias_name: str, record: dict[str, Any]) -> dict[str, Any]:
    """Return the record of the version that an invocation of an alias runs."""
    alias = function["aliases"][alias_name]
    for version, weight in weights(alias).items():
        if random.random() < weight and version in function["versions"]:  # noqa: S311  # not for security
            chosen = function["versions"][version]
            return {**chosen, "config": {**chosen["config"], "FunctionArn": alias["AliasArn"]}}
    return record


def weights(alias: dict[str, Any]) -> dict[str, float]:
    """Return the weight of the additional version of an alias; empty if the alias has one version."""
    found: dict[str, float] = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return found


@contextmanager
def executed_versions() -> Iterator[list[str]]:
    """Yield a list to which the versions that run during the block are added."""
    executed: list[str] = []
    token = _executed.set(executed)
    try:
        yield executed
    finally:
        _executed.reset(token)


async def _with_executed_version(invoke: Function, *arguments: Any, **options: Any) -> Any:
    with executed_versions() as executed:
        status, headers, body = await invoke(*arguments, **options)
    if executed and status == 200:
        headers["X-Amz-Executed-Version"] = executed[0]
    return status, headers, body


def _with_retry_settings(invoke: Function, record: dict[str, Any], event: Any) -> None:
    """Apply the settings for asynchronous invocation of the alias or version."""
    name, qualifier = name_and_qualifier((record.get("config") or record)["FunctionArn"])
    settings = (lambda_functions.functions.get(name) or {}).get("event_invoke_configs") or {}
    invoke({**record, "event_invoke_config": settings[qualifier]} if qualifier in settings else record, event)


def _validating_creation(create: Function, name: str, data: dict[str, Any]) -> Any:
    return _alias_error(lambda_functions.functions.get(name), data) or create(name, data)


def _validating_update(update: Function, name: str, alias_name: str, data: dict[str, Any]) -> Any:
    function = lambda_functions.functions.get(name)
    alias = function["aliases"].get(alias_name) if function else None
    error = lambda_functions.check_revision(alias, data) if alias else None
    return error or _alias_error(function, (alias or {}) | data) or update(name, alias_name, data)


def _check_resource(_id: str, properties: dict[str, Any]) -> None:
    """Validate an alias of a template, which MiniStack creates without CreateAlias."""
    name = properties["FunctionName"]
    name = name_and_qualifier(name)[0] if name.startswith("arn:") else name
    listed = (properties.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or []
    routing = {str(entry["FunctionVersion"]): float(entry["FunctionWeight"]) for entry in listed}
    data = properties | {"RoutingConfig": {"AdditionalVersionWeights": routing}}
    error = _alias_error(lambda_functions.functions.get(name), data)
    if error:
        raise ValueError(error[2].decode())


def _constraint_error(data: dict[str, Any]) -> Any:
    """Return an error for values that the API's model excludes."""
    for version, weight in weights(data).items():
        constraint = VERSION_KEY if not re.fullmatch("[0-9]+", version) else WEIGHT
        if constraint is VERSION_KEY or not 0 <= weight <= 1:
            value = f"{{{version}={float(weight)}}}"
            text = f"1 validation error detected: Value '{value}' at 'routingConfig.additionalVersionWeights'"
            return json_error("ValidationException", f"{text} failed to satisfy constraint: {constraint}", 400)
    return None


def _alias_error(function: dict[str, Any] | None, alias: dict[str, Any]) -> Any:
    """Return an error if a function cannot have an alias with these versions; MiniStack reports a missing function."""
    error = _constraint_error(alias)
    if error or function is None:
        return error
    primary, additional = str(alias.get("FunctionVersion", "$LATEST")), list(weights(alias))
    message = ""
    if len(additional) > 1:
        message = "Number of items in AdditionalVersionWeights cannot be greater than 1"
    elif additional and primary == "$LATEST":
        message = "$LATEST is not supported for an alias pointing to more than 1 version"
    elif primary in additional:
        message = f"Invalid function version {primary}. Function version {primary} is already included in routing "
        message += "configuration."
    if message:
        return json_error("InvalidParameterValueException", message, 400)
    versions = function["versions"] | {"$LATEST": function}
    for version in (primary, *additional):
        if version not in versions:
            arn = f"{function['config']['FunctionArn']}:{version}"
            return json_error("ResourceNotFoundException", f"Function not found: {arn}", 404)
    configs = [versions[version]["config"] for version in (primary, *additional)]
    if len({config["Role"] for config in configs}) > 1:
        message = "Specified versions must be associated with the same execution role"
    elif len({(config.get("DeadLetterConfig") or {}).get("TargetArn") for config in configs}) > 1:
        message = "Specified versions must be associated with the same dead-letter queue configuration"
    return json_error("InvalidParameterValueException", message, 400) if message else None
