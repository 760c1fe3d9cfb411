"""The smoke test of a version, its schema validator, and synthetic calls."""

from itertools import count
from typing import Any

import pytest

from lambdas.lambda_canary.errors import SmokeTestError
from lambdas.lambda_canary.smoke_test import mismatches, smoke_test, synthetic_calls, unsupported_keywords

from .fake_aws import ARN, FakeLambda

SCHEMA = {
    "type": "object",
    "required": ["status", "items"],
    "properties": {
        "status": {"enum": [200, 201]},
        "items": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 9}},
        "name": {"type": "string", "pattern": "^[a-z]+$"},
    },
}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"status": 200, "items": [1, 9], "name": "abc", "other": None}, ""),
        ({"status": 200.0, "items": []}, "answer.status is 200.0 instead of one of [200, 201]"),
        ({"status": 500, "items": []}, "answer.status is 500 instead of one of [200, 201]"),
        ({"status": 200}, "answer has no items"),
        ({"status": 200, "items": [0]}, "answer.items[0] is 0, below 1"),
        ({"status": 200, "items": [3, 10]}, "answer.items[1] is 10, above 9"),
        ({"status": 200, "items": [True]}, "answer.items[0] is true instead of a value of type integer"),
        ({"status": 200, "items": {}}, "answer.items is {} instead of a value of type array"),
        ({"status": 200, "items": [], "name": "A"}, 'answer.name is "A", which does not match ^[a-z]+$'),
        ([], "answer is [] instead of a value of type object"),
        (None, "answer is null instead of a value of type object"),
    ],
)
def test_value_is_compared_with_schema(value: Any, problem: str) -> None:
    assert "; ".join(mismatches(value, SCHEMA)) == problem


@pytest.mark.parametrize(
    ("schema", "problems"),
    [
        (SCHEMA, []),
        ({"oneOf": []}, ["oneOf"]),
        ({"properties": {"a": {"format": "date"}}}, ["format"]),
        ({"items": {"type": "text"}}, ['type "text"']),
        ({"type": ["string", "null"]}, ['type ["string", "null"]']),
        ({"items": True}, ["true instead of an object"]),
    ],
)
def test_unsupported_keyword_is_named(schema: Any, problems: list[str]) -> None:
    assert list(unsupported_keywords(schema)) == problems


def fails(_: Any) -> Any:
    raise RuntimeError("no database")


@pytest.mark.reliability(
    "lambda_canary",
    "System-specific",
    fault="A version fails its smoke test",
    expected="It never receives traffic",
    observed="The execution fails before the first shift, with the answer in its cause",
)
@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (fails, 'it failed with {"errorMessage": "no database"'),
        (lambda _: {"ok": 1}, 'answer is {"ok": 1} instead of {"ok": true}'),
        (lambda _: "<html>", "its answer is not JSON: <html>"),
        (lambda _: "", 'answer is null instead of {"ok": true}'),
    ],
)
def test_unexpected_answer_fails_the_smoke_test(answer: Any, problem: str) -> None:
    client = FakeLambda(answers={"2": answer})
    with pytest.raises(SmokeTestError) as raised:
        smoke_test(client, ARN, "2", {"payload": {}, "expected": {"ok": True}})
    assert problem in str(raised.value)
    assert client.invocations == ["2"]


def test_message_about_many_mismatches_is_short() -> None:
    client = FakeLambda(answers={"2": lambda _: ["x"] * 10_000})
    with pytest.raises(SmokeTestError) as raised:
        smoke_test(client, ARN, "2", {"payload": {}, "schema": {"items": {"type": "integer"}}})
    assert str(raised.value).count("instead of a value of type integer") == 5


def test_expected_answer_passes() -> None:
    client = FakeLambda(answers={"2": lambda payload: payload["a"]})
    smoke_test(client, ARN, "2", {"payload": {"a": [1, 2]}, "expected": [1, 2]})


@pytest.mark.parametrize("test", [{"payload": {}}, {"payload": {}, "schema": {"type": "object"}}])
def test_answer_without_expectation_only_must_not_fail(test: dict[str, Any]) -> None:
    smoke_test(FakeLambda(), ARN, "2", test)
    with pytest.raises(SmokeTestError):
        smoke_test(FakeLambda(answers={"2": fails}), ARN, "2", test)


def test_synthetic_calls_are_counted() -> None:
    numbers = count()
    client = FakeLambda(answers={"2": lambda _: {"ok": next(numbers) % 5 > 0}})
    test = {"payload": {}, "expected": {"ok": True}}
    assert synthetic_calls(client, ARN, "2", test, 20) == {"calls": 20, "errors": 4}
    assert client.invocations == ["2"] * 20
