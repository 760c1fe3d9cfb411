"""Claims of docs/threat_model.md about the templates: public resources, and who can start and write what."""

import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.validate import validate_parameters

from .conftest import ROOT, Assembly, as_list, resources_of_type

PAGE = ROOT / "docs" / "threat_model.md"
# Resource types that callers can reach without AWS credentials.
REACHABLE = {
    "AWS::ApiGateway::RestApi",
    "AWS::ApiGatewayV2::Api",
    "AWS::AppSync::GraphQLApi",
    "AWS::CloudFront::Distribution",
    "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "AWS::Lambda::Url",
}
PIPELINE = "DeployPipeline"
SOURCE_KEYS = {"aws:sourcearn", "aws:sourceaccount"}


def all_templates(assemblies: list[Assembly]) -> dict[str, dict[str, Any]]:
    """Every template, by stack and number of the assembly."""
    paths = ((number, path) for number, assembly in enumerate(assemblies) for path in assembly.templates)
    return {f"{path.name.split('.')[0]} {number}": json.loads(path.read_text()) for number, path in paths}


def resource_statements(template: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Statements with principals: of resource policies, key policies and trust policies."""
    for logical_id, resource in template["Resources"].items():
        for name in ("PolicyDocument", "KeyPolicy", "AssumeRolePolicyDocument", "ResourcePolicy", "Policy"):
            document = resource.get("Properties", {}).get(name)
            for statement in as_list(document["Statement"]) if isinstance(document, dict) else []:
                if "Principal" in statement or "NotPrincipal" in statement:
                    yield logical_id, statement


def is_of_account(principal: Any, template: dict[str, Any]) -> bool:
    """Whether an AWS principal is the account or a role of the stack."""
    if isinstance(principal, dict) and "Fn::GetAtt" in principal:
        return bool(template["Resources"][principal["Fn::GetAtt"][0]]["Type"] == "AWS::IAM::Role")
    return '{"Ref": "AWS::AccountId"}' in json.dumps(principal)


def test_no_policy_allows_everyone_or_another_account(every_assembly: list[Assembly]) -> None:
    checked = 0
    for stack, template in all_templates(every_assembly).items():
        for logical_id, statement in resource_statements(template):
            if statement["Effect"] == "Deny":
                continue
            principal = statement.get("Principal", "*")
            assert isinstance(principal, dict), (stack, logical_id)
            assert principal.keys() <= {"AWS", "Service"}, (stack, logical_id)
            for name in as_list(principal.get("AWS", [])):
                assert is_of_account(name, template), (stack, logical_id, name)
            checked += 1
        for permission in resources_of_type(template, "AWS::Lambda::Permission"):
            assert str(permission["Principal"]).endswith(".amazonaws.com"), stack
            assert permission.get("SourceArn"), f"{stack}: any account can use the service to invoke the function"
    assert checked > 50


def test_services_act_only_for_this_account(every_assembly: list[Assembly]) -> None:
    """Trust policies need no condition: only principals of the role's account can pass the role to a service."""
    unconditional, checked = [], 0
    for stack, template in all_templates(every_assembly).items():
        for name, statement in resource_statements(template):
            principal = statement.get("Principal")
            service = principal.get("Service") if isinstance(principal, dict) else None
            if service and template["Resources"][name]["Type"] != "AWS::IAM::Role":
                checked += 1
                if not SOURCE_KEYS & condition_keys(statement):
                    unconditional.append((stack, name, service, statement["Action"]))
    assert checked > 10
    assert not unconditional


def condition_keys(statement: dict[str, Any]) -> set[str]:
    return {key.lower() for keys in statement.get("Condition", {}).values() for key in keys}


def test_rules_match_only_events_of_aws(every_assembly: list[Assembly]) -> None:
    """PutEvents refuses sources that start with `aws.`, so nobody can forge an event that matches."""
    patterns = [
        rule["EventPattern"]
        for template in all_templates(every_assembly).values()
        for rule in resources_of_type(template, "AWS::Events::Rule")
        if "EventPattern" in rule
    ]
    assert len(patterns) > 3
    for pattern in patterns:
        for source in pattern.get("source", [""]):
            assert (source["prefix"] if isinstance(source, dict) else source).startswith("aws."), pattern


def test_only_the_site_and_the_api_are_public(assembly: Assembly) -> None:
    """The sample group of security_group_revert is open to HTTPS, but attached to nothing.

    A rule for another security group, as that of the home directory of analytics_host, makes nothing public.
    """
    reachable, open_groups = set(), set()
    for path in assembly.templates:
        template, stack = json.loads(path.read_text()), path.name.split(".")[0]
        reachable |= {(stack, r["Type"]) for r in template["Resources"].values() if r["Type"] in REACHABLE}
        groups = resources_of_type(template, "AWS::EC2::SecurityGroup")
        if resources_of_type(template, "AWS::EC2::SecurityGroupIngress") or any(
            "Cidr" in json.dumps(g.get("SecurityGroupIngress", [])) for g in groups
        ):
            open_groups.add(stack)
    assert reachable == {
        ("StaticSite", "AWS::CloudFront::Distribution"),
        ("MultiRegionApi-us-east-1", "AWS::ApiGateway::RestApi"),
        ("MultiRegionApi-us-west-2", "AWS::ApiGateway::RestApi"),
    }
    assert open_groups == {"SecurityGroupRevert"}


def roles_allowed(template: dict[str, Any], action: str, resource: str = "") -> set[str]:
    """Roles that are allowed an action on a resource whose reference contains `resource`."""
    policies = resources_of_type(template, "AWS::IAM::Policy") + resources_of_type(template, "AWS::IAM::ManagedPolicy")
    return {
        role["Ref"]
        for policy in policies
        for statement in policy["PolicyDocument"]["Statement"]
        for role in policy.get("Roles", [])
        if statement["Effect"] == "Allow"
        and (statement["Resource"] == "*" or resource in json.dumps(statement["Resource"]))
        and any(re.fullmatch(re.escape(a).replace(r"\*", ".*"), action) for a in as_list(statement["Action"]))
    }


def logical_id(template: dict[str, Any], resource_type: str, start: str) -> str:
    (name,) = (k for k, r in template["Resources"].items() if r["Type"] == resource_type and k.startswith(start))
    return name


def test_only_the_trigger_can_start_executions(every_assembly: list[Assembly]) -> None:
    for template in (assembly.template(PIPELINE) for assembly in every_assembly):
        trigger = logical_id(template, "AWS::IAM::Role", "TriggerRole")
        for action in ("states:StartExecution", "states:StartSyncExecution", "states:RedriveExecution"):
            allowed = roles_allowed(template, action, logical_id(template, "AWS::StepFunctions::StateMachine", ""))
            assert allowed == ({trigger} if action == "states:StartExecution" else set())
        targets = [target for rule in resources_of_type(template, "AWS::Events::Rule") for target in rule["Targets"]]
        machine = logical_id(template, "AWS::StepFunctions::StateMachine", "")
        assert machine not in json.dumps([target["Arn"] for target in targets])


@pytest.mark.parametrize(
    ("bucket", "writers"),
    [
        # CheckStack: templates only; ChangeSet: reports only; ApprovalRequest: task tokens only
        (
            "Inputs",
            ("CustomCDKBucketDeployment", "DeploymentCheckStack", "DeploymentChangeSet", "ApprovalRequest"),
        ),
        ("Artifacts", ("PipelineRole", "PipelineSource")),
    ],
)
def test_no_other_role_writes_inputs_or_artifacts(assembly: Assembly, bucket: str, writers: tuple[str, ...]) -> None:
    template = assembly.template(PIPELINE)
    allowed_roles = roles_allowed(template, "s3:PutObject", logical_id(template, "AWS::S3::Bucket", bucket))
    assert len(allowed_roles) == len(writers)
    assert all(role.startswith(writers) for role in allowed_roles), allowed_roles


def test_data_event_command_keeps_management_events() -> None:
    (selectors,) = re.findall(r"--advanced-event-selectors '(.*?)'", PAGE.read_text(), re.DOTALL)
    event_selectors = json.loads(selectors)
    client = boto3.client("cloudtrail")
    shape = client.meta.service_model.operation_model("PutEventSelectors").input_shape
    validate_parameters({"TrailName": "trail", "AdvancedEventSelectors": event_selectors}, shape)
    categories = [s["Equals"] for g in event_selectors for s in g["FieldSelectors"] if s["Field"] == "eventCategory"]
    assert categories == [["Management"], ["Data"]]


def test_page_names_existing_tests_and_outputs(assembly: Assembly) -> None:
    text = PAGE.read_text()
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named
    assert {name for name in named if f"def {name}(" not in tests} == set()
    outputs = {name for path in assembly.templates for name in json.loads(path.read_text())["Outputs"]}
    assert {"InputBucketName", "BucketName", "DataBucketName", "UsersPolicyArn"} <= outputs & set(
        re.findall(r"`(\w+)`", text)
    )


def test_page_names_the_functions_of_aws_cdk_lib(every_assembly: list[Assembly]) -> None:
    """Callers who may invoke one choose the buckets and the files: they take both from the event."""
    names = {
        re.sub(r"(CustomResourceProviderHandler)?[0-9A-F]{8}\w*$", "", name)
        for template in all_templates(every_assembly).values()
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function" and name.startswith("Custom")
    }
    assert names == {"CustomCDKBucketDeployment", "CustomS3AutoDeleteObjects"}
    assert names <= set(re.findall(r"`(\w+)`", PAGE.read_text()))


def test_page_limits_match_the_templates(assembly: Assembly, full_assembly: Assembly) -> None:
    text = PAGE.read_text()
    (acl,) = resources_of_type(full_assembly.template("StaticSite"), "AWS::WAFv2::WebACL")
    (limit,) = (r["Statement"]["RateBasedStatement"]["Limit"] for r in acl["Rules"] if r["Name"] == "RateLimit")
    assert f"{limit:,} requests in five minutes" in text
    days = {
        rule["ExpirationInDays"]
        for name, resource in assembly.template(PIPELINE)["Resources"].items()
        if name.startswith("Artifacts") and resource["Type"] == "AWS::S3::Bucket"
        for rule in resource["Properties"]["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    }
    assert {f"artifact of the last {number} days" in text for number in days} == {True}
