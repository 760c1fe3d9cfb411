"""The trigger with invalid or hostile input: jobs, user parameters, input files and continuation tokens."""

import json
from typing import Any

import pytest

from lambdas.deploy_pipeline import trigger_handler
from lambdas.deploy_pipeline.errors import InvalidInputError
from lambdas.deploy_pipeline.request import MAX_INPUT_CHARACTERS

from .fake_services import EXECUTION, FakeServices, failure_of, handle, job


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"7", b"{" + b" " * MAX_INPUT_CHARACTERS + b"}"])
@pytest.mark.reliability("deploy_pipeline", "Malformed input", fault="input file or user parameters")
def test_invalid_input_file_fails_job(services: FakeServices, content: bytes) -> None:
    services.file = content
    assert "input.json" in failure_of(services)
    assert not services.started


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a much too long input file",
    expected="the job fails; at most one byte more than the limit is read",
    observed="200,001 of a million bytes",
)
def test_large_input_file_is_not_read_completely(services: FakeServices) -> None:
    services.file = b" " * (5 * MAX_INPUT_CHARACTERS)
    assert "more than" in failure_of(services)
    assert services.body.tell() <= MAX_INPUT_CHARACTERS + 1, "the whole file was read into memory"


@pytest.mark.parametrize("parameters", ["", "{", "[]", "{}", '{"s3Bucket": "inputs"}', '{"stateMachineFile": 7}'])
def test_invalid_user_parameters_fail_job(services: FakeServices, parameters: str) -> None:
    assert "UserParameters" in failure_of(services, UserParameters=parameters)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("data",), None, "the job has no data"),
        (("data",), [], "the job has no data"),
        (("data", "actionConfiguration"), None, "the job has no actionConfiguration.configuration"),
        (("data", "actionConfiguration", "configuration"), "x", "the job has no actionConfiguration.configuration"),
        (("data", "actionConfiguration", "configuration", "UserParameters"), None, "UserParameters is not JSON"),
        (("data", "inputArtifacts"), None, "the job has no input artifacts; the action needs exactly one"),
        (("data", "inputArtifacts"), [], "the job has 0 input artifacts; the action needs exactly one"),
        (("data", "inputArtifacts"), [{}, {}], "the job has 2 input artifacts; the action needs exactly one"),
        (("data", "inputArtifacts"), [{"location": {}}], "the job has no location.s3Location"),
        (
            ("data", "inputArtifacts"),
            [{"location": {"s3Location": {"bucketName": "b", "objectKey": 7}}}],
            "inputArtifacts[0].location.s3Location.objectKey: given 7; accepted: text",
        ),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="a job without an input artifact or with invalid fields; `NaN` in the input file",
    expected="the job fails immediately, and the field is named",
    observed="`parameters.Size: given NaN; accepted: ...`",
)
def test_malformed_job_fails_and_names_field(
    services: FakeServices, path: tuple[str, ...], value: Any, message: str
) -> None:
    event = parent = job()
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value
    handle(services, event)
    assert message in services.results[-1]["failureDetails"]["message"]
    assert not services.started


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"s3Bucket": "inputs"}, "UserParameters.stateMachineFile: missing; accepted: text"),
        ({"s3Bucket": "inputs", "stateMachineFile": 7}, "UserParameters.stateMachineFile: given 7; accepted: text"),
        ({"s3Bucket": "", "stateMachineFile": "x"}, 'UserParameters.s3Bucket: given ""; accepted: text'),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="a job without an input artifact or with invalid fields; `NaN` in the input file",
)
def test_invalid_user_parameter_is_named(services: FakeServices, parameters: dict[str, Any], message: str) -> None:
    assert message in failure_of(services, UserParameters=json.dumps(parameters))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('"parameters": {"Size": NaN}', "parameters.Size: given NaN; accepted: text, finite numbers"),
        ('"parameters": {"Size": [1, -Infinity]}', "parameters.Size: given [1, -Infinity]"),
        ('"parameters": {"Size": 1e999}', "parameters.Size: given Infinity"),
        ('"tags": {"team": NaN}', "tags.team: given NaN; accepted: text of 1 to 256 characters"),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="a job without an input artifact or with invalid fields; `NaN` in the input file",
)
def test_non_finite_number_fails_job_and_is_named(services: FakeServices, content: str, message: str) -> None:
    services.file = f'{{"environmentName": "prod", "stackName": "a", "templatePath": "t", {content}}}'.encode()
    assert message in failure_of(services)
    assert not services.started


@pytest.mark.parametrize("levels", [32, 5000, 90_000])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="JSON nested thousands deep",
    expected="fails with this reason",
    observed='"more than 32 levels of nesting"',
)
def test_deeply_nested_json_fails_job(services: FakeServices, levels: int) -> None:
    deep = '{"policy": ' + "[" * levels + "]" * levels + "}"
    services.file = deep.encode()
    assert "input.json has more than 32 levels of nesting" in failure_of(services)
    assert "UserParameters has more than 32 levels of nesting" in failure_of(services, UserParameters=deep)
    assert not services.started


@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="a job without an input artifact or with invalid fields; `NaN` in the input file",
)
def test_event_without_job_is_explained() -> None:
    events: list[Any] = [{}, {"CodePipeline.job": None}, {"CodePipeline.job": {}}]
    for event in events:
        with pytest.raises(InvalidInputError, match="CodePipeline invokes this function"):
            trigger_handler.handler(event, None)


@pytest.mark.parametrize(
    "token", [EXECUTION.replace(":machine:", ":other:"), EXECUTION.replace("1111", "2222"), "x" * 900]
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="another pipeline's job contains the ARN of a successful execution",
    expected="the job fails",
    observed="never `PutJobSuccessResult`",
)
def test_token_of_other_state_machine_fails_job(services: FakeServices, token: str) -> None:
    services.execution = {"status": "SUCCEEDED", "output": "{}"}
    assert "is not an execution of this pipeline" in failure_of(services, token)


@pytest.mark.parametrize("changes", [{"revisionS3Bucket": "another"}, {"revisionS3Key": "another"}, None])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="another pipeline's job contains the ARN of a successful execution",
)
def test_token_of_execution_with_other_artifact_fails_job(
    services: FakeServices, changes: dict[str, str] | None
) -> None:
    """An attack: a job of another pipeline contains the ARN of a successful execution."""
    services.execution = {"status": "SUCCEEDED", "output": "{}"}
    services.input = services.input | changes if changes else {}
    assert "was started for an artifact other than" in failure_of(services, EXECUTION)
