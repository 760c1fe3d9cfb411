"""Every policy statement with a wildcard in its actions or resources, and its reason.

The reasons of identity policies are those of `grant` in the stacks. cdk-nag does not check resource policies
and the policies that aws-cdk-lib writes without constructs, so their reasons are here.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from stacks.constructs.grants import cdk_nag_name
from stacks.cost_control.deny_policy import denied_actions

from .assembly import Template

TLS_ONLY = "Denies requests without TLS."
NO_LOG_GROUPS = "Lambda would create the log group again after the stack's deletion."
AUTO_DELETE_ROLE = "Custom::S3AutoDeleteObjectsCustomResourceProvider/Role"
GENERATED_SUFFIX = re.compile(r"\.Arn(?=>)|[0-9A-F]{8}(?=[.>])")  # that CDK adds to names
# Effect, principal and actions: reason.
RESOURCE_POLICY_REASONS = {
    "Deny everyone: s3:*": TLS_ONLY,
    "Deny everyone: sqs:*": TLS_ONLY,
    "Allow the account: kms:*": "KMS's default, without which a key can become unmanageable.",
    "Allow cloudwatch.amazonaws.com: kms:Decrypt, kms:GenerateDataKey*": (
        "The actions that SNS's documentation lists for CloudWatch, from this account only."
    ),
    "Allow budgets.amazonaws.com: kms:Decrypt, kms:GenerateDataKey*": (
        "The actions that SNS's documentation lists for Budgets, for budgets of this account only."
    ),
    f"Deny DenyPolicy: {', '.join(denied_actions())}": (
        "Denies starting anything that costs more, whatever it is; attached only while the budget is exceeded."
    ),
    f"Allow {AUTO_DELETE_ROLE}: s3:DeleteObject*, s3:GetBucket*, s3:List*, s3:PutBucketPolicy": (
        "aws-cdk-lib's function empties the bucket before its deletion (not with `production`)."
    ),
    f"Allow {AUTO_DELETE_ROLE}: AWSLambdaBasicExecutionRole": "aws-cdk-lib attaches the managed policy for logs.",
    "Allow logging.s3.amazonaws.com: s3:PutObject": (
        "S3 chooses the names of its log files. The grant is limited to one prefix of one bucket."
    ),
    "Allow delivery.logs.amazonaws.com: s3:PutObject": (
        "CloudFront chooses the names of its log files. The grant is limited to this account's prefix and deliveries."
    ),
    "Allow cloudtrail.amazonaws.com: s3:PutObject": (
        "CloudTrail chooses the names of its log files. The grant is limited to one trail and this account's prefix."
    ),
    "Allow cloudtrail.amazonaws.com: kms:DescribeKey": "Limited to one trail.",
    "Allow cloudtrail.amazonaws.com: kms:GenerateDataKey*": (
        "The actions that CloudTrail's documentation lists, limited to one trail."
    ),
    "Deny Custom::CDKBucketDeployment/ServiceRole: cloudfront:CreateInvalidation, cloudfront:GetInvalidation": (
        "Denies invalidations of other distributions, which aws-cdk-lib allows."
    ),
    f"Deny {AUTO_DELETE_ROLE}: logs:CreateLogGroup": NO_LOG_GROUPS,
    "Deny Custom::CDKBucketDeployment/ServiceRole: logs:CreateLogGroup": NO_LOG_GROUPS,
    "Allow cloudfront.amazonaws.com: s3:GetObject": "This distribution reads every file of the site.",
}


@dataclass(frozen=True, order=True)
class Statement:
    """A statement with a wildcard; without a reason, `reason` is empty."""

    stack: str
    construct: str
    effect: str
    principals: str  # empty in identity policies
    actions: str
    resources: str
    reason: str
    key: str  # in RESOURCE_POLICY_REASONS, if the reason is there
    open_actions: frozenset[str]  # actions that an identity policy allows on every resource


def statements(templates: Iterable[Template]) -> list[Statement]:
    """Return each statement of `templates` that has a wildcard once."""
    return sorted({statement for template in templates for statement in _of_template(template)})


def _of_template(template: Template) -> Iterator[Statement]:
    for logical_id, resource in template.resources.items():
        properties = resource.get("Properties", {})
        for statement in _policy_statements(properties):
            actions, resources = _values(statement, "Action"), _values(statement, "Resource")
            if any("*" in text for text in (*actions, *resources)):
                yield _statement(template, logical_id, statement, actions, resources)
        for arn in properties.get("ManagedPolicyArns", []):
            yield _managed_policy(template, logical_id, cdk_nag_name(arn))


def _policy_statements(value: Any) -> Iterator[dict[str, Any]]:
    """Return the statements of all policies in the properties of a resource."""
    if isinstance(value, dict):
        if isinstance(value.get("Statement"), list):
            yield from value["Statement"]
        value = list(value.values())
    for item in value if isinstance(value, list) else []:
        yield from _policy_statements(item)


def _values(statement: dict[str, Any], name: str) -> list[str]:
    """Return the actions or resources of a statement; NotAction and NotResource count as a wildcard."""
    return _list(statement.get(name, [])) + [f"* except {text}" for text in _list(statement.get(f"Not{name}", []))]


def _statement(
    template: Template, logical_id: str, statement: dict[str, Any], actions: list[str], resources: list[str]
) -> Statement:
    construct, effect = template.construct(logical_id), statement["Effect"]
    principal = statement.get("Principal", {})
    principals = principal.values() if isinstance(principal, dict) else [principal]
    names = ", ".join(_principal(template, name) for value in principals for name in _list(value))
    key = f"{effect} {names or construct}: {', '.join(actions)}" if names or effect == "Deny" else ""
    if key:
        reason = RESOURCE_POLICY_REASONS.get(key, "")
    else:
        reason = _acknowledged_reason(template.reasons(logical_id), actions, resources)
    open_actions = frozenset(actions) if "*" in resources and not names and effect == "Allow" else frozenset()
    return Statement(
        template.stack, construct, effect, names, _code(actions), _code(resources), reason, key, open_actions
    )


def _acknowledged_reason(acknowledgments: dict[str, str], actions: list[str], resources: list[str]) -> str:
    """Return the reasons acknowledged to cdk-nag, if there is one for each wildcard."""
    wildcards = [f"Action::{action}" for action in actions if "*" in action]
    wildcards += [f"Resource::{resource}" for resource in resources if "*" in resource]
    reasons = [acknowledgments.get(f"AwsSolutions-IAM5[{name}]", "") for name in wildcards]
    return " ".join(dict.fromkeys(reasons)) if all(reasons) else ""


def _managed_policy(template: Template, logical_id: str, arn: str) -> Statement:
    construct, policy = template.construct(logical_id), arn.rpartition("/")[2]
    reason = template.reasons(logical_id).get(f"AwsSolutions-IAM4[Policy::{arn}]", "")
    key = "" if reason else f"Allow {construct}: {policy}"
    reason = reason or RESOURCE_POLICY_REASONS.get(key, "")
    return Statement(
        template.stack, construct, "Allow", "", f"AWS managed policy `{policy}`", "", reason, key, frozenset()
    )


def _list(value: Any) -> list[str]:
    return [cdk_nag_name(item) for item in (value if isinstance(value, list) else [value])]


def _principal(template: Template, principal: str) -> str:
    if principal == "*":
        return "everyone"
    if principal.endswith("<AWS::AccountId>:root"):
        return "the account"
    return template.construct(principal[1:].partition(".")[0]) if principal.startswith("<") else principal


def _short(text: str) -> str:
    """Shorten ARNs, and remove what CDK adds to names."""
    text = re.sub("[0-9a-f]{64}", "<asset>", GENERATED_SUFFIX.sub("", text))
    return re.sub(r"arn:(<AWS::Partition>|aws):", "arn:…:", text).replace("<AWS::Region>:<AWS::AccountId>", "…")


def _code(texts: list[str]) -> str:
    return ", ".join(f"`{_short(text)}`" for text in texts)


MAX_ACTIONS = 30  # in a row
SEVERAL = "Several stacks"


def table(rows: list[Statement]) -> str:
    """Return the statements as Markdown: a table of those that several stacks have, and one for each stack."""
    stacks_of: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        stacks_of.setdefault(_cells(row), set()).add(row.stack)
    holders: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for row in rows:
        cells = _cells(row)
        is_common = len(stacks_of[cells]) > 1
        holder = f"{row.stack}/{row.construct}" if is_common else row.construct
        holders.setdefault(SEVERAL if is_common else row.stack, {}).setdefault(cells, []).append(holder)
    lines: list[str] = []
    for heading in sorted(holders, key=lambda name: (name != SEVERAL, name)):
        lines += [
            f"### {heading}",
            "",
            "| Policy of | Effect | Principal | Actions | Resources | Reason |",
            "|---" * 6 + "|",
        ]
        lines += [f"| {', '.join(names)} | {' | '.join(cells)} |" for cells, names in holders[heading].items()]
        lines.append("")
    return "\n".join(lines)


def _cells(row: Statement) -> tuple[str, ...]:
    """Return the columns that equal statements share. A resource policy's own resource has no name in them."""
    own = f"<{row.construct.replace('/', '')}>"
    resources = row.resources.replace(own, "itself") if row.principals else row.resources
    actions = row.actions
    if (count := len(actions.split(", "))) > MAX_ACTIONS:
        actions = f"{count} actions"
    return row.effect, row.principals, actions, resources, row.reason
