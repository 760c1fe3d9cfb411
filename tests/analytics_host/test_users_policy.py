"""A user with only the users' policy can run the commands in the stack's outputs, and nothing else.

The sandbox's evaluator decides. Session Manager's own checks follow its user guide: ssm:SessionDocumentAccessCheck is
true if the user may use the document of the session, which is SSM-SessionManagerRunShell by default.
"""

import shlex
from typing import Any

import pytest

from sandbox.iam.policy import Decision, Request, evaluate

from ..deployed_template import ACCOUNT, DeployedTemplate

STACK = "AnalyticsHost"
PREFIX = f"arn:aws:ssm:us-east-1:{ACCOUNT}"
HOST, WORKER = (f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{name}" for name in ("Host", "Worker1"))
SHELL = f"{PREFIX}:document/SSM-SessionManagerRunShell"
OWN_SESSION_TAG = "ssm:resourceTag/aws:ssmmessages:session-id"
COMMANDS = ("PasswordCommand", "StartCommand", "RStudioCommand", "JupyterLabCommand", "H2OCommand")


class User:
    """The user `alice`, whose only policy is the users' policy of a template."""

    def __init__(self, template: dict[str, Any]) -> None:
        self.deployed = DeployedTemplate(STACK, template)
        (policy,) = self.deployed.of_type("AWS::IAM::ManagedPolicy")
        self.policy = policy.properties["PolicyDocument"]

    def may(self, action: str, resource: str, context: dict[str, str] | None = None) -> bool:
        variables = {"aws:username": "alice", "aws:userid": "AIDAALICE"}
        request = Request(f"arn:aws:iam::{ACCOUNT}:user/alice", action, resource, variables | (context or {}))
        return evaluate(request, identity_policies=[self.policy]) is Decision.ALLOWED

    def may_start_session(self, instance: str, document: str = "") -> bool:
        has_document = self.may("ssm:StartSession", document or SHELL)
        check = {"ssm:SessionDocumentAccessCheck": str(has_document).lower()}
        return self.may("ssm:StartSession", instance, check) and (has_document or not document)

    def may_run(self, command: str) -> bool:
        """Return whether the user may run an AWS CLI command of the outputs."""
        _, service, operation, *options = shlex.split(command)
        match service, operation:
            case "secretsmanager", "get-secret-value":
                return self.may("secretsmanager:GetSecretValue", options[options.index("--secret-id") + 1])
            case "ec2", "start-instances":
                ids = options[options.index("--instance-ids") + 1 :]
                return all(
                    self.may("ec2:StartInstances", f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{name}") for name in ids
                )
            case "ssm", "start-session":
                target = options[options.index("--target") + 1]
                document = options[options.index("--document-name") + 1]
                instance = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{target}"
                return self.may_start_session(instance, f"arn:aws:ssm:us-east-1::document/{document}")
        raise NotImplementedError(command)


@pytest.fixture
def user(full_template: dict[str, Any]) -> User:
    return User(full_template)


@pytest.mark.parametrize("name", COMMANDS)
def test_user_can_run_command_of_outputs(user: User, full_template: dict[str, Any], name: str) -> None:
    assert user.may_run(user.deployed.value(full_template["Outputs"][name]["Value"]))


def test_every_command_of_the_outputs_is_tested(full_template: dict[str, Any]) -> None:
    assert {name for name in full_template["Outputs"] if name.endswith("Command")} == set(COMMANDS)


@pytest.mark.parametrize(
    "document",
    [
        "",  # a shell
        SHELL,
        f"{PREFIX}:document/Example",
        *(
            f"arn:aws:ssm:us-east-1::document/AWS-{name}"
            for name in ("StartInteractiveCommand", "StartSSHSession", "StartPortForwardingSessionToRemoteHost")
        ),
    ],
)
def test_user_cannot_start_other_sessions(user: User, document: str) -> None:
    assert not user.may_start_session(HOST, document)


def test_user_cannot_start_session_on_other_instance(user: User) -> None:
    document = "arn:aws:ssm:us-east-1::document/AWS-StartPortForwardingSession"
    assert user.may_start_session(HOST, document)
    assert not user.may_start_session(WORKER, document)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ec2:StopInstances", HOST),
        ("ec2:StartInstances", f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-0123456789abcdef0"),
        ("ec2:DescribeInstances", "*"),
        ("ssm:SendCommand", HOST),
        ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:other"),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/HostsRole"),
        ("athena:StartQueryExecution", f"arn:aws:athena:us-east-1:{ACCOUNT}:workgroup/AnalyticsHost"),
    ],
)
def test_user_cannot_do_anything_else(user: User, action: str, resource: str) -> None:
    assert not user.may(action, resource)


def test_user_can_only_use_own_sessions(user: User) -> None:
    assert user.may("ssmmessages:OpenDataChannel", f"{PREFIX}:session/alice-0123")
    assert user.may("ssmmessages:OpenDataChannel", f"{PREFIX}:session/AIDAALICE-0123")
    assert not user.may("ssmmessages:OpenDataChannel", f"{PREFIX}:session/bob-0123")
    for action in ("ssm:ResumeSession", "ssm:TerminateSession"):
        assert user.may(action, f"{PREFIX}:session/alice-0123", {OWN_SESSION_TAG: "AIDAALICE"})
        assert not user.may(action, f"{PREFIX}:session/alice-admin-0123", {OWN_SESSION_TAG: "AIDAADMIN"})
        assert not user.may(action, f"{PREFIX}:session/alice-0123")
