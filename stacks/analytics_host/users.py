"""What people need to use the hosts: a managed policy to attach, which gives no shell."""

from aws_cdk import ArnFormat, Stack, aws_iam as iam
from constructs import Construct

from ..constructs.acknowledgments import acknowledge_wildcards
from .host import Hosts

PORT_FORWARDING = "AWS-StartPortForwardingSession"
OWN_SESSIONS = "session/${aws:userid}-*"  # IAM replaces the variable: sessions that the caller has started


def users_policy(hosts: Hosts) -> iam.ManagedPolicy:
    """Create the policy for the users of `hosts`: port forwarding to the first host, the password, starting.

    A plain StartSession is a shell of a user with sudo. The condition makes Session Manager check the
    permission for its default document too, which is not given.
    """
    stack = Stack.of(hosts)
    instances = [_arn(stack, "ec2", f"instance/{instance.ref}") for instance in hosts.instances]
    document = _arn(stack, "ssm", f"document/{PORT_FORWARDING}", account="")  # AWS owns it
    sessions = _arn(stack, "ssm", OWN_SESSIONS)
    policy = iam.ManagedPolicy(
        hosts,
        "Users",
        description="Use of the analytics host: port forwarding without a shell, the password, starting it",
        statements=[
            iam.PolicyStatement(
                actions=["ssm:StartSession"],
                resources=[instances[0], document],
                conditions={"BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"}},
            ),
            iam.PolicyStatement(
                actions=["ssm:ResumeSession", "ssm:TerminateSession", "ssmmessages:OpenDataChannel"],
                resources=[sessions],
            ),
            iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[hosts.password.secret_arn]),
            iam.PolicyStatement(actions=["ec2:StartInstances"], resources=instances),
        ],
    )
    reason = "The ids of sessions are not known in advance; each begins with the id of the user who has started it."
    acknowledge_wildcards(
        policy, {"Resource::arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>:session/<aws:userid>-*": reason}
    )
    return policy


def _arn(scope: Construct, service: str, resource: str, account: str | None = None) -> str:
    return Stack.of(scope).format_arn(
        service=service, resource=resource, account=account, arn_format=ArnFormat.NO_RESOURCE_NAME
    )
