"""A managed policy for users of the hosts, without shell access."""

from aws_cdk import ArnFormat, Stack, aws_iam as iam
from constructs import Construct

from ..constructs.grants import grant
from .host import Hosts

PORT_FORWARDING = "AWS-StartPortForwardingSession"
# IAM policy variables. A session ID starts with the IAM user name or the role session name.
USER_VARIABLES = ("userid", "username")
OWN_SESSION_TAG = "ssm:resourceTag/aws:ssmmessages:session-id"

SESSION_IDS = "Session IDs are not known in advance; the user name or a tag limits the grant."


def users_policy(hosts: Hosts) -> iam.ManagedPolicy:
    """Create a policy that allows port forwarding to the first host, reading the password and starting the hosts.

    StartSession without a document opens a shell with sudo. The condition makes Session Manager also require
    permission for its default document, which is not granted.

    Each policy variable has a separate statement, because a variable without a value can invalidate the whole
    statement. The CDK does not merge statements that have a `sid`. Session Manager tags each session with the
    `aws:userid` of its user. Only that tag allows resuming a session, because
    `alice-*` is also the name of a session of the user `alice-admin`, whose shell `alice` could resume.
    """
    stack = Stack.of(hosts)
    instances = [_arn(stack, "ec2", f"instance/{instance.ref}") for instance in hosts.instances]
    document = _arn(stack, "ssm", f"document/{PORT_FORWARDING}", account="")  # AWS owns it
    policy = iam.ManagedPolicy(
        hosts,
        "Users",
        description="Analytics host: port forwarding without a shell, reading the password, starting hosts",
    )
    grant(
        policy,
        ["ssm:StartSession"],
        instances[0],
        document,
        conditions={"BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"}},
    )
    for variable in USER_VARIABLES:
        grant(
            policy,
            ["ssmmessages:OpenDataChannel"],
            _arn(stack, "ssm", f"session/${{aws:{variable}}}-*"),
            sid=f"SessionsOf{variable.capitalize()}",
            wildcard_reason=SESSION_IDS,
        )
    grant(
        policy,
        ["ssm:ResumeSession", "ssm:TerminateSession"],
        _arn(stack, "ssm", "session/*"),
        conditions={"StringEquals": {OWN_SESSION_TAG: "${aws:userid}"}},
        wildcard_reason=SESSION_IDS,
    )
    grant(policy, ["secretsmanager:GetSecretValue"], hosts.password.secret_arn)
    grant(policy, ["ec2:StartInstances"], *instances)
    return policy


def _arn(scope: Construct, service: str, resource: str, account: str | None = None) -> str:
    return Stack.of(scope).format_arn(
        service=service, resource=resource, account=account, arn_format=ArnFormat.NO_RESOURCE_NAME
    )
