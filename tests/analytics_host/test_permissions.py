"""Tests of the permissions of hosts and their users."""

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from ..conftest import as_list, only_resource, resources_of_type, synthesize

STACK = "AnalyticsHost"


def host_statements(template: dict[str, Any]) -> list[dict[str, Any]]:
    (role,) = (
        name
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
        and "ec2.amazonaws.com" in json.dumps(resource["Properties"]["AssumeRolePolicyDocument"])
    )
    policies = [p for p in resources_of_type(template, "AWS::IAM::Policy") if {"Ref": role} in p["Roles"]]
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def resources_of(template: dict[str, Any], action: str, effect: str = "Allow") -> list[str]:
    """Return the resources on which a host is allowed, or denied, `action`."""
    resources: list[str] = []
    for statement in host_statements(template):
        if action in as_list(statement["Action"]) and statement["Effect"] == effect:
            resources += [json.dumps(resource) for resource in as_list(statement["Resource"])]
    return resources


def test_host_permissions_are_limited_to_its_resources(template: dict[str, Any]) -> None:
    services = {action.split(":")[0] for s in host_statements(template) for action in as_list(s["Action"])}
    assert services == {
        "athena", "glue", "s3", "secretsmanager", "logs", "cloudformation", "ssm", "ssmmessages",
    }  # fmt: skip
    assert not [a for s in host_statements(template) for a in as_list(s["Action"]) if "*" in a]
    (workgroup,) = resources_of(template, "athena:StartQueryExecution")
    assert "workgroup/" in workgroup
    assert "Ref" in workgroup
    assert resources_of(template, "cloudformation:SignalResource") == ['{"Ref": "AWS::StackId"}']
    tables = [r for r in resources_of(template, "glue:GetTable") if "table/" in r]
    assert [table.partition("table/")[2].rstrip('"]}') for table in tables] == ["analytics_host/*"]
    assert len(resources_of(template, "secretsmanager:GetSecretValue")) == 1
    for action in ("logs:PutLogEvents", "s3:PutObject", "secretsmanager:GetSecretValue"):
        assert '"*"' not in resources_of(template, action), f"{action} on every resource"


def test_host_has_every_action_it_needs(template: dict[str, Any]) -> None:
    """The actions that queries, the clients of both notebooks, and the boot script need."""
    actions = {action for s in host_statements(template) for action in as_list(s["Action"])}
    assert {action for action in actions if not action.startswith("ssmmessages:")} == {
        "athena:BatchGetNamedQuery", "athena:GetQueryExecution", "athena:GetQueryResults",
        "athena:GetTableMetadata", "athena:GetWorkGroup", "athena:ListDataCatalogs", "athena:ListDatabases",
        "athena:ListNamedQueries", "athena:ListTableMetadata", "athena:StartQueryExecution",
        "athena:StopQueryExecution", "cloudformation:SignalResource", "glue:CreateTable", "glue:DeleteTable",
        "glue:GetDatabase", "glue:GetDatabases", "glue:GetPartitions", "glue:GetTable", "glue:GetTables",
        "logs:CreateLogStream", "logs:PutLogEvents", "s3:AbortMultipartUpload", "s3:DeleteObject",
        "s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket", "s3:ListBucketMultipartUploads",
        "s3:ListMultipartUploadParts", "s3:PutObject", "secretsmanager:GetSecretValue", "ssm:UpdateInstanceInformation",
    }  # fmt: skip
    databases = " ".join(resources_of(template, "glue:GetDatabase"))
    assert all(name in databases for name in (":catalog", "database/analytics_host", "database/default"))
    assert any(":catalog" in r for r in resources_of(template, "glue:GetTable")), (
        "Glue authorizes the catalog, the database and the table"
    )
    (package,) = (r for r in resources_of(template, "s3:GetObject") if "cdk-" in r)
    assert ".zip" in package, "access to every asset in the bootstrap bucket"
    assert resources_of(template, "ssm:UpdateInstanceInformation")[0].endswith(':instance/*"]]}')


@pytest.mark.reliability(
    "analytics_host",
    "Deleted externally",
    fault="an analyst drops a table of the stack",
    expected="denied; other tables of the database can be dropped",
    observed="a `Deny` of `glue:DeleteTable` on the stack's tables; `AccessDeniedException` in the walkthrough",
)
def test_tables_of_the_stack_cannot_be_dropped(template: dict[str, Any]) -> None:
    """Also in other cases: Glue finds `BILLBOARD`, and AWS does not document which of the names IAM compares."""
    denied = [r.partition("table/")[2].rstrip('"]}') for r in resources_of(template, "glue:DeleteTable", "Deny")]
    for table in ("billboard", "billboard_parquet"):
        for name in (table, table.upper(), table.title(), table.swapcase(), f"bIl{table[3:].upper()}"):
            assert any(fnmatchcase(f"analytics_host/{name}", pattern) for pattern in denied), name
    for name in ("songs", "hits", "billboard_2010", "my_billboard"):
        assert not any(fnmatchcase(f"analytics_host/{name}", pattern) for pattern in denied), name


def test_only_actions_without_resources_use_any_resource(template: dict[str, Any]) -> None:
    wide = [s for s in host_statements(template) if s["Resource"] == "*"]
    assert {a for s in wide for a in as_list(s["Action"])} == {
        "athena:ListDataCatalogs",
        *(f"ssmmessages:{verb}{channel}Channel" for verb in ("Create", "Open") for channel in ("Control", "Data")),
    }


def test_data_location_is_read_only(full_template: dict[str, Any]) -> None:
    assert any("example-songs/billboard/*" in r for r in resources_of(full_template, "s3:GetObject"))
    assert not any("example-songs" in r for r in resources_of(full_template, "s3:PutObject"))
    locations = [
        t["TableInput"]["StorageDescriptor"]["Location"] for t in resources_of_type(full_template, "AWS::Glue::Table")
    ]
    assert "s3://example-songs/billboard/" in locations


def test_extra_locations_and_databases_are_read_only(full_template: dict[str, Any]) -> None:
    allowed = {
        action: " ".join(resources_of(full_template, action))
        for statement in host_statements(full_template)
        for action in as_list(statement["Action"])
    }
    objects = {action for action, resources in allowed.items() if "example-orders/2026/*" in resources}
    assert objects == {"s3:GetObject"}
    assert {action for action, resources in allowed.items() if ':::example-orders"' in resources} == {
        "s3:GetBucketLocation", "s3:ListBucket",
    }  # fmt: skip
    assert {action for action, resources in allowed.items() if "table/orders/*" in resources} == {
        "glue:BatchGetPartition", "glue:GetDatabase", "glue:GetPartition", "glue:GetPartitions", "glue:GetTable",
        "glue:GetTables",
    }  # fmt: skip


def test_only_extra_policies_are_attached(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    def attached(of: dict[str, Any]) -> list[Any]:
        roles = [r for r in resources_of_type(of, "AWS::IAM::Role") if "ec2.amazonaws.com" in json.dumps(r)]
        return [arn for role in roles for arn in role.get("ManagedPolicyArns", [])]

    assert attached(template) == []
    assert attached(full_template) == ["arn:aws:iam::111111111111:policy/ReadOrders"]


def test_aws_managed_policy_of_the_settings_is_acknowledged(tmp_path: Path) -> None:
    """cdk-nag reports AWS managed policies."""
    settings = {"analytics_host:extra_policies": ["arn:aws:iam::aws:policy/AmazonAthenaFullAccess"]}
    assert synthesize(tmp_path, settings, STACK).findings == []


def test_users_policy_allows_port_forwarding_without_shell(full_template: dict[str, Any]) -> None:
    policy = only_resource(full_template, "AWS::IAM::ManagedPolicy")
    assert not {"Users", "Roles", "Groups"} & set(policy), "the policy must not be attached to anyone"
    by_action = {a: s for s in policy["PolicyDocument"]["Statement"] for a in as_list(s["Action"])}
    start = by_action["ssm:StartSession"]
    instance, document = map(json.dumps, start["Resource"])
    assert '":instance/", {"Ref": "Host"}' in instance
    assert document.endswith('"::document/AWS-StartPortForwardingSession"]]}')
    assert start["Condition"] == {"BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"}}, (
        "the default document opens a shell"
    )
    assert set(by_action) == {
        "ssm:StartSession", "ssm:ResumeSession", "ssm:TerminateSession", "ssmmessages:OpenDataChannel",
        "secretsmanager:GetSecretValue", "ec2:StartInstances",
    }  # fmt: skip
    assert "UsersPolicyArn" in full_template["Outputs"]


@pytest.mark.parametrize("variable", ["userid", "username"])
def test_users_policy_allows_sessions_named_after_user(full_template: dict[str, Any], variable: str) -> None:
    """Roles have no `aws:username`, and a variable without a value can make its statement invalid."""
    (statement,) = (s for s in users_statements(full_template) if f"${{aws:{variable}}}-*" in json.dumps(s["Resource"]))
    assert len(as_list(statement["Resource"])) == 1, "one variable in each statement"
    assert statement["Action"] == "ssmmessages:OpenDataChannel"


@pytest.mark.parametrize("action", ["ssm:ResumeSession", "ssm:TerminateSession"])
def test_session_of_user_with_longer_name_is_denied(full_template: dict[str, Any], action: str) -> None:
    """`alice-*` matches the sessions of `alice-admin` too, so only the session's tag may allow the action."""
    for statement in users_statements(full_template):
        if action in as_list(statement["Action"]):
            assert "ssm:resourceTag" in json.dumps(statement["Condition"])


def test_users_policy_allows_sessions_tagged_with_user(full_template: dict[str, Any]) -> None:
    """`aws:userid` of a role is ``<role ID>:<session name>``; its session IDs begin with the session name alone."""
    (statement,) = (s for s in users_statements(full_template) if "ssm:resourceTag" in json.dumps(s))
    assert set(statement["Action"]) == {"ssm:ResumeSession", "ssm:TerminateSession"}
    assert statement["Condition"] == {"StringEquals": {"ssm:resourceTag/aws:ssmmessages:session-id": "${aws:userid}"}}


def users_statements(template: dict[str, Any]) -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = only_resource(template, "AWS::IAM::ManagedPolicy")["PolicyDocument"]["Statement"]
    return statements
