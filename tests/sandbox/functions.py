"""Creates functions, versions and aliases in a sandbox."""

import io
import json
import uuid
import zipfile
from typing import Any

from sandbox import Sandbox
from sandbox.process import ACCOUNT
from sandbox.target import session

SOURCE = """
def handler(event, context):
    if event == "fail":
        raise ValueError("as requested")
    return "%s " + context.function_version + " " + context.invoked_function_arn.partition(":function:")[2]
"""


def archive(source: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr(zipfile.ZipInfo("index.py"), source)  # equal code has equal archives
    return buffer.getvalue()


def allow(action: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, **more}


def document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Functions:
    """Functions in a sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        clients = session(sandbox)
        self.lambda_, self.iam, self.logs = map(clients.client, ("lambda", "iam", "logs"))

    def role(self, *services: str) -> str:
        """Create a role that services (default: Lambda) can assume, with permission for logs, and return its ARN."""
        name = f"role-{uuid.uuid4().hex[:8]}"
        trust = allow("sts:AssumeRole", Principal={"Service": list(services) or ["lambda.amazonaws.com"]})
        role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]
        self.allow(role["Arn"], "logs:*", "*")
        return str(role["Arn"])

    def allow(self, role: str, action: str, resource: str) -> None:
        """Replace the policy of a role for the service of the action."""
        statement = allow(action, Resource=resource)
        name, policy = role.rpartition("/")[2], action.partition(":")[0]
        self.iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=document(statement))

    def create(self, *, role: str = "", **options: Any) -> str:
        """Create a function without versions and return its name."""
        name = f"function-{uuid.uuid4().hex[:8]}"
        self.lambda_.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="index.handler",
            Role=role or self.role(),
            Code={"ZipFile": archive(SOURCE % "code 1")},
            **options,
        )
        self.lambda_.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        return name

    def publish(self, name: str, **configuration: Any) -> str:
        """Publish the code, after a change of the configuration, and return the version."""
        self.lambda_.update_function_configuration(
            FunctionName=name, **configuration or {"Description": uuid.uuid4().hex}
        )
        self.wait(name)
        return str(self.lambda_.publish_version(FunctionName=name)["Version"])

    def wait(self, name: str) -> None:
        self.lambda_.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})

    def executed_versions(self, name: str) -> set[str]:
        """Return the versions that have log streams."""
        try:
            streams = self.logs.describe_log_streams(logGroupName=f"/aws/lambda/{name}")["logStreams"]
        except self.logs.exceptions.ResourceNotFoundException:
            return set()
        return {stream["logStreamName"].partition("[")[2].partition("]")[0] for stream in streams}

    def with_two_versions(self) -> str:
        name = self.create()
        self.publish(name)
        self.publish(name)
        return name


def arn(name: str) -> str:
    return f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{name}"
