"""Facts about what grows with settings: at the most that they accept, everything is below AWS's quotas."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from audit.assembly import Template
from audit.deployment_policies import WITH_MANAGED_POLICIES
from settings import Settings, SettingsError
from settings.deploy_pipeline import MAX_PERMISSION_SIZE, MAX_PERMISSIONS_SIZE, MAX_SSM_PARAMETERS
from settings.multi_region_api import MAX_DEPENDENCIES
from settings.security_group_revert import MAX_GROUPS
from settings.static_site import MAX_EXTENSIONLESS_FILES

from .conftest import EVERYTHING, Assembly, synthesize
from .deployed_template import REF_IS_ARN

# Characters or bytes, from the quotas pages of IAM, S3, SNS, SQS, KMS, Lambda, Step Functions and EventBridge.
INLINE_POLICIES_OF_A_ROLE = 10_240
MANAGED_POLICY = 6_144
MANAGED_POLICIES_OF_A_ROLE = 10
QUOTAS = {
    ("AWS::IAM::ManagedPolicy", "PolicyDocument"): MANAGED_POLICY,
    ("AWS::IAM::Role", "AssumeRolePolicyDocument"): 2_048,
    ("AWS::KMS::Key", "KeyPolicy"): 32_768,
    ("AWS::S3::BucketPolicy", "PolicyDocument"): 20_480,
    ("AWS::SNS::TopicPolicy", "PolicyDocument"): 30_720,
    ("AWS::SQS::QueuePolicy", "PolicyDocument"): 8_192,
    ("AWS::StepFunctions::StateMachine", "DefinitionString"): 1_048_576,
    ("AWS::Events::Rule", "EventPattern"): 2_048,
    ("AWS::Lambda::Function", "Environment"): 4_096,
    ("AWS::Lambda::Function", "Description"): 256,
    ("AWS::EC2::SecurityGroup", "GroupDescription"): 255,
    ("AWS::Scheduler::Schedule", "Target"): 262_144,
}
USER_DATA = 16_384  # before Base64
TEMPLATE, RESOURCES, OUTPUTS = 1_000_000, 500, 200  # of CloudFormation
PACKAGE_AT_THE_EDGE = 50_000_000  # compressed; here it is measured before that

LONGEST = {"AWS::Partition": "aws-us-gov", "AWS::Region": "ap-southeast-2", "AWS::AccountId": "1" * 12}
LONGEST |= {"AWS::URLSuffix": "amazonaws.com.cn"}
MAX_NAME, MAX_ARN = 64, 128


def group(number: int) -> dict[str, Any]:
    rule = {"ip_protocol": "tcp", "from_port": 443, "to_port": 443, "description": "d" * 255}
    rules = [{**rule, "cidr_ipv4": f"10.0.{number % 250}.0/24"}, {**rule, "cidr_ipv6": f"2001:db8:{number:x}::/48"}]
    return {"group_id": f"sg-{number:017x}", "name": "n" * 60, "ingress": rules}


def dependency(number: int) -> dict[str, Any]:
    return {"name": f"{number:040}", "table": f"{number:0255}", "partition_key": "k" * 255}


def permission(name: str, size: int) -> dict[str, Any]:
    """One with as many resources as `size` characters have room for."""
    stack = "arn:{partition}:sqs:{region}:{account}:{stack}"
    resources = [f"{stack}-{name}{number:03}" for number in range(size // 71)]
    return {"actions": ["sqs:CreateQueue"], "resources": resources}


# Every setting that is a list, as long as it may be; and numbers and texts from which something grows.
LARGEST: dict[str, Any] = EVERYTHING | {
    "deploy_pipeline:permissions": [
        permission("a", MAX_PERMISSION_SIZE),
        permission("b", MAX_PERMISSIONS_SIZE - MAX_PERMISSION_SIZE),
    ],
    "deploy_pipeline:ssm_parameters": [f"/{number:0>199}" for number in range(MAX_SSM_PARAMETERS)],
    "multi_region_api:regions": ["us-east-1"],  # a stack each, so that no stack grows
    "multi_region_api:dependencies": [dependency(number) for number in range(MAX_DEPENDENCIES)],
    "static_site:extensionless_files": [f"/{number:01023}" for number in range(MAX_EXTENSIONLESS_FILES)],
    "static_site:content_security_policy": "x" * 1783,
    "security_group_revert:groups": [group(number) for number in range(MAX_GROUPS)],
    "analytics_host:h2o_nodes": 16,
    "analytics_host:user_name": "u" * 31,
    "analytics_host:data_location": f"s3://{'b' * 63}/{'p' * 900}/",
}
ONE_MORE = {
    "deploy_pipeline:permissions": [permission(name, MAX_PERMISSIONS_SIZE // 2) for name in "abc"],
    "deploy_pipeline:ssm_parameters": [f"/{number}" for number in range(MAX_SSM_PARAMETERS + 1)],
    "multi_region_api:dependencies": [dependency(number) for number in range(MAX_DEPENDENCIES + 1)],
    "static_site:extensionless_files": [f"/{number}" for number in range(MAX_EXTENSIONLESS_FILES + 1)],
    "security_group_revert:groups": [group(number) for number in range(MAX_GROUPS + 1)],
}


@pytest.fixture(scope="module")
def largest(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    return synthesize(tmp_path_factory.mktemp("largest"), LARGEST)


@pytest.fixture(scope="module")
def resources(largest: Assembly) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, type and properties of every resource of every template, with names as long as they can be."""
    return [
        (f"{path.name}: {name:x<{MAX_NAME}}", resource["Type"], longest(resource.get("Properties", {}), template))
        for path in largest.templates
        for template in [json.loads(path.read_text())["Resources"]]
        for name, resource in template.items()
    ]


def longest(value: Any, template: dict[str, Any]) -> Any:
    """A value of a template with long names and ARNs instead of references to resources of `template`."""
    match value:
        case {"Ref": str(name)} if name in template:
            return f"{name:x<{MAX_ARN if template[name]['Type'] in REF_IS_ARN else MAX_NAME}}"
        case {"Ref": str(name)}:
            return LONGEST.get(name, "x" * MAX_ARN)
        case {"Fn::GetAtt": [str(name), _]}:
            return f"{name:x<{MAX_ARN}}"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(str(longest(part, template)) for part in parts)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{.+?\}", "x" * MAX_ARN, text)
        case {"Fn::Base64": text}:
            return longest(text, template)
        case dict():
            return {key: longest(item, template) for key, item in value.items()}
        case list():
            return [longest(item, template) for item in value]
    return value


def size(value: Any) -> int:
    """Bytes of a value without the spaces of JSON, as IAM counts."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return len(text.encode())


def test_every_document_is_below_its_quota(resources: list[tuple[str, str, dict[str, Any]]]) -> None:
    seen = set()
    for name, kind, properties in resources:
        for (of_type, document), quota in QUOTAS.items():
            if kind == of_type and document in properties:
                seen.add((of_type, document))
                assert size(properties[document]) <= quota, f"{name}: {document} has {size(properties[document])}"
    assert seen == set(QUOTAS), f"nothing of {set(QUOTAS) - seen} was measured"


@pytest.mark.reliability(
    "security_group_revert",
    "Only here",
    fault="more groups than a policy has room for",
    expected="the role's permissions are divided among several policies; more than 500 groups are refused",
    observed="500 groups: each document is below its quota",
)
def test_policies_of_every_role_are_below_their_quotas(resources: list[tuple[str, str, dict[str, Any]]]) -> None:
    inline: defaultdict[str, int] = defaultdict(int)
    managed: defaultdict[str, int] = defaultdict(int)
    for name, kind, properties in resources:
        stack = name.partition(":")[0]
        if kind == "AWS::IAM::Role":
            policies = properties.get("Policies", [])
            inline[name] += sum(size(policy["PolicyDocument"]) for policy in policies)
            managed[name] += len(properties.get("ManagedPolicyArns", []))
        for role in properties.get("Roles", []) if kind.endswith("Policy") else []:
            inline[f"{stack}: {role}"] += size(properties["PolicyDocument"]) if kind == "AWS::IAM::Policy" else 0
            managed[f"{stack}: {role}"] += kind == "AWS::IAM::ManagedPolicy"
    assert max(inline.values()) > INLINE_POLICIES_OF_A_ROLE / 2, "nothing has grown"
    over = {role: total for role, total in inline.items() if total > INLINE_POLICIES_OF_A_ROLE}
    assert not over, f"characters of inline policies: {over}"
    many = {role: count for role, count in managed.items() if count > MANAGED_POLICIES_OF_A_ROLE}
    assert not many, f"managed policies: {many}"


@pytest.mark.reliability("security_group_revert", "Only here", fault="more groups than a policy has room for")
def test_function_may_change_every_guarded_group(resources: list[tuple[str, str, dict[str, Any]]]) -> None:
    """However its policy is divided."""
    documents = [
        p["PolicyDocument"] for _, kind, p in resources if kind.startswith("AWS::IAM::") and "PolicyDocument" in p
    ]
    statements = [statement for document in documents for statement in document["Statement"]]
    changing = [s for s in statements if "ec2:RevokeSecurityGroupIngress" in s["Action"]]
    named = {found for s in changing for found in re.findall(r"sg-[0-9a-f]{17}", json.dumps(s["Resource"]))}
    assert len(named) == MAX_GROUPS
    assert len({json.dumps(s["Action"]) for s in changing}) == 1


def test_deployment_policies_cover_the_types_that_only_large_settings_add(
    largest: Assembly, full_assembly: Assembly
) -> None:
    for path in largest.templates:
        small, large = Template(full_assembly.directory / path.name), Template(path)
        added = {r["Type"] for r in large.resources.values()} - {r["Type"] for r in small.resources.values()}
        covered = {"AWS::IAM::ManagedPolicy"} if large.stack in WITH_MANAGED_POLICIES else set()
        assert added == covered, path.name


def test_user_data_is_below_its_quota(resources: list[tuple[str, str, dict[str, Any]]]) -> None:
    found = [p["LaunchTemplateData"]["UserData"] for _, kind, p in resources if kind == "AWS::EC2::LaunchTemplate"]
    assert found
    assert max(map(size, found)) <= USER_DATA


def test_templates_are_below_the_quotas_of_cloudformation(largest: Assembly) -> None:
    for path in largest.templates:
        template = json.loads(path.read_text())
        assert path.stat().st_size <= TEMPLATE, path.name
        assert len(template["Resources"]) <= RESOURCES, path.name
        assert len(template["Outputs"]) <= OUTPUTS, path.name


def test_cfn_lint_finds_no_error(largest: Assembly) -> None:
    """CloudFormation's schemas have the lengths of descriptions, names and lists of every type."""
    program = Path(sys.executable).with_name("cfn-lint")
    command: list[str | Path] = [program, "--ignore-checks=W", *largest.templates]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_packages_are_below_the_quota_at_the_edge(largest: Assembly) -> None:
    """The smallest of Lambda's quotas, and nothing of this project comes near it but a site."""
    folders = [folder for folder in largest.directory.glob("asset.*") if (folder / "static_site").is_dir()]
    folders += [folder for folder in largest.directory.glob("asset.*") if (folder / "security_group_revert").is_dir()]
    assert len(folders) == 2
    for folder in folders:
        total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        assert total <= PACKAGE_AT_THE_EDGE, f"{folder.name}: {total}"


def lists() -> Iterator[str]:
    """Every setting that is a list."""
    for system, section in Settings.model_fields.items():
        for name, field in getattr(section.annotation, "model_fields", {}).items():
            if any(get_origin(part) is tuple for part in (field.annotation, *get_args(field.annotation))):
                yield f"{system}:{name}"


# Lists from which no document grows: a region has its stack, and these are read at synthesis only.
GROWS_NOTHING = {"multi_region_api:regions", "deploy_pipeline:allowed_files", "static_site:allowed_files"}


def test_every_list_in_the_settings_is_at_its_maximum() -> None:
    assert ONE_MORE.keys() < LARGEST.keys()
    assert set(lists()) - GROWS_NOTHING == ONE_MORE.keys()


@pytest.mark.parametrize("key", ONE_MORE)
@pytest.mark.reliability("security_group_revert", "Only here", fault="more groups than a policy has room for")
def test_list_that_is_too_long_is_refused_with_its_limit(key: str) -> None:
    with pytest.raises(SettingsError, match=f"{key.split(':')[0]}.* at most [0-9]+"):
        Settings.from_context({key: ONE_MORE[key]})


def test_permission_that_no_policy_has_room_for_is_refused() -> None:
    with pytest.raises(SettingsError, match="at most 5500 characters each"):
        Settings.from_context({"deploy_pipeline:permissions": [permission("a", MAX_PERMISSION_SIZE + 500)]})


def test_rules_of_all_groups_have_a_limit() -> None:
    many = [{"ip_protocol": "tcp", "from_port": p, "to_port": p, "cidr_ipv4": "10.0.0.0/8"} for p in range(60)]
    groups = [{**group(number), "ingress": many} for number in range(340)]
    with pytest.raises(SettingsError, match="at most 20000 rules"):
        Settings.from_context({"security_group_revert:groups": groups})
