"""Template of `LambdaCanary`."""

import json
from typing import Any

import pytest
from aws_cdk import App, Environment

from settings.lambda_canary import LambdaCanarySettings
from stacks.lambda_canary import LambdaCanary

from ..conftest import as_list, only_resource, resources_of_type

STACK = "LambdaCanary"
SHOP = "arn:aws:lambda:us-east-1:111111111111:function:shop"


def statements(template: dict[str, Any], role: str) -> list[dict[str, Any]]:
    """Statements of the policy of a function's role."""
    name = next(
        key
        for key, found in template["Resources"].items()
        if found["Type"] == "AWS::IAM::Role" and key.startswith(role)
    )
    return [
        statement
        for policy in resources_of_type(template, "AWS::IAM::Policy")
        if policy["Roles"] == [{"Ref": name}]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def actions(template: dict[str, Any], role: str) -> set[str]:
    return {
        action
        for statement in statements(template, role)
        for action in as_list(statement["Action"])
        if not action.startswith("logs:")
    }


READS = {"lambda:GetAlias", "cloudwatch:GetMetricData"}
QUEUE = {"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("CheckRole", READS | {"lambda:GetFunctionConfiguration", "cloudwatch:DescribeAlarms"}),
        ("CallVersionRole", {"lambda:InvokeFunction"}),
        ("ShiftRole", {"lambda:GetAlias", "lambda:UpdateAlias"}),
        ("EvaluateRole", READS | {"cloudwatch:DescribeAlarms"}),
        ("RollBackRole", {"lambda:GetAlias", "lambda:UpdateAlias"}),
        (
            "EndedRole",
            {"lambda:GetAlias", "lambda:UpdateAlias", "states:GetExecutionHistory", "sns:Publish"}
            | {"kms:Decrypt", "kms:GenerateDataKey*"}
            | QUEUE,
        ),
        ("SampleFunctionRole", set()),
    ],
)
def test_role_has_only_the_actions_of_its_function(
    full_template: dict[str, Any], role: str, expected: set[str]
) -> None:
    assert actions(full_template, role) == expected


@pytest.mark.reliability(
    "lambda_canary", "Hostile input", fault="The input names a function that is not in the settings"
)
def test_lambda_permissions_name_the_functions_of_the_settings(full_template: dict[str, Any]) -> None:
    resources = set()
    for role in ("CheckRole", "CallVersionRole", "ShiftRole", "EvaluateRole", "RollBackRole", "EndedRole"):
        for statement in statements(full_template, role):
            if any(action.startswith("lambda:") for action in as_list(statement["Action"])):
                resources |= {json.dumps(resource) for resource in as_list(statement["Resource"])}
    assert resources
    for resource in resources:
        assert SHOP in resource or '"SampleFunction' in resource, resource
        assert resource != '"*"'


def test_sample_function_has_a_version_and_an_alias(template: dict[str, Any]) -> None:
    alias = only_resource(template, "AWS::Lambda::Alias")
    assert alias["Name"] == "live"
    (version,) = (key for key, found in template["Resources"].items() if found["Type"] == "AWS::Lambda::Version")
    assert alias["FunctionVersion"] == {"Fn::GetAtt": [version, "Version"]}
    assert "RoutingConfig" not in alias


@pytest.mark.parametrize(("region", "errors"), [("us-east-1", 0), ("eu-west-1", 1)])
def test_function_in_another_region_is_an_error(region: str, errors: int) -> None:
    environment = Environment(account="111111111111", region=region)
    settings = LambdaCanarySettings.model_validate({"functions": [{"arn": SHOP}]})
    stack = LambdaCanary(App(), "Stack", settings=settings, env=environment)
    messages = [entry.data for entry in stack.node.metadata if entry.type == "aws:cdk:error"]
    assert len(messages) == errors
    assert all(f"{SHOP} is not in the stack's Region and account" in str(message) for message in messages)


def rules(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["EventPattern"]["detail-type"][0]: rule for rule in resources_of_type(template, "AWS::Events::Rule")}


@pytest.mark.reliability("lambda_canary", "Timeout", fault="An execution is stopped or times out at any point")
def test_every_end_of_an_execution_is_handled(template: dict[str, Any]) -> None:
    rule = rules(template)["Step Functions Execution Status Change"]
    assert rule["EventPattern"]["detail"]["status"] == ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
    assert rule["Targets"][0]["DeadLetterConfig"]


def test_publishing_starts_no_rollout_by_default(template: dict[str, Any]) -> None:
    assert len(rules(template)) == 1


def test_published_version_of_a_listed_function_starts_a_rollout(full_template: dict[str, Any]) -> None:
    rule = rules(full_template)["AWS API Call via CloudTrail"]
    detail = rule["EventPattern"]["detail"]
    assert "PublishVersion20150331" in detail["eventName"]
    assert "shop" in detail["responseElements"]["functionName"]
    assert detail["responseElements"]["version"] == [{"anything-but": ["$LATEST"]}]
    template = rule["Targets"][0]["InputTransformer"]["InputTemplate"]
    assert json.loads(template.replace("<", '"').replace(">", '"')).keys() == {"function", "version", "started_by"}


def test_state_machine_can_only_invoke_its_functions(template: dict[str, Any]) -> None:
    invoked = [
        resource
        for statement in statements(template, "RolloutStateMachineRole")
        if statement["Action"] == "lambda:InvokeFunction"
        for resource in as_list(statement["Resource"])
    ]
    assert len(invoked) == 5
    assert "SampleFunction" not in json.dumps(invoked)


def test_start_command_has_valid_input(template: dict[str, Any]) -> None:
    command = "".join(
        part if isinstance(part, str) else "X" for part in template["Outputs"]["StartCommand"]["Value"]["Fn::Join"][1]
    )
    assert json.loads(command.partition("--input '")[2].rstrip("'")) == {"function": "X", "version": "2"}


def test_state_machine_is_traced_and_logged_without_data(template: dict[str, Any]) -> None:
    machine = only_resource(template, "AWS::StepFunctions::StateMachine")
    assert machine["TracingConfiguration"] == {"Enabled": True}
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False


@pytest.mark.reliability(
    "lambda_canary",
    "Lost event or response",
    fault="The clean-up fails, or its event cannot be delivered",
    expected="The event is kept, and an alarm is raised",
    observed="Two more attempts, a dead-letter queue, and the alarms Errors, Throttles and DeadLetters",
)
def test_failed_clean_up_raises_an_alarm(template: dict[str, Any]) -> None:
    invoke = only_resource(template, "AWS::Lambda::EventInvokeConfig")
    assert invoke["MaximumRetryAttempts"] == 2
    assert invoke["DestinationConfig"]["OnFailure"]
    descriptions = [alarm["AlarmDescription"] for alarm in resources_of_type(template, "AWS::CloudWatch::Alarm")]
    assert any("was not cleaned up" in text for text in descriptions)
    assert any("dead-letter queue" in text for text in descriptions)
