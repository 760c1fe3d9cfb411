"""Settings of `LambdaCanary`: functions, smoke tests, and conflicts."""

import json
import re
from typing import Any

import pytest

from lambdas.lambda_canary.comparison import Figures, compare
from settings import Settings, SettingsError
from settings.lambda_canary import MAX_EVALUATIONS, LambdaCanarySettings

from ..conftest import ROOT

ARN = "arn:aws:lambda:us-east-1:111111111111:function:shop"


def read(**fields: Any) -> LambdaCanarySettings:
    return Settings.from_context({f"lambda_canary:{name}": value for name, value in fields.items()}).lambda_canary


def problems(**fields: Any) -> str:
    with pytest.raises(SettingsError) as raised:
        read(**fields)
    return str(raised.value)


def test_functions_have_defaults() -> None:
    (function,) = read(functions=[{"arn": ARN}]).functions
    assert function.alias == "live"
    assert function.test() == {"payload": {}}


@pytest.mark.parametrize(
    ("fields", "test"),
    [
        ({"payload": [1], "expected_response": None}, {"payload": [1], "expected": None}),
        ({"response_schema": {"type": "object"}}, {"payload": {}, "schema": {"type": "object"}}),
    ],
)
def test_smoke_test_has_payload_and_expectation(fields: dict[str, Any], test: dict[str, Any]) -> None:
    (function,) = read(functions=[{"arn": ARN, **fields}]).functions
    assert function.test() == test


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"functions": [{"arn": f"{ARN}:live"}]}, "the ARN of a function without a version"),
        ({"functions": [{"arn": "arn:aws:lambda:us-east-1:111111111111:function:*"}]}, "the ARN of a function"),
        ({"functions": [{"arn": ARN, "alias": "1"}]}, "letters, digits, - and _, not only digits"),
        ({"functions": [{"arn": ARN, "alarms": ["a*"]}]}, "the name of a metric alarm"),
        ({"functions": [{"arn": ARN, "alarms": [f"a{number}" for number in range(11)]}]}, "has 11 alarms"),
        ({"functions": [{"arn": ARN}, {"arn": ARN}]}, f"has {ARN} more than once"),
        (
            {"functions": [{"arn": ARN}, {"arn": ARN.replace("us-east", "eu-west")}]},
            "has functions in several Regions or accounts",
        ),
        ({"functions": [{"arn": ARN, "expected_response": 1, "response_schema": {}}]}, "has both"),
        ({"functions": [{"arn": ARN, "response_schema": {"oneOf": []}}]}, "response_schema: oneOf is not supported"),
        (
            {"functions": [{"arn": ARN, "response_schema": {"pattern": "("}}]},
            'response_schema: pattern "(" is not supported',
        ),
        ({"functions": [{"arn": ARN}, {"arn": ARN.replace("1:function:shop", "2:function:cart")}]}, "or accounts"),
        ({"sample_function": False}, "needs at least one function in lambda_canary:functions"),
        ({"type": "canary", "steps": 4}, 'lambda_canary:steps=4 has no effect with lambda_canary:type="canary"'),
        ({"type": "linear", "first_weight": 0.1}, 'has no effect with lambda_canary:type="linear"'),
        ({"type": "all_at_once", "first_weight": 0.1}, "has no effect"),
        ({"steps": 50, "interval": 60, "max_wait": 21600}, f"evaluations (valid: at most {MAX_EVALUATIONS})"),
        ({"synthetic_calls": 100}, "a step needs 372 calls without a failure"),
        ({"type": "quadratic"}, "'linear', 'exponential', 'canary' or 'all_at_once'"),
        ({"error_margin": 0}, "a number from 0.001 to 0.5"),
    ],
)
def test_invalid_settings_are_reported(fields: dict[str, Any], problem: str) -> None:
    assert problem in problems(**fields)


def test_enough_synthetic_calls_can_decide() -> None:
    assert read(synthetic_calls=372).needed_calls == 372


@pytest.mark.parametrize(
    ("fields", "steps"),
    [({}, 9), ({"steps": 4}, 3), ({"type": "canary"}, 1), ({"type": "all_at_once"}, 0), ({"type": "exponential"}, 9)],
)
def test_steps_with_both_versions_are_evaluated(fields: dict[str, Any], steps: int) -> None:
    assert read(**fields).evaluated_steps == steps


def test_rollout_is_json() -> None:
    assert json.loads(json.dumps(read(first_weight=0.05, type="canary").rollout()))["first_weight"] == "0.05"


def test_functions_and_settings_agree_on_the_criteria() -> None:
    """The stack and the functions compute evaluations and steps from the same settings."""
    from .rollouts import config

    settings = read(steps=4, interval=120, max_wait=240, error_margin=0.05)
    criteria = config().criteria
    assert (criteria.evaluations, criteria.steps) == (settings.evaluations, settings.evaluated_steps)
    assert compare(Figures(settings.needed_calls), Figures(1000), criteria).decision == "pass"


def test_page_has_the_needed_calls() -> None:
    page = " ".join((ROOT / "docs" / "lambda_canary.md").read_text().split())
    sentence = (
        r"With the default settings, a step passes after (\d+) calls .+; with `error_margin=([\d.]+)`, after (\d+)\."
    )
    (found,) = re.findall(sentence, page)
    assert found == (str(read().needed_calls), "0.05", str(read(error_margin=0.05).needed_calls))
