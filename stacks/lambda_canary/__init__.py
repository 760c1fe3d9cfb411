"""Rolls out a version of a Lambda function in steps, as long as it is not worse than the previous version.

The state machine `Rollout` checks and tests the version, shifts the traffic of an alias, and compares both versions by
their metrics. When an execution has ended, however it ended, a function removes weights that it left and notifies.
"""

import json
from typing import Any

from aws_cdk import (
    Annotations,
    ArnFormat,
    Duration,
    Stack,
    Token,
    aws_cloudwatch as cloudwatch,
    aws_stepfunctions as sfn,
)
from constructs import Construct

from settings.lambda_canary import LambdaCanarySettings

from ..constructs.alarm_topic import AlarmTopic
from ..constructs.dead_letter_queue import DeadLetterQueue
from ..constructs.lambda_code import lambda_asset
from ..constructs.outputs import add_outputs
from ..constructs.standard_function import StandardFunction
from .functions import RolloutFunctions
from .rollout import Rollout
from .sample import ALIAS, TEST, SampleFunction


class LambdaCanary(Stack):
    """A state machine that rolls out versions of the functions in `settings`, and of a sample function."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: LambdaCanarySettings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, description="Rolls out Lambda versions in steps", **kwargs)
        self.settings = settings
        self._check_location()
        self.sample = SampleFunction(self, "Sample") if settings.sample_function else None
        topic = AlarmTopic(self, "Topic", display_name="Lambda rollouts", email=settings.email)
        dead_letters = DeadLetterQueue(self, "DeadLetters")
        functions = RolloutFunctions(
            self,
            code=lambda_asset("lambda_canary", shared=["mail_text"], rollout=json.dumps(self._rollout(), indent=1)),
            targets=self._targets(),
            alarms=[self._alarm_arn(name) for name in self._alarm_names()],
            environment=self._environment(),
            topic=topic,
            dead_letters=dead_letters,
        )
        rollout = Rollout(
            self, "Rollout", settings=settings, functions=functions, names=self._names(), dead_letters=dead_letters
        )
        self._add_alarms(topic, dead_letters, functions.ended)
        self._add_outputs(topic, dead_letters, rollout.state_machine)

    def _check_location(self) -> None:
        """Report functions in another Region or account than the stack, if its own are known."""
        location = [self.region, self.account]
        if any(Token.is_unresolved(part) for part in location):
            return
        for function in self.settings.functions:
            if function.arn.split(":")[3:5] != location:
                Annotations.of(self).add_error(
                    f"lambda_canary:functions: {function.arn} is not in the stack's Region and account "
                    f"({', '.join(location)})"
                )

    def _rollout(self) -> dict[str, Any]:
        """Return the settings that the functions read from their package."""
        functions = [
            {"arn": function.arn, "alias": function.alias, "test": function.test(), "alarms": function.alarms}
            for function in self.settings.functions
        ]
        if self.sample:
            sample = {"arn_variable": "SAMPLE_FUNCTION_ARN", "alias": ALIAS, "test": TEST, "alarms": []}
            functions.insert(0, sample)
        return self.settings.rollout() | {"functions": functions}

    def _environment(self) -> dict[str, str]:
        environment: dict[str, str] = {"LOG_LEVEL": self.settings.log_level}
        if self.sample:
            environment["SAMPLE_FUNCTION_ARN"] = self.sample.function.function_arn
        return environment

    def _targets(self) -> list[tuple[str, str]]:
        """Return ARN and alias of each function."""
        targets = [(function.arn, function.alias) for function in self.settings.functions]
        return [(self.sample.function.function_arn, ALIAS), *targets] if self.sample else targets

    def _names(self) -> list[str]:
        names = [function.arn.rpartition(":")[2] for function in self.settings.functions]
        return [self.sample.function.function_name, *names] if self.sample else names

    def _alarm_names(self) -> list[str]:
        return sorted({alarm for function in self.settings.functions for alarm in function.alarms})

    def _alarm_arn(self, name: str) -> str:
        return self.format_arn(
            service="cloudwatch", resource="alarm", resource_name=name, arn_format=ArnFormat.COLON_RESOURCE_NAME
        )

    def _add_alarms(self, topic: AlarmTopic, dead_letters: DeadLetterQueue, ended: StandardFunction) -> None:
        """Alarm if an ended rollout could not be cleaned up or reported."""
        five_minutes = Duration.minutes(5)
        alarms: dict[str, tuple[cloudwatch.Metric, str]] = {
            "Errors": (ended.metric_errors(period=five_minutes), "An ended rollout was not cleaned up or reported"),
            "Throttles": (ended.metric_throttles(period=five_minutes), "The clean-up of a rollout was throttled"),
            "DeadLetters": (
                dead_letters.metric_messages(),
                "Events could not be processed; they are in the dead-letter queue",
            ),
        }
        for name, (metric, description) in alarms.items():
            topic.add_alarm(name, metric, description)

    def _add_outputs(self, topic: AlarmTopic, dead_letters: DeadLetterQueue, state_machine: sfn.StateMachine) -> None:
        name = self.sample.function.function_name if self.sample else self._names()[0]
        rollout_input = f'{{"function": "{name}", "version": "2"}}'
        outputs = {
            "StateMachineArn": (state_machine.state_machine_arn, "State machine that rolls out a version"),
            "StartCommand": (
                f"aws stepfunctions start-execution --state-machine-arn {state_machine.state_machine_arn}"
                f" --input '{rollout_input}'",
                "Rolls out version 2",
            ),
            "TopicArn": (topic.topic_arn, "Notifications and alarms"),
            "DeadLetterQueueUrl": (dead_letters.queue_url, "Events that could not be processed"),
        }
        if self.sample:
            outputs["SampleFunctionName"] = (self.sample.function.function_name, "Sample function")
        add_outputs(self, outputs)
