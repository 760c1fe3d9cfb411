"""Roll out good and broken versions of the sample function while clients call it.

It is safe to run in a real account: only the sample function is changed, and restored afterwards.
"""

import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from .alias_traffic import Traffic, observe, traffic_of
from .line_chart import Axis, Series, line_chart
from .notifications import NotificationQueue
from .walkthrough import ROOT, PreconditionError, RestoringWalkthrough, Step, Target

ALIAS = "live"
CODE = ROOT / "assets" / "lambda_canary" / "greeting.py"
SETTINGS = {"steps": "4", "error_margin": "0.1", "max_wait": "600"}
BROKEN = """
import random
_greet = handler

def handler(event, context):
    if event.get("name") != "canary" and random.random() < 0.33:
        raise RuntimeError("the new version fails one call in three")
    return _greet(event, context)
"""
OTHER_RESPONSE = """
def handler(event, context):
    return {"greeting": "Bonjour", "version": context.function_version}
"""
INTERVALS = 10  # of pictures


class LambdaCanaryWalkthrough(RestoringWalkthrough):
    """The original post's rollout, with faulty versions, other changes, and interruptions."""

    stacks = ("LambdaCanary",)

    @classmethod
    def settings(cls, _target: Target) -> dict[str, str]:
        """Roll out in four steps, with a margin that few calls can show."""
        return {f"lambda_canary:{name}": value for name, value in SETTINGS.items()}

    def _prepare(self) -> None:
        target, outputs = self.target, self.target.outputs("LambdaCanary")
        if "SampleFunctionName" not in outputs:
            raise PreconditionError(
                "the sample function is not deployed; deploy with lambda_canary:sample_function=true"
            )
        self.function, self.machine = outputs["SampleFunctionName"], outputs["StateMachineArn"]
        self.awslambda, self.stepfunctions = map(target.client, ("lambda", "stepfunctions"))
        self._check_idle()
        self.started: list[str] = []
        self.versions: list[str] = []
        self.notifications = NotificationQueue(target, outputs["TopicArn"], self.cleanup, name="rollouts")
        self.first = self.awslambda.get_alias(FunctionName=self.function, Name=ALIAS)["FunctionVersion"]
        self.cleanup.callback(self._publish, "", publish=False)
        self.cleanup.callback(self._delete_versions)
        self.cleanup.callback(self._route_to_first)
        self.cleanup.callback(self._stop_all)

    def _check_idle(self) -> None:
        """Raise PreconditionError if a rollout is under way."""
        running = self.stepfunctions.list_executions(stateMachineArn=self.machine, statusFilter="RUNNING")["executions"]
        weights = observe(self.awslambda, self.function, ALIAS).weights
        if running or weights:
            raise PreconditionError(
                f"alias {ALIAS} of {self.function} is in a rollout; wait until it has ended, or stop it"
            )

    def first_version_serves_all(self) -> str:
        with traffic_of(self.target, self.function, ALIAS) as traffic:
            self.target.wait_until(lambda: len(traffic.responses) >= 50, "50 responses")
        versions = {response.version for response in traffic.responses}
        assert versions == {self.first}, f"responses of versions {versions}"
        return f"version {self.first} served {len(traffic.responses)} of {len(traffic.responses)} calls"

    def good_version_is_rolled_out(self) -> str:
        self.good = self._publish("# a new version\n")
        with traffic_of(self.target, self.function, ALIAS) as traffic:
            execution = self._start(self.good)
            ended = self._until_ended(execution)
            time.sleep(self.target.propagation_seconds + 1)
        assert ended["status"] == "SUCCEEDED", f"{ended['status']}: {ended.get('cause')}"
        shares = traffic.check_shares(self.good, self.target.propagation_seconds)
        weights = [weight for weight, _, _ in traffic.phases(self.good)]
        assert weights == sorted(weights), f"observed weights: {weights}"
        assert (weights[0], weights[-1]) == (0, 1), f"observed weights: {weights}"
        failed = sum(response.failed for response in traffic.responses)
        assert not failed, f"{failed} calls failed"
        message = self._message("Finished")
        assert "failed 0 of" in message, f"no figures in the notification:\n{message}"
        self._draw(traffic)
        return f"version {self.good}: {'; '.join(shares)}"

    def broken_version_is_rolled_back(self) -> str:
        broken = self._publish(BROKEN)
        with traffic_of(self.target, self.function, ALIAS) as traffic:
            ended = self._until_ended(self._start(broken))
            time.sleep(self.target.propagation_seconds + 1)
        assert ended.get("error") == "RolledBack", f"{ended['status']}: {ended.get('error')} {ended.get('cause')}"
        traffic.check_shares(broken, self.target.propagation_seconds)
        failures = [response for response in traffic.responses if response.failed]
        assert {response.version for response in failures} == {broken}
        phases = traffic.phases(broken)
        assert phases[-1][0] == 0, f"observed: {phases}"
        seconds = phases[-1][1] - min(response.ended for response in failures)
        message = self._message("Rolled back")
        assert f"version {broken} failed" in message, f"no figures in the notification:\n{message}"
        assert f"version {self.good} failed 0 of" in message, f"no figures in the notification:\n{message}"
        calls = self._during(traffic, broken)
        failed = sum(response.failed for response in calls)
        return (
            f"back on version {self.good} alone {seconds:.1f} s after the first failure; "
            f"{failed} of {len(calls)} calls during the rollout failed ({failed / len(calls):.1%})"
        )

    def version_that_fails_smoke_test_gets_no_traffic(self) -> str:
        version = self._publish(OTHER_RESPONSE)
        with traffic_of(self.target, self.function, ALIAS) as traffic:
            ended = self._until_ended(self._start(version))
        assert ended.get("error") == "SmokeTestError", f"{ended['status']}: {ended.get('cause')}"
        assert all(response.version == self.good for response in traffic.responses), "it received traffic"
        message = self._message("Smoke test failed")
        assert '"Bonjour" instead of "Hello, canary"' in message, message
        return (
            f"smoke test failed: Bonjour from version {version}, which received none of {len(traffic.responses)} calls"
        )

    def rollout_without_calls_is_undecided(self) -> str:
        self.uncalled = self._publish("# a version that nobody calls\n")
        ended = self._until_ended(self._start(self.uncalled))
        assert ended.get("error") == "Undecided", f"{ended['status']}: {ended.get('error')} {ended.get('cause')}"
        self._assert_alone(self.good)
        message = self._message("Undecided")
        assert "minimum_calls" in message, message
        return f"rolled back to version {self.good}: 0 calls of the new version"

    def foreign_change_is_left_alone(self) -> str:
        execution = self._start(self.uncalled)
        self._until_shifted(self.uncalled)
        weights = {"AdditionalVersionWeights": {self.uncalled: 0.01}}
        self.awslambda.update_alias(FunctionName=self.function, Name=ALIAS, RoutingConfig=weights)
        ended = self._until_ended(execution)
        assert ended.get("error") == "AliasChangedError", f"{ended['status']}: {ended.get('cause')}"
        message = self._message("alias changed by somebody else")
        assert "left alone" in message, message
        observation = observe(self.awslambda, self.function, ALIAS)
        assert observation.share(self.uncalled) == 0.01, f"the change was not left alone: {observation}"
        self._route_to(self.good)
        return "the rollout stopped, and the weight of 1% stayed until it was removed by hand"

    def stopped_execution_is_cleaned_up(self) -> str:
        execution = self._start(self.uncalled)
        self._until_shifted(self.uncalled)
        self.stepfunctions.stop_execution(executionArn=execution)
        stopped = time.monotonic()
        self.target.wait_until(self._is_alone(self.good), f"version {self.good} alone")
        seconds = time.monotonic() - stopped
        self._message("Stopped: ")
        return f"on version {self.good} alone {seconds:.1f} s after StopExecution"

    def second_rollout_is_refused(self) -> str:
        executions = [self._start(self.uncalled), self._start(self.uncalled)]

        def first_ended() -> str | None:
            statuses = {arn: self._describe(arn)["status"] for arn in executions}
            return next((arn for arn, status in statuses.items() if status != "RUNNING"), None)

        refused = self.target.wait_until(first_ended, "the end of one of two rollouts")
        ended = self._describe(refused)
        assert ended.get("error") in ("AliasBusyError", "AliasChangedError"), f"{ended['status']}: {ended.get('cause')}"
        (other,) = (arn for arn in executions if arn != refused)
        self._until_shifted(self.uncalled)
        assert self._describe(other)["status"] == "RUNNING", "the other rollout has ended too"
        self.stepfunctions.stop_execution(executionArn=other)
        self.target.wait_until(self._is_alone(self.good), f"version {self.good} alone")
        self._message("Stopped: ")
        return f"one failed with {ended['error']}; the other continued, and was then stopped"

    steps = (
        Step("Call the sample function", first_version_serves_all),
        Step("Roll out a good version", good_version_is_rolled_out),
        Step("Roll out a version that fails one call in three", broken_version_is_rolled_back),
        Step("Roll out a version with another response", version_that_fails_smoke_test_gets_no_traffic),
        Step("Roll out a version that nobody calls", rollout_without_calls_is_undecided),
        Step("Change the alias during a rollout", foreign_change_is_left_alone),
        Step("Stop the execution during a rollout", stopped_execution_is_cleaned_up),
        Step("Start two rollouts at once", second_rollout_is_refused),
    )

    def _publish(self, addition: str, *, publish: bool = True) -> str:
        """Upload the code with an addition, and return the number of the version."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("greeting.py", CODE.read_text() + addition)
        self.awslambda.update_function_code(FunctionName=self.function, ZipFile=buffer.getvalue())
        self.awslambda.get_waiter("function_updated_v2").wait(FunctionName=self.function)
        if not publish:
            return ""
        version: str = self.awslambda.publish_version(FunctionName=self.function)["Version"]
        self.versions.append(version)
        return version

    def _delete_versions(self) -> None:
        for version in self.versions:
            self.awslambda.delete_function(FunctionName=self.function, Qualifier=version)

    def _start(self, version: str) -> str:
        name = f"walkthrough-{uuid.uuid4()}"
        rollout_input = json.dumps({"function": self.function, "version": version})
        response = self.stepfunctions.start_execution(stateMachineArn=self.machine, name=name, input=rollout_input)
        self.started.append(response["executionArn"])
        return self.started[-1]

    def _stop_all(self) -> None:
        for execution in self.started:
            if self._describe(execution)["status"] == "RUNNING":
                self.stepfunctions.stop_execution(executionArn=execution)

    def _describe(self, execution: str) -> dict[str, Any]:
        description: dict[str, Any] = self.stepfunctions.describe_execution(executionArn=execution)
        return description

    def _until_ended(self, execution: str) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            description = self._describe(execution)
            return None if description["status"] == "RUNNING" else description

        return self.target.wait_until(ended, "the end of the rollout", self.target.timeout_seconds * len(SETTINGS) * 4)

    def _until_shifted(self, version: str) -> None:
        self.target.wait_until(
            lambda: observe(self.awslambda, self.function, ALIAS).share(version) > 0, f"weight of version {version}"
        )

    def _is_alone(self, version: str) -> Callable[[], bool]:
        return lambda: observe(self.awslambda, self.function, ALIAS).share(version) == 1

    def _assert_alone(self, version: str) -> None:
        observation = observe(self.awslambda, self.function, ALIAS)
        assert observation.share(version) == 1, f"the alias is half way: {observation}"

    def _route_to(self, version: str) -> None:
        self.awslambda.update_alias(
            FunctionName=self.function,
            Name=ALIAS,
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": {}},
            Description="",
        )

    def _route_to_first(self) -> None:
        """Route to the first version; repeat while a stopped rollout is being cleaned up."""

        def routed() -> bool:
            try:
                self._route_to(self.first)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceConflictException":
                    raise
                return False
            return self._is_alone(self.first)()

        self.target.wait_until(routed, f"version {self.first} alone")

    def _message(self, subject: str) -> str:
        """Wait for a notification with this subject, and return its text."""
        return self.notifications.wait_for(subject, field="Subject")["Message"]

    def _during(self, traffic: Traffic, version: str) -> list[Any]:
        """Return the responses while `version` had a weight."""
        shifted = [phase for phase in traffic.phases(version) if phase[0]]
        return traffic.responses_between(shifted[0][1], shifted[-1][2])

    def _draw(self, traffic: Traffic) -> None:
        """Draw the share of the new version in the responses over time, and its weight."""
        if not self.target.pictures_folder:
            return
        start = traffic.observations[0].before
        end = traffic.observations[-1].before
        length = (end - start) / 40
        shares = []
        for number in range(40):
            responses = traffic.responses_between(start + number * length, start + (number + 1) * length)
            if responses:
                share = sum(response.version == self.good for response in responses) / len(responses)
                shares.append(((number + 0.5) * length, share))
        weights = [(item.before - start, item.share(self.good)) for item in traffic.observations]
        marks = [
            (round(end - start) * tenth / INTERVALS, f"{(end - start) * tenth / INTERVALS:.0f}") for tenth in range(11)
        ]
        picture = line_chart(
            "Share of the new version in the responses to clients",
            Axis("seconds (the sandbox's minutes take one second)", marks),
            Axis("share", [(quarter / 4, f"{quarter * 25} %") for quarter in range(5)]),
            [Series("weight of the alias", weights, stepped=True), Series("measured share", shares, dots=True)],
        )
        (self.target.pictures_folder / "lambda_canary.svg").write_text(picture)
