"""Evaluation of IAM policies, according to the IAM user guide; not compared with an AWS account."""

from typing import Any

import pytest

from sandbox.iam.conditions import UnsupportedPolicyError, condition_holds
from sandbox.iam.policy import Decision, Request, evaluate, resource_matches

ROLE = "arn:aws:iam::111111111111:role/Worker"
QUEUE = "arn:aws:sqs:us-east-1:111111111111:jobs"
KEY = "arn:aws:kms:us-east-1:111111111111:key/1234"
FUNCTION = "arn:aws:lambda:us-east-1:111111111111:function:worker"
ROOT = "arn:aws:iam::111111111111:root"
SEND = Request(ROLE, "sqs:SendMessage", QUEUE)
DECRYPT = Request(ROLE, "kms:Decrypt", KEY)
SERVICE_SENDS = Request("events.amazonaws.com", "sqs:SendMessage", QUEUE)


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: Any = "sqs:SendMessage", resource: Any = QUEUE, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = "sqs:SendMessage", resource: Any = QUEUE, **more: Any) -> dict[str, Any]:
    return allow(action, resource, **more) | {"Effect": "Deny"}


def decide(request: Request, *identity: dict[str, Any], **policies: Any) -> Decision:
    return evaluate(request, identity_policies=[document(*identity)] if identity else [], **policies)


def test_request_without_allow_is_implicitly_denied() -> None:
    assert decide(SEND) is Decision.IMPLICITLY_DENIED
    assert decide(SEND, allow(resource=f"{QUEUE}-2"), allow("sqs:ReceiveMessage")) is Decision.IMPLICITLY_DENIED


def test_deny_takes_precedence_over_allow() -> None:
    public = document(allow(Principal="*"))
    assert decide(SEND, allow(), deny(), resource_policy=public) is Decision.EXPLICITLY_DENIED
    closed = document(allow(Principal="*"), deny(Principal={"AWS": "*"}))
    assert decide(SEND, allow(), resource_policy=closed) is Decision.EXPLICITLY_DENIED
    assert decide(SERVICE_SENDS, resource_policy=closed) is Decision.EXPLICITLY_DENIED
    assert decide(SEND, allow(), boundary=document(allow(), deny())) is Decision.EXPLICITLY_DENIED


def test_deny_of_account_applies_to_its_roles() -> None:
    policy = document(deny(Principal={"AWS": ROOT}))
    assert decide(SEND, allow(), resource_policy=policy) is Decision.EXPLICITLY_DENIED


@pytest.mark.parametrize(
    ("pattern", "action", "matches"),
    [
        ("sqs:sendmessage", "sqs:SendMessage", True),
        ("sqs:Send*", "sqs:SendMessage", True),
        ("sqs:SendMessag?", "sqs:SendMessage", True),
        ("*", "sqs:SendMessage", True),
        ("sqs:Send", "sqs:SendMessage", False),
        ("sns:*", "sqs:SendMessage", False),
    ],
)
def test_action_matches_case_insensitively_with_wildcards(pattern: str, action: str, matches: bool) -> None:
    decision = decide(Request(ROLE, action, QUEUE), allow(pattern))
    assert (decision is Decision.ALLOWED) is matches


@pytest.mark.parametrize(
    ("pattern", "resource", "matches"),
    [
        ("*", QUEUE, True),
        ("arn:aws:sqs:*:111111111111:jobs", QUEUE, True),
        ("arn:aws:sqs:us-*:jobs", QUEUE, False),
        ("arn:aws:sqs:us-east-1:111111111111:JOBS", QUEUE, False),
        ("arn:aws:s3:::site/*", "arn:aws:s3:::site/docs/index.html", True),
        ("arn:aws:s3:::site/*", "arn:aws:s3:::site", False),
        ("arn:aws:s3:::site/?.html", "arn:aws:s3:::site/a.html", True),
        (f"{FUNCTION}:*", f"{FUNCTION}:1", True),
        (f"{FUNCTION}:*", FUNCTION, False),
    ],
)
def test_resource_wildcard_matches_within_arn_part(pattern: str, resource: str, matches: bool) -> None:
    assert resource_matches(pattern, resource) is matches


def test_not_action_and_not_resource_match_all_others() -> None:
    assert decide(SEND, {"Effect": "Allow", "NotAction": "sqs:Delete*", "Resource": "*"}) is Decision.ALLOWED
    assert decide(SEND, {"Effect": "Allow", "NotAction": "sqs:*", "Resource": "*"}) is Decision.IMPLICITLY_DENIED
    elsewhere = {"Effect": "Deny", "Action": "sqs:*", "NotResource": QUEUE}
    assert decide(SEND, allow(resource="*"), elsewhere) is Decision.ALLOWED
    other = Request(ROLE, "sqs:SendMessage", f"{QUEUE}-2")
    assert decide(other, allow(resource="*"), elsewhere) is Decision.EXPLICITLY_DENIED


@pytest.mark.parametrize(
    ("principal", "request_", "decision"),
    [
        ("*", SEND, Decision.ALLOWED),
        ({"AWS": "*"}, SEND, Decision.ALLOWED),
        ({"AWS": ["arn:aws:iam::111111111111:role/Other", ROLE]}, SEND, Decision.ALLOWED),
        ({"AWS": "arn:aws:iam::111111111111:role/Other"}, SEND, Decision.IMPLICITLY_DENIED),
        ({"AWS": ROOT}, SEND, Decision.IMPLICITLY_DENIED),
        ({"AWS": "111111111111"}, SEND, Decision.IMPLICITLY_DENIED),
        ({"AWS": ROOT}, SERVICE_SENDS, Decision.IMPLICITLY_DENIED),
        ({"Service": "events.amazonaws.com"}, SERVICE_SENDS, Decision.ALLOWED),
        ({"Service": ["sns.amazonaws.com", "events.amazonaws.com"]}, SERVICE_SENDS, Decision.ALLOWED),
        ({"Service": "sns.amazonaws.com"}, SERVICE_SENDS, Decision.IMPLICITLY_DENIED),
        ({"Federated": "cognito-identity.amazonaws.com"}, SEND, Decision.IMPLICITLY_DENIED),
    ],
)
def test_resource_policy_allows_only_its_principals(principal: Any, request_: Request, decision: Decision) -> None:
    assert decide(request_, resource_policy=document(allow(Principal=principal))) is decision


def test_service_ignores_identity_policies() -> None:
    assert decide(SERVICE_SENDS, allow(resource="*")) is Decision.IMPLICITLY_DENIED


def test_kms_key_requires_role_or_account_in_key_policy() -> None:
    granted = allow("kms:Decrypt", KEY)
    account = document(allow("kms:*", "*", Principal={"AWS": ROOT}))
    role_policy = document(allow("kms:Decrypt", "*", Principal={"AWS": ROLE}))
    assert decide(DECRYPT, granted) is Decision.IMPLICITLY_DENIED
    assert decide(DECRYPT, resource_policy=account) is Decision.IMPLICITLY_DENIED
    assert decide(DECRYPT, granted, resource_policy=account) is Decision.ALLOWED
    assert decide(DECRYPT, resource_policy=role_policy) is Decision.ALLOWED


def test_role_can_be_assumed_by_trusted_principal() -> None:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    for service, decision in (("lambda", Decision.ALLOWED), ("ec2", Decision.IMPLICITLY_DENIED)):
        request = Request(f"{service}.amazonaws.com", "sts:AssumeRole", ROLE)
        assert decide(request, resource_policy=document(trust)) is decision


def test_permissions_boundary_limits_but_grants_nothing() -> None:
    assert decide(SEND, allow(), boundary=document(allow("sqs:*", "*"))) is Decision.ALLOWED
    assert decide(SEND, allow(), boundary=document(allow("sns:*", "*"))) is Decision.IMPLICITLY_DENIED
    assert decide(SEND, boundary=document(allow("sqs:*", "*"))) is Decision.IMPLICITLY_DENIED


def test_statement_applies_only_if_condition_holds() -> None:
    condition = {"ArnEquals": {"aws:SourceArn": "arn:aws:events:us-east-1:111111111111:rule/Changes"}}
    policy = document(allow(Principal={"Service": "events.amazonaws.com"}, Condition=condition))
    for rule, decision in (("Changes", Decision.ALLOWED), ("Other", Decision.IMPLICITLY_DENIED)):
        context: dict[str, str | list[str]] = {"AWS:sourcearn": f"arn:aws:events:us-east-1:111111111111:rule/{rule}"}
        request = Request("events.amazonaws.com", "sqs:SendMessage", QUEUE, context)
        assert decide(request, resource_policy=policy) is decision


@pytest.mark.parametrize(
    ("operator", "expected", "value", "holds"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", ["a", "b"], "b", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "a*", "ab", False),
        ("StringEqualsIgnoreCase", "a", "A", True),
        ("StringLike", "a*", "ab", True),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringNotEquals", ["a", "b"], "c", True),
        ("StringNotLike", "a*", "ab", False),
        ("ArnLike", "arn:aws:sns:*:111111111111:t", "arn:aws:sns:us-east-1:111111111111:t", True),
        ("ArnEquals", "arn:aws:sns:*:t", "arn:aws:sns:us-east-1:111111111111:t", False),
        ("ArnNotLike", "arn:aws:sns:*:111111111111:t", "arn:aws:sns:us-east-1:111111111111:t", False),
        ("Bool", "true", "true", True),
        ("Bool", True, "true", True),
        ("Bool", "false", "true", False),
        ("NumericLessThan", "10", "9", True),
        ("NumericGreaterThanEquals", 10, "9", False),
        ("NumericNotEquals", "10", "9", True),
        ("IpAddress", "10.0.0.0/8", "10.1.2.3", True),
        ("NotIpAddress", "10.0.0.0/8", "10.1.2.3", False),
        ("Null", "false", "a", True),
        ("Null", "true", "a", False),
    ],
)
def test_condition_operator_compares_value(operator: str, expected: Any, value: str, holds: bool) -> None:
    assert condition_holds({operator: {"aws:key": expected}}, {"aws:Key": value}) is holds


@pytest.mark.parametrize(
    ("operator", "holds"),
    [
        ("StringEquals", False),
        ("StringEqualsIfExists", True),
        ("StringNotEquals", True),
        ("ForAllValues:StringEquals", True),
        ("ForAnyValue:StringEquals", False),
        ("ForAnyValue:StringNotEquals", False),
        ("ForAnyValue:StringEqualsIfExists", True),
        ("Null", False),
    ],
)
def test_condition_operator_with_missing_key(operator: str, holds: bool) -> None:
    assert condition_holds({operator: {"aws:key": "a"}}, {}) is holds


@pytest.mark.parametrize(
    ("operator", "values", "holds"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "c"], False),
        ("ForAllValues:StringNotEquals", ["a", "c"], False),
        ("ForAllValues:StringNotEquals", ["c", "d"], True),
        ("ForAnyValue:StringEquals", ["a", "c"], True),
        ("ForAnyValue:StringEquals", ["c", "d"], False),
        ("ForAnyValue:StringNotEquals", ["a", "c"], True),
        ("ForAllValues:StringLike", ["a", "b"], True),
    ],
)
def test_set_operator_compares_each_value(operator: str, values: list[str], holds: bool) -> None:
    assert condition_holds({operator: {"aws:key": ["a", "b"]}}, {"aws:key": values}) is holds


def test_condition_requires_every_operator_and_key() -> None:
    condition = {"StringEquals": {"aws:a": "1", "aws:b": "2"}, "Bool": {"aws:c": "true"}}
    right: dict[str, str | list[str]] = {"aws:a": "1", "aws:b": "2", "aws:c": "true"}
    assert condition_holds(condition, right)
    for key in right:
        assert not condition_holds(condition, right | {key: "no"}), key


@pytest.mark.parametrize(
    "statement",
    [
        allow(Condition={"DateLessThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}),
        allow(Condition={"ForEachValue:StringEquals": {"aws:TagKeys": "a"}}),
        allow(Condition={"StringEquals": {"aws:PrincipalTag/team": "${aws:PrincipalTag/team}"}}),
        allow(Condition={"StringEquals": {"aws:TagKeys": "a"}}),
        allow(resource="arn:aws:s3:::home/${aws:PrincipalTag/team}/*"),
    ],
    ids=["operator", "set operator", "variable in a condition", "several values", "variable in a resource"],
)
def test_unsupported_statement_raises(statement: dict[str, Any]) -> None:
    request = Request(ROLE, "sqs:SendMessage", QUEUE, {"aws:TagKeys": ["a", "b"], "aws:PrincipalTag/team": "x"})
    with pytest.raises(UnsupportedPolicyError):
        decide(request, statement)


@pytest.mark.parametrize(
    ("context", "allowed"), [({"aws:username": "a"}, True), ({"aws:username": "b"}, False), ({}, False)]
)
def test_variable_of_user_has_the_value_of_the_request(context: dict[str, str], allowed: bool) -> None:
    request = Request(ROLE, "sqs:SendMessage", f"{QUEUE}-a", context)
    in_resource = decide(request, allow(resource=f"{QUEUE}-${{aws:username}}"))
    in_condition = decide(
        Request(ROLE, "sqs:SendMessage", QUEUE, context | {"aws:ResourceTag/owner": "a"}),
        allow(Condition={"StringEquals": {"aws:ResourceTag/owner": "${aws:username}"}}),
    )
    assert {in_resource, in_condition} == {Decision.ALLOWED if allowed else Decision.IMPLICITLY_DENIED}


@pytest.mark.parametrize("principal", [{"NotPrincipal": "*"}, {"Principal": {"Group": "admins"}}])
def test_unsupported_principal_raises(principal: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedPolicyError):
        decide(SEND, resource_policy=document(allow(**principal)))
