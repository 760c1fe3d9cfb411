"""The state machine's input: accepted values and error messages."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from lambdas.deploy_pipeline.errors import InvalidInputError
from lambdas.deploy_pipeline.inspection import Policy
from lambdas.deploy_pipeline.request import parse_request, refuse_other_bucket

from ..conftest import ROOT
from .machine_run import INPUT


def errors(**fields: Any) -> str:
    with pytest.raises(InvalidInputError) as caught:
        parse_request(INPUT | fields)
    return str(caught.value)


def test_parse_request_minimal_input_uses_defaults() -> None:
    request = parse_request(INPUT)
    assert request.stack_name == "prod-app", "the environment's name comes first, as in the original post"
    assert (request.parameters, request.tags, request.capabilities) == ({}, {}, ())
    assert request.policy == Policy(frozenset({"AWS::CDK::Metadata"}))
    assert (request.on_unsafe, request.recreate) == ("fail", "never_worked")


def test_parse_request_reads_every_option() -> None:
    request = parse_request(
        INPUT
        | {
            "parameters": {"Size": 3, "Ratio": 0.5, "On": True, "Zones": ["a", "b"], "Name": "x"},
            "tags": {"team": "orders"},
            "capabilities": ["CAPABILITY_IAM"],
            "policy": {
                "exemptTypes": ["AWS::SQS::Queue"],
                "exemptLogicalIds": ["Child/Queue"],
                "conditional": "allow",
                "dynamic": "allow",
                "revisions": "reject",
                "drift": "revert",
                "recreate": "never",
            },
            "onUnsafe": "blue_green",
        }
    )
    assert request.parameters == {"Size": "3", "Ratio": "0.5", "On": "true", "Zones": "a,b", "Name": "x"}
    types = frozenset({"AWS::CDK::Metadata", "AWS::SQS::Queue"})  # exemptTypes adds to the default
    assert request.policy == Policy(types, frozenset({"Child/Queue"}), True, True, False, "revert")
    assert Policy.from_json(json.loads(json.dumps(request.policy.as_json()))) == request.policy
    assert (request.on_unsafe, request.recreate) == ("blue_green", "never")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("environmentName", ""),
        ("environmentName", "prod env"),
        ("stackName", "1st"),
        ("stackName", None),
        ("stackName", "a" * 120),
        ("templatePath", 7),
        ("revisionS3Bucket", None),
        ("revisionS3Key", []),
        ("parameters", ["Size"]),
        ("parameters.Size", {"of": "it"}),
        ("parameters.Size", None),
        ("parameters.Size", float("nan")),
        ("parameters.Size", float("-inf")),
        ("parameters.Size", json.loads("1e999")),
        ("parameters.Sizes", [1, float("inf")]),
        ("templatePath", "x" * 1025),
        ("tags.team", 1),
        ("tags", ["team"]),
        ("tags", {f"tag{number}": "" for number in range(51)}),
        ("capabilities", "CAPABILITY_IAM"),
        ("capabilities", ["CAPABILITY_ALL"]),
        ("policy", "strict"),
        ("policy.exemptTypes", "AWS::SQS::Queue"),
        ("policy.exemptLogicalIds", [1]),
        ("policy.conditional", True),
        ("policy.dynamic", "maybe"),
        ("policy.revisions", "keep"),
        ("policy.recreate", "sometimes"),
        ("policy.drift", "report"),
        ("policy.replace", "allow"),
        ("onUnsafe", "deploy"),
        ("stakName", "app"),
    ],
)
def test_parse_request_error_names_field(field: str, value: Any) -> None:
    outer, _, inner = field.partition(".")
    assert f"{field}: " in errors(**{outer: {inner: value} if inner else value})


@pytest.mark.reliability("deploy_pipeline", "Malformed input", fault="input file or user parameters")
def test_parse_request_reports_all_errors() -> None:
    message = errors(stackName="", tags=1, policy={"dynamic": 0}, other=True)
    for field in ("stackName", "tags", "policy.dynamic", "other"):
        assert f"{field}: " in message


def test_parse_request_limits_message_and_input() -> None:
    message = errors(**{f"{'x' * 400}{number}": 1 for number in range(400)})
    assert "and 380 more" in message
    assert len(message) < 8000, "Step Functions keeps 32,768 characters of a cause"
    assert "has more than 200,000 characters" in errors(other="x" * 200_000)


def test_input_size_counts_escaped_characters() -> None:
    """Step Functions escapes the input in the event, and omits it if the result is longer than 248 KiB."""
    ids = {"exemptLogicalIds": ["Q"] * 36_500}
    assert len(json.dumps(INPUT | {"policy": ids})) < 200_000
    assert len(json.dumps(json.dumps(INPUT | {"policy": ids}))) > 248 * 1024
    assert "has more than 200,000 characters" in errors(policy=ids)


def test_invalid_parameter_is_shown_with_accepted_values() -> None:
    assert errors(parameters={"Size": 1, "Ratio": float("nan"), "Deep": {"a": "x" * 900}}) == (
        f'Invalid input: parameters.Deep: given {{"a": "{"x" * 53}...; accepted: text, finite numbers,'
        " true or false, or lists of these, with at most 4096 bytes; parameters.Ratio: given NaN; accepted: text,"
        " finite numbers, true or false, or lists of these, with at most 4096 bytes"
    )


@pytest.mark.parametrize("field", ["parameters", "policy", "other"])
@pytest.mark.reliability("deploy_pipeline", "Hostile input", fault="JSON nested thousands deep")
def test_deeply_nested_input_is_rejected(field: str) -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert errors(**{field: deep}) == "The input has more than 32 levels of nesting."


def test_missing_fields_are_named() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_request({})
    for field in INPUT:
        assert f"{field}: missing" in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(INPUT)), inner, max_size=4),
    max_leaves=8,
)


def test_passed_limit_is_named_with_size() -> None:
    assert "tags: given 51 items; accepted: an object of at most 50 items" in errors(
        tags={f"tag{number}": "" for number in range(51)}
    )
    assert "with environmentName, 125 characters; accepted: at most 113" in errors(stackName="a" * 120)


@given(JSON)
@pytest.mark.reliability("deploy_pipeline", "Malformed input", fault="input file or user parameters")
def test_any_json_is_parsed_or_rejected(given_input: Any) -> None:
    try:
        parse_request(given_input)
    except InvalidInputError:
        return


def test_sample_input_is_valid() -> None:
    sample = json.loads((ROOT / "assets/deploy_pipeline/state_machine_input.json").read_text())
    request = parse_request(sample | {"revisionS3Bucket": "bucket", "revisionS3Key": "key"})
    assert (ROOT / "assets/deploy_pipeline/app" / request.template_path).is_file()


def test_artifact_of_another_bucket_is_refused() -> None:
    """A bucket of another account can allow the function to read, and the fingerprint does not cover the artifact."""
    request = parse_request(
        {
            "environmentName": "prod",
            "stackName": "app",
            "templatePath": "t.yaml",
            "revisionS3Bucket": "theirs",
            "revisionS3Key": "k",
        }
    )
    refuse_other_bucket(request, "theirs")
    with pytest.raises(InvalidInputError, match="revisionS3Bucket: given theirs; accepted: only artifacts"):
        refuse_other_bucket(request, "artifacts")
