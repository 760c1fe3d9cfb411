"""CloudFormation evaluates conditions of nested stacks with placeholders, so their change sets can omit changes."""

import json
from typing import Any

import pytest

from lambdas.deploy_pipeline.change_set import Inspection, inspect
from lambdas.deploy_pipeline.inspection import Policy

from .changes import MARKER, change
from .fake_cloudformation import FakeCloudFormation
from .machine_run import APP

STACK = "AWS::CloudFormation::Stack"
NESTED = "arn:aws:cloudformation:us-east-1:111111111111:changeSet/deploy-Data-1/2"
PLACEHOLDER = "{{IntrinsicFunction:prod-app/Config.Outputs.Stage/Fn::GetAtt}}"
TEMPLATE = {
    "Parameters": {"Stage": {"Type": "String"}, "StageName": {"Type": "String"}},
    "Conditions": {"NotProd": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Stage"}, "prod"]}]}},
    "Resources": {"Table": {"Type": "AWS::DynamoDB::Table", "Condition": "NotProd"}},
}
YAML = """\
Parameters:
  Stage: {Type: String}
  StageName: {Type: String}
# Conditions: of the stage
"Conditions" :

# none in production
  NotProd: !Not [!Equals [!Ref Stage, prod]]
Resources:
  Table: {Type: AWS::DynamoDB::Table, Condition: NotProd, Properties: {TableName: !Ref StageName}}
"""
INDENTED = "".join(f"  {line}\n" for line in ["Resources: {}", *YAML.splitlines()])
# As boto3 returns JSON that begins with a byte-order mark, which CloudFormation keeps.
MARKED = [f"\ufeff{json.dumps(TEMPLATE, indent=indent)}" for indent in (None, 0, 2)]
WHY = "its conditions use parameters whose values are not visible: Stage"


def inspected(
    fake: FakeCloudFormation,
    values: dict[str, str],
    template: Any,
    policy: Policy | None = None,
    action: str = "Modify",
) -> Inspection:
    fake.add_stack(APP, "UPDATE_COMPLETE")
    fake.changes = [change(action, "Data", STACK, ChangeSetId=NESTED)]
    fake.nested, fake.parameters, fake.templates = {NESTED: []}, {NESTED: values}, {NESTED: template}
    change_set_id = fake.create_change_set(StackName=APP, ChangeSetName="deploy")["Id"]
    return inspect(fake, change_set_id, APP, policy or Policy())


@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="a condition of a nested stack depends on an output, which its change set replaces by a placeholder",
    expected="rejected, because the update can remove resources that the change set does not list",
    observed='"its conditions use parameters whose values are not visible"',
)
@pytest.mark.parametrize("template", [TEMPLATE, YAML])
@pytest.mark.parametrize("value", [PLACEHOLDER, MARKER, f"a-{PLACEHOLDER}", "{{resolve:ssm:stage}}", "****"])
def test_condition_with_value_that_is_not_visible_is_unsafe(value: str, template: Any) -> None:
    result = inspected(FakeCloudFormation(), {"Stage": value, "StageName": value}, template)
    assert [(item["logicalId"], item["reason"]) for item in result["violations"]] == [("Data", WHY)]


@pytest.mark.parametrize(
    "template",
    [INDENTED, *MARKED, YAML.replace("\n", "\r\n"), "\ufeffConditions: {A: !Equals [!Ref Stage, a]}\nResources: {}"],
)
def test_condition_in_unusual_template_is_found(template: str) -> None:
    assert not inspected(FakeCloudFormation(), {"Stage": PLACEHOLDER}, template)["safe"]


@pytest.mark.parametrize("template", [TEMPLATE, YAML, {"Resources": {}}, "Resources: {}"])
def test_value_that_no_condition_uses_is_safe(template: Any) -> None:
    assert inspected(FakeCloudFormation(), {"Stage": "prod", "StageName": PLACEHOLDER}, template)["safe"]


@pytest.mark.parametrize(
    "condition",
    [
        "!Not [!Equals [!Ref Stage, '']]",
        '!Equals ["", !Ref Stage]',
        "{Fn::Equals: [{Ref: Stage}, '']}",
        "\n    Fn::Equals:\n      - !Ref Stage\n      - ''",
        {"Fn::Not": [{"Fn::Equals": [{"Ref": "Stage"}, ""]}]},
        {"Fn::Equals": ["", {"Ref": "Stage"}]},
    ],
)
def test_comparison_with_empty_text_is_safe(condition: Any) -> None:
    """Optional parameters are common, and neither the placeholder nor the ID that replaces it is empty."""

    def template(*conditions: Any) -> Any:
        if isinstance(condition, str):
            return "\n".join(
                ["Conditions:", *(f"  C{i}: {item}" for i, item in enumerate(conditions)), "Resources: {}"]
            )
        return {"Conditions": {f"C{i}": item for i, item in enumerate(conditions)}, "Resources": {}}

    values = {"Stage": PLACEHOLDER}
    assert inspected(FakeCloudFormation(), values, template(condition))["safe"]
    other = "!Equals [!Ref Stage, prod]" if isinstance(condition, str) else {"Fn::Equals": [{"Ref": "Stage"}, "prod"]}
    assert not inspected(FakeCloudFormation(), values, template(condition, other))["safe"]


@pytest.mark.parametrize(
    "condition",
    [
        "!Equals [!Ref Stage, ' ']",
        "!Equals [!Ref Stage, '-']",
        "!Equals [!Ref Stage, '''']",
        "!Equals [!Join ['', [!Ref Stage, x]], prod]",
        "!Equals [!Select [0, !Ref Stage], '']",
        "!Equals ['', !Sub '${Stage}']",
        "!Equals [!Ref Other, !Ref Stage]",
        "!Equals [!Join ['', [!Ref Equals, !Ref Stage]], '']",
        "!Equals [!Ref Stage, '*'] # '' in tests",
        "\n    Fn::Equals:\n      - !Ref Stage # '' in tests\n      - prod",
        "\n    Fn::Equals:\n      # - ''\n      - !Ref Stage\n      - prod",
    ],
)
def test_other_comparison_is_unsafe(condition: str) -> None:
    template = f"Conditions:\n  A: {condition}\n  B: !Equals ['', !Ref Other]\nResources: {{}}"
    assert not inspected(FakeCloudFormation(), {"Stage": PLACEHOLDER}, template)["safe"]


def test_template_is_read_only_if_a_value_is_not_visible() -> None:
    fake = FakeCloudFormation()
    assert inspected(fake, {"Stage": "prod", "StageName": "orders"}, TEMPLATE)["safe"]
    assert "get_template" not in fake.calls


def test_condition_of_new_nested_stack_is_safe() -> None:
    """It has no data yet."""
    assert inspected(FakeCloudFormation(), {"Stage": PLACEHOLDER}, TEMPLATE, action="Add")["safe"]


@pytest.mark.parametrize("policy", [Policy(dynamic=True), Policy(exempt_logical_ids=frozenset({"Data"}))])
def test_condition_can_be_accepted(policy: Policy) -> None:
    assert inspected(FakeCloudFormation(), {"Stage": PLACEHOLDER}, TEMPLATE, policy)["safe"]
