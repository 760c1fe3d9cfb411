"""JSON from outside that is nested so deeply that Python cannot parse or process it."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lambdas.deploy_pipeline.approval import parse_decision
from lambdas.deploy_pipeline.errors import InvalidInputError
from lambdas.deploy_pipeline.inspection import Policy
from lambdas.deploy_pipeline.lookups import lookups
from lambdas.deploy_pipeline.nesting import MAX_VALUE_LEVELS, is_too_deeply_nested
from lambdas.deploy_pipeline.trigger import Trigger

from .changes import change, detail, violations

MACHINE = "arn:aws:states:us-east-1:111111111111:stateMachine:machine"
LEVELS = [MAX_VALUE_LEVELS + 1, 600, 5000, 90_000]
PAIRS = [(1, 2), (1, 3), (2, 2)]
TOO_DEEP = f"its values have more than {MAX_VALUE_LEVELS} levels of nesting, so they are not inspected"


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def update(kind: str, name: str, before: str, after: str) -> Any:
    """Return an update of one property, given as JSON."""
    contexts = {f"{when}Context": f'{{"Properties": {{"{name}": {value}}}}}'
                for when, value in (("Before", before), ("After", after))}  # fmt: skip
    return change("Modify", "Resource", kind, Details=[detail(name=name)], **contexts)


def reasons(*changes: Any) -> str:
    return "\n".join(violation.why for violation in violations(changes, Policy()))


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("kind", ["AWS::SQS::Queue", "AWS::S3::BucketPolicy", "AWS::Lambda::Function"])
@pytest.mark.reliability("deploy_pipeline", "Hostile input", fault="JSON nested thousands deep")
def test_update_with_deeply_nested_values_is_unsafe(kind: str, levels: int) -> None:
    deep = nested(levels)
    assert TOO_DEEP in reasons(update(kind, "Metadata", "{}", deep))
    assert TOO_DEEP in reasons(update(kind, "Metadata", deep, "{}"))
    assert TOO_DEEP in reasons(update(kind, "Metadata", deep, deep))


def test_approval_covers_values_that_are_too_deeply_nested() -> None:
    deep = nested(MAX_VALUE_LEVELS)
    changes = [update("AWS::SQS::Queue", "Metadata", f"[{old}, {deep}]", f"[{new}, {deep}]") for old, new in PAIRS]
    unsafe = list(violations(changes, Policy()))
    assert {violation.why for violation in unsafe} == {TOO_DEEP}
    assert len({violation.values for violation in unsafe}) == len(PAIRS)


def test_update_with_nested_values_below_limit_is_safe() -> None:
    deep = nested(MAX_VALUE_LEVELS - 2)  # in the context and its properties
    assert not reasons(update("AWS::Lambda::Function", "Metadata", "{}", deep))


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.reliability("deploy_pipeline", "Hostile input", fault="JSON nested thousands deep")
def test_deeply_nested_policy_as_text_is_unsafe(levels: int) -> None:
    policy = json.dumps(f'{{"Statement": {{"Effect": "Deny", "Action": {nested(levels)}}}}}')
    message = "PolicyDocument changes, but its values are not visible"
    assert message in reasons(update("AWS::SQS::QueuePolicy", "PolicyDocument", policy, '"{}"'))


@pytest.mark.reliability("deploy_pipeline", "Hostile input", fault="JSON nested thousands deep")
def test_deeply_nested_schema_is_treated_as_missing() -> None:
    """Without a schema, every property counts as create-only."""
    schemas = {"Deep": nested(90_000), "Shallow": '{"createOnlyProperties": ["/properties/Name"]}'}
    cloudformation: Any = SimpleNamespace(describe_type=lambda **request: {"Schema": schemas[request["TypeName"]]})
    create_only = lookups(cloudformation, "app").create_only
    assert create_only("Deep") is None
    assert create_only("Shallow") == ("/properties/Name",)


@pytest.mark.reliability("deploy_pipeline", "Hostile input", fault="JSON nested thousands deep")
def test_deeply_nested_output_of_execution_fails_job() -> None:
    execution = f"{MACHINE.replace(':stateMachine:', ':execution:')}:job"
    location = {"bucketName": "artifacts", "objectKey": "App/1.zip"}
    described = {
        "name": "job", "status": "SUCCEEDED", "output": f'{{"summary": {nested(90_000)}}}',
        "input": '{"revisionS3Bucket": "artifacts", "revisionS3Key": "App/1.zip"}',
    }  # fmt: skip
    results: list[Any] = []
    step_functions: Any = SimpleNamespace(describe_execution=lambda **_request: described)
    codepipeline: Any = SimpleNamespace(put_job_failure_result=lambda **result: results.append(result))
    data = {"continuationToken": execution, "inputArtifacts": [{"location": {"s3Location": location}}]}
    Trigger(codepipeline, cast(Any, None), step_functions, MACHINE).handle_job({"id": "job", "data": data})
    (result,) = results
    assert "The execution's output has more than 32 levels of nesting" in result["failureDetails"]["message"]


@pytest.mark.parametrize(("levels", "too_deep"), [(3, False), (4, True)])
def test_levels_of_objects_and_lists_are_counted(levels: int, too_deep: bool) -> None:
    value: Any = "text"
    for number in range(levels):
        value = {"key": value} if number % 2 else [value]
    assert is_too_deeply_nested(value, 3) is too_deep


@pytest.mark.reliability("deploy_pipeline", "Hostile input", fault="JSON nested thousands deep")
def test_deeply_nested_decision_is_invalid() -> None:
    """At some depth just below the limit, Python can parse the value, but not show it."""
    for levels in range(700, 1100):
        with pytest.raises(InvalidInputError):
            parse_decision(f'{{"execution": {nested(levels)}, "decision": "approve", "reason": "empty"}}')
