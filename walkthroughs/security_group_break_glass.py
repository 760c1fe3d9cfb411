"""The break-glass role of the walkthrough of security_group_revert."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from lambdas.mail_text import without_links
from lambdas.security_group_revert.chat import chat_message

from .message_picture import message_picture
from .walkthrough import PreconditionError, Target

ROLE, POLICY, SESSION = "SecurityGroupBreakGlass", "rules", "INC-1234"


def role_arn(target: Target) -> str:
    """Return the ARN of the role, which must be in the setting `break_glass_principals`."""
    partition, account = (target.client("sts").get_caller_identity()["Arn"].split(":")[part] for part in (1, 4))
    return f"arn:{partition}:iam::{account}:role/{ROLE}"


def create_role(target: Target, group_id: str, cleanup: ExitStack) -> Any:
    """Create the role, which may add rules to one group, and return an EC2 client with its credentials."""
    if target.session_with is None:
        raise PreconditionError("the target has no sessions with other credentials")
    iam, arn = target.client("iam"), role_arn(target)
    partition, account = arn.split(":")[1], arn.split(":")[4]
    region = target.client("ec2").meta.region_name
    # Not the account, all of whose principals that may assume any role could then open the group.
    caller = target.client("sts").get_caller_identity()["Arn"]
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=_document("sts:AssumeRole", Principal={"AWS": caller}))
    cleanup.callback(iam.delete_role, RoleName=ROLE)
    group_arn = f"arn:{partition}:ec2:{region}:{account}:security-group/{group_id}"
    document = _document("ec2:AuthorizeSecurityGroupIngress", Resource=group_arn)
    iam.put_role_policy(RoleName=ROLE, PolicyName=POLICY, PolicyDocument=document)
    cleanup.callback(iam.delete_role_policy, RoleName=ROLE, PolicyName=POLICY)
    sts = target.client("sts")
    credentials = target.wait_until(lambda: _assume(sts, arn), "the role")
    keys = (credentials[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
    # Notifications show the user agent.
    return target.session_with(*keys).client("ec2", config=Config(user_agent="security_group_revert walkthrough"))


def authorize(ec2: Any, group_id: str, permission: dict[str, Any]) -> bool:
    """Add a rule; return False while a new role or its policy is not effective yet."""
    try:
        ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[permission])
    except ClientError as error:
        if error.response["Error"]["Code"] in ("AuthFailure", "InvalidClientTokenId", "UnauthorizedOperation"):
            return False
        raise
    return True


def move_end_to_the_past(dynamodb: Any, table: str, group_id: str) -> None:
    """Let the time of all break-glass changes of a group end now, instead of waiting for it."""
    items = dynamodb.query(
        TableName=table,
        KeyConditionExpression="group_id = :group AND begins_with(finding, :prefix)",
        ExpressionAttributeValues={":group": {"S": group_id}, ":prefix": {"S": "break-glass: "}},
    )["Items"]
    assert items, "no break-glass change is stored"
    for item in items:
        dynamodb.update_item(
            TableName=table,
            Key={"group_id": item["group_id"], "finding": item["finding"]},
            UpdateExpression="SET #until = :now",
            ExpressionAttributeNames={"#until": "until"},
            ExpressionAttributeValues={":now": {"N": str(int(time.time()))}},
        )


def draw(notification: dict[str, str], folder: Path) -> None:
    """Draw the notification of a break-glass change, as an email and in a chat application."""
    subject, lines = notification["Subject"], notification["Message"].splitlines()
    text = "\n".join(map(without_links, lines))  # `NotificationQueue` has undone it
    content = json.loads(chat_message(subject, text, thread=""))["content"]
    headings = ["From: Security group changes <no-reply@sns.amazonaws.com>", f"Subject: {subject}"]
    pictures = {
        "email": message_picture(headings, text),
        "chat": message_picture(["Amazon Q", content["title"]], content["description"].strip("`\n")),
    }
    for name, picture in pictures.items():
        (folder / f"security_group_revert_{name}.svg").write_text(picture)


def _assume(sts: Any, arn: str) -> dict[str, str] | None:
    try:
        credentials: dict[str, str] = sts.assume_role(RoleArn=arn, RoleSessionName=SESSION)["Credentials"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDenied":  # the new role is not effective yet
            return None
        raise
    return credentials


def _document(action: str, **target: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, **target}]})
