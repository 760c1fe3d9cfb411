"""The functions of a rollout, each with only the permissions that it needs."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import aws_lambda as lambda_, aws_lambda_destinations as destinations
from constructs import Construct

from ..constructs.alarm_topic import AlarmTopic
from ..constructs.dead_letter_queue import DeadLetterQueue
from ..constructs.grants import grant
from ..constructs.standard_function import StandardFunction

MAX_SECONDS = 900  # of a function (Lambda quotas)
ALIAS_SECONDS = 30  # of a function that updates the alias, with retries
VERSIONS = "Version numbers are not known in advance; the function is."
METRICS = "The metrics of AWS services have no ARN."


class RolloutFunctions:
    """Functions that check, test, shift, evaluate and roll back, and one that runs when an execution has ended."""

    def __init__(
        self,
        scope: Construct,
        *,
        code: lambda_.AssetCode,
        targets: Sequence[tuple[str, str]],
        alarms: Sequence[str],
        environment: dict[str, str],
        topic: AlarmTopic,
        dead_letters: DeadLetterQueue,
    ) -> None:
        """Set `targets` to ARN and alias of each function that may be deployed, and `alarms` to ARNs."""
        self.scope, self.code, self.environment = scope, code, environment
        self.functions = [arn for arn, _ in targets]
        self.aliases = [f"{arn}:{alias}" for arn, alias in targets]
        self.versions = [f"{arn}:*" for arn in self.functions]
        self.check = self._create("Check", "check", "Checks the alias and the version, and plans the rollout")
        self.call_version = self._create(
            "CallVersion", "call_version", "Invokes a version by its number, and checks its response", MAX_SECONDS
        )
        self.shift = self._create("Shift", "shift", "Sets the weight of the new version", ALIAS_SECONDS)
        self.evaluate = self._create("Evaluate", "evaluate", "Compares the metrics of both versions")
        self.roll_back = self._create("RollBack", "roll_back", "Routes all calls to the old version", ALIAS_SECONDS)
        self.ended = self._create_ended(topic, dead_letters)
        grant(self.call_version, ["lambda:InvokeFunction"], *self.versions, wildcard_reason=VERSIONS)
        grant(self.check, ["lambda:GetFunctionConfiguration"], *self.versions, wildcard_reason=VERSIONS)
        for function in (self.check, self.evaluate):
            self._grant_reads(function, alarms)
        for function in (self.shift, self.roll_back, self.ended):
            grant(function, ["lambda:GetAlias", "lambda:UpdateAlias"], *self.functions, *self.aliases)

    def arns(self) -> dict[str, str]:
        """Return the ARNs, by the names in the definition."""
        functions = {
            "Check": self.check,
            "CallVersion": self.call_version,
            "Shift": self.shift,
            "Evaluate": self.evaluate,
            "RollBack": self.roll_back,
        }
        return {name: function.function_arn for name, function in functions.items()}

    def _create(
        self,
        name: str,
        handler: str,
        description: str,
        timeout_seconds: int = 60,
        **options: Any,
    ) -> StandardFunction:
        return StandardFunction(
            self.scope,
            name,
            code=self.code,
            handler=f"lambda_canary.handler.{handler}",
            description=description,
            environment=dict(self.environment),
            timeout_seconds=timeout_seconds,
            **options,
        )

    def _create_ended(self, topic: AlarmTopic, dead_letters: DeadLetterQueue) -> StandardFunction:
        function = self._create(
            "Ended",
            "ended",
            "Removes weights that an ended rollout left, and notifies",
            # Two rollbacks, the second after a shift that was on its way has ended.
            3 * ALIAS_SECONDS,
            retry_attempts=2,
            on_failure=destinations.SqsDestination(dead_letters),
        )
        function.add_environment("TOPIC_ARN", topic.topic_arn)
        function.add_environment("IN_FLIGHT_SECONDS", str(ALIAS_SECONDS))
        topic.grant_publishing(function.execution_role)
        return function

    def _grant_reads(self, function: StandardFunction, alarms: Sequence[str]) -> None:
        grant(function, ["lambda:GetAlias"], *self.functions, *self.aliases)
        grant(function, ["cloudwatch:GetMetricData"], "*", wildcard_reason=METRICS)
        if alarms:
            grant(function, ["cloudwatch:DescribeAlarms"], *alarms)
