"""The state machine that rolls out a version, what starts it, and what follows its end."""

from collections.abc import Sequence

from aws_cdk import (
    aws_events as events,
    aws_events_targets as targets,
)
from constructs import Construct

from settings.lambda_canary import LambdaCanarySettings

from ..constructs.dead_letter_queue import DeadLetterQueue
from ..constructs.execution_ended_rule import ExecutionEndedRule
from ..constructs.grants import grant
from ..constructs.standard_state_machine import StandardStateMachine
from .definition import definition
from .functions import RolloutFunctions

# CloudTrail's names of the calls, with and without the version of the API. UpdateFunctionCode can publish a version.
PUBLISHING_CALLS = [
    "PublishVersion",
    "PublishVersion20150331",
    "UpdateFunctionCode",
    "UpdateFunctionCode20150331v2",
]


class Rollout(Construct):
    """A state machine, a rule that starts it when one of the functions `names` is published, and one for its end."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: LambdaCanarySettings,
        functions: RolloutFunctions,
        names: Sequence[str],
        dead_letters: DeadLetterQueue,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = dead_letters
        self.state_machine = StandardStateMachine(
            self,
            "StateMachine",
            definition=definition(evaluated_steps=settings.evaluated_steps, evaluations=settings.evaluations),
            function_arns=functions.arns(),
            log_execution_data=False,  # responses of the functions can be in errors
        )
        self._create_end_rule(functions)
        if settings.start_on_publish:
            self._create_start_rule(names)

    def _create_end_rule(self, functions: RolloutFunctions) -> None:
        reason = "Executions have names that are not known in advance; the state machine is."
        grant(
            functions.ended, ["states:GetExecutionHistory"], self.state_machine.executions_arn, wildcard_reason=reason
        )
        ExecutionEndedRule(
            self,
            "Ended",
            description="Rollouts that succeeded, failed, timed out or were aborted",
            state_machine=self.state_machine,
            statuses=["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"],
            function=functions.ended,
            dead_letters=self.dead_letters,
        )

    def _create_start_rule(self, names: Sequence[str]) -> None:
        field = events.EventField.from_path
        rollout_input = {
            "function": field("$.detail.responseElements.functionName"),
            "version": field("$.detail.responseElements.version"),
            "started_by": field("$.detail.userIdentity.arn"),
        }
        events.Rule(
            self,
            "Published",
            description="New versions of the functions in the settings",
            event_pattern=events.EventPattern(
                source=["aws.lambda"],
                detail_type=["AWS API Call via CloudTrail"],
                detail={
                    "eventSource": ["lambda.amazonaws.com"],
                    "eventName": PUBLISHING_CALLS,
                    "errorCode": [{"exists": False}],
                    "responseElements": {
                        "functionName": list(names),
                        "version": [{"anything-but": ["$LATEST"]}],
                    },
                },
            ),
            targets=[
                targets.SfnStateMachine(
                    self.state_machine,
                    input=events.RuleTargetInput.from_object(rollout_input),
                    dead_letter_queue=self.dead_letters,
                    retry_attempts=3,
                )
            ],
        )
