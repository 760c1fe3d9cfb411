"""The setting `production`: data is retained, and stacks have termination protection."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app import STATEFUL_RESOURCE_TYPES

from .conftest import Assembly, as_list

RETAINED = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
BOOT_LOG = "AnalyticsHost.template.json: HostsBootLog"  # explains a failed creation


def resources(assembly: Assembly) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in assembly.templates:
        for name, resource in json.loads(path.read_text())["Resources"].items():
            yield f"{path.name}: {name}, {resource['Type']},", resource


def test_production_stack_has_termination_protection(production: Assembly, assembly: Assembly) -> None:
    for variant, protected in ((production, True), (assembly, False)):
        for path in variant.templates:
            stack = path.name.removesuffix(".template.json")
            assert variant.artifact(stack)["terminationProtection"] is protected, stack


def test_production_stateful_resources_are_retained(production: Assembly) -> None:
    types = set()
    for name, resource in resources(production):
        if resource["Type"] in STATEFUL_RESOURCE_TYPES:
            types.add(resource["Type"])
            policies = {key: resource.get(key) for key in RETAINED}
            expected = RETAINED | ({"DeletionPolicy": "Retain"} if BOOT_LOG in name else {})
            assert policies == expected, f"{name} has {policies}"
    assert types == set(STATEFUL_RESOURCE_TYPES), "a type that no stack has"


def test_production_buckets_are_not_emptied(production: Assembly) -> None:
    definitions = ("Custom::", "AWS::StepFunctions::")  # CDK sets Delete, and they hold no data
    for name, resource in resources(production):
        assert resource.get("DeletionPolicy") != "Delete" or resource["Type"].startswith(definitions), (
            f"{name} is deleted"
        )
        assert resource["Type"] != "Custom::S3AutoDeleteObjects", f"{name} empties a bucket"
        assert "auto-delete-objects" not in json.dumps(resource), f"{name} can be emptied"


# Policies that limit a resource, by the property that names it. CloudFormation deletes them from a retained resource.
POLICIES = {
    "AWS::S3::BucketPolicy": "Bucket",
    "AWS::SQS::QueuePolicy": "Queues",
    "AWS::SecretsManager::ResourcePolicy": "SecretId",
}


@pytest.mark.reliability(
    "security_group_revert",
    "Partial failure",
    fault="a stack is deleted, and a bucket or queue is retained (any of the systems)",
    expected="its policy is retained too: it still rejects plain HTTP",
    observed="in every template, with every set of options",
)
def test_retained_resource_keeps_its_policy(every_assembly: list[Assembly]) -> None:
    seen = set()
    for assembly in every_assembly:
        for path in assembly.templates:
            template = json.loads(path.read_text())["Resources"]
            for name, policy in template.items():
                targets = as_list(policy["Properties"][POLICIES[policy["Type"]]]) if policy["Type"] in POLICIES else []
                for target in (template[target["Ref"]] for target in targets):
                    if target.get("DeletionPolicy", "").startswith("Retain"):
                        seen.add(policy["Type"])
                        assert {key: policy.get(key) for key in RETAINED} == RETAINED, f"{path.name}: {name}"
    assert seen == {"AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy"}


@pytest.mark.reliability(
    "static_site",
    "Partial failure",
    fault="`production` is set for a deployed stack (any of the systems)",
    expected="the function that empties buckets keeps them, and its removal succeeds",
    observed="template: its role (not the bucket policy) allows `s3:GetBucketTagging`",
)
def test_role_that_empties_buckets_can_read_their_tags(every_assembly: list[Assembly]) -> None:
    """It is called after the update has removed its statement from the bucket policy, and reads a tag first."""
    for assembly in every_assembly:
        for path in assembly.templates:
            template = json.loads(path.read_text())["Resources"]
            emptied = [
                r["Properties"]["BucketName"]["Ref"]
                for r in template.values()
                if r["Type"] == "Custom::S3AutoDeleteObjects"
            ]
            roles = [
                r for name, r in template.items() if name.startswith("CustomS3AutoDeleteObjects") and "Role" in name
            ]
            allowed = [
                resource["Fn::GetAtt"][0]
                for role in roles
                for policy in role["Properties"]["Policies"]
                for statement in policy["PolicyDocument"]["Statement"]
                if (statement["Effect"], statement["Action"]) == ("Allow", "s3:GetBucketTagging")
                for resource in statement["Resource"]
            ]
            assert sorted(allowed) == sorted(emptied), path.name


def test_production_has_no_unacknowledged_findings(production: Assembly) -> None:
    assert not production.findings, "\n".join(production.findings)
