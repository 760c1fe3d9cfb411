"""Every statement of a policy with a wildcard in its actions or resources, and why it is there.

Identity policies have their reasons in the stacks, where cdk-nag is answered. It does not look at
policies of resources, and at what aws-cdk-lib writes without constructs: their reasons are here.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .assembly import Template

IN_KEY_POLICY = "In a key's policy `*` is the key itself."
TLS_ONLY = "It denies every call over plain HTTP."
NO_LOG_GROUPS = "Lambda would create the log group again that the stack's removal has deleted."
EMPTYING = "Custom::S3AutoDeleteObjectsCustomResourceProvider/Role"
MADE_UP = re.compile(r"\.Arn(?=>)|[0-9A-F]{8}(?=[.>])")  # what CDK adds to names
# Effect, whom and what: why.
OF_RESOURCES = {
    "Deny everyone: s3:*": TLS_ONLY,
    "Deny everyone: sqs:*": TLS_ONLY,
    "Allow the account: kms:*": f"KMS's default: IAM policies decide; without it a key can be lost. {IN_KEY_POLICY}",
    "Allow cloudwatch.amazonaws.com: kms:Decrypt, kms:GenerateDataKey*": (
        f"The calls that SNS's documentation names for CloudWatch, from this account only. {IN_KEY_POLICY}"
    ),
    "Allow events.amazonaws.com: kms:Decrypt, kms:GenerateDataKey*": (
        "The calls of EventBridge to an encrypted topic, for which SNS supports no condition on its source. "
        f"{IN_KEY_POLICY}"
    ),
    f"Allow {EMPTYING}: s3:DeleteObject*, s3:GetBucket*, s3:List*, s3:PutBucketPolicy": (
        "aws-cdk-lib's function that empties the bucket before its removal; with `production` there is none."
    ),
    f"Allow {EMPTYING}: AWSLambdaBasicExecutionRole": "aws-cdk-lib gives it the managed policy for logs.",
    "Allow logging.s3.amazonaws.com: s3:PutObject": "S3 names its log files; below one prefix, of one bucket.",
    "Allow cloudtrail.amazonaws.com: s3:PutObject": (
        "CloudTrail names its log files; below this account's prefix, and for one trail."
    ),
    "Allow cloudtrail.amazonaws.com: kms:DescribeKey": f"For one trail. {IN_KEY_POLICY}",
    "Allow cloudtrail.amazonaws.com: kms:GenerateDataKey*": (
        f"The calls that CloudTrail's documentation names, for one trail. {IN_KEY_POLICY}"
    ),
    "Deny Custom::CDKBucketDeployment/ServiceRole: cloudfront:CreateInvalidation, cloudfront:GetInvalidation": (
        "It denies what aws-cdk-lib allows on every distribution, except on the site's own."
    ),
    f"Deny {EMPTYING}: logs:CreateLogGroup": NO_LOG_GROUPS,
    "Deny Custom::CDKBucketDeployment/ServiceRole: logs:CreateLogGroup": NO_LOG_GROUPS,
    "Allow cloudfront.amazonaws.com: s3:GetObject": "The files of the site, for this one distribution.",
}


@dataclass(frozen=True, order=True)
class Statement:
    """A statement with a wildcard; `reason` is empty when none is given."""

    stack: str
    construct: str
    text: str
    reason: str
    key: str  # of OF_RESOURCES, when the reason is looked up there
    open_actions: frozenset[str]  # those that an identity policy allows on every resource


def statements(found: Iterable[Template]) -> list[Statement]:
    """Give each statement of `found` that has a wildcard once."""
    return sorted({statement for template in found for statement in _of_template(template)})


def _of_template(template: Template) -> Iterator[Statement]:
    for logical_id, resource in template.resources.items():
        properties = resource.get("Properties", {})
        for statement in _written(properties):
            actions, resources = _what(statement, "Action"), _what(statement, "Resource")
            if any("*" in text for text in (*actions, *resources)):
                yield _read(template, logical_id, statement, actions, resources)
        for arn in properties.get("ManagedPolicyArns", []):
            yield _managed(template, logical_id, _text(arn))


def _written(value: Any) -> Iterator[dict[str, Any]]:
    """The statements of all policies in the properties of a resource."""
    if isinstance(value, dict):
        if isinstance(value.get("Statement"), list):
            yield from value["Statement"]
        value = list(value.values())
    for item in value if isinstance(value, list) else []:
        yield from _written(item)


def _what(statement: dict[str, Any], name: str) -> list[str]:
    """The actions or resources of a statement; one that says what it is not about has a wildcard."""
    return _list(statement.get(name, [])) + [f"* except {text}" for text in _list(statement.get(f"Not{name}", []))]


def _read(
    template: Template, logical_id: str, statement: dict[str, Any], actions: list[str], resources: list[str]
) -> Statement:
    construct, effect = template.construct(logical_id), statement["Effect"]
    principal = statement.get("Principal", {})
    kinds = principal.values() if isinstance(principal, dict) else [principal]
    names = ", ".join(_whom(template, whom) for kind in kinds for whom in _list(kind))
    key = f"{effect} {names or construct}: {', '.join(actions)}" if names or effect == "Deny" else ""
    reason = OF_RESOURCES.get(key, "") if key else _given(template.reasons(logical_id), actions, resources)
    text = f"{names} {'may' if effect == 'Allow' else 'may not'} {_code(actions)} on {_code(resources)}".strip()
    open_actions = frozenset(actions) if "*" in resources and not names and effect == "Allow" else frozenset()
    return Statement(template.stack, construct, text, reason, key, open_actions)


def _given(answers: dict[str, str], actions: list[str], resources: list[str]) -> str:
    """The reasons given to cdk-nag, if there is one for each wildcard."""
    wanted = [f"Action::{action}" for action in actions if "*" in action]
    wanted += [f"Resource::{resource}" for resource in resources if "*" in resource]
    reasons = [answers.get(f"AwsSolutions-IAM5[{name}]", "") for name in wanted]
    return " ".join(dict.fromkeys(reasons)) if all(reasons) else ""


def _managed(template: Template, logical_id: str, arn: str) -> Statement:
    construct, policy = template.construct(logical_id), arn.rpartition("/")[2]
    reason = template.reasons(logical_id).get(f"AwsSolutions-IAM4[Policy::{arn}]", "")
    key = "" if reason else f"Allow {construct}: {policy}"
    text = f"has AWS's managed policy `{policy}`"
    return Statement(template.stack, construct, text, reason or OF_RESOURCES.get(key, ""), key, frozenset())


def _list(value: Any) -> list[str]:
    return [_text(item) for item in (value if isinstance(value, list) else [value])]


def _text(value: Any) -> str:
    """A value of a template as cdk-nag writes it: references and policy variables in angle brackets."""
    match value:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Sub": str(text)} | str(text):
            return re.sub(r"\$\{(.+?)\}", r"<\1>", text)
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(_text(part) for part in parts)
        case list():
            return " ".join(_text(item) for item in value)
        case _:
            return str(value)


def _whom(template: Template, principal: str) -> str:
    if principal == "*":
        return "everyone"
    if principal.endswith("<AWS::AccountId>:root"):
        return "the account"
    return template.construct(principal[1:].partition(".")[0]) if principal.startswith("<") else principal


def _short(text: str) -> str:
    """Without what CDK adds to names, and what is the same in every ARN."""
    text = re.sub("[0-9a-f]{64}", "<asset>", MADE_UP.sub("", text))
    return re.sub(r"arn:(<AWS::Partition>|aws):", "arn:…:", text).replace("<AWS::Region>:<AWS::AccountId>", "…")


def _code(texts: list[str]) -> str:
    return ", ".join(f"`{_short(text)}`" for text in texts)


def table(found: list[Statement]) -> str:
    """Give the statements as Markdown, one table a stack."""
    lines: list[str] = []
    for stack in sorted({statement.stack for statement in found}):
        lines += [f"### {stack}", "", "| policy of | statement | why |", "|---|---|---|"]
        lines += [f"| {s.construct} | {s.text} | {s.reason} |" for s in found if s.stack == stack]
        lines.append("")
    return "\n".join(lines)
