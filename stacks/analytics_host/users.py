"""A managed policy for the users of the hosts, without shell access."""

from aws_cdk import ArnFormat, Stack, aws_iam as iam
from constructs import Construct

from ..constructs.grants import grant
from .host import Hosts

PORT_FORWARDING = "AWS-StartPortForwardingSession"
OWN_SESSIONS = "session/${aws:userid}-*"  # IAM replaces the variable: sessions of the caller


def users_policy(hosts: Hosts) -> iam.ManagedPolicy:
    """Create the policy for the users of `hosts`: port forwarding to the first host, the password, starting.

    StartSession without a document opens a shell with sudo. The condition makes Session Manager require
    the permission for its default document too, which is not granted.
    """
    stack = Stack.of(hosts)
    instances = [_arn(stack, "ec2", f"instance/{instance.ref}") for instance in hosts.instances]
    document = _arn(stack, "ssm", f"document/{PORT_FORWARDING}", account="")  # AWS owns it
    sessions = _arn(stack, "ssm", OWN_SESSIONS)
    policy = iam.ManagedPolicy(
        hosts,
        "Users",
        description="Use of the analytics host: port forwarding without a shell, the password, starting it",
    )
    grant(
        policy,
        ["ssm:StartSession"],
        instances[0],
        document,
        conditions={"BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"}},
    )
    grant(
        policy,
        ["ssm:ResumeSession", "ssm:TerminateSession", "ssmmessages:OpenDataChannel"],
        sessions,
        wildcard_reason="Session ids are not known in advance; each begins with the id of the user who started it.",
    )
    grant(policy, ["secretsmanager:GetSecretValue"], hosts.password.secret_arn)
    grant(policy, ["ec2:StartInstances"], *instances)
    return policy


def _arn(scope: Construct, service: str, resource: str, account: str | None = None) -> str:
    return Stack.of(scope).format_arn(
        service=service, resource=resource, account=account, arn_format=ArnFormat.NO_RESOURCE_NAME
    )
