"""What the settings of the pipeline may be."""

import json
from pathlib import Path
from typing import Any

import pytest

from settings import Settings, SettingsError

ARN = "arn:aws:codeconnections:us-east-1:111111111111:connection/1"


def refusal(**given: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_context({f"deploy_pipeline:{name}": value for name, value in given.items()})
    return str(caught.value)


def test_sample_is_the_default() -> None:
    found = Settings.from_context({}).deploy_pipeline
    assert (found.source, found.stack_name) == ("codecommit", "prod-sample-app")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source", "svn"),
        ("app", "no/such/folder"),
        ("branch", "no branch"),
        ("input", "README.md"),
        ("input", "no/such/file.json"),
        ("source_key", "app.tar"),
        ("email", "nobody"),
        ("permissions", []),
        ("permissions", [{"actions": [], "resources": ["*"]}]),
        ("permissions", [{"actions": ["everything"], "resources": ["*"]}]),
        ("permissions", [{"actions": ["sqs:*"], "resources": ["queues"]}]),
        ("permissions", [{"actions": ["s3:*"], "resources": ["arn:{partition}:s3:::{bucket}"]}]),
        ("permissions", [{"actions": ["s3:Get*"], "resources": ["*"], "conditions": {"Equals": {"aws:a": "b"}}}]),
        ("permissions", [{"actions": ["s3:Get*"], "resources": ["*"], "conditions": {"StringEquals": {"team": "b"}}}]),
        ("permissions", [{"actions": ["s3:Get*"], "resources": ["*"], "conditions": {"Bool": "true"}}]),
        ("permissions", [{"actions": ["s3:Get*"], "resources": ["*"], "conditions": {"StringEquals": {}}}]),
        ("permissions", [{"actions": ["s3:Get*"], "resources": ["*"], "conditions": {"StringEquals": {"aws:a": []}}}]),
        (
            "permissions",
            [{"actions": ["s3:Get*"], "resources": ["*"], "conditions": {"StringEquals": {"aws:a": "{bucket}"}}}],
        ),
        ("permissions_boundary", "arn:aws:iam::111111111111:role/boundary"),
        ("ssm_parameters", ["*"]),
        ("ssm_parameters", ["/*"]),
        ("ssm_parameters", ["arn:aws:ssm:us-east-1:111111111111:parameter/vpc"]),
        ("ssm_parameters", ["/a//b"]),
        ("ssm_parameters", ["/" + "a" * 200]),
        ("ssm_parameters", [f"/shop/{number}" for number in range(21)]),
        ("allow_service_wide_permissions", "yes, please"),
        ("connection_arn", "arn:aws:sqs:us-east-1:111111111111:queue"),
        ("repository", "app"),
    ],
)
def test_wrong_setting_is_named(name: str, value: Any) -> None:
    assert f"deploy_pipeline:{name}" in refusal(**{name: value})


@pytest.mark.parametrize("action", ["sqs:CreateQueue", "ec2:AssignIpv6Addresses", "s3:Get*", "dynamodb:*"])
def test_action_is_written_as_iam_writes_it(action: str) -> None:
    given = {"deploy_pipeline:permissions": [{"actions": [action], "resources": ["arn:aws:x:::{stack}-*"]}]}
    assert Settings.from_context(given).deploy_pipeline.permissions[0].actions == (action,)


@pytest.mark.parametrize("action", ["iam:*", "s3:**", "ec2:?*"])
@pytest.mark.parametrize("resource", ["*", "arn:aws:iam::{account}:*", "arn:aws:s3:::*", "arn:aws:iam::*:role/*"])
def test_whole_service_on_every_resource_is_refused_unless_asked_for(action: str, resource: str) -> None:
    given = [{"actions": ["sqs:CreateQueue", action], "resources": ["arn:aws:sqs:::{stack}", resource]}]
    said = refusal(permissions=given)
    assert f"{action} on every resource only with allow_service_wide_permissions=true" in said
    accepted = {"deploy_pipeline:permissions": given, "deploy_pipeline:allow_service_wide_permissions": True}
    assert Settings.from_context(accepted).deploy_pipeline.permissions[0].is_service_wide()


@pytest.mark.parametrize("resource", ["arn:aws:s3:::songs/*", "arn:aws:sqs:::{stack}-*", "arn:aws:iam::*:role/app/*"])
def test_whole_service_on_named_resources_is_accepted(resource: str) -> None:
    given = {"deploy_pipeline:permissions": [{"actions": ["s3:*"], "resources": [resource]}]}
    assert Settings.from_context(given).deploy_pipeline.permissions[0].resources == (resource,)


@pytest.mark.parametrize(
    "conditions",
    [
        {"StringEquals": {"aws:RequestTag/team": "orders"}},
        {"ForAllValues:StringLikeIfExists": {"aws:TagKeys": ["team", "project"]}},
        {"ArnEquals": {"iam:PermissionsBoundary": "arn:{partition}:iam::{account}:policy/app"}},
        {"Bool": {"aws:SecureTransport": True}, "NumericLessThan": {"s3:max-keys": 10}},
        {"Null": {"iam:PermissionsBoundary": False}},
        {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}},
    ],
    ids=str,
)
def test_conditions_are_written_as_iam_writes_them(conditions: dict[str, Any]) -> None:
    given = [{"actions": ["iam:CreateRole"], "resources": ["*"], "conditions": conditions}]
    assert Settings.from_context({"deploy_pipeline:permissions": given}).deploy_pipeline.permissions[0].conditions


@pytest.mark.parametrize("name", ["vpc", "/shop/vpc", "/cdk-bootstrap/*/version", "/aws/service/ami-amazon-linux/*"])
def test_ssm_parameter_is_given_by_its_name(name: str) -> None:
    found = Settings.from_context({"deploy_pipeline:ssm_parameters": [name]}).deploy_pipeline
    assert found.ssm_parameters == (name,)


def test_connection_goes_with_its_repository_and_its_source() -> None:
    for given in (
        {"source": "codeconnections"},
        {"source": "codeconnections", "connection_arn": ARN},
        {"connection_arn": ARN, "repository": "owner/app"},
    ):
        assert "connection_arn and repository" in refusal(**given)


def test_setting_of_another_source_is_refused() -> None:
    assert "app only with source codecommit" in refusal(source="s3", app="samples/deploy_pipeline/app")
    assert "source_key only with source s3" in refusal(source_key="shop.zip")
    said = refusal(source="codeconnections", app="samples/deploy_pipeline/app", source_key="shop.zip")
    for mistake in ("connection_arn and repository with", "app only with", "source_key only with"):
        assert mistake in said, "not all mistakes are told at once"


def test_list_with_a_mistake_is_not_called_too_short_as_well() -> None:
    said = refusal(permissions=[{"actions": ["everything"], "resources": ["*"]}])
    assert "permissions[0].actions[0]" in said
    assert said.count("accepted") == 1, said
    assert "permissions[0].resources: accepted: a value, which is missing" in refusal(
        permissions=[{"actions": ["s3:*"]}]
    )
    assert "permissions[0].actions: given []; accepted: at least one" in refusal(
        permissions=[{"actions": [], "resources": ["*"]}]
    )


def test_mistakes_of_the_input_file_are_told_before_anything_is_deployed(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    given = {"environmentName": "prod", "stackName": "my shop!", "templatePath": "app.json", "onUnsave": "fail"}
    file.write_text(json.dumps(given))
    said = refusal(input=str(file))
    assert "stackName: accepted is letters" in said
    assert "onUnsave: no such field" in said


def test_stack_is_named_by_the_input_file(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    given = {"environmentName": "test", "stackName": "shop", "templatePath": "app.json"}
    file.write_text(json.dumps(given))
    assert Settings.from_context({"deploy_pipeline:input": str(file)}).deploy_pipeline.stack_name == "test-shop"
    file.write_text(json.dumps(given | {"stackName": None}))
    assert "deploy_pipeline:input" in refusal(input=str(file))
