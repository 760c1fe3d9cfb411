"""AWS accepts every value that a setting accepts: each field matches the grammar of its AWS parameter.

Every field needs a row; a field whose value never reaches AWS has a reason instead.
"""

import re
from collections.abc import Iterator
from functools import cache, partial
from typing import Annotated, Any, get_args

import boto3
import pytest
from hypothesis import given, settings as run_settings, strategies as st
from pydantic import TypeAdapter, ValidationError, WrapValidator

from settings import Settings
from settings.regions import supported_regions
from settings.types import Pattern, Range, SettingsModel, nested_model

from .aws_grammar import (
    Grammar,
    api,
    at_most,
    canonical,
    cfn,
    cost_filter,
    exempt_principal,
    git_branch,
    iam_action,
    iam_arn,
    iam_name,
    lint_format,
    new_unix_user,
    printable_ascii,
    s3_bucket,
    schedule,
    without_quote,
)

EMAIL = (api("notificationscontacts", "EmailContactAddress"), at_most(254), printable_ascii)  # SNS publishes none
ZONE = {
    # "the length of the domain name (technically, the Common Name) that you provide cannot exceed 64" (ACM)
    "domain_name": (api("acm", "DomainNameString"), api("route53", "DNSName"), at_most(64)),
    "hosted_zone_id": (api("route53", "ResourceId"),),
    "hosted_zone_name": (api("acm", "DomainNameString"), api("route53", "DNSName")),
}
RULE: dict[str, Any] = {
    # Together: tests/security_group_revert/test_settings.py
    "ip_protocol": (lambda value: value in ("tcp", "udp", "icmp", "icmpv6") or -1 <= int(value) <= 255,),
    "from_port": (cfn("AWS::EC2::SecurityGroupIngress", "FromPort"), lambda port: port <= 65535),
    "to_port": (cfn("AWS::EC2::SecurityGroupIngress", "ToPort"), lambda port: port <= 65535),
    "cidr_ipv4": (canonical(4),),
    "cidr_ipv6": (canonical(6),),
    "prefix_list_id": (partial(re.fullmatch, r"pl-([0-9a-f]{8}|[0-9a-f]{17})"),),
    "referenced_group_id": (lambda value: lint_format("SecurityGroupId")(value.rpartition("/")[2]),),
    # EC2 documents the same characters for the names and descriptions of groups and rules.
    "description": (cfn("AWS::EC2::SecurityGroup", "GroupDescription"), lint_format("SecurityGroupName")),
}
CHOICE = "chooses what the stack contains"
LOCAL = "a path on the developer's machine"
EC2_REGIONS = {
    region
    for partition in boto3.Session().get_available_partitions()
    for region in boto3.Session().get_available_regions("ec2", partition)
}
TABLE: dict[str, tuple[Grammar, ...] | str] = {
    "production": CHOICE,
    "deploy_pipeline:source": CHOICE,
    "deploy_pipeline:app": LOCAL,
    "deploy_pipeline:allowed_files": LOCAL,
    "deploy_pipeline:branch": (
        api("codecommit", "BranchName"),
        api("codepipeline", "ActionConfigurationValue"),
        git_branch,
    ),
    "deploy_pipeline:connection_arn": (api("codeconnections", "ConnectionArn"), iam_arn),
    "deploy_pipeline:repository": (
        api("codeconnections", "OwnerId", lambda value: value.rpartition("/")[0]),
        api("codeconnections", "RepositoryName", lambda value: value.rpartition("/")[2]),
        api("codepipeline", "ActionConfigurationValue"),
    ),
    "deploy_pipeline:source_key": (
        api("codepipeline", "ActionConfigurationValue"),
        lambda key: iam_arn(f"arn:aws:s3:::bucket/{key}") and not set(key) & set("*?$"),
    ),
    "deploy_pipeline:input": "a file; its content: tests/deploy_pipeline/test_request_grammar.py",
    "deploy_pipeline:permissions.actions": (iam_action,),
    "deploy_pipeline:permissions.resources": (iam_arn,),
    "deploy_pipeline:permissions.conditions": "operators, keys and values: tests/deploy_pipeline/test_settings.py",
    "deploy_pipeline:permissions_boundary": (api("iam", "arnType"), iam_arn),
    "deploy_pipeline:allow_service_wide_permissions": CHOICE,
    "deploy_pipeline:ssm_parameters": (
        api("ssm", "PSParameterName"),
        lambda name: iam_arn(f"arn:aws:ssm:us-east-1:111111111111:parameter/{name.removeprefix('/')}"),
    ),
    "deploy_pipeline:email": EMAIL,
    **{f"multi_region_api:{name}": row for name, row in ZONE.items()},
    "multi_region_api:regions": (api("route53", "ResourceRecordSetRegion"),),
    "multi_region_api:request_interval": (api("route53", "RequestInterval"), lambda seconds: seconds in (10, 30)),
    "multi_region_api:health_check_regions": CHOICE,
    "multi_region_api:failure_threshold": (api("route53", "FailureThreshold"),),
    "multi_region_api:string_matching": CHOICE,
    "multi_region_api:drains": CHOICE,
    "multi_region_api:detailed_metrics": CHOICE,
    "multi_region_api:dependencies.name": "stays in the function's package and its response",
    "multi_region_api:dependencies.table": (api("dynamodb", "TableName"),),
    "multi_region_api:dependencies.partition_key": (api("dynamodb", "KeySchemaAttributeName"),),
    "multi_region_api:dependencies.url": "is requested by the function, not by AWS",
    "multi_region_api:dependencies.timeout_seconds": "a timeout of the function's client",
    "multi_region_api:allowed_origins": (printable_ascii, without_quote),
    "multi_region_api:throttling_rate_limit": (cfn("AWS::ApiGateway::Stage", "ThrottlingRateLimit", "MethodSetting"),),
    "multi_region_api:email": EMAIL,
    "multi_region_api:cloudwatch_role": CHOICE,
    "multi_region_api:waf": CHOICE,
    **{f"static_site:{name}": row for name, row in ZONE.items()},
    "static_site:site": LOCAL,
    "static_site:allowed_files": LOCAL,
    "static_site:stack_name": (api("cloudformation", "StackNameOrId"), at_most(128)),
    "static_site:alternate_domain_names": (api("acm", "DomainNameString"), api("route53", "DNSName")),
    "static_site:edge": "selects resources",
    "static_site:trailing_slash": "a setting of the function",
    "static_site:redirect_status": (lambda status: status in (301, 308),),
    "static_site:redirect_index_html": "a setting of the function",
    "static_site:caching": CHOICE,
    "static_site:content_security_policy": (printable_ascii, at_most(1783)),
    "static_site:additional_sources": (printable_ascii, at_most(1783 - 200)),
    "static_site:content_types.files": "patterns of the AWS CLI's parameters",
    "static_site:content_types.content_type": (printable_ascii, at_most(255)),
    "static_site:permissions_policy": (printable_ascii, at_most(1783)),
    "static_site:email": EMAIL,
    "static_site:waf": CHOICE,
    "lambda_canary:sample_function": CHOICE,
    # Shorter than the names of Lambda's API, whose pattern also accepts versions.
    "lambda_canary:functions.arn": (api("lambda", "FunctionArn"), iam_arn),
    "lambda_canary:functions.alias": (api("lambda", "Alias"),),
    "lambda_canary:functions.payload": "JSON, which the functions send",
    "lambda_canary:functions.expected_response": "JSON, which the functions compare",
    "lambda_canary:functions.response_schema": "a schema, which the functions apply",
    "lambda_canary:functions.alarms": (
        api("cloudwatch", "AlarmName"),
        lambda name: iam_arn(f"arn:aws:cloudwatch:us-east-1:111111111111:alarm:{name}"),
    ),
    "lambda_canary:type": "a setting of the functions",
    "lambda_canary:steps": "a setting of the functions",
    # The range of the weights of an alias; they are whole percents.
    "lambda_canary:first_weight": (api("lambda", "Weight"),),
    "lambda_canary:interval": (lambda seconds: 0 <= seconds <= 99_999_999,),  # of a Wait state
    "lambda_canary:max_wait": "a setting of the functions",
    "lambda_canary:minimum_calls": "a setting of the functions",
    "lambda_canary:error_margin": "a setting of the functions",
    "lambda_canary:duration_ratio": "a setting of the functions",
    "lambda_canary:synthetic_calls": "a setting of the functions",
    "lambda_canary:alarm_at_start": "a setting of the functions",
    "lambda_canary:start_on_publish": CHOICE,
    "lambda_canary:email": EMAIL,
    "lambda_canary:log_level": "a setting of the functions",
    "security_group_revert:mode": CHOICE,
    "security_group_revert:email": EMAIL,
    "security_group_revert:restore": "a setting of the function",
    "security_group_revert:max_reverts": "a setting of the function",
    "security_group_revert:revert_window_hours": "a setting of the function",
    "security_group_revert:break_glass_principals": (iam_arn,),
    "security_group_revert:break_glass_minutes": "a setting of the function",
    "security_group_revert:guard_egress": CHOICE,
    "security_group_revert:sweep_minutes": (
        api("events", "ScheduleExpression", lambda minutes: f"rate({minutes} minutes)"),
        lambda minutes: schedule(f"rate({minutes} minute{'s' if minutes > 1 else ''})"),
    ),
    "security_group_revert:sample_group": CHOICE,
    "security_group_revert:vpc_id": (lint_format("VpcId"),),
    "security_group_revert:groups.group_id": (lint_format("SecurityGroupId"),),
    "security_group_revert:groups.name": "text of a notification",
    **{
        f"security_group_revert:groups.{way}.{name}": row for way in ("ingress", "egress") for name, row in RULE.items()
    },
    # "This quota multiplied by the quota for security groups per network interface cannot exceed 1,000" (VPC)
    "security_group_revert:rules_per_group": (lambda rules: 1 <= rules <= 1000,),
    "security_group_revert:create_trail": CHOICE,
    "deploy_pipeline:log_level": "a setting of the functions",
    "multi_region_api:log_level": CHOICE,
    "security_group_revert:log_level": "a setting of the function",
    "analytics_host:instance_type": (api("ec2", "InstanceType"),),
    "analytics_host:volume_gb": (lambda size: 8 <= size <= 65536,),  # minimum of the image, maximum of gp3
    "analytics_host:availability_zone": (lambda zone: zone[:-1] in EC2_REGIONS,),
    "analytics_host:vpc_id": (lint_format("VpcId"),),
    "analytics_host:subnet_id": (lint_format("SubnetId"),),
    "analytics_host:user_name": (new_unix_user,),
    "analytics_host:allowed_cidr": (canonical(4),),
    "analytics_host:allow_anywhere": CHOICE,
    "analytics_host:idle_minutes": "a setting of the host",
    "analytics_host:stop_schedule": (
        api("scheduler", "ScheduleExpression"),
        cfn("AWS::Scheduler::Schedule", "ScheduleExpression"),
        schedule,
    ),
    "analytics_host:email": EMAIL,
    "analytics_host:h2o_nodes": CHOICE,
    "analytics_host:h2o_r_sha256": "a setting of the host",
    "analytics_host:data_location": (s3_bucket, lambda value: iam_arn(f"arn:aws:s3:::{value[5:]}*")),
    "analytics_host:read_locations": (s3_bucket, lambda value: iam_arn(f"arn:aws:s3:::{value[5:]}*")),
    "analytics_host:read_databases": (
        at_most(255),  # NameString of Glue's model, whose pattern is not one of Python
        lambda name: iam_arn(f"arn:aws:glue:us-east-1:111111111111:database/{name}") and not set(name) & set("*?$"),
    ),
    "analytics_host:extra_policies": (
        api("iam", "arnType"),
        api("iam", "policyNameType", lambda arn: arn.rpartition("/")[2]),
        iam_arn,
    ),
    "analytics_host:results_retention_days": (lambda days: 1 <= days <= 2**31 - 1,),
    "analytics_host:bytes_scanned_cutoff_mb": (api("athena", "BytesScannedCutoffValue", lambda mb: mb * 1_000_000),),
    "analytics_host:parquet": CHOICE,
    "cost_control:project": (api("resourcegroupstaggingapi", "TagValue"), cost_filter),
    "cost_control:tag": (
        api("resourcegroupstaggingapi", "TagKey"),
        cost_filter,
        lambda key: not key.startswith("aws:"),
    ),
    "cost_control:amount": (
        lambda amount: amount >= 1,
        api("budgets", "NumericValue", lambda amount: f"{amount:.2f}"),
    ),
    "cost_control:thresholds.percent": (
        api("budgets", "NotificationThreshold"),
        cfn("AWS::Budgets::Budget", "Threshold", "Notification"),
    ),
    "cost_control:thresholds.kind": CHOICE,
    "cost_control:thresholds.actions": CHOICE,
    "cost_control:mode": CHOICE,
    "cost_control:groups": iam_name("groupNameType", "group"),
    "cost_control:roles": iam_name("roleNameType", "role"),
    "cost_control:exempt_principals": (exempt_principal,),
    "cost_control:stop_instances": CHOICE,
    "cost_control:stop_databases": CHOICE,
    "cost_control:exempt_tag": (api("resourcegroupstaggingapi", "TagKey"), lambda key: not key.startswith("aws:")),
    "cost_control:volume_keys": (api("kms", "KeyIdType"), iam_arn),
    "cost_control:release": CHOICE,
    "cost_control:tripwire": (lambda amount: amount > 0,),
    "cost_control:email": EMAIL,
}


def leaves(section: type[SettingsModel], prefix: str = "", separator: str = "") -> Iterator[tuple[str, Any]]:
    """Every field with a value, by its key; fields of nested models follow a dot."""
    for name, field in section.model_fields.items():
        path = f"{prefix}{separator}{name}"
        nested = nested_model(field.annotation)
        if nested:
            yield from leaves(nested, path, "." if prefix else ":")
        else:
            yield path, Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


LEAVES = dict(leaves(Settings))


def validators(annotation: Any) -> Iterator[WrapValidator]:
    for part in (*getattr(annotation, "__metadata__", ()), *get_args(annotation)):
        if isinstance(part, WrapValidator):
            yield part
        else:
            yield from validators(part)


# Candidates for the fields whose type is checked by a function.
CANDIDATES: dict[str, st.SearchStrategy[Any]] = {
    "deploy_pipeline:branch": st.from_regex(r"[a-z/.@{*-]{1,9}|main|release/[a-z.]{1,9}", fullmatch=True),
    "analytics_host:instance_type": st.sampled_from(["t3.large", "m6i.metal", "t4g.nano"])
    | st.from_regex(r"[a-z][1-9][a-z]?\.(large|[1-9]?xlarge|metal)", fullmatch=True),
    "analytics_host:availability_zone": st.sampled_from(
        ["us-east-1a", "eu-west-3c", "us-east-9a", "eu-west-1", "use1-az1"]
    ),
    "multi_region_api:regions": st.sampled_from(
        [*sorted(supported_regions()), "us-gov-west-1", "cn-north-1", "us-east-9", "aws-global", "us-iso-east-1"]
    ),
}


def values_for(key: str) -> st.SearchStrategy[Any]:
    """Values around the accepted ones: matches of the pattern, repeated beyond the limits, and bounds."""
    strategies = [CANDIDATES[key]] if key in CANDIDATES else []
    for check in (argument for found in validators(LEAVES[key]) for argument in getattr(found.func, "args", ())):
        if isinstance(check, Pattern):
            matching = st.from_regex(check.expression, fullmatch=True)
            strategies += [
                matching,
                st.builds(_repeat_part, matching, st.integers(0, 40), st.integers(1, 3), _lengths(check.max_length)),
            ]
        elif isinstance(check, Range):
            ends = [check.minimum - 1, check.minimum, check.maximum, check.maximum + 1]
            strategies += [st.sampled_from(ends), st.integers(int(check.minimum), int(check.maximum))]
        elif check in (4, 6):
            strategies.append(st.builds(lambda ip, size: f"{ip}/{size}", st.ip_addresses(v=check), st.integers(0, 33)))
        elif isinstance(getattr(check, "__self__", None), tuple):
            strategies.append(st.sampled_from([*check.__self__, 0, 20, 302]))
    return st.one_of(*strategies)


def _lengths(maximum: int) -> st.SearchStrategy[int]:
    return st.sampled_from([2, 63, 64, 65, maximum - 1, maximum, maximum + 1, maximum + 2])


def _repeat_part(text: str, position: int, width: int, length: int) -> str:
    """Repeat a few characters of `text`, such as `a.` of a domain name, until it has about `length` characters."""
    part = text[position : position + width]
    return text[:position] + part * (max(0, length - len(text)) // (len(part) or 1)) + text[position:]


@cache
def adapter(key: str) -> TypeAdapter[Any]:
    return TypeAdapter(LEAVES[key])


def accepted(key: str, value: Any) -> list[Any]:
    """Validated values of the setting for `value`, as a list; empty if it is rejected."""
    for given_value in (value, [value]):  # the item of a list
        try:
            found = adapter(key).validate_python(given_value)
        except ValidationError:
            continue
        return list(found) if isinstance(found, tuple) else [found]
    return []


def test_setting_has_an_aws_parameter_or_a_reason() -> None:
    assert LEAVES.keys() == TABLE.keys(), f"differ: {LEAVES.keys() ^ TABLE.keys()}"


# One key for each type and row: an email address is checked once.
CHECKED = {(LEAVES.get(key), row): key for key, row in TABLE.items() if not isinstance(row, str)}


@pytest.mark.parametrize("key", CHECKED.values())
def test_accepted_value_matches_the_aws_grammar(key: str) -> None:
    row, seen = TABLE[key], 0

    @run_settings(max_examples=120)
    @given(values_for(key))
    def check(value: Any) -> None:
        nonlocal seen
        for found in accepted(key, value):
            seen += 1
            for number, grammar in enumerate(row):
                assert callable(grammar)
                assert grammar(found), f"{key} accepts {found!r}, and grammar {number} of its row does not"

    check()
    assert seen > 1, f"only {seen} of the generated values were accepted: nothing was checked"
