"""The log group of a state machine."""

from aws_cdk import RemovalPolicy, Stack, aws_logs as logs
from constructs import Construct

from .unique_name import unique_name


class StateMachineLog(logs.LogGroup):
    """A log group that does not add to CloudWatch Logs' resource policy, whose size is limited.

    suffix: of its name, for a stack with several state machines.
    """

    def __init__(self, scope: Construct, construct_id: str, *, suffix: str = "") -> None:
        super().__init__(
            scope,
            construct_id,
            # Step Functions adds no statement to the resource policy for log groups with this prefix.
            log_group_name=unique_name(scope, f"/aws/vendedlogs/states/{Stack.of(scope).stack_name}{suffix}"),
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=RemovalPolicy.DESTROY,
        )
