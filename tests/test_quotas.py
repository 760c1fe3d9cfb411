"""AWS quotas: documents that grow with settings are below them at the maximum of every setting."""

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
from settings.analytics_host import MAX_POLICIES, MAX_READABLE, MAX_READABLE_CHARACTERS
from settings.cost_control import (
    MAX_EXEMPT,
    MAX_EXEMPT_CHARACTERS,
    MAX_PRINCIPAL_CHARACTERS,
    MAX_PRINCIPALS,
    MAX_THRESHOLDS,
)
from settings.deploy_pipeline import MAX_PERMISSION_CHARACTERS, MAX_PERMISSIONS_CHARACTERS, MAX_SSM_PARAMETERS
from settings.lambda_canary import MAX_FUNCTIONS
from settings.multi_region_api import MAX_DEPENDENCIES, MAX_ORIGINS
from settings.security_group_revert import MAX_BREAK_GLASS_PRINCIPALS, MAX_GROUPS
from settings.static_site import MAX_ALTERNATE_NAMES

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
EDGE_PACKAGE = 50_000_000  # compressed; the test measures it uncompressed

PSEUDO_PARAMETERS = {"AWS::Partition": "aws-us-gov", "AWS::Region": "ap-southeast-2", "AWS::AccountId": "1" * 12}
PSEUDO_PARAMETERS |= {"AWS::URLSuffix": "amazonaws.com.cn"}
MAX_NAME, MAX_ARN = 64, 128


def group(number: int) -> dict[str, Any]:
    rule = {"ip_protocol": "tcp", "from_port": 443, "to_port": 443, "description": "d" * 255}
    rules = [{**rule, "cidr_ipv4": f"10.0.{number % 250}.0/24"}, {**rule, "cidr_ipv6": f"2001:db8:{number:x}::/48"}]
    return {"group_id": f"sg-{number:017x}", "name": "n" * 60, "ingress": rules}


def dependency(number: int) -> dict[str, Any]:
    return {"name": f"{number:040}", "table": f"{number:0255}", "partition_key": "k" * 255}


def permission(name: str, size: int) -> dict[str, Any]:
    """A permission with as many resources as fit into `size` characters."""
    stack = "arn:{partition}:sqs:{region}:{account}:{stack}"
    resources = [f"{stack}-{name}{number:03}" for number in range(size // 71)]
    return {"actions": ["sqs:CreateQueue"], "resources": resources}


def principals(count: int, prefix: str = "", length: int = MAX_PRINCIPAL_CHARACTERS) -> list[str]:
    """Names of IAM with their path, of maximum length; those with a prefix are others."""
    path = "p" * (length - 65 - len(prefix))
    return [f"{prefix}{path}/{number:{prefix[:1] or 'n'}>64}" for number in range(count)]


def volume_key(number: int) -> str:
    return f"arn:aws:kms:us-east-1:111111111111:key/{number:0>128}"


def locations(count: int) -> list[str]:
    return [f"s3://{number}{'b' * 62}/{'p' * 15}/" for number in range(count)]


def databases(count: int) -> list[str]:
    """As many characters as the locations leave."""
    characters = MAX_READABLE_CHARACTERS - sum(map(len, locations(count)))
    return [f"{number:d>{characters // count}}" for number in range(count)]


def policies(count: int) -> list[str]:
    return [f"arn:aws:iam::111111111111:policy/{number:p>128}" for number in range(count)]


def canary_function(number: int) -> dict[str, Any]:
    """A function with names of maximum length."""
    arn = f"arn:aws:lambda:us-east-1:111111111111:function:{number:x>64}"
    return {"arn": arn, "alias": "a" * 128, "alarms": [f"{number:x>255}"]}


# Every list setting at its maximum length, and numbers and texts that make a document grow.
def break_glass_role(number: int) -> str:
    return f"arn:aws:iam::111111111111:role/{number:0>476}/role"  # 512 characters


MAX_SETTINGS: dict[str, Any] = EVERYTHING | {
    "deploy_pipeline:permissions": [
        permission("a", MAX_PERMISSION_CHARACTERS),
        permission("b", MAX_PERMISSIONS_CHARACTERS - MAX_PERMISSION_CHARACTERS),
    ],
    "deploy_pipeline:ssm_parameters": [f"/{number:0>199}" for number in range(MAX_SSM_PARAMETERS)],
    "multi_region_api:regions": ["us-east-1"],  # a stack for each Region, so no stack grows
    "multi_region_api:dependencies": [dependency(number) for number in range(MAX_DEPENDENCIES)],
    "static_site:alternate_domain_names": [f"{number}.example.com" for number in range(MAX_ALTERNATE_NAMES)],
    "multi_region_api:allowed_origins": [f"https://{number:a>63}.example.com" for number in range(MAX_ORIGINS)],
    "static_site:content_security_policy": "x" * 1783,
    "static_site:permissions_policy": "x" * 1783,
    "security_group_revert:groups": [group(number) for number in range(MAX_GROUPS)],
    "lambda_canary:functions": [canary_function(number) for number in range(MAX_FUNCTIONS)],
    "security_group_revert:break_glass_principals": [
        break_glass_role(number) for number in range(MAX_BREAK_GLASS_PRINCIPALS)
    ],
    "analytics_host:h2o_nodes": 16,
    "analytics_host:user_name": "u" * 31,
    "analytics_host:data_location": f"s3://{'b' * 63}/{'p' * 900}/",
    "analytics_host:read_locations": locations(MAX_READABLE),
    "analytics_host:read_databases": databases(MAX_READABLE),
    "analytics_host:extra_policies": policies(MAX_POLICIES),
    "cost_control:thresholds": [
        {"percent": number, "actions": ["deny", "stop"]} for number in range(1, MAX_THRESHOLDS + 1)
    ],
    "cost_control:groups": principals(MAX_PRINCIPALS),
    "cost_control:roles": principals(MAX_PRINCIPALS),
    # Groups: their ARNs are in the policies of functions. Those of users are in a managed policy, which has more space.
    "cost_control:exempt_principals": principals(MAX_EXEMPT, "group/", MAX_EXEMPT_CHARACTERS),
    "cost_control:volume_keys": [volume_key(number) for number in range(MAX_PRINCIPALS)],
}
OVER_MAXIMUM = {
    "deploy_pipeline:permissions": [permission(name, MAX_PERMISSIONS_CHARACTERS // 2) for name in "abc"],
    "deploy_pipeline:ssm_parameters": [f"/{number}" for number in range(MAX_SSM_PARAMETERS + 1)],
    "multi_region_api:allowed_origins": [f"https://{number}.example.com" for number in range(MAX_ORIGINS + 1)],
    "multi_region_api:dependencies": [dependency(number) for number in range(MAX_DEPENDENCIES + 1)],
    "security_group_revert:groups": [group(number) for number in range(MAX_GROUPS + 1)],
    "security_group_revert:break_glass_principals": [
        break_glass_role(number) for number in range(MAX_BREAK_GLASS_PRINCIPALS + 1)
    ],
    "analytics_host:read_locations": [f"s3://bucket/{number}/" for number in range(MAX_READABLE + 1)],
    "analytics_host:read_databases": [f"d{number}" for number in range(MAX_READABLE + 1)],
    "analytics_host:extra_policies": policies(MAX_POLICIES + 1),
    "cost_control:thresholds": [{"percent": number} for number in range(1, MAX_THRESHOLDS + 2)],
    "cost_control:groups": principals(MAX_PRINCIPALS + 1),
    "cost_control:roles": principals(MAX_PRINCIPALS + 1),
    "cost_control:exempt_principals": principals(MAX_EXEMPT + 1, "user/", MAX_EXEMPT_CHARACTERS),
    "cost_control:volume_keys": [volume_key(number) for number in range(MAX_PRINCIPALS + 1)],
    "lambda_canary:functions": [canary_function(number) for number in range(MAX_FUNCTIONS + 1)],
    "static_site:alternate_domain_names": [f"{number}.example.com" for number in range(MAX_ALTERNATE_NAMES + 1)],
}


@pytest.fixture(scope="module")
def max_assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    return synthesize(tmp_path_factory.mktemp("maximum"), MAX_SETTINGS)


@pytest.fixture(scope="module")
def resources(max_assembly: Assembly) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, type and properties of every resource of every template, with names of maximum length."""
    return [
        (
            f"{path.name}: {name:x<{MAX_NAME}}",
            resource["Type"],
            with_longest_values(resource.get("Properties", {}), template),
        )
        for path in max_assembly.templates
        for template in [json.loads(path.read_text())["Resources"]]
        for name, resource in template.items()
    ]


def with_longest_values(value: Any, template: dict[str, Any]) -> Any:
    """Replace references to resources of `template` in a value with long names and ARNs."""
    match value:
        case {"Ref": str(name)} if name in template:
            return f"{name:x<{MAX_ARN if template[name]['Type'] in REF_IS_ARN else MAX_NAME}}"
        case {"Ref": str(name)}:
            return PSEUDO_PARAMETERS.get(name, "x" * MAX_ARN)
        case {"Fn::GetAtt": [str(name), _]}:
            return f"{name:x<{MAX_ARN}}"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(str(with_longest_values(part, template)) for part in parts)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{.+?\}", "x" * MAX_ARN, text)
        case {"Fn::Base64": text}:
            return with_longest_values(text, template)
        case dict():
            return {key: with_longest_values(item, template) for key, item in value.items()}
        case list():
            return [with_longest_values(item, template) for item in value]
    return value


def size(value: Any) -> int:
    """Bytes of a value as JSON without spaces, as IAM counts them."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return len(text.encode())


def test_document_is_below_its_quota(resources: list[tuple[str, str, dict[str, Any]]]) -> None:
    seen = set()
    for name, kind, properties in resources:
        for (of_type, document), quota in QUOTAS.items():
            if kind == of_type and document in properties:
                seen.add((of_type, document))
                assert size(properties[document]) <= quota, f"{name}: {document} has {size(properties[document])}"
    assert seen == set(QUOTAS), f"not measured: {set(QUOTAS) - seen}"


@pytest.mark.reliability(
    "security_group_revert",
    "System-specific",
    fault="more groups than fit into one policy",
    expected="permissions are divided among several policies; more than 500 groups are rejected",
    observed="500 groups: each document is below its quota",
)
def test_role_policies_are_below_their_quotas(resources: list[tuple[str, str, dict[str, Any]]]) -> None:
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
    assert max(inline.values()) > INLINE_POLICIES_OF_A_ROLE / 2, "the settings are not at their maximum"
    over = {role: total for role, total in inline.items() if total > INLINE_POLICIES_OF_A_ROLE}
    assert not over, f"characters of inline policies: {over}"
    many = {role: count for role, count in managed.items() if count > MANAGED_POLICIES_OF_A_ROLE}
    assert not many, f"managed policies: {many}"


@pytest.mark.reliability("security_group_revert", "System-specific", fault="more groups than fit into one policy")
def test_function_can_change_every_guarded_group(resources: list[tuple[str, str, dict[str, Any]]]) -> None:
    """However its policies are divided."""
    documents = [
        p["PolicyDocument"] for _, kind, p in resources if kind.startswith("AWS::IAM::") and "PolicyDocument" in p
    ]
    statements = [statement for document in documents for statement in document["Statement"]]
    changing = [s for s in statements if "ec2:RevokeSecurityGroupIngress" in s["Action"]]
    group_ids = {group_id for s in changing for group_id in re.findall(r"sg-[0-9a-f]{17}", json.dumps(s["Resource"]))}
    assert len(group_ids) == MAX_GROUPS
    assert len({json.dumps(s["Action"]) for s in changing}) == 1


def test_deployment_policies_cover_types_of_large_settings(max_assembly: Assembly, full_assembly: Assembly) -> None:
    for path in max_assembly.templates:
        small, large = Template(full_assembly.directory / path.name), Template(path)
        added = {r["Type"] for r in large.resources.values()} - {r["Type"] for r in small.resources.values()}
        covered = {"AWS::IAM::ManagedPolicy"} if large.stack in WITH_MANAGED_POLICIES else set()
        assert added == covered, path.name


def test_user_data_is_below_its_quota(resources: list[tuple[str, str, dict[str, Any]]]) -> None:
    user_data = [p["LaunchTemplateData"]["UserData"] for _, kind, p in resources if kind == "AWS::EC2::LaunchTemplate"]
    assert user_data
    assert max(map(size, user_data)) <= USER_DATA


def test_templates_are_below_the_quotas_of_cloudformation(max_assembly: Assembly) -> None:
    for path in max_assembly.templates:
        template = json.loads(path.read_text())
        assert path.stat().st_size <= TEMPLATE, path.name
        assert len(template["Resources"]) <= RESOURCES, path.name
        assert len(template["Outputs"]) <= OUTPUTS, path.name


def test_cfn_lint_finds_no_error(max_assembly: Assembly) -> None:
    """CloudFormation's schemas limit descriptions, names and lists of every type."""
    program = Path(sys.executable).with_name("cfn-lint")
    # E3601 rejects timeouts that are expressions; a test of deploy_pipeline checks its definition without them.
    command: list[str | Path] = [program, "--ignore-checks=W,E3601", *max_assembly.templates]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_packages_are_below_the_lambda_edge_quota(assembly: Assembly, max_assembly: Assembly) -> None:
    """The smallest of Lambda's package quotas. The largest site is without a Lambda@Edge function."""
    packages = {"static_site": assembly, "security_group_revert": max_assembly}
    folders = [
        folder
        for system, source in packages.items()
        for folder in source.directory.glob("asset.*")
        if (folder / system).is_dir()
    ]
    assert len(folders) == 2
    for folder in folders:
        total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        assert total <= EDGE_PACKAGE, f"{folder.name}: {total}"


def lists() -> Iterator[str]:
    """Every setting that is a list."""
    for system, section in Settings.model_fields.items():
        for name, field in getattr(section.annotation, "model_fields", {}).items():
            if any(get_origin(part) is tuple for part in (field.annotation, *get_args(field.annotation))):
                yield f"{system}:{name}"


# Lists that make no document grow: each Region has its stack, and the others are used at synthesis only. The
# patterns of content types have a maximum in `stacks/static_site/header_overrides.py`.
WITHOUT_QUOTA = {
    "multi_region_api:regions",
    "multi_region_api:health_check_regions",
    "deploy_pipeline:allowed_files",
    "static_site:allowed_files",
    "static_site:content_types",
}


def test_every_list_in_the_settings_is_at_its_maximum() -> None:
    assert OVER_MAXIMUM.keys() < MAX_SETTINGS.keys()
    assert set(lists()) - WITHOUT_QUOTA == OVER_MAXIMUM.keys()


@pytest.mark.parametrize("key", OVER_MAXIMUM)
@pytest.mark.reliability("security_group_revert", "System-specific", fault="more groups than fit into one policy")
def test_list_over_its_maximum_is_rejected_with_the_limit(key: str) -> None:
    with pytest.raises(SettingsError, match=f"{key.split(':')[0]}.* at most [0-9]+"):
        Settings.from_context({key: OVER_MAXIMUM[key]})


def test_permission_over_the_policy_size_is_rejected() -> None:
    with pytest.raises(SettingsError, match="at most 5500 characters each"):
        Settings.from_context({"deploy_pipeline:permissions": [permission("a", MAX_PERMISSION_CHARACTERS + 500)]})


def test_total_rules_over_the_limit_are_rejected() -> None:
    many = [{"ip_protocol": "tcp", "from_port": p, "to_port": p, "cidr_ipv4": "10.0.0.0/8"} for p in range(60)]
    groups = [{**group(number), "ingress": many} for number in range(340)]
    with pytest.raises(SettingsError, match="at most 20000 rules"):
        Settings.from_context({"security_group_revert:groups": groups})
