"""CloudTrail: EventBridge events of mutating EC2 and Lambda calls, and trails in templates.

If a trail logs in the Region, each such call is sent to the default event bus as "AWS API Call via CloudTrail",
immediately (on AWS, after seconds or minutes). Source: CloudTrail user guide, record contents and userIdentity element.
Trails are MiniStack's. Not implemented: filtering by event selectors, log files, read-only calls, other services.
"""

import os
import uuid
from datetime import UTC, datetime
from typing import Any

from .emulator.json_protocol import content
from .ministack import cloudtrail, eventbridge, sts
from .ministack.cloudformation import resource_handlers
from .ministack.requests import get_account_id, get_region
from .process import ACCOUNT

USER = f"arn:aws:iam::{ACCOUNT}:user/sandbox-user"


def install() -> None:
    """Assign the sandbox's access key to an IAM user, and add the trail resource."""
    sts.sessions[os.environ["AWS_ACCESS_KEY_ID"]] = {
        "Arn": USER,
        "UserId": "AIDACKCEVSQ6C2EXAMPLE",
        "SecretAccessKey": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    sts.is_root_key.replace(lambda _key: False)  # MiniStack treats the configured key as the root user's
    resource_handlers["AWS::CloudTrail::Trail"] = {
        "create": lambda logical_id, properties, stack: _put_trail(
            "CreateTrail", properties.get("TrailName") or f"{stack}-{logical_id}", properties
        ),
        "update": lambda name, _old, new, _stack: _put_trail("UpdateTrail", name, new),
        "delete": lambda name, _properties: _call("DeleteTrail", Name=name),
    }


def _put_trail(operation: str, name: str, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Create or update a trail, set its event selectors, and start or stop logging.

    In a template, booleans can be text, and ``KmsKeyId`` is ``KMSKeyId``.
    """
    parameters = {key: value == "true" if value in ("true", "false") else value for key, value in properties.items()}
    trail = _call(operation, **parameters | {"Name": name, "KmsKeyId": properties.get("KMSKeyId", "")})
    if "EventSelectors" in properties:
        _call("PutEventSelectors", TrailName=name, EventSelectors=properties["EventSelectors"])
    _call("StartLogging" if str(properties["IsLogging"]).lower() == "true" else "StopLogging", Name=name)
    return name, {"Arn": trail["TrailARN"]}


def _call(operation: str, **parameters: Any) -> dict[str, Any]:
    return content(cloudtrail.operations[operation](parameters))


def record(
    service: str,
    event_name: str,
    *,
    identity: dict[str, Any],
    user_agent: str,
    request: dict[str, Any],
    response: dict[str, Any] | None,
    error: tuple[str, str] | None = None,
    request_id: str = "",
) -> None:
    """Send the event of a call to the default event bus, if a trail logs. `request_id`: of the response, if known."""
    if not any(trail.get("IsLogging") for _region, _name, trail in cloudtrail.visible_trails()):
        return
    now = _now()
    detail: dict[str, Any] = {
        "eventVersion": "1.10",
        "userIdentity": identity,
        "eventTime": now,
        "eventSource": f"{service}.amazonaws.com",
        "eventName": event_name,
        "awsRegion": get_region(),
        "sourceIPAddress": "127.0.0.1",
        "userAgent": user_agent,
        "requestParameters": request,
        "responseElements": response,
        "requestID": request_id or str(uuid.uuid4()),
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": get_account_id(),
        "eventCategory": "Management",
    }
    if error:
        detail |= {"errorCode": error[0], "errorMessage": error[1]}
    eventbridge.put_event(f"aws.{service}", "AWS API Call via CloudTrail", detail)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def user_identity(access_key: str) -> dict[str, Any]:
    """Return the identity that an access key of a user or role session belongs to."""
    account = get_account_id()
    credential = sts.credential(access_key)
    identity = {
        "principalId": credential.principal_id,
        "arn": credential.principal_arn,
        "accountId": account,
        "accessKeyId": access_key,
    }
    if credential.principal_type == "User":
        return {"type": "IAMUser", **identity, "userName": credential.principal_name}
    role_name = credential.principal_arn.split("/")[1]
    issuer = {
        "type": "Role",
        "principalId": credential.principal_id.split(":")[0],
        "arn": sts.sessions[access_key].get("RoleArn", f"arn:aws:iam::{account}:role/{role_name}"),
        "accountId": account,
        "userName": role_name,
    }
    attributes = {"creationDate": _now(), "mfaAuthenticated": "false"}
    return {"type": "AssumedRole", **identity, "sessionContext": {"sessionIssuer": issuer, "attributes": attributes}}
