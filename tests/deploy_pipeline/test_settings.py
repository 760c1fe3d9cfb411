"""Settings of deploy_pipeline: accepted values and error messages."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from settings import Settings, SettingsError

ARN = "arn:aws:codeconnections:us-east-1:111111111111:connection/1"


def error_message(**fields: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_context({f"deploy_pipeline:{name}": value for name, value in fields.items()})
    return str(caught.value)


def test_defaults_deploy_sample() -> None:
    settings = Settings.from_context({}).deploy_pipeline
    assert (settings.source, settings.stack_name) == ("codecommit", "prod-sample-app")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source", "svn"),
        ("app", "no/such/folder"),
        ("branch", "no branch"),
        ("branch", "a..b"),
        ("branch", "feature.lock"),
        ("branch", "/main"),
        ("branch", "x" * 257),
        ("input", "README.md"),
        ("source_key", "app.tar"),
        ("source_key", "*.zip"),
        ("source_key", "x" * 1000 + ".zip"),
        ("email", "nobody"),
        ("permissions", []),
        ("permissions", [{"actions": [], "resources": ["*"]}]),
        ("permissions", [{"actions": ["everything"], "resources": ["*"]}]),
        ("permissions", [{"actions": ["sqs:*"], "resources": ["queues"]}]),
        ("permissions", [{"actions": ["sqs:*"], "resources": ["arn:queues"]}]),
        ("permissions", [{"actions": ["sqs:*"], "resources": ["arn:aws:*:us-east-1:111111111111:queue"]}]),
        ("permissions", [{"actions": ["sqs:*"], "resources": ["arn:aws:sqs:us-east-1:1111:queue"]}]),
        ("permissions", [{"actions": ["s3:*"], "resources": ["arn:aws:s3:::bucket/${aws:username}"]}]),
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
        ("permissions_boundary", "arn:aws-us-gov:iam::111111111111:policy/boundary"),
        ("connection_arn", "arn:aws-cn:codeconnections:cn-north-1:111111111111:connection/1"),
        ("ssm_parameters", ["*"]),
        ("ssm_parameters", ["/*"]),
        ("ssm_parameters", ["arn:aws:ssm:us-east-1:111111111111:parameter/vpc"]),
        ("ssm_parameters", ["/a//b"]),
        ("ssm_parameters", ["/" + "a" * 200]),
        ("ssm_parameters", [f"/shop/{number}" for number in range(21)]),
        ("allow_service_wide_permissions", "yes, please"),
        ("connection_arn", f"{ARN}/1"),
        ("connection_arn", "arn:aws:sqs:us-east-1:111111111111:queue"),
        ("connection_arn", f"{ARN}{'0' * 256}"),
        ("repository", "app"),
        ("repository", f"{'a' * 256}/app"),
    ],
)
def test_invalid_setting_is_named(name: str, value: Any) -> None:
    assert f"deploy_pipeline:{name}" in error_message(**{name: value})


def test_missing_input_file_is_reported_as_not_found() -> None:
    assert 'deploy_pipeline:input: invalid value "no/such/file.json" (valid: ' in (
        text := error_message(input="no/such/file.json")
    )
    assert text.endswith("; file not found)"), text


@pytest.mark.parametrize("action", ["sqs:CreateQueue", "ec2:AssignIpv6Addresses", "s3:Get*", "dynamodb:*"])
def test_iam_action_is_accepted(action: str) -> None:
    fields = {"deploy_pipeline:permissions": [{"actions": [action], "resources": ["arn:aws:x:::{stack}-*"]}]}
    assert Settings.from_context(fields).deploy_pipeline.permissions[0].actions == (action,)


@pytest.mark.parametrize("action", ["iam:*", "s3:**", "ec2:?*"])
@pytest.mark.parametrize("resource", ["*", "arn:aws:iam::{account}:*", "arn:aws:s3:::*", "arn:aws:iam::*:role/*"])
def test_service_wide_permission_needs_opt_in(action: str, resource: str) -> None:
    fields = [{"actions": ["sqs:CreateQueue", action], "resources": ["arn:aws:sqs:::{stack}", resource]}]
    message = error_message(permissions=fields)
    assert f"{action} on every resource needs deploy_pipeline:allow_service_wide_permissions" in message
    accepted = {"deploy_pipeline:permissions": fields, "deploy_pipeline:allow_service_wide_permissions": True}
    assert Settings.from_context(accepted).deploy_pipeline.permissions[0].is_service_wide()


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("states:*", "arn:aws:states:{region}:{account}:stateMachine:*"),
        ("apigateway:*", "arn:aws:apigateway:{region}::/restapis/*"),
        # AWS generates the IDs, which start with their type.
        ("ec2:*", "arn:aws:ec2:{region}:{account}:instance/i-*"),
        ("ec2:*", "arn:aws:ec2:{region}:{account}:elastic-ip/eipalloc-?*"),
        ("elasticfilesystem:*", "arn:aws:elasticfilesystem:{region}:{account}:file-system/fs-*"),
        ("route53:*", "arn:aws:route53:::hostedzone/Z*"),
        # A wildcard in the type.
        ("rds:*", "arn:aws:rds:{region}:{account}:*:*"),
        ("secretsmanager:*", "arn:aws:secretsmanager:*:*:*:*"),
        ("dynamodb:*", "arn:aws:dynamodb:{region}:{account}:table*"),
        ("dynamodb:*", "arn:aws:dynamodb:{region}:{account}:t*"),
        ("dynamodb:*", "arn:aws:dynamodb:{region}:{account}:?able/*"),
        ("lambda:*", "arn:aws:lambda:{region}:{account}:function*"),
        ("ssm:*", "arn:aws:ssm:{region}:{account}:parameter*"),
        ("apigateway:*", "arn:aws:apigateway:{region}::/restapis*"),
    ],
)
def test_service_wide_permission_for_every_resource_of_type_needs_opt_in(action: str, resource: str) -> None:
    fields = [{"actions": [action], "resources": [resource]}]
    assert f"{action} on every resource needs" in error_message(permissions=fields)


@pytest.mark.parametrize("action", ["iam:*", "iam:PassRole", "sts:AssumeRole"])
@pytest.mark.parametrize(
    "resource",
    [
        "arn:aws:iam::{account}:" + name
        for name in ("r*", "u*", "role*", "role/a*", "role/??*", "role/*-admin", "?ole/app")
    ]
    + ["arn:aws:iam::*:role/app"],
)
def test_permission_for_any_identity_needs_opt_in(action: str, resource: str) -> None:
    fields = [{"actions": [action], "resources": [resource]}]
    assert f"{action} on every resource needs" in error_message(permissions=fields)


def test_condition_value_of_braces_is_checked_in_linear_time() -> None:
    fields = {"actions": ["sqs:*"], "resources": ["arn:aws:sqs:::{stack}-*"]}
    conditions = {"StringLike": {"aws:RequestTag/team": "{" * 40_000}}
    started = time.process_time()
    with suppress(SettingsError):
        Settings.from_context({"deploy_pipeline:permissions": [{**fields, "conditions": conditions}]})
    assert time.process_time() - started < 1


@pytest.mark.parametrize("name", ["role/{stack}-*", "role/app/*", "role/app", "instance-profile/{stack}-*"])
def test_permission_for_named_identities_is_accepted(name: str) -> None:
    resources = [f"arn:aws:iam::{{account}}:{name}", "arn:aws:sqs:::{stack}-*"]
    fields = {"deploy_pipeline:permissions": [{"actions": ["iam:PassRole", "sqs:*"], "resources": resources}]}
    assert Settings.from_context(fields).deploy_pipeline.permissions[0].resources == tuple(resources)


@pytest.mark.parametrize("resource", ["arn:aws:s3:::songs/*", "arn:aws:sqs:::{stack}-*", "arn:aws:iam::*:role/app/*"])
def test_service_wide_action_on_named_resource_is_accepted(resource: str) -> None:
    fields = {"deploy_pipeline:permissions": [{"actions": ["s3:*"], "resources": [resource]}]}
    assert Settings.from_context(fields).deploy_pipeline.permissions[0].resources == (resource,)


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
def test_iam_conditions_are_accepted(conditions: dict[str, Any]) -> None:
    fields = [
        {"actions": ["iam:CreateRole"], "resources": ["arn:aws:iam::{account}:role/app-*"], "conditions": conditions}
    ]
    assert Settings.from_context({"deploy_pipeline:permissions": fields}).deploy_pipeline.permissions[0].conditions


@pytest.mark.parametrize("name", ["vpc", "/shop/vpc", "/cdk-bootstrap/*/version", "/aws/service/ami-amazon-linux/*"])
def test_ssm_parameter_name_is_accepted(name: str) -> None:
    settings = Settings.from_context({"deploy_pipeline:ssm_parameters": [name]}).deploy_pipeline
    assert settings.ssm_parameters == (name,)


@pytest.mark.parametrize("branch", ["main", "release/1.x", "feature/a-b_c", "v1.0", "münchen"])
def test_valid_branch_is_accepted(branch: str) -> None:
    assert Settings.from_context({"deploy_pipeline:branch": branch}).deploy_pipeline.branch == branch


@pytest.mark.parametrize(
    "arn",
    [
        "arn:{partition}:sqs:{region}:{account}:{stack}-*",
        "arn:aws:s3:::bucket/*",
        "arn:aws-cn:iam::aws:policy/ReadOnlyAccess",
        "arn:aws:dynamodb:*:*:table/{stack}-*",
    ],
)
def test_arn_with_known_placeholders_is_accepted(arn: str) -> None:
    fields = {"deploy_pipeline:permissions": [{"actions": ["sqs:*"], "resources": [arn]}]}
    assert Settings.from_context(fields).deploy_pipeline.permissions[0].resources == (arn,)


def test_source_codeconnections_needs_its_connection_and_repository() -> None:
    message = error_message(source="codeconnections")
    assert 'source="codeconnections" needs deploy_pipeline:connection_arn' in message
    assert 'source="codeconnections" needs deploy_pipeline:repository' in message
    assert "needs deploy_pipeline:repository" in error_message(source="codeconnections", connection_arn=ARN)


def test_setting_of_other_source_is_rejected() -> None:
    for name, value in (("app", "assets/deploy_pipeline/app"), ("branch", "main")):
        message = error_message(**{"source": "s3", name: value})
        assert f'deploy_pipeline:{name}="{value}" needs codecommit' in message
        assert 'not deploy_pipeline:source="s3"' in message
    assert '="shop.zip" needs s3 as source, not deploy_pipeline:source="codecommit"' in error_message(
        source_key="shop.zip"
    )
    message = error_message(connection_arn=ARN, repository="owner/app", source_key="shop.zip")
    assert message.count('not deploy_pipeline:source="codecommit"') == 3, message


def test_list_with_an_invalid_item_is_not_reported_as_too_short() -> None:
    message = error_message(permissions=[{"actions": ["everything"], "resources": ["*"]}])
    assert "permissions[0].actions[0]" in message
    assert message.count("(valid: ") == 1, message
    assert "permissions[0].resources: required" in error_message(permissions=[{"actions": ["s3:*"]}])
    assert "permissions[0].actions: invalid value [] (valid: at least one" in error_message(
        permissions=[{"actions": [], "resources": ["*"]}]
    )


def test_input_file_errors_are_reported_at_synthesis(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    fields = {"environmentName": "prod", "stackName": "my shop!", "templatePath": "app.json", "onUnsave": "fail"}
    file.write_text(json.dumps(fields))
    message = error_message(input=str(file))
    assert 'stackName: given "my shop!"; accepted: letters' in message
    assert "onUnsave: unknown field" in message


def test_stack_name_is_read_from_input_file(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    fields = {"environmentName": "test", "stackName": "shop", "templatePath": "app.json"}
    file.write_text(json.dumps(fields))
    assert Settings.from_context({"deploy_pipeline:input": str(file)}).deploy_pipeline.stack_name == "test-shop"
    file.write_text(json.dumps(fields | {"stackName": None}))
    assert "deploy_pipeline:input" in error_message(input=str(file))


def test_deeply_nested_input_file_is_a_settings_error(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text(
        '{"environmentName": "a", "stackName": "b", "templatePath": "c", "x": ' + "[" * 5000 + "]" * 5000 + "}"
    )
    with pytest.raises(SettingsError, match="deploy_pipeline:input"):
        Settings.from_context({"deploy_pipeline:input": str(file)})


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iam:*Role*", "*"),
        ("iam:Put*", "*"),
        ("iam:PassRole", "*"),
        ("sts:AssumeRole", "arn:aws:iam::{account}:role/*"),
        ("kms:*", "arn:aws:kms:*:{account}:key/*-*"),
        ("secretsmanager:*", "arn:aws:secretsmanager:*:{account}:secret:*-*"),
    ],
)
def test_permission_to_grant_permissions_on_everything_is_rejected(action: str, resource: str) -> None:
    permission = {"actions": [action], "resources": [resource]}
    assert f"{action} on every resource needs" in error_message(permissions=[permission])
