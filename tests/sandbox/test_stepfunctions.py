"""Limits of Step Functions, and state machines that run others."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.target import target_of

from .stacks import Stacks

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("ministack")]
LIMIT = 262_144
NESTED = (
    "states:StartExecution",
    "states:DescribeExecution",
    "states:StopExecution",
    "events:PutRule",
    "events:PutTargets",
    "events:DescribeRule",
)
FAILING = {"StartAt": "Fail", "States": {"Fail": {"Type": "Fail", "Error": "Broken", "Cause": "on purpose"}}}
Run = Callable[[int], dict[str, Any]]


def create_role(stacks: Stacks, name: str, *actions: str) -> str:
    """Create a role that a state machine can use for these actions, and return its ARN."""
    iam = stacks.clients.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    if actions:
        allowed = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_role_policy(RoleName=name, PolicyName="actions", PolicyDocument=document)
    return arn


def run_machine(stacks: Stacks, machine: str, **fields: str) -> dict[str, Any]:
    """Run an execution with `fields` as its input, and return its description."""
    client = stacks.clients.client("stepfunctions")
    arn = client.start_execution(stateMachineArn=machine, input=json.dumps(fields))["executionArn"]

    def ended() -> dict[str, Any] | None:
        execution = client.describe_execution(executionArn=arn)
        return None if execution["status"] == "RUNNING" else dict(execution)

    return target_of(stacks.sandbox).wait_until(ended, "the end of the execution")


@pytest.fixture(scope="module")
def run(stacks: Stacks) -> Run:
    """Return a function that runs an execution, whose first state outputs a string of a length, and describes it."""
    states = {
        "Produce": {"Type": "Pass", "Output": "{% $states.input.text & $states.input.text %}", "Next": "Shorten"},
        "Shorten": {"Type": "Pass", "Output": "short", "End": True},
    }
    definition = {"QueryLanguage": "JSONata", "StartAt": "Produce", "States": states}
    machine = stacks.clients.client("stepfunctions").create_state_machine(
        name="limits", definition=json.dumps(definition), roleArn=create_role(stacks, "machine")
    )
    return lambda length: run_machine(stacks, machine["stateMachineArn"], text="x" * (length // 2))


def test_output_of_exactly_the_limit_is_accepted(run: Run) -> None:
    assert run(LIMIT - 2)["status"] == "SUCCEEDED", "the quotes of the string count, too"


def test_output_above_the_limit_ends_the_execution(run: Run) -> None:
    execution = run(LIMIT)
    assert (execution["status"], execution["error"]) == ("FAILED", "States.DataLimitExceeded")
    assert "'Produce' returned a result with a size exceeding" in execution["cause"]


def test_input_above_the_limit_is_refused(stacks: Stacks) -> None:
    client = stacks.clients.client("stepfunctions")
    definition = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
    role = create_role(stacks, "inputs")
    machine = client.create_state_machine(name="inputs", definition=definition, roleArn=role)["stateMachineArn"]
    client.start_execution(stateMachineArn=machine, input=json.dumps("x" * (LIMIT - 2)))
    with pytest.raises(ClientError, match=r"ValidationException.*'input'.*less than or equal to 262144"):
        client.start_execution(stateMachineArn=machine, input=json.dumps("x" * LIMIT))


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        (None, ("States.TaskFailed", "Broken", "on purpose")),
        ("states:StartExecution", ("StepFunctions.AWSStepFunctionsException", "states:StartExecution")),
        ("events:PutRule", ("StepFunctions.AWSStepFunctionsException", "events:PutRule")),
        ("states:StopExecution", ("StepFunctions.AWSStepFunctionsException", "states:StopExecution")),
    ],
)
def test_nested_execution_needs_permissions_to_start_and_wait(
    stacks: Stacks, missing: str | None, expected: tuple[str, ...]
) -> None:
    client, suffix = stacks.clients.client("stepfunctions"), (missing or "none").replace(":", "-")
    role = create_role(stacks, f"nested-{suffix}", *(action for action in NESTED if action != missing))
    inner = client.create_state_machine(name=f"inner-{suffix}", definition=json.dumps(FAILING), roleArn=role)
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": {"StateMachineArn": inner["stateMachineArn"], "Input": {}},
        "End": True,
    }
    outer = {"QueryLanguage": "JSONata", "StartAt": "Start", "States": {"Start": task}}
    machine = client.create_state_machine(name=f"outer-{suffix}", definition=json.dumps(outer), roleArn=role)
    execution = run_machine(stacks, machine["stateMachineArn"])
    assert (execution["status"], execution["error"]) == ("FAILED", expected[0])
    assert all(text in execution["cause"] for text in expected[1:]), execution["cause"]


@pytest.mark.parametrize("missing", [None, "events:PutRule"])
def test_state_machine_that_waits_for_another_needs_managed_rule(stacks: Stacks, missing: str | None) -> None:
    name = f"waiting-{'without-rule' if missing else 'with-rule'}"
    role = create_role(stacks, name, *(action for action in NESTED if action != missing))
    task = {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "Parameters": {}, "End": True}
    definition = json.dumps({"StartAt": "Start", "States": {"Start": task}})
    properties = {"RoleArn": role, "DefinitionString": definition}
    resource = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    status = stacks.create(name, Resources={"Machine": resource})["StackStatus"]
    assert (status == "CREATE_COMPLETE") is not bool(missing)
    refused = [reason for _, _, reason in stacks.events(name) if "is not authorized to create managed-rule" in reason]
    assert bool(refused) is bool(missing)


@pytest.mark.parametrize(
    ("resource", "parameters"),
    [
        ("arn:aws:states:::aws-sdk:secretsmanager:createSecret", {"Name": "secret", "SecretString": "value"}),
        ("arn:aws:states:::aws-sdk:Lambda:listFunctions", {}),
        ("arn:aws:states:::aws-sdk:sfn:listStateMachines", {}),
        ("arn:aws:states:::sns:publish", {"TopicArn": "topic", "Message": "text"}),
        ("arn:aws:states:::states:startExecution", {"StateMachineArn": "machine"}),
        ("arn:aws:lambda:us-east-1:111111111111:function:function", {}),
    ],
)
def test_task_with_unknown_permissions_fails(stacks: Stacks, resource: str, parameters: dict[str, str]) -> None:
    """MiniStack would run it without asking for the permissions of the state machine's role."""
    name = resource.replace(":", "-")[-40:]
    states = {"Task": {"Type": "Task", "Resource": resource, "Parameters": parameters, "End": True}}
    machine = stacks.clients.client("stepfunctions").create_state_machine(
        name=name, definition=json.dumps({"StartAt": "Task", "States": states}), roleArn=create_role(stacks, name)
    )
    execution = run_machine(stacks, machine["stateMachineArn"])
    assert execution["status"] == "FAILED"
    assert f"does not know the permissions for the resource {resource}" in execution["cause"]
