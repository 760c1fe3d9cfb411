"""The function that runs when an execution has ended: clean-up and notification."""

import json
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.lambda_canary import handler
from lambdas.lambda_canary.alias import Alias, shifted, update
from lambdas.lambda_canary.config import Config
from lambdas.lambda_canary.notification import subject

from .fake_aws import ARN, FakeLambda
from .rollouts import CONFIG


class FakeTopic:
    """A topic that keeps its messages."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []

    def publish(self, **message: str) -> None:
        self.messages.append(message)


class FakeHistory:
    """A state machine's execution with one evaluation, as GetExecutionHistory returns it: the newest event first."""

    error: Exception | None = None

    def get_execution_history(self, **request: Any) -> dict[str, Any]:
        if self.error:
            raise self.error
        assert request["reverseOrder"]
        assert request["includeExecutionData"]
        assert request["maxResults"] == 1000, "the most that the API returns"
        results = [{"revision": "r1"}, {"decision": "wait", "line": "25%: version 2 failed 1 of 9 calls"}, None]
        outputs = [json.dumps({"Payload": result, "StatusCode": 200}) for result in results]
        events = [{"type": "TaskSucceeded", "taskSucceededEventDetails": {"output": text}} for text in outputs]
        return {"events": [{"type": "ExecutionAborted"}, *events, {"type": "ExecutionStarted"}]}


@pytest.fixture(autouse=True)
def history(monkeypatch: pytest.MonkeyPatch) -> FakeHistory:
    found = FakeHistory()
    monkeypatch.setattr(handler, "STEP_FUNCTIONS", found)
    return found


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> FakeTopic:
    found = FakeTopic()
    monkeypatch.setattr(handler, "SNS", found)
    monkeypatch.setattr(Config, "load", lambda _: CONFIG)
    monkeypatch.setenv("TOPIC_ARN", "arn:aws:sns:us-east-1:111111111111:rollouts")
    return found


def event(status: str, rollout_input: Any = '{"function": "shop", "version": "2"}', **detail: Any) -> Any:
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
    assert topic.messages[0]["Message"].endswith(f"Started by, according to the input: {caller}")


def test_subject_is_short_enough_for_sns() -> None:
    """SNS accepts fewer than 100 characters. The version is kept."""
    detail = event("FAILED", error="AliasChangedError")["detail"]
    assert len(subject(detail, "f" * 64)) <= 99
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


@pytest.mark.reliability(
    "lambda_canary",
    "Hostile input",
    fault="An input with links, line breaks, 250 KB of text, or deep nesting",
    expected="The rollout is reported, and no text of others is a link or another part of the notification",
    observed="The text is shortened, on one line, and has [.] and [:]",
)
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"started_by": "arn:aws:sts::1:assumed-role/dev/evil.example"}, "assumed-role/dev/evil[.]example"),
        ({"started_by": "http://16909060/login"}, "http[:]//16909060/login"),
        ({"started_by": "alice\nThe alias now: fine"}, "alice?The alias now: fine"),
        ({"started_by": "a" * 250_000}, "a" * 200),
        ({"revisionS3Key": 0}, "Execution: "),
    ],
)
def test_hostile_input_is_reported_without_links(
    topic: FakeTopic, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(handler, "LAMBDA", FakeLambda())
    text = json.dumps({"version": "2"} | fields).replace('"revisionS3Key": 0', f'"revisionS3Key": {"[" * 9_000}')
    handler.ended(event("ABORTED", text), None)
    message = topic.messages[0]["Message"]
    assert expected in message
    assert len(message) < 2_000


def test_response_of_the_version_becomes_no_link(topic: FakeTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "LAMBDA", FakeLambda())
    cause = (
        "Version 2 failed its smoke test and has received no traffic: its response is not JSON: https://evil.example"
    )
    handler.ended(event("FAILED", error="SmokeTestError", cause=f"{cause}\n5%: version 2 failed 1.5 %"), None)
    assert "https[:]//evil[.]example\n5%: version 2 failed 1.5 %" in topic.messages[0]["Message"]


@pytest.mark.parametrize("version", ["2\n", "\u0663", "2\u202e", "2" * 200])
def test_subject_of_invalid_version_is_accepted_by_sns(version: str) -> None:
    """SNS accepts ASCII without control characters, of fewer than 100 characters (API reference, Publish)."""
    text = subject(event("FAILED", json.dumps({"version": version}))["detail"], "shop")
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 100


def test_stopped_execution_is_reported_with_figures(topic: FakeTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "LAMBDA", FakeLambda())
    monkeypatch.setattr("time.sleep", lambda _: None)
    handler.ended(event("ABORTED"), None)
    assert "\n25%: version 2 failed 1 of 9 calls\n" in topic.messages[0]["Message"]


@pytest.mark.reliability(
    "lambda_canary",
    "Throttling",
    fault="The history of a stopped execution cannot be read",
    expected="The alias is cleaned up, and somebody is notified, without the figures",
    observed="`ThrottlingException` from GetExecutionHistory",
)
def test_unreadable_history_does_not_prevent_clean_up(
    topic: FakeTopic, history: FakeHistory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = FakeLambda()
    monkeypatch.setattr(handler, "LAMBDA", client)
    update(client, shifted(Alias(ARN, "live", "1"), "2", Decimal("0.25"), "run"), "r0")
    history.error = ClientError({"Error": {"Code": "ThrottlingException"}}, "GetExecutionHistory")
    handler.ended(event("ABORTED"), None)
    assert client.shares == {"1": 1}
    assert "they are removed now" in topic.messages[0]["Message"]
    reasons = {record.message: vars(record).get("reason", "") for record in caplog.records}
    assert "ThrottlingException" in reasons["Cannot read the history"]


@pytest.mark.parametrize(("status", "rollback"), [("SUCCEEDED", "none"), ("FAILED", "not shifted")])
def test_end_is_logged_with_its_status(
    topic: FakeTopic, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: str, rollback: str
) -> None:
    monkeypatch.setattr(handler, "LAMBDA", FakeLambda())
    caplog.set_level("INFO", "lambdas.lambda_canary")
    handler.ended(event(status, output=json.dumps({"outcome": "finished", "summary": "Done."})), None)
    assert len(topic.messages) == 1
    entry = vars(caplog.records[-1])
    keys = ("message", "execution", "status", "rollback")
    assert [entry[key] for key in keys] == ["Execution ended", "run", status, rollback]
