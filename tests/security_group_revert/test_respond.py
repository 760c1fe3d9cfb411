"""The response to an event: calls, notifications and logs."""

import json
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from lambdas.security_group_revert.respond import Responder, RetryableError
from lambdas.security_group_revert.revert import MAX_FILTER_VALUES, GuardedGroup
from lambdas.security_group_revert.rules import Rule
from lambdas.security_group_revert.state import StateTable

from . import records
from .fake_ec2 import FakeDynamoDB, FakeEC2, FakeEventBridge, FakeSNS, ec2_error

HTTPS = Rule(False, "tcp", 443, 443, "CidrIpv4", "0.0.0.0/0", description="HTTPS from anywhere")
SSH = Rule(False, "tcp", 22, 22, "CidrIpv4", "203.0.113.7/32")
RDP = Rule(False, "tcp", 3389, 3389, "CidrIpv4", "203.0.113.7/32")
OPEN_EGRESS = Rule(True, "-1", -1, -1, "CidrIpv4", "0.0.0.0/0")
SMTP_OUT = Rule(True, "tcp", 25, 25, "CidrIpv4", "0.0.0.0/0")
SSH_EVENT = records.event(records.authorized(records.response_rule("sgr-00000000000000001")))


def guarded(*ingress: Rule, egress: tuple[Rule, ...] | None = None, group_id: str = records.GROUP) -> GuardedGroup:
    return GuardedGroup(group_id, "Web Server", ingress or (HTTPS,), egress)


def groups_of_one_call() -> list[GuardedGroup]:
    """As many groups as one call reads; the next group is read by another call."""
    return [guarded(group_id=f"sg-{number:08x}") for number in range(MAX_FILTER_VALUES)]


def respond(
    ec2: Any,
    event: Any,
    *groups: GuardedGroup,
    sns: FakeSNS | None = None,
    dynamodb: FakeDynamoDB | None = None,
    events: FakeEventBridge | None = None,
    **options: Any,
) -> list[dict[str, str]]:
    """Respond to `event`; return the notifications."""
    sns = sns or FakeSNS()
    table = StateTable(cast(Any, dynamodb or FakeDynamoDB()), "state", 24 * 3600)
    topic = "arn:aws:sns:us-east-1:111111111111:notifications"
    clients: Any = {"ec2": ec2, "sns": sns, "events": events or FakeEventBridge()}
    responder = Responder(**clients, table=table, topic_arn=topic, account="111111111111", **options)
    responder.respond(event, list(groups) or [guarded()])
    return sns.notifications


def metrics(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The metrics of each check, which are all that is printed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_unapproved_rule_is_reverted_with_six_calls() -> None:
    ec2, dynamodb, events = FakeEC2([HTTPS, SSH]), FakeDynamoDB(), FakeEventBridge()
    notifications = respond(ec2, SSH_EVENT, dynamodb=dynamodb, events=events)
    assert ec2.current() == {HTTPS}
    assert (len(ec2.calls), len(dynamodb.calls)) == (2, 2), (ec2.calls, dynamodb.calls)
    assert len(notifications) == len(events.details) == 1


@pytest.mark.parametrize("code", ["Client.UnauthorizedOperation", "Client.DryRunOperation"])
def test_failed_call_causes_no_calls(code: str) -> None:
    ec2 = FakeEC2([HTTPS, SSH])
    assert not respond(ec2, records.event(records.record("AuthorizeSecurityGroupIngress", {}, None, errorCode=code)))
    assert not ec2.calls


def test_event_of_unguarded_group_causes_no_calls() -> None:
    ec2 = FakeEC2([SSH])
    assert not respond(ec2, SSH_EVENT, guarded(group_id="sg-99999999"))
    assert not ec2.calls


@pytest.mark.reliability(
    "security_group_revert",
    "Malformed input",
    fault="an event is unreadable, or names no group",
)
def test_event_without_group_checks_all_groups() -> None:
    ec2 = FakeEC2([HTTPS, SSH])
    respond(
        ec2, records.event(records.record("AuthorizeSecurityGroupIngress", {"groupName": "web"}, {"_return": True}))
    )
    assert ec2.current() == {HTTPS}


def test_event_without_group_and_findings_is_silent() -> None:
    """Descriptions can be changed by group name, without an ID in the response: it may be any group."""
    permission = records.permission(22, ipRanges=[{"cidrIp": "203.0.113.7/32", "description": "new"}])
    request = {"groupName": "web", "ipPermissions": {"items": [permission]}}
    detail = records.record("UpdateSecurityGroupRuleDescriptionsIngress", request, {"_return": True})
    assert not respond(FakeEC2([HTTPS]), records.event(detail))


@pytest.mark.parametrize(
    "detail",
    [
        "text",
        ["a", "list"],
        {"requestParameters": "text", "eventName": "AuthorizeSecurityGroupIngress"},
        {"userIdentity": 7, "eventName": "AuthorizeSecurityGroupIngress"},
        {"requestParameters": {"groupId": {"not": "text"}}, "eventName": "AuthorizeSecurityGroupIngress"},
        {"requestParameters": {"groupId": " SG-0123456789ABCDEF0"}, "eventName": "AuthorizeSecurityGroupIngress"},
    ],
)
@pytest.mark.reliability(
    "security_group_revert",
    "Malformed input",
    fault="an event is unreadable, or names no group",
    expected="all groups are checked",
    observed="reverted",
)
def test_unreadable_event_checks_all_groups(detail: Any) -> None:
    ec2 = FakeEC2([HTTPS, SSH])
    respond(ec2, {"detail-type": "AWS API Call via CloudTrail", "detail": detail})
    assert ec2.current() == {HTTPS}


@pytest.mark.reliability(
    "security_group_revert",
    "Malformed input",
    fault="a rule with an unknown source type, or an unreadable rule",
    expected="not approved, so revoked",
    observed="only that rule is revoked",
)
def test_rule_of_unknown_source_type_is_revoked() -> None:
    ec2 = FakeEC2([HTTPS, SSH])
    new = {"SecurityGroupRuleId": "sgr-new", "IsEgress": False, "IpProtocol": "tcp", "FutureSource": "x-1"}
    ec2.rules["sgr-new"] = new
    respond(ec2, records.SWEEP)
    assert ec2.current() == {HTTPS}


def test_approved_change_causes_no_notification() -> None:
    ec2 = FakeEC2([HTTPS])
    item = records.response_rule("sgr-1", cidrIpv4="0.0.0.0/0") | {"fromPort": 443, "toPort": 443}
    assert not respond(ec2, records.event(records.authorized(item)))
    assert not ec2.changes


@pytest.mark.reliability(
    "security_group_revert",
    "Duplicate",
    fault="duplicate or concurrent events",
    expected="no further change",
    observed='"Already reverted"',
)
def test_duplicate_event_changes_nothing() -> None:
    ec2, dynamodb = FakeEC2([HTTPS, SSH]), FakeDynamoDB()
    respond(ec2, SSH_EVENT, dynamodb=dynamodb)
    before = list(ec2.changes)
    (notification,) = respond(ec2, SSH_EVENT, dynamodb=dynamodb)
    assert ec2.changes == before
    assert notification["Subject"].startswith("Already reverted")


@pytest.mark.reliability("security_group_revert", "Delayed or out of order", fault="events arrive late or out of order")
def test_event_of_already_reverted_rule_names_its_caller() -> None:
    ec2, dynamodb = FakeEC2([HTTPS, SSH]), FakeDynamoDB()
    respond(ec2, records.SWEEP, dynamodb=dynamodb)
    (notification,) = respond(ec2, SSH_EVENT, dynamodb=dynamodb)
    assert "user/alice" in notification["Message"]
    assert "already reverted by an earlier check: inbound TCP 22 from 203.0.113[.]7/32" in notification["Message"]


def test_rules_not_in_the_event_are_reverted_and_listed_apart() -> None:
    ec2 = FakeEC2([HTTPS, SSH, RDP])
    (notification,) = respond(ec2, SSH_EVENT)
    assert ec2.current() == {HTTPS}
    mine, others = notification["Message"].split("Other findings in this check")
    assert "TCP 22" in mine
    assert "TCP 3389" in others


def test_modified_rule_is_restored_with_same_id() -> None:
    ec2 = FakeEC2([Rule(False, "tcp", 22, 22, "CidrIpv4", "0.0.0.0/0")])
    (rule_id,) = ec2.rules
    (notification,) = respond(ec2, records.event(records.modified(records.update(rule_id))))
    assert (list(ec2.rules), ec2.current()) == ([rule_id], {HTTPS})
    assert ec2.changes == ["ModifySecurityGroupRules"]
    assert "modified: inbound TCP 443 from 0.0.0.0/0" in notification["Message"]


def test_fully_changed_rule_is_revoked_and_restored() -> None:
    ec2 = FakeEC2([SSH])
    (rule_id,) = ec2.rules
    (notification,) = respond(ec2, records.event(records.modified(records.update(rule_id, cidr="203.0.113.7/32"))))
    assert ec2.current() == {HTTPS}
    assert "revoked: inbound TCP 22" in notification["Message"]
    assert "restored: inbound TCP 443" in notification["Message"]


@pytest.mark.reliability("security_group_revert", "Deleted externally", fault="an approved rule")
def test_revoked_rule_is_restored_with_its_description() -> None:
    ec2 = FakeEC2([])
    https = records.response_rule("sgr-1", cidrIpv4="0.0.0.0/0") | {"fromPort": 443, "toPort": 443}
    response = {"revokedSecurityGroupRuleSet": {"items": [https]}}
    detail = records.record("RevokeSecurityGroupIngress", {"groupId": records.GROUP}, response)
    (notification,) = respond(ec2, records.event(detail))
    (rule,) = ec2.rules.values()
    assert rule["Description"] == "HTTPS from anywhere"
    assert "restored: inbound TCP 443" in notification["Message"].split("Outcome")[1]
    assert "Other findings in this check" not in notification["Message"]


def test_changed_approved_description_is_restored() -> None:
    ec2 = FakeEC2([Rule(False, "tcp", 443, 443, "CidrIpv4", "0.0.0.0/0", description="nothing to see")])
    respond(ec2, records.SWEEP)
    (rule,) = ec2.rules.values()
    assert rule["Description"] == "HTTPS from anywhere"
    assert ec2.changes == ["UpdateSecurityGroupRuleDescriptionsIngress"]


@pytest.mark.reliability(
    "security_group_revert",
    "Deleted externally",
    fault="an approved rule, with `restore=false`",
    expected="reported and counted, not restored",
    observed='"Unapproved", metric 1',
)
def test_missing_rule_without_restore_is_only_reported(capsys: pytest.CaptureFixture[str]) -> None:
    ec2 = FakeEC2([SSH])
    (notification,) = respond(ec2, records.SWEEP, restore=False)
    assert (ec2.current(), ec2.changes) == (set(), ["RevokeSecurityGroupIngress"])
    assert notification["Subject"] == "Unapproved: 1 of 2 changes to security group Web Server"
    assert "unapproved, would restore: inbound TCP 443" in notification["Message"]
    assert metrics(capsys)[0]["NotReverted"] == 1


def test_egress_is_reverted_only_if_guarded() -> None:
    ec2 = FakeEC2([HTTPS, SMTP_OUT])
    respond(ec2, records.SWEEP)
    assert ec2.current(is_egress=True) == {SMTP_OUT}
    respond(ec2, records.SWEEP, guarded(egress=(OPEN_EGRESS,)))
    assert ec2.current(is_egress=True) == {OPEN_EGRESS}


def test_default_ipv6_egress_rule_is_optional() -> None:
    ipv6 = Rule(True, "-1", -1, -1, "CidrIpv6", "::/0")
    by_default = GuardedGroup(records.GROUP, "Web Server", (HTTPS,), (OPEN_EGRESS,), optional=(ipv6,))
    for present in ([OPEN_EGRESS, ipv6], [OPEN_EGRESS]):
        ec2 = FakeEC2([HTTPS, *present])
        assert not respond(ec2, records.SWEEP, by_default)
        assert ec2.current(is_egress=True) == set(present)
    approved = GuardedGroup(records.GROUP, "Web Server", (HTTPS,), (OPEN_EGRESS,))
    ec2 = FakeEC2([HTTPS, OPEN_EGRESS, ipv6])
    respond(ec2, records.SWEEP, approved)
    assert ec2.current(is_egress=True) == {OPEN_EGRESS}, "only rules in the settings are approved"


def test_unguarded_egress_change_causes_no_notification() -> None:
    ec2 = FakeEC2([HTTPS, SMTP_OUT])
    rule_id = next(rule_id for rule_id, rule in ec2.rules.items() if rule["IsEgress"])
    item = records.response_rule(rule_id, is_egress=True)
    assert not respond(ec2, records.event(records.authorized(item, name="AuthorizeSecurityGroupEgress")))
    assert not respond(ec2, records.event(records.modified(records.update(rule_id, port=25))))


def test_notify_mode_reports_without_changes() -> None:
    ec2 = FakeEC2([HTTPS, SSH])
    (notification,) = respond(ec2, SSH_EVENT, change_rules=False)
    assert ec2.current() == {HTTPS, SSH}
    assert not ec2.changes
    assert notification["Subject"] == "Unapproved: 1 change to security group Web Server"
    assert "unapproved, would revoke: inbound TCP 22" in notification["Message"]
    assert "Connections opened through a revoked rule" not in notification["Message"]


def test_notify_mode_sweep_reports_finding_once(capsys: pytest.CaptureFixture[str]) -> None:
    ec2, dynamodb = FakeEC2([HTTPS, SSH]), FakeDynamoDB()
    (notification,) = respond(ec2, records.SWEEP, change_rules=False, dynamodb=dynamodb)
    assert notification["Subject"] == "Unapproved: 1 change to security group Web Server"
    assert not respond(ec2, records.SWEEP, change_rules=False, dynamodb=dynamodb)
    assert [record["NotReverted"] for record in metrics(capsys)] == [1, 1]


def test_sweep_of_approved_group_makes_one_ec2_call() -> None:
    ec2 = FakeEC2([HTTPS])
    assert not respond(ec2, records.SWEEP)
    assert ec2.calls == ["DescribeSecurityGroupRules"]


@pytest.mark.reliability("security_group_revert", "Access denied", fault="no permission to revoke a rule")
@pytest.mark.reliability(
    "security_group_revert",
    "Partial failure",
    fault="an error in one rule or group of several",
    expected="the others are reverted",
    observed="reverted in smaller calls after the first was denied",
)
def test_denied_rule_does_not_block_other_rules(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse_rdp(ec2: FakeEC2, _operation: str, parameters: dict[str, Any]) -> None:
        ids = parameters.get("SecurityGroupRuleIds", [])
        if any(ec2.rules[rule_id]["FromPort"] == 3389 for rule_id in ids):
            raise ec2_error("UnauthorizedOperation")

    ec2 = FakeEC2([HTTPS, SSH, RDP], [refuse_rdp] * 9)
    (notification,) = respond(ec2, SSH_EVENT)
    assert ec2.current() == {HTTPS, RDP}
    assert notification["Subject"] == "NOT REVERTED: 1 of 2 changes to security group Web Server"
    assert "FAILED to revoke: inbound TCP 3389 from 203.0.113[.]7/32" in notification["Message"]
    assert "UnauthorizedOperation" in notification["Message"]
    assert "revoked: inbound TCP 22" in notification["Message"]
    assert metrics(capsys)[0]["NotReverted"] == 1


@pytest.mark.reliability(
    "security_group_revert",
    "Deleted externally",
    fault="a rule, just before the function revokes it",
    expected="no failure, because the rule is gone",
    observed="no failure in the notification",
)
def test_rule_revoked_by_someone_else_is_not_a_failure() -> None:
    def someone_revokes(ec2: FakeEC2, _operation: str, parameters: dict[str, Any]) -> None:
        ec2.rules.pop(parameters["SecurityGroupRuleIds"][0])

    ec2 = FakeEC2([HTTPS, SSH, RDP], [None, someone_revokes])
    (notification,) = respond(ec2, SSH_EVENT)
    assert ec2.current() == {HTTPS}
    assert "FAILED" not in notification["Message"]


@pytest.mark.reliability("security_group_revert", "Throttling", fault="EC2 throttles calls")
def test_throttled_revoke_is_reported_and_retried() -> None:
    def throttle(_ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
        raise ec2_error("RequestLimitExceeded")

    ec2, sns = FakeEC2([HTTPS, SSH], [None, throttle]), FakeSNS()
    with pytest.raises(RetryableError, match="RequestLimitExceeded"):
        respond(ec2, SSH_EVENT, sns=sns)
    assert sns.notifications[0]["Subject"].startswith("NOT REVERTED")
    respond(ec2, SSH_EVENT)
    assert ec2.current() == {HTTPS}


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="no permission to read the rules",
    expected="the other groups are checked, then an error",
    observed="the second group is reverted",
)
def test_unreadable_group_does_not_block_other_groups() -> None:
    def refuse_reading(_ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
        raise ec2_error("UnauthorizedOperation")

    ec2 = FakeEC2([HTTPS, SSH], [refuse_reading])
    with pytest.raises(RetryableError, match=r"cannot read sg-00000000, .*UnauthorizedOperation"):
        respond(ec2, records.SWEEP, *groups_of_one_call(), guarded())
    assert ec2.current() == {HTTPS}


@pytest.mark.reliability("security_group_revert", "Partial failure", fault="an error in one rule or group of several")
def test_connection_error_does_not_block_other_groups() -> None:
    def fail_to_connect(_ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
        raise EndpointConnectionError(endpoint_url="https://ec2.us-east-1.amazonaws.com")

    ec2 = FakeEC2([HTTPS, SSH], [fail_to_connect])
    with pytest.raises(RetryableError, match=r"cannot read sg-00000000, .*Could not connect"):
        respond(ec2, records.SWEEP, *groups_of_one_call(), guarded())
    assert ec2.current() == {HTTPS}


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="no permission to send the notification",
    expected="reverted, then an error",
    observed="`KMSAccessDenied`; the rule is gone",
)
def test_failed_publish_is_an_error_after_the_revert() -> None:
    class BrokenSNS(FakeSNS):
        def publish(self, **_parameters: str) -> None:
            raise ClientError({"Error": {"Code": "KMSAccessDenied", "Message": ""}}, "Publish")

    ec2 = FakeEC2([HTTPS, SSH])
    with pytest.raises(RetryableError, match="KMSAccessDenied"):
        respond(ec2, SSH_EVENT, sns=BrokenSNS())
    assert ec2.current() == {HTTPS}


def test_event_of_already_restored_rule_names_its_caller() -> None:
    https = records.response_rule("sgr-1", cidrIpv4="0.0.0.0/0") | {"fromPort": 443, "toPort": 443}
    response = {"revokedSecurityGroupRuleSet": {"items": [https]}}
    detail = records.record("RevokeSecurityGroupIngress", {"groupId": records.GROUP}, response)
    (notification,) = respond(FakeEC2([HTTPS]), records.event(detail))
    assert (
        "no longer present (reverted by someone else, or not visible yet): inbound TCP 443" in notification["Message"]
    )
