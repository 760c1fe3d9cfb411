"""Versions: PublishVersion and its preconditions, and states of updates.

Implements: PublishVersion of unchanged code returns the existing version; CreateFunction and UpdateFunctionCode with
``Publish``; an update rejects further updates until it has ended. Mutating calls are recorded in CloudTrail, also the
publications of CloudFormation. Sources: API reference of these operations; Lambda developer guide, "Lambda function
versions", "Lambda function states" and "Logging Lambda API calls using CloudTrail".
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from .. import cloudtrail
from ..iam.authorization import CALLER
from ..iam.operations import Operation, parse
from ..ministack import lambda_functions
from ..ministack.cloudformation import add_steps, resource_handlers
from ..ministack.requests import access_key_of, get_account_id, get_region, json_error, json_response, service_handlers
from . import quotas

Function = Callable[..., Any]
# First parts of the names of properties that can differ even if code and configuration are equal.
VOLATILE = ("FunctionArn", "LastModified", "LastUpdate", "RevisionId", "SnapStart", "State", "Version")
UPDATES = {"PublishVersion", "UpdateFunctionCode", "UpdateFunctionConfiguration"}
RECORDED = UPDATES | {"CreateAlias", "DeleteAlias", "UpdateAlias"}
SENSITIVE = {"ZipFile", "Environment"}  # CloudTrail omits these


def install() -> None:
    """Replace the operations, and record calls."""
    lambda_functions.publish_version.extend(_publishing)
    lambda_functions.create_function.extend(_publishing_at_creation)
    lambda_functions.update_code.extend(_publishing_with_update)
    lambda_functions.update_configuration.extend(_staying_active)
    service_handlers["lambda"] = partial(_recording, service_handlers["lambda"])
    handlers = resource_handlers["AWS::Lambda::Version"]
    handlers["create"] = partial(_recording_publication, handlers["create"])
    add_steps("AWS::Lambda::Function", check=_check_quotas, apply=_apply_missing_properties)


def _content(config: dict[str, Any]) -> str:
    """Return the code and configuration of a function, comparable with those of its versions."""
    return json.dumps({key: value for key, value in config.items() if not key.startswith(VOLATILE)})


def _publishing(publish: Function, name: str, data: dict[str, Any]) -> Any:
    function = lambda_functions.functions.get(name)
    if function is None:
        return publish(name, data)
    config = function["config"]
    current, given = config["CodeSha256"], data.get("CodeSha256") or config["CodeSha256"]
    if given != current:
        message = f"CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST ({current}). "
        message += "Please try again with the CodeSHA256 in $LATEST."
        return json_error("InvalidParameterValueException", message, 400)
    if error := lambda_functions.check_revision(config, data):
        return error
    latest = function["versions"].get(max(function["versions"], key=int, default=""))
    if latest and latest.get("content") == _content(config):
        latest["function_revision"] = config["RevisionId"]  # MiniStack returns this version
    response = publish(name, data)
    version = function["versions"][json.loads(response[2])["Version"]]
    version.setdefault("content", _content(config))
    version["config"]["LastUpdateStatus"] = "Successful"
    return json_response(version["config"], response[0])


def _publishing_at_creation(create: Function, data: dict[str, Any]) -> Any:
    status, headers, body = create(data | {"Publish": False})
    if status >= 400 or not data.get("Publish"):
        return status, headers, body
    published = json.loads(lambda_functions.publish_version(data["FunctionName"], {})[2])
    return json_response(json.loads(body) | {"Version": published["Version"]}, status)


def _publishing_with_update(update: Function, name: str, data: dict[str, Any]) -> Any:
    response = _staying_active(update, name, data | {"Publish": False})
    if response[0] >= 400 or not data.get("Publish"):
        return response
    published = json.loads(lambda_functions.publish_version(name, {})[2])
    version = lambda_functions.functions[name]["versions"][published["Version"]]
    pending = {"State": "Pending", "StateReason": "The function is being created.", "StateReasonCode": "Creating"}
    version["config"].update(pending, LastUpdateStatus=None)
    return json_response(version["config"])


def _staying_active(update: Function, name: str, data: dict[str, Any]) -> Any:
    """Keep a function active while it is updated, as on AWS."""
    response = update(name, data)
    if response[0] >= 400:
        return response
    config = lambda_functions.functions[name]["config"]
    config.update(State="Active", StateReason="", StateReasonCode="")
    return json_response(config)


async def _recording(handle: Function, method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
    """Reject calls for which a function is not ready or that exceed a quota, and record calls in CloudTrail."""
    operation = parse("lambda", get_region(), method, path, "", headers, body)
    error = _not_ready(operation, _qualifier(query)) or quotas.refusal(operation, headers, body)
    response = error or await handle(method, path, headers, body, query)
    if operation.name in RECORDED:
        _record(operation, headers, response)
    return response


def _qualifier(query: dict[str, Any]) -> str:
    value = query.get("Qualifier") or ""
    return str(value[0] if isinstance(value, list) else value)


def _not_ready(operation: Operation, qualifier: str) -> Any:
    """Return an error for an update during another one, and for a function or version that is being created."""
    if operation.name not in UPDATES | {"Invoke"}:
        return None
    _, config, _ = lambda_functions.find_function(":".join(filter(None, (operation.get("FunctionName"), qualifier))))
    message = ""
    if config and config.get("State") == "Pending":
        message = "The function is currently in the following state: Pending"
    elif config and config.get("LastUpdateStatus") == "InProgress" and operation.name in UPDATES:
        message = f"An update is in progress for resource: {config['FunctionArn']}"
    if not message:
        return None
    return json_error("ResourceConflictException", f"The operation cannot be performed at this time. {message}", 409)


def _record(operation: Operation, headers: Any, response: tuple[int, Any, bytes]) -> None:
    status, _, body = response
    content = json.loads(body or b"null")
    cloudtrail.record(
        "lambda",
        _event_name(operation.name),
        identity=cloudtrail.user_identity(access_key_of(headers)),
        user_agent=headers.get("user-agent", ""),
        request=_elements(dict(operation.parameters)),
        response=_elements(content) if status < 400 and content else None,
        error=(content["__type"], content["message"]) if status >= 400 else None,
    )


def _event_name(operation: str) -> str:
    """Return the name of an operation with the version of the API, as CloudTrail records it."""
    return f"{operation}20150331{'v2' if operation.startswith('UpdateFunction') else ''}"


def _elements(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters or a response as CloudTrail records them."""
    return {key[:1].lower() + key[1:]: value for key, value in parameters.items() if key not in SENSITIVE}


def _recording_publication(create: Function, logical_id: str, properties: dict[str, Any], stack: str) -> Any:
    arn, attributes = create(logical_id, properties, stack)
    _, config, name = lambda_functions.find_function(arn)
    identity = {"type": "AssumedRole", "arn": CALLER.get(), "accountId": get_account_id()}
    cloudtrail.record(
        "lambda",
        _event_name("PublishVersion"),
        identity=identity | {"invokedBy": "cloudformation.amazonaws.com"},
        user_agent="cloudformation.amazonaws.com",
        request={"functionName": name},
        response=_elements(config),
    )
    return arn, attributes


def _check_quotas(name: str, properties: dict[str, Any]) -> None:
    if reason := quotas.configuration_error(name, properties):
        raise ValueError(reason)


def _apply_missing_properties(name: str, properties: dict[str, Any]) -> None:
    """Apply the properties of templates that MiniStack ignores; published versions keep the queue."""
    function = lambda_functions.functions[name]
    function["config"].pop("DeadLetterConfig", None)
    function["config"] |= {key: properties[key] for key in ("DeadLetterConfig",) if key in properties}
    reserved = properties.get("ReservedConcurrentExecutions")
    function["concurrency"] = None if reserved is None else int(reserved)
