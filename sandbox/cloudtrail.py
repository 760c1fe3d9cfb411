"""CloudTrail: records of security group calls on EventBridge, as AWS makes them.

For every mutating EC2 call that `ec2` of this folder answers, a record goes to the default
event bus as "AWS API Call via CloudTrail", at once (on AWS it takes seconds, at times
minutes). Forms of the record: CloudTrail user guide, record contents and userIdentity
element. Templates can have trails, through MiniStack's own CloudTrail. Left out: trails as a
condition, log files, read-only calls, other services.
"""

import json
import os
import uuid
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudtrail, eventbridge, sts
from ministack.services.cloudformation import provisioners

from .process import ACCOUNT

USER_NAME = "sandbox-user"


def install() -> None:
    """Make the access key that people use that of an IAM user, and let templates have trails."""
    sts._sessions[os.environ["AWS_ACCESS_KEY_ID"]] = {
        "Arn": f"arn:aws:iam::{ACCOUNT}:user/{USER_NAME}",
        "UserId": "AIDACKCEVSQ6C2EXAMPLE",
        "SecretAccessKey": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    provisioners._RESOURCE_HANDLERS["AWS::CloudTrail::Trail"] = {
        "create": _create_trail,
        "update": _update_trail,
        "delete": lambda name, _properties: _answer(cloudtrail._delete_trail({"Name": name})),
    }


def _create_trail(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
    name = properties.get("TrailName") or f"{stack}-{logical_id}"
    trail = _answer(cloudtrail._create_trail(_as_request(properties) | {"Name": name}))
    _configure(name, properties)
    return name, {"Arn": trail["TrailARN"]}


def _update_trail(name: str, _old: Any, new: dict[str, Any], _stack: str) -> tuple[str, dict[str, Any]]:
    trail = _answer(cloudtrail._update_trail(_as_request(new) | {"Name": name}))
    _configure(name, new)
    return name, {"Arn": trail["TrailARN"]}


def _as_request(properties: dict[str, Any]) -> dict[str, Any]:
    """CloudFormation writes true as text at times; the API has a ``KmsKeyId`` for its ``KMSKeyId``."""
    plain = {key: value == "true" if value in ("true", "false") else value for key, value in properties.items()}
    return plain | {"KmsKeyId": properties.get("KMSKeyId", "")}


def _configure(name: str, properties: dict[str, Any]) -> None:
    """Carry out what calls of their own are for in the API: which events, and on or off."""
    if selectors := properties.get("EventSelectors"):
        _answer(cloudtrail._put_event_selectors({"TrailName": name, "EventSelectors": selectors}))
    on = str(properties["IsLogging"]).lower() == "true"
    _answer((cloudtrail._start_logging if on else cloudtrail._stop_logging)({"Name": name}))


def _answer(response: tuple[int, Any, bytes]) -> dict[str, Any]:
    status, _, body = response
    answer: dict[str, Any] = json.loads(body)
    if status >= 400:
        raise ValueError(f"{answer['__type']}: {answer['message']}")
    return answer


def record(
    event_name: str,
    *,
    access_key: str,
    user_agent: str,
    request: dict[str, Any],
    response: dict[str, Any] | None,
    error: tuple[str, str] | None,
) -> None:
    """Put the record of one EC2 call on the default event bus."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    detail: dict[str, Any] = {
        "eventVersion": "1.10",
        "userIdentity": _user_identity(access_key, now),
        "eventTime": now,
        "eventSource": "ec2.amazonaws.com",
        "eventName": event_name,
        "awsRegion": get_region(),
        "sourceIPAddress": "127.0.0.1",
        "userAgent": user_agent,
        "requestParameters": request,
        "responseElements": response,
        "requestID": str(uuid.uuid4()),
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": get_account_id(),
        "eventCategory": "Management",
    }
    if error:
        detail |= {"errorCode": f"Client.{error[0]}", "errorMessage": error[1]}
    entry = {"Source": "aws.ec2", "DetailType": "AWS API Call via CloudTrail", "Detail": json.dumps(detail)}
    eventbridge._put_events({"Entries": [entry]})


def _user_identity(access_key: str, now: str) -> dict[str, Any]:
    account = get_account_id()
    session = sts._sessions.get(access_key)
    if session is None or "Arn" not in session:
        return {
            "type": "Root",
            "principalId": account,
            "arn": f"arn:aws:iam::{account}:root",
            "accountId": account,
            "accessKeyId": access_key,
        }
    identity = {
        "principalId": session["UserId"],
        "arn": session["Arn"],
        "accountId": account,
        "accessKeyId": access_key,
    }
    if ":assumed-role/" not in session["Arn"]:
        return {"type": "IAMUser", **identity, "userName": session["Arn"].rsplit("/", 1)[-1]}
    role_name = session["Arn"].split("/")[1]
    issuer = {
        "type": "Role",
        "principalId": session["UserId"].split(":")[0],
        "arn": session.get("RoleArn", f"arn:aws:iam::{account}:role/{role_name}"),
        "accountId": account,
        "userName": role_name,
    }
    attributes = {"creationDate": now, "mfaAuthenticated": "false"}
    return {"type": "AssumedRole", **identity, "sessionContext": {"sessionIssuer": issuer, "attributes": attributes}}
