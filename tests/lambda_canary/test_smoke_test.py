"""The smoke test of a version, its schema validator, and synthetic calls."""

from itertools import count
from typing import Any

import pytest

from lambdas.lambda_canary.errors import SmokeTestError
from lambdas.lambda_canary.smoke_test import (
    Schema,
    SmokeTest,
    mismatches,
    smoke_test,
    synthetic_calls,
    unsupported_keywords,
)

from .fake_aws import ARN, FakeLambda

SCHEMA: Schema = {
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
        ({"status": 200.0, "items": []}, ""),
        ({"status": 500, "items": []}, "response.status is 500 instead of one of [200, 201]"),
        ({"status": True, "items": []}, "response.status is true instead of one of [200, 201]"),
        ({"status": 200}, "response has no items"),
        ({"status": 200, "items": [0]}, "response.items[0] is 0, below 1"),
        ({"status": 200, "items": [3, 10]}, "response.items[1] is 10, above 9"),
        ({"status": 200, "items": [True]}, "response.items[0] is true instead of a value of type integer"),
        ({"status": 200, "items": {}}, "response.items is {} instead of a value of type array"),
        ({"status": 200, "items": [], "name": "A"}, 'response.name is "A", which does not match ^[a-z]+$'),
        ([], "response is [] instead of a value of type object"),
        (None, "response is null instead of a value of type object"),
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
        ({"properties": []}, ["properties []"]),
        ({"required": "status"}, ['required "status"']),
        ({"enum": "status"}, ['enum "status"']),
        ({"minimum": "1"}, ['minimum "1"']),
        ({"pattern": "("}, ['pattern "("']),
        ({"properties": {"a": {"pattern": 1}}}, ["pattern 1"]),
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
    observed="The execution fails before the first shift, with the response in its cause",
)
@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (fails, 'it failed with {"errorMessage": "no database"'),
        (lambda _: {"ok": 1}, 'response is {"ok": 1} instead of {"ok": true}'),
        (lambda _: "<html>", "its response is not JSON: <html>"),
        (lambda _: b"\xff\xfe", "its response is not JSON: "),  # of a custom runtime
        (lambda _: "[" * 100_000, "its response is not JSON: [[["),
        (lambda _: {"ok": 1.0}, 'response is {"ok": 1.0} instead of {"ok": true}'),
        (lambda _: "", 'response is null instead of {"ok": true}'),
    ],
)
def test_unexpected_response_fails_the_smoke_test(response: Any, problem: str) -> None:
    client = FakeLambda(responses={"2": response})
    with pytest.raises(SmokeTestError) as raised:
        smoke_test(client, ARN, "2", {"payload": {}, "expected": {"ok": True}})
    assert problem in str(raised.value)
    assert client.invocations == ["2"]


def test_message_about_many_mismatches_is_short() -> None:
    client = FakeLambda(responses={"2": lambda _: ["x"] * 10_000})
    with pytest.raises(SmokeTestError) as raised:
        smoke_test(client, ARN, "2", {"payload": {}, "schema": {"items": {"type": "integer"}}})
    assert str(raised.value).count("instead of a value of type integer") == 5


def test_expected_response_passes() -> None:
    client = FakeLambda(responses={"2": lambda payload: payload["a"]})
    smoke_test(client, ARN, "2", {"payload": {"a": [1, 2]}, "expected": [1, 2]})


@pytest.mark.parametrize(
    ("expected", "response"),
    [
        ([1], 1),
        (1, [1]),
        ([1, 2], [1]),
        ([], {}),
        ({"a": [1]}, {"a": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ([[1]], [[True]]),
    ],
)
def test_response_of_another_form_fails(expected: Any, response: Any) -> None:
    with pytest.raises(SmokeTestError, match="instead of"):
        smoke_test(FakeLambda(responses={"2": lambda _: response}), ARN, "2", {"payload": {}, "expected": expected})


@pytest.mark.parametrize("test", [{"payload": {}}, {"payload": {}, "schema": {"type": "object"}}])
def test_response_without_expectation_only_must_not_fail(test: Any) -> None:
    smoke_test(FakeLambda(), ARN, "2", test)
    with pytest.raises(SmokeTestError):
        smoke_test(FakeLambda(responses={"2": fails}), ARN, "2", test)


def test_synthetic_calls_are_counted() -> None:
    numbers = count()
    client = FakeLambda(responses={"2": lambda _: {"ok": next(numbers) % 5 > 0}})
    test: SmokeTest = {"payload": {}, "expected": {"ok": True}}
    assert synthetic_calls(client, ARN, "2", test, 20) == {"calls": 20, "errors": 4}
    assert client.invocations == ["2"] * 20
