"""The function that runs when an execution has ended: clean-up and notification."""

import json
from decimal import Decimal
from typing import Any

import pytest

from lambdas.lambda_canary import handler
from lambdas.lambda_canary.alias import Alias, shifted, update
from lambdas.lambda_canary.config import Config
from lambdas.lambda_canary.notification import MAX_SUBJECT, subject

from .fake_aws import ARN, FakeLambda
from .rollouts import CONFIG


class FakeTopic:
    """A topic that keeps its messages."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []

    def publish(self, **message: str) -> None:
        self.messages.append(message)


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> FakeTopic:
    found = FakeTopic()
    monkeypatch.setattr(handler, "SNS", found)
    monkeypatch.setattr(Config, "load", lambda _: CONFIG)
    monkeypatch.setenv("TOPIC_ARN", "arn:aws:sns:us-east-1:111111111111:rollouts")
    return found


def event(status: str, rollout_input: Any = '{"function": "shop", "version": "2"}', **detail: Any) -> dict[str, Any]:
    known = {"executionArn": "arn:aws:states:::execution:rollout:run", "name": "run", "status": status}
    return {"detail": known | {"input": rollout_input, "output": None} | detail}


@pytest.mark.reliability(
    "lambda_canary", "Delayed or out of order", fault="An execution is stopped while a shift is on its way"
)
@pytest.mark.parametrize("status", ["ABORTED", "TIMED_OUT"])
def test_first_shift_on_its_way_is_rolled_back(topic: FakeTopic, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    client = FakeLambda()
    monkeypatch.setattr(handler, "LAMBDA", client)
    first = shifted(Alias(ARN, "live", "1"), "2", Decimal("0.25"), "run")
    monkeypatch.setattr("time.sleep", lambda _: update(client, first, "r0"))
    handler.ended(event(status), None)
    assert len(client.updates) == 2
    assert client.shares == {"1": 1}
    assert "they are removed now" in topic.messages[0]["Message"]


@pytest.mark.reliability(
    "lambda_canary",
    "Duplicate",
    fault="An event is delivered twice",
    expected="Nothing more is changed",
    observed="The second clean-up finds no weights of its execution",
)
def test_duplicate_event_changes_nothing_more(topic: FakeTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeLambda()
    monkeypatch.setattr(handler, "LAMBDA", client)
    update(client, shifted(Alias(ARN, "live", "1"), "2", Decimal("0.25"), "run"), "r0")
    handler.ended(event("ABORTED"), None)
    client.change(
        RoutingConfig={"AdditionalVersionWeights": {"3": 0.1}}, Description="[rollout next: version 3 at 10 %]"
    )
    handler.ended(event("ABORTED"), None)
    assert client.shares == {"1": 0.9, "3": 0.1}
    assert len(topic.messages) == 2


@pytest.mark.reliability(
    "lambda_canary",
    "Malformed input",
    fault="An event has no input (Step Functions leaves out long ones), or one that SNS rejects in a subject",
    expected="It is reported",
    observed="The subject has no version, and the message is sent",
)
@pytest.mark.parametrize(
    "rollout_input", [None, '{"version": "2\\n3"}', '{"version": "' + "2" * 200 + '"}', '{"version": "\\u0007"}']
)
def test_input_that_cannot_be_shown_is_reported(
    topic: FakeTopic, monkeypatch: pytest.MonkeyPatch, rollout_input: str | None
) -> None:
    monkeypatch.setattr(handler, "LAMBDA", FakeLambda())
    ended = event("FAILED", error="InvalidInputError", cause="the input is too long")
    ended["detail"]["input"] = rollout_input
    handler.ended(ended, None)
    assert topic.messages[0]["Subject"] in ("Not started, invalid: unknown function", "Not started, invalid: shop")


def test_weights_without_mark_are_not_reported_as_removed(topic: FakeTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeLambda()
    monkeypatch.setattr(handler, "LAMBDA", client)
    update(client, shifted(Alias(ARN, "live", "1"), "2", Decimal("0.25"), "run"), "r0")
    client.change(Description="edited in the console")
    handler.ended(event("FAILED", error="AliasChangedError", cause="Somebody else changed the alias"), None)
    assert "has left no weights" not in topic.messages[0]["Message"]
    assert "so it is left alone" in topic.messages[0]["Message"]
    assert client.shares == {"1": 0.75, "2": 0.25}


@pytest.mark.parametrize("rollout_input", ["{", "null", '{"version": "2", "function": "other"}', None])
def test_execution_with_invalid_input_is_reported(
    topic: FakeTopic, monkeypatch: pytest.MonkeyPatch, rollout_input: Any
) -> None:
    monkeypatch.setattr(handler, "LAMBDA", FakeLambda())
    handler.ended(event("FAILED", rollout_input or "[]", error="InvalidInputError", cause="the input must be"), None)
    assert topic.messages[0]["Subject"].startswith("Not started, invalid: unknown function")
    assert "the input must be" in topic.messages[0]["Message"]


def test_errors_of_the_clean_up_are_raised(topic: FakeTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then Lambda runs it again, and puts the event into the dead-letter queue."""
    client = FakeLambda()
    monkeypatch.setattr(handler, "LAMBDA", client)
    update(client, shifted(Alias(ARN, "live", "1"), "2", Decimal("0.25"), "run"), "r0")

    def fail() -> None:
        raise client.exceptions.ServiceException({"Error": {"Code": "ServiceException"}}, "UpdateAlias")

    client.before_update.append(fail)
    with pytest.raises(client.exceptions.ServiceException):
        handler.ended(event("TIMED_OUT"), None)
    assert topic.messages == []


def test_caller_who_published_the_version_is_named(topic: FakeTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "LAMBDA", FakeLambda())
    caller = "arn:aws:iam::111111111111:user/alice"
    handler.ended(event("ABORTED", json.dumps({"version": "2", "started_by": caller})), None)
    assert topic.messages[0]["Message"].endswith(f"Started by: {caller}")


def test_subject_is_short_enough_for_sns() -> None:
    """SNS accepts fewer than 100 characters. The version is kept."""
    detail = event("FAILED", error="AliasChangedError")["detail"]
    assert len(subject(detail, "f" * 64)) <= MAX_SUBJECT == 99
    assert subject(detail, "f" * 64).endswith(" version 2")
    assert subject(detail, "shop").isascii()


def test_settings_are_read_from_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from lambdas.lambda_canary import config
    from settings.lambda_canary import LambdaCanarySettings

    functions = [{"arn_variable": "SAMPLE_FUNCTION_ARN", "alias": "live", "test": {"payload": {}}, "alarms": []}]
    file = tmp_path / "rollout.json"
    file.write_text(json.dumps(LambdaCanarySettings().rollout() | {"functions": functions}))
    monkeypatch.setattr(config, "FILE", file)
    found = Config.load({"SAMPLE_FUNCTION_ARN": ARN})
    assert found.targets[0].arn == ARN
    assert (found.rollout_type, found.steps, found.first_weight) == ("linear", 10, Decimal("0.05"))
    assert (found.criteria.evaluations, found.criteria.steps) == (16, 9)
