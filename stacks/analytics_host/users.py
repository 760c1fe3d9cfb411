"""What people need to use the hosts: a managed policy to attach, which gives no shell."""

from aws_cdk import ArnFormat, Stack, aws_iam as iam
from constructs import Construct

from ..constructs.acknowledgments import acknowledge_wildcards
from .host import Hosts

PORT_FORWARDING = "AWS-StartPortForwardingSession"
# IAM replaces the variables. A session's ID begins with the name of an IAM user or the session name of a role.
USER_VARIABLES = ("userid", "username")
OWN_SESSION_TAG = "ssm:resourceTag/aws:ssmmessages:session-id"


def users_policy(hosts: Hosts) -> iam.ManagedPolicy:
    """Create the policy for the users of `hosts`: port forwarding to the first host, the password, starting.

    A plain StartSession is a shell of a user with sudo. The condition makes Session Manager check the
    permission for its default document too, which is not given.

    The variables of users have a statement each, because one that has no value can make its statement invalid;
    statements with an ID are not merged. Session Manager tags each session with the `aws:userid` of its user.
    """
    stack = Stack.of(hosts)
    instances = [_arn(stack, "ec2", f"instance/{instance.ref}") for instance in hosts.instances]
    document = _arn(stack, "ssm", f"document/{PORT_FORWARDING}", account="")  # AWS owns it
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
            *(
                iam.PolicyStatement(
                    sid=f"SessionsOf{variable.capitalize()}",
                    actions=["ssm:ResumeSession", "ssm:TerminateSession", "ssmmessages:OpenDataChannel"],
                    resources=[_arn(stack, "ssm", f"session/${{aws:{variable}}}-*")],
                )
                for variable in USER_VARIABLES
            ),
            iam.PolicyStatement(
                actions=["ssm:ResumeSession", "ssm:TerminateSession"],
                resources=[_arn(stack, "ssm", "session/*")],
                conditions={"StringEquals": {OWN_SESSION_TAG: "${aws:userid}"}},
            ),
            iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[hosts.password.secret_arn]),
            iam.PolicyStatement(actions=["ec2:StartInstances"], resources=instances),
        ],
    )
    reason = "The IDs of sessions are not known in advance; the user's name or the tag limits it."
    own = [f"session/<aws:{variable}>-*" for variable in USER_VARIABLES]
    prefix = "Resource::arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>"
    acknowledge_wildcards(policy, {f"{prefix}:{name}": reason for name in (*own, "session/*")})
    return policy


def _arn(scope: Construct, service: str, resource: str, account: str | None = None) -> str:
    return Stack.of(scope).format_arn(
        service=service, resource=resource, account=account, arn_format=ArnFormat.NO_RESOURCE_NAME
    )
