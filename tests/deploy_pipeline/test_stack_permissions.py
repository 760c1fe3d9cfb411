"""The template: what roles are allowed, and when their policies are created."""

import json
from typing import Any

import pytest

from lambdas.deploy_pipeline import inspect_change_set
from settings.deploy_pipeline import SAMPLE_PERMISSIONS

from ..conftest import ROOT, Assembly, as_list, resources_of_type, synthesize
from .template_queries import (
    granted_actions,
    is_allowed,
    logical_id,
    pipeline_actions,
    referenced_ids,
    roles_by_id,
    service_role,
    statements,
)

STACK = "DeployPipeline"
CONNECTION = "arn:aws:codeconnections:us-east-1:111111111111:connection/11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="session")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    settings = {
        "deploy_pipeline:source": "codeconnections",
        "deploy_pipeline:connection_arn": CONNECTION,
        "deploy_pipeline:repository": "group/owner/app",
        "deploy_pipeline:branch": "release/1.x",
    }
    return synthesize(tmp_path_factory.mktemp("connected"), settings, STACK)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the pipeline runs before its roles have their policies",
    expected="the pipeline is created after every policy that its first run needs",
    observed="it depends on each policy and on the input",
)
def test_pipeline_is_created_after_all_permissions(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    for variant in (template, full_template):
        resources = variant["Resources"]
        earlier, waiting = set[str](), [logical_id(variant, "AWS::CodePipeline::Pipeline", "")]
        while waiting:
            resource = resources[waiting.pop()]
            names = [*referenced_ids(resource), *as_list(resource.get("DependsOn", []))]
            new = {name for name in names if name in resources} - earlier
            earlier |= new
            waiting += new
        policies = {k for k, r in resources.items() if r["Type"] == "AWS::IAM::Policy"}
        not_needed = {k for k in policies if "EventsRole" in k}  # for later executions, which a rule starts
        assert not policies - earlier - not_needed, "policies that may be created after the first execution"
        assert logical_id(variant, "Custom::CDKBucketDeployment", "") in earlier
        assert logical_id(variant, "AWS::Events::Rule", "Ended") in earlier, "for the clean-up after it"


def test_connected_source_grants_only_its_connection(connected: Assembly) -> None:
    template = connected.template(STACK)
    assert not connected.findings
    assert not resources_of_type(template, "AWS::CodeCommit::Repository")
    source = pipeline_actions(template)["Source/Source"]
    assert source["ActionTypeId"]["Provider"] == "CodeStarSourceConnection"
    configuration = source["Configuration"]
    assert configuration["ConnectionArn"] == CONNECTION
    assert configuration["FullRepositoryId"] == "group/owner/app"
    assert configuration["BranchName"] == "release/1.x"
    statements = [s for p in resources_of_type(template, "AWS::IAM::Policy") for s in p["PolicyDocument"]["Statement"]]
    (connection,) = (s for s in statements if "codeconnections:UseConnection" in as_list(s["Action"]))
    assert connection["Resource"] == CONNECTION, "the prefix of the action must be that of the ARN"


@pytest.mark.reliability("deploy_pipeline", "Hostile input", fault="a template needs more permissions than the app has")
def test_service_role_has_only_configured_permissions(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    role = service_role(template)
    (trust,) = roles_by_id(template)[role]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "cloudformation.amazonaws.com"}
    *configured, assets = statements(template, role)
    assert {action for s in configured for action in as_list(s["Action"])} == {
        action for p in SAMPLE_PERMISSIONS for action in p.actions
    }
    for statement in configured:
        assert "prod-sample-app-*" in json.dumps(statement["Resource"])
    bucket = logical_id(template, "AWS::S3::Bucket", "Assets")
    objects = {"Fn::Join": ["", [{"Fn::GetAtt": [bucket, "Arn"]}, "/*"]]}
    assert (assets["Action"], assets["Resource"]) == ("s3:GetObject", objects), "of CDK apps"
    data, roles_of_the_app, _ = statements(full_template, role)
    assert data["Action"] == ["dynamodb:*", "ssm:GetParameter"]
    assert ':table/prod-sample-app-*"' in json.dumps(data["Resource"])
    boundary = {
        "Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":iam::", {"Ref": "AWS::AccountId"}, ":policy/app"]]
    }
    assert roles_of_the_app["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": [boundary]}}
    assert "PermissionsBoundary" not in roles_by_id(template)[role]
    assert roles_by_id(full_template)[role]["PermissionsBoundary"] == "arn:aws:iam::111111111111:policy/deployments"


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a template needs more permissions than the app has",
    expected="CloudFormation uses only the service role",
    observed="no other role can be passed",
)
def test_only_state_machine_can_pass_service_role(template: dict[str, Any]) -> None:
    passing = [
        (policy["Roles"], statement)
        for policy in resources_of_type(template, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
        if any("PassRole" in action or action in ("iam:*", "*") for action in as_list(statement["Action"]))
    ]
    ((to, statement),) = passing
    assert to == [{"Ref": logical_id(template, "AWS::IAM::Role", "StateMachine")}]
    assert statement["Resource"] == {"Fn::GetAtt": [service_role(template), "Arn"]}
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}


CHANGING = [
    "cloudformation:CreateChangeSet",
    "cloudformation:CreateStack",
    "cloudformation:DeleteChangeSet",
    "cloudformation:DeleteStack",
    "cloudformation:ExecuteChangeSet",
    "cloudformation:TagResource",
    "cloudformation:UntagResource",
]


@pytest.mark.parametrize("action", CHANGING)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="the input names another stack, even one with the same prefix",
)
def test_state_machine_changes_only_stacks_of_app(template: dict[str, Any], action: str) -> None:
    role = logical_id(template, "AWS::IAM::Role", "StateMachine")
    for stack in ("prod-sample-app", "prod-sample-app-green-0123abcd"):
        assert is_allowed(template, role, action, f"stack/{stack}/11111111-2222-3333-4444-555555555555"), stack
    for stack in ("prod-sample-app-payments", "prod-sample-application", "prod-sample", "prod-sample-app-v2"):
        assert not is_allowed(template, role, action, f"stack/{stack}/11111111-2222-3333-4444-555555555555"), stack


# A last part of 12 or 13 characters is that of a nested stack.
OTHER_STACKS = (
    "prod-sample-app-payments",
    "prod-sample-app-payments-recommendations",
    "prod-sample-app-payments-production-database",
)
WITHOUT_STACK = ("cloudformation:DescribeType", "cloudformation:GetTemplateSummary")


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="the input names another stack, even one with the same prefix",
)
def test_no_role_reaches_stack_with_same_prefix(template: dict[str, Any]) -> None:
    for role in roles_by_id(template):
        for action in granted_actions(template, role):
            if action.startswith("cloudformation:") and action not in WITHOUT_STACK:
                for stack in OTHER_STACKS:
                    assert not is_allowed(template, role, action, f"stack/{stack}/1"), (role, action, stack)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="another stack is named like a nested or blue/green stack",
    expected="the functions reject its name, and no role can create or delete it as a nested stack",
    observed="only calls for nested stacks match",
)
def test_stack_named_like_nested_stack_is_not_deletable(template: dict[str, Any]) -> None:
    """IAM cannot distinguish its last part from the random characters of a nested stack."""
    stack = "stack/prod-sample-app-payments-database-east/1"
    for role in roles_by_id(template):
        for action in ("CreateStack", "DeleteStack", "DescribeStacks"):
            assert not is_allowed(template, role, f"cloudformation:{action}", stack), (role, action)
    cleaner = logical_id(template, "AWS::IAM::Role", "CleanUp")
    assert not is_allowed(template, cleaner, "cloudformation:DescribeChangeSet", stack)


def test_nested_stacks_can_be_inspected(template: dict[str, Any]) -> None:
    nested = "stack/prod-sample-app-Child-1ABCDEF234567/1"
    for word, action in (
        ("ChangeSetRole", "DescribeChangeSet"),
        ("ChangeSetRole", "GetTemplate"),
        ("FirstFailure", "DescribeStackEvents"),
    ):
        role = logical_id(template, "AWS::IAM::Role", word)
        assert is_allowed(template, role, f"cloudformation:{action}", nested), action


def test_inspector_writes_only_reports(template: dict[str, Any]) -> None:
    role = logical_id(template, "AWS::IAM::Role", "ChangeSetRole")
    s3 = [s for s in statements(template, role) if any(a.startswith("s3:") for a in as_list(s["Action"]))]
    (writing,) = s3
    assert writing["Action"] == "s3:PutObject"
    assert json.dumps(writing["Resource"]).endswith('"/reports/*"]]}')


@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="a template uses an SSM parameter",
    expected="CloudFormation can read the parameters in the settings, by default CDK's",
    observed="a permission of the state machine for these names",
)
def test_state_machine_reads_configured_ssm_parameters(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    """CloudFormation reads them with the permissions of the caller, which is the state machine."""
    role = logical_id(template, "AWS::IAM::Role", "StateMachine")
    (reading,) = (s for s in statements(template, role) if s["Action"] == "ssm:GetParameters")
    text = json.dumps(reading["Resource"])
    assert ':parameter/cdk-bootstrap/*/version"' in text
    role = logical_id(full_template, "AWS::IAM::Role", "StateMachine")
    (reading,) = (s for s in statements(full_template, role) if s["Action"] == "ssm:GetParameters")
    text = json.dumps(reading["Resource"])
    assert '"AWS::Region"}, "::parameter/aws/service/ami-amazon-linux-latest/*"' in text, "AWS's own have no account"
    assert '{"Ref": "AWS::AccountId"}, ":parameter/shop/vpc"' in text


def test_functions_cannot_change_stacks(template: dict[str, Any]) -> None:
    expected = {
        "CheckStack": {"DescribeStackEvents", "DescribeStacks", "GetTemplateSummary"},
        "ChangeSetRole": {"DescribeChangeSet", "DescribeEvents", "DescribeType", "GetTemplate", "ListStackResources"},
        "FirstFailure": {"DescribeEvents", "DescribeStackEvents"},
        "CleanUp": {"DeleteChangeSet", "DescribeChangeSet"},
        "TriggerRole": set(),
        "StateMachine": {
            "CreateChangeSet",
            "CreateStack",
            "DeleteChangeSet",
            "DeleteStack",
            "DescribeStacks",
            "ExecuteChangeSet",
            "TagResource",
            "UntagResource",
        },
    }
    for word, calls in expected.items():
        role = logical_id(template, "AWS::IAM::Role", word)
        prefix = "cloudformation:"
        assert {a.removeprefix(prefix) for a in granted_actions(template, role) if a.startswith(prefix)} == calls, word


def test_documents_list_the_permissions_of_the_inspection(template: dict[str, Any]) -> None:
    actions = granted_actions(template, logical_id(template, "AWS::IAM::Role", "ChangeSetRole"))
    calls = {action.removeprefix("cloudformation:") for action in actions if action.startswith("cloudformation:")}
    page = (ROOT / "docs" / "deploy_pipeline.md").read_text().partition("### Inspect a change set yourself")[2]
    for text in (inspect_change_set.__doc__ or "", page.partition("```yaml")[0]):
        assert {call for call in calls if call not in text} == set()


def test_trigger_has_only_needed_permissions(template: dict[str, Any]) -> None:
    role = logical_id(template, "AWS::IAM::Role", "TriggerRole")
    assert granted_actions(template, role) == {
        "codepipeline:PutJobFailureResult",
        "codepipeline:PutJobSuccessResult",
        "kms:Decrypt",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:GetObject",
        "states:DescribeExecution",
        "states:StartExecution",
    }
    (reads,) = (s for s in statements(template, role) if s["Action"] == "s3:GetObject")
    assert json.dumps(reads["Resource"]).endswith('"/state_machine_input.json"]]}')


def test_only_decisions_continue_executions(template: dict[str, Any]) -> None:
    roles = {
        action: {role for role in roles_by_id(template) if action in granted_actions(template, role)}
        for action in ("states:SendTaskSuccess", "sqs:SendMessage")
    }
    decide = logical_id(template, "AWS::IAM::Role", "ApprovalDecide")
    assert roles["states:SendTaskSuccess"] == {decide}
    decisions = logical_id(template, "AWS::SQS::Queue", "Decisions")
    for role in roles["sqs:SendMessage"]:
        sends = [s for s in statements(template, role) if "sqs:SendMessage" in s["Action"]]
        assert decisions not in json.dumps(sends), role


def test_each_function_has_separate_role(template: dict[str, Any]) -> None:
    used = [json.dumps(function["Role"]) for function in resources_of_type(template, "AWS::Lambda::Function")]
    assert len(set(used)) == len(used)


def test_assets_are_written_only_by_publisher_and_read_by_cloudformation(template: dict[str, Any]) -> None:
    bucket = logical_id(template, "AWS::S3::Bucket", "Assets")
    objects = json.dumps({"Fn::Join": ["", [{"Fn::GetAtt": [bucket, "Arn"]}, "/*"]]})
    granted = {
        role: {
            action
            for statement in statements(template, role)
            if objects in json.dumps(statement["Resource"])
            for action in as_list(statement["Action"])
        }
        for role in roles_by_id(template)
    }
    (publisher,) = (role for role in granted if "PublishAssetsRole" in role)
    (machine,) = (role for role in granted if "StateMachineRole" in role)
    assert granted[publisher] == {"s3:GetObject", "s3:PutObject"}
    assert granted[machine] == granted[service_role(template)] == {"s3:GetObject"}
    assert {role for role, actions in granted.items() if actions} == {publisher, machine, service_role(template)}
