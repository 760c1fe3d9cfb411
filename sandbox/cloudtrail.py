"""CloudTrail: records of security group calls on EventBridge, as AWS makes them.

For every mutating EC2 call that `ec2` of this folder answers, a record goes to the default
event bus as "AWS API Call via CloudTrail", at once (on AWS it takes seconds, at times
minutes). Forms of the record: CloudTrail user guide, record contents and userIdentity
element. Left out: trails as a condition, log files, read-only calls, other services.
"""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, sts

USER_KEY = "AKIAIOSFODNN7EXAMPLE"
USER_NAME = "sandbox-user"


def install() -> None:
    """Make the access key that people use that of an IAM user."""
    from .process import ACCOUNT

    sts._sessions[USER_KEY] = {
        "Arn": f"arn:aws:iam::{ACCOUNT}:user/{USER_NAME}",
        "UserId": "AIDACKCEVSQ6C2EXAMPLE",
        "SecretAccessKey": "sandbox",
    }


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
