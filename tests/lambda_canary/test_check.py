"""The check before a rollout: everything that Lambda would reject later, and the plan."""

from typing import Any

import pytest

from lambdas.lambda_canary.check import Plan, plan
from lambdas.lambda_canary.config import Config
from lambdas.lambda_canary.errors import AliasBusyError, InvalidInputError

from .fake_aws import ARN, FakeCloudWatch, FakeLambda
from .rollouts import CONFIG, TARGET, config

INPUT = {"function": "shop", "version": "2"}


def check(
    client: FakeLambda | None = None,
    cloudwatch: FakeCloudWatch | None = None,
    settings: Config = CONFIG,
    rollout_input: Any = INPUT,
) -> Plan:
    return plan(client or FakeLambda(), cloudwatch or FakeCloudWatch(), settings, rollout_input, "run")


def test_plan_has_weights_and_versions() -> None:
    found = check()
    assert found["weights"] == [0.25, 0.5, 0.75, 1.0]
    assert (found["old"], found["new"], found["revision"]) == ("1", "2", "r0")
    assert found["interval"] == 120


@pytest.mark.parametrize(
    "rollout_input",
    [
        INPUT,
        {"function": ARN, "version": "2"},
        {"version": "2"},
        INPUT | {"started_by": "alice"},
        INPUT | {"revisionS3Bucket": "artifacts", "revisionS3Key": "App/1.zip"},  # of the trigger of deploy_pipeline
    ],
)
def test_function_is_named_by_name_or_arn_or_is_the_only_one(rollout_input: Any) -> None:
    assert check(rollout_input=rollout_input)["function"] == ARN


@pytest.mark.reliability(
    "lambda_canary",
    "Malformed input",
    fault="The input has another form, or names an unknown function, version or alarm",
    expected="The rollout fails before it changes anything",
    observed="`InvalidInputError` names what is wrong",
)
@pytest.mark.parametrize(
    ("rollout_input", "problem"),
    [
        (None, "the input must be"),
        ("2", "the input must be"),
        ({"function": "shop"}, "the input must be"),
        ({"function": "shop", "version": 2}, "the input must be"),
        ({"function": "shop", "version": "$LATEST"}, "must be the number of a published version"),
        ({"function": "shop", "version": "live"}, "must be the number of a published version"),
        ({"function": "shop", "version": "²"}, "must be the number of a published version"),
        ({"function": "shop", "version": ""}, "must be the number of a published version"),
        ({"function": "shop", "version": "02"}, "must be the number of a published version"),
        ({"function": "shop", "version": "2" * 30}, "must be the number of a published version"),
        ({"function": "shop", "version": "2", "started_by": "x" * 5000}, "the input has more than 4096 characters"),
        ({"function": "shop", "version": "9"}, "version 9 of shop does not exist"),
        ({"function": "other", "version": "2"}, r"function=other: not among the functions of the settings \(shop\)"),
        ({"function": ["shop"], "version": "2"}, "not among the functions"),
        ({"function": "shop", "version": "2", "steps": 3}, "unknown field steps"),
        # A line break would let the message look like another part of the notification.
        ({"function": "shop", "version": "1\n\nThe alias now: x"}, r'^version="1\\n\\nThe alias now: x": must be'),
        ({"function": "shop", "version": "2", "a\n\nb": 3}, r'^unknown field "a\\n\\nb"'),
    ],
)
def test_invalid_input_is_rejected(rollout_input: Any, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        check(rollout_input=rollout_input)


@pytest.mark.reliability(
    "lambda_canary",
    "Hostile input",
    fault="The input names a function that is not in the settings",
    expected="Nothing is invoked or changed",
    observed="It is rejected, and the roles do not allow it either",
)
def test_function_of_another_account_is_rejected() -> None:
    other = ARN.replace("111111111111", "000000000000")
    with pytest.raises(InvalidInputError, match="not among the functions"):
        check(rollout_input={"function": other, "version": "2"})


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ({"Role": "arn:aws:iam::111111111111:role/other"}, "different execution roles"),
        ({"DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:111111111111:dlq"}}, "different dead-letter queues"),
        ({"State": "Failed", "StateReason": "no image"}, "version 2 is Failed: no image"),
    ],
)
def test_version_that_lambda_would_reject_is_reported(version: dict[str, Any], problem: str) -> None:
    client = FakeLambda()
    client.versions["2"] = client.versions["2"] | version
    with pytest.raises(InvalidInputError, match=problem):
        check(client)


def test_rollout_without_a_function_needs_exactly_one_target() -> None:
    for targets in ((), (TARGET, TARGET)):
        with pytest.raises(InvalidInputError, match="function=null: not among the functions of the settings"):
            check(settings=config(targets=targets), rollout_input={"version": "2"})


def test_throttling_before_the_rollout_is_that_of_five_minutes_or_an_interval() -> None:
    for interval, seconds in ((120, 300), (600, 600)):
        cloudwatch = FakeCloudWatch()
        check(cloudwatch=cloudwatch, settings=config(interval=interval))
        (request,) = cloudwatch.requests
        assert seconds <= (request["EndTime"] - request["StartTime"]).total_seconds() <= seconds + 60, "whole minutes"


def test_removed_dead_letter_queue_equals_none() -> None:
    client = FakeLambda()
    client.versions["2"]["DeadLetterConfig"] = {"TargetArn": ""}
    assert check(client)["new"] == "2"


def test_alias_on_latest_is_reported() -> None:
    client = FakeLambda()
    client.change(FunctionVersion="$LATEST")
    with pytest.raises(InvalidInputError, match="Lambda rejects weights on"):
        check(client)


def test_alias_with_weights_is_busy() -> None:
    client = FakeLambda()
    client.change(RoutingConfig={"AdditionalVersionWeights": {"3": 0.1}})
    with pytest.raises(AliasBusyError, match=r"version 1, version 3 at 10%\. One rollout at a time"):
        check(client)


def test_version_of_the_alias_needs_no_rollout() -> None:
    assert check(rollout_input={"version": "1"})["weights"] == []


def test_step_is_longer_than_the_timeout_of_the_function() -> None:
    """An invocation that times out is counted when it ends, so a shorter step would not see it."""
    client = FakeLambda()
    client.versions["2"]["Timeout"] = 300
    assert check(client)["interval"] == 360


def test_alarm_that_is_on_is_ignored_and_reported() -> None:
    cloudwatch = FakeCloudWatch(alarms={"Errors": "ALARM", "Latency": "OK"})
    found = check(cloudwatch=cloudwatch, settings=config("Errors", "Latency"))
    assert found["ignoredAlarms"] == ["Errors"]
    assert found["notes"] == "In ALARM at the start, and ignored: Errors.\n"


def test_alarm_that_is_on_refuses_if_set() -> None:
    cloudwatch = FakeCloudWatch(alarms={"Errors": "ALARM"})
    with pytest.raises(InvalidInputError, match="in ALARM before the rollout: Errors"):
        check(cloudwatch=cloudwatch, settings=config("Errors", alarm_at_start="refuse"))


def test_missing_alarm_is_reported() -> None:
    with pytest.raises(InvalidInputError, match="alarm Errors does not exist"):
        check(settings=config("Errors"))


def test_throttling_before_the_rollout_is_read() -> None:
    cloudwatch = FakeCloudWatch()
    cloudwatch.values = {("Invocations", "Sum", None): [10, 20], ("Throttles", "Sum", None): [1, 2]}
    assert check(cloudwatch=cloudwatch)["before"] == {"calls": 30, "throttles": 3}
