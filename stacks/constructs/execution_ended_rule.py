"""A rule that invokes a function when an execution of a state machine has ended."""

from collections.abc import Sequence

from aws_cdk import aws_events as events, aws_events_targets as targets, aws_lambda as lambda_, aws_stepfunctions as sfn
from constructs import Construct

from .dead_letter_queue import DeadLetterQueue


class ExecutionEndedRule(events.Rule):
    """Invokes `function` for executions that ended with one of `statuses`, such as ``TIMED_OUT``."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        description: str,
        state_machine: sfn.IStateMachine,
        statuses: Sequence[str],
        function: lambda_.IFunction,
        dead_letters: DeadLetterQueue,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description=description,
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={"stateMachineArn": [state_machine.state_machine_arn], "status": list(statuses)},
            ),
            targets=[targets.LambdaFunction(function, dead_letter_queue=dead_letters, retry_attempts=3)],
        )
