"""Facts about what an event leads to: calls, notices, log."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from lambdas.security_group_revert.notice import CONNECTIONS
from lambdas.security_group_revert.respond import Responder, UnfinishedError, guarded_groups
from lambdas.security_group_revert.revert import Guarded
from lambdas.security_group_revert.rules import Rule
from lambdas.security_group_revert.state import StateTable

from . import records
from .fake_ec2 import FakeDynamoDB, FakeEC2, FakeSNS, refuse

HTTPS = Rule(False, "tcp", 443, 443, "CidrIpv4", "0.0.0.0/0", description="HTTPS from anywhere")
SSH = Rule(False, "tcp", 22, 22, "CidrIpv4", "203.0.113.7/32")
RDP = Rule(False, "tcp", 3389, 3389, "CidrIpv4", "203.0.113.7/32")
OPEN_EGRESS = Rule(True, "-1", -1, -1, "CidrIpv4", "0.0.0.0/0")
SMTP_OUT = Rule(True, "tcp", 25, 25, "CidrIpv4", "0.0.0.0/0")
SSH_EVENT = records.event(records.authorized(records.answered("sgr-00000000000000001")))


def guarded(*ingress: Rule, egress: tuple[Rule, ...] | None = None, group_id: str = records.GROUP) -> Guarded:
    return Guarded(group_id, "Web Server", ingress or (HTTPS,), egress)


def respond(
    ec2: FakeEC2,
    event: dict[str, Any],
    *groups: Guarded,
    sns: FakeSNS | None = None,
    dynamodb: FakeDynamoDB | None = None,
    **choices: Any,
) -> list[dict[str, str]]:
    """Respond to `event`; return the notifications."""
    sns = sns or FakeSNS()
    table = StateTable(dynamodb or FakeDynamoDB(), "state", 24 * 3600)
    topic = "arn:aws:sns:us-east-1:111111111111:notices"
    responder = Responder(ec2=ec2, sns=sns, table=table, topic_arn=topic, account="111111111111", **choices)
    responder.respond(event, list(groups) or [guarded()])
    return sns.notices


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was logged: one record of each check, followed by its actions."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_forbidden_rule_is_gone_after_five_calls_notification_included() -> None:
    ec2, dynamodb = FakeEC2([HTTPS, SSH]), FakeDynamoDB()
    notices = respond(ec2, SSH_EVENT, dynamodb=dynamodb)
    assert ec2.current() == {HTTPS}
    assert len(ec2.calls) + len(dynamodb.calls) + len(notices) == 5, (ec2.calls, dynamodb.calls, notices)


def test_notice_says_what_which_group_who_from_where_when_and_outcome() -> None:
    (notice,) = respond(FakeEC2([HTTPS, SSH]), SSH_EVENT)
    assert notice["Subject"] == "Reverted: 1 change to security group Web Server"
    assert notice["Message"].splitlines() == [
        "Group:    Web Server (sg-0123456789abcdef0) in us-east-1, account 111111111111",
        "Who:      arn:aws:iam::111111111111:user/alice",
        "From:     203.0.113.50 with aws-cli/2.31.0 (as the caller states)",
        "When:     2025-11-21T07:08:26Z",
        "Call:     AuthorizeSecurityGroupIngress, CloudTrail event 9fd68588-ecbf-4528-a345-199fa6bb0821",
        "",
        "Outcome",
        "  revoked: inbound TCP 22 from 203.0.113.7/32, sgr-00000000000000001",
        "",
        CONNECTIONS,
    ]


def test_log_has_the_same_as_data_and_a_metric(capsys: pytest.CaptureFixture[str]) -> None:
    respond(FakeEC2([HTTPS, SSH]), SSH_EVENT)
    record, action = logged(capsys)
    assert record["change"]["who"] == "arn:aws:iam::111111111111:user/alice"
    assert record["group_id"] == action["group_id"] == records.GROUP
    assert (action["verb"], action["status"], action["named_by_call"]) == ("revoke", "done", True)
    (metrics,) = record["_aws"]["CloudWatchMetrics"]
    assert metrics["Metrics"] == [
        {"Name": "NotReverted", "Unit": "Count"},
        {"Name": "RevertsSuspended", "Unit": "Count"},
    ]
    assert (record["NotReverted"], record["RevertsSuspended"]) == (0, 0)


@pytest.mark.parametrize("code", ["Client.UnauthorizedOperation", "Client.DryRunOperation"])
def test_failed_call_leads_to_no_call_at_all(code: str) -> None:
    ec2 = FakeEC2([HTTPS, SSH])
    assert not respond(ec2, records.event(records.record("AuthorizeSecurityGroupIngress", {}, None, errorCode=code)))
    assert not ec2.calls


def test_other_groups_are_left_alone_without_a_call() -> None:
    ec2 = FakeEC2([SSH])
    assert not respond(ec2, SSH_EVENT, guarded(group_id="sg-99999999"))
    assert not ec2.calls


@pytest.mark.reliability(
    "security_group_revert",
    "Malformed input",
    fault="an event that cannot be read, or names no group",
)
def test_event_that_does_not_name_its_group_makes_all_groups_looked_at() -> None:
    ec2 = FakeEC2([HTTPS, SSH])
    respond(
        ec2, records.event(records.record("AuthorizeSecurityGroupIngress", {"groupName": "web"}, {"_return": True}))
    )
    assert ec2.current() == {HTTPS}


def test_event_that_does_not_name_its_group_brings_no_notice_of_groups_in_which_nothing_is_wrong() -> None:
    """Descriptions can be changed by the group's name, and the answer has no id: it may be any group."""
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
    fault="an event that cannot be read, or names no group",
    expected="all groups are checked",
    observed="reverted",
)
def test_event_that_cannot_be_read_makes_all_groups_looked_at(detail: Any) -> None:
    ec2 = FakeEC2([HTTPS, SSH])
    respond(ec2, {"detail-type": "AWS API Call via CloudTrail", "detail": detail})
    assert ec2.current() == {HTTPS}


@pytest.mark.reliability(
    "security_group_revert",
    "Malformed input",
    fault="a rule of a kind that is not known, or that cannot be read",
    expected="not approved, so revoked",
    observed="it is gone, the others stay",
)
def test_rule_of_a_kind_that_is_not_known_is_revoked_and_keeps_nothing_else() -> None:
    ec2 = FakeEC2([HTTPS, SSH])
    new = {"SecurityGroupRuleId": "sgr-new", "IsEgress": False, "IpProtocol": "tcp", "FutureSource": "x-1"}
    ec2.rules["sgr-new"] = new
    respond(ec2, records.SWEEP)
    assert ec2.current() == {HTTPS}


def test_approved_change_is_silent() -> None:
    ec2 = FakeEC2([HTTPS])
    item = records.answered("sgr-1", cidrIpv4="0.0.0.0/0") | {"fromPort": 443, "toPort": 443}
    assert not respond(ec2, records.event(records.authorized(item)))
    assert not ec2.changes


@pytest.mark.reliability(
    "security_group_revert",
    "Duplicate",
    fault="the same event twice, and many at once",
    expected="nothing further is changed",
    observed='"Already reverted"',
)
def test_same_event_twice_changes_nothing_further() -> None:
    ec2, dynamodb = FakeEC2([HTTPS, SSH]), FakeDynamoDB()
    respond(ec2, SSH_EVENT, dynamodb=dynamodb)
    before = list(ec2.changes)
    (notice,) = respond(ec2, SSH_EVENT, dynamodb=dynamodb)
    assert ec2.changes == before
    assert notice["Subject"].startswith("Already reverted")


@pytest.mark.reliability("security_group_revert", "Late", fault="events come late, or out of order")
def test_event_whose_rule_another_event_has_reverted_still_names_its_caller() -> None:
    ec2, dynamodb = FakeEC2([HTTPS, SSH]), FakeDynamoDB()
    respond(ec2, records.SWEEP, dynamodb=dynamodb)
    (notice,) = respond(ec2, SSH_EVENT, dynamodb=dynamodb)
    assert "user/alice" in notice["Message"]
    assert "reverted by an earlier check: inbound TCP 22 from 203.0.113.7/32" in notice["Message"]


def test_rules_that_the_record_does_not_name_are_reverted_too_and_shown_apart() -> None:
    ec2 = FakeEC2([HTTPS, SSH, RDP])
    (notice,) = respond(ec2, SSH_EVENT)
    assert ec2.current() == {HTTPS}
    mine, others = notice["Message"].split("Also found in this check")
    assert "TCP 22" in mine
    assert "TCP 3389" in others


def test_modified_rule_gets_its_old_value_under_its_old_id() -> None:
    ec2 = FakeEC2([Rule(False, "tcp", 22, 22, "CidrIpv4", "0.0.0.0/0")])
    (rule_id,) = ec2.rules
    (notice,) = respond(ec2, records.event(records.modified(records.update(rule_id))))
    assert (list(ec2.rules), ec2.current()) == ([rule_id], {HTTPS})
    assert ec2.changes == ["ModifySecurityGroupRules"]
    assert "edited back: inbound TCP 443 from 0.0.0.0/0" in notice["Message"]


def test_rule_of_which_nothing_is_left_is_revoked_and_the_approved_one_restored() -> None:
    ec2 = FakeEC2([SSH])
    (rule_id,) = ec2.rules
    (notice,) = respond(ec2, records.event(records.modified(records.update(rule_id, cidr="203.0.113.7/32"))))
    assert ec2.current() == {HTTPS}
    assert "revoked: inbound TCP 22" in notice["Message"]
    assert "restored: inbound TCP 443" in notice["Message"]


@pytest.mark.reliability("security_group_revert", "Deleted by somebody else", fault="an approved rule")
def test_revoked_rule_comes_back_with_its_description() -> None:
    ec2 = FakeEC2([])
    https = records.answered("sgr-1", cidrIpv4="0.0.0.0/0") | {"fromPort": 443, "toPort": 443}
    response = {"revokedSecurityGroupRuleSet": {"items": [https]}}
    detail = records.record("RevokeSecurityGroupIngress", {"groupId": records.GROUP}, response)
    (notice,) = respond(ec2, records.event(detail))
    (rule,) = ec2.rules.values()
    assert rule["Description"] == "HTTPS from anywhere"
    assert "restored: inbound TCP 443" in notice["Message"].split("Outcome")[1]
    assert "Also found in this check" not in notice["Message"]


def test_changed_description_is_put_back_when_it_was_approved() -> None:
    ec2 = FakeEC2([Rule(False, "tcp", 443, 443, "CidrIpv4", "0.0.0.0/0", description="nothing to see")])
    respond(ec2, records.SWEEP)
    (rule,) = ec2.rules.values()
    assert rule["Description"] == "HTTPS from anywhere"
    assert ec2.changes == ["UpdateSecurityGroupRuleDescriptionsIngress"]


@pytest.mark.reliability(
    "security_group_revert",
    "Deleted by somebody else",
    fault="an approved rule, with `restore=false`",
    expected="reported and counted, not restored",
    observed='"Unapproved", metric 1',
)
def test_without_restore_a_missing_rule_stays_away_and_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    ec2 = FakeEC2([SSH])
    (notice,) = respond(ec2, records.SWEEP, restore=False)
    assert (ec2.current(), ec2.changes) == (set(), ["RevokeSecurityGroupIngress"])
    assert notice["Subject"] == "Unapproved: 1 of 2 changes to security group Web Server"
    assert "not approved, to restore: inbound TCP 443" in notice["Message"]
    assert logged(capsys)[0]["NotReverted"] == 1


def test_egress_is_left_alone_unless_it_is_guarded() -> None:
    ec2 = FakeEC2([HTTPS, SMTP_OUT])
    respond(ec2, records.SWEEP)
    assert ec2.current(is_egress=True) == {SMTP_OUT}
    respond(ec2, records.SWEEP, guarded(egress=(OPEN_EGRESS,)))
    assert ec2.current(is_egress=True) == {OPEN_EGRESS}


def test_ipv6_egress_that_ec2_adds_in_some_vpcs_is_neither_revoked_nor_restored() -> None:
    ipv6 = Rule(True, "-1", -1, -1, "CidrIpv6", "::/0")
    by_default = Guarded(records.GROUP, "Web Server", (HTTPS,), (OPEN_EGRESS,), tolerated=(ipv6,))
    for present in ([OPEN_EGRESS, ipv6], [OPEN_EGRESS]):
        ec2 = FakeEC2([HTTPS, *present])
        assert not respond(ec2, records.SWEEP, by_default)
        assert ec2.current(is_egress=True) == set(present)
    approved = Guarded(records.GROUP, "Web Server", (HTTPS,), (OPEN_EGRESS,))
    ec2 = FakeEC2([HTTPS, OPEN_EGRESS, ipv6])
    respond(ec2, records.SWEEP, approved)
    assert ec2.current(is_egress=True) == {OPEN_EGRESS}, "not by default, but only what the settings name"


def test_change_of_unguarded_egress_is_silent() -> None:
    ec2 = FakeEC2([HTTPS, SMTP_OUT])
    rule_id = next(rule_id for rule_id, rule in ec2.rules.items() if rule["IsEgress"])
    item = records.answered(rule_id, is_egress=True)
    assert not respond(ec2, records.event(records.authorized(item, name="AuthorizeSecurityGroupEgress")))
    assert not respond(ec2, records.event(records.modified(records.update(rule_id, port=25))))


def test_notify_mode_reports_and_changes_nothing() -> None:
    ec2 = FakeEC2([HTTPS, SSH])
    (notice,) = respond(ec2, SSH_EVENT, change_rules=False)
    assert ec2.current() == {HTTPS, SSH}
    assert not ec2.changes
    assert notice["Subject"] == "Unapproved: 1 change to security group Web Server"
    assert "not approved, to revoke: inbound TCP 22" in notice["Message"]


def test_sweep_in_notify_mode_reports_what_is_new_and_counts_it_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    ec2, dynamodb = FakeEC2([HTTPS, SSH]), FakeDynamoDB()
    (notice,) = respond(ec2, records.SWEEP, change_rules=False, dynamodb=dynamodb)
    assert notice["Subject"] == "Unapproved: 1 change to security group Web Server"
    assert not respond(ec2, records.SWEEP, change_rules=False, dynamodb=dynamodb)
    assert [line["NotReverted"] for line in logged(capsys) if "NotReverted" in line] == [1, 1]


def test_sweep_of_an_approved_group_is_one_call_and_no_notice() -> None:
    ec2 = FakeEC2([HTTPS])
    assert not respond(ec2, records.SWEEP)
    assert ec2.calls == ["DescribeSecurityGroupRules"]


@pytest.mark.reliability("security_group_revert", "Access denied", fault="a rule may not be revoked")
@pytest.mark.reliability(
    "security_group_revert",
    "Partial failure",
    fault="one rule of several, one group of several",
    expected="the others are reverted",
    observed="each alone after the call for all was refused",
)
def test_one_rule_that_cannot_be_revoked_does_not_keep_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse_rdp(ec2: FakeEC2, _operation: str, parameters: dict[str, Any]) -> None:
        ids = parameters.get("SecurityGroupRuleIds", [])
        if any(ec2.rules[rule_id]["FromPort"] == 3389 for rule_id in ids):
            raise refuse("UnauthorizedOperation")

    ec2 = FakeEC2([HTTPS, SSH, RDP], [refuse_rdp] * 9)
    (notice,) = respond(ec2, SSH_EVENT)
    assert ec2.current() == {HTTPS, RDP}
    assert notice["Subject"] == "NOT REVERTED: 1 of 2 changes to security group Web Server"
    assert "FAILED to revoke: inbound TCP 3389 from 203.0.113.7/32" in notice["Message"]
    assert "UnauthorizedOperation" in notice["Message"]
    assert "revoked: inbound TCP 22" in notice["Message"]
    assert logged(capsys)[0]["NotReverted"] == 1


@pytest.mark.reliability(
    "security_group_revert",
    "Deleted by somebody else",
    fault="a rule, just before it is revoked",
    expected="that is as it should be: no failure",
    observed="no failure in the notice",
)
def test_rule_that_is_already_gone_is_success() -> None:
    def somebody_revokes(ec2: FakeEC2, _operation: str, parameters: dict[str, Any]) -> None:
        ec2.rules.pop(parameters["SecurityGroupRuleIds"][0])

    ec2 = FakeEC2([HTTPS, SSH, RDP], [None, somebody_revokes])
    (notice,) = respond(ec2, SSH_EVENT)
    assert ec2.current() == {HTTPS}
    assert "FAILED" not in notice["Message"]


@pytest.mark.reliability("security_group_revert", "Throttling", fault="EC2 refuses calls for a while")
def test_throttling_is_told_of_and_makes_lambda_try_again() -> None:
    def throttle(_ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
        raise refuse("RequestLimitExceeded")

    ec2, sns = FakeEC2([HTTPS, SSH], [None, throttle]), FakeSNS()
    with pytest.raises(UnfinishedError, match="RequestLimitExceeded"):
        respond(ec2, SSH_EVENT, sns=sns)
    assert sns.notices[0]["Subject"].startswith("NOT REVERTED")
    respond(ec2, SSH_EVENT)
    assert ec2.current() == {HTTPS}


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="the rules may not be read",
    expected="the other groups are checked all the same; then an error",
    observed="the second group is reverted",
)
def test_group_that_cannot_be_read_does_not_keep_the_others_from_being_swept() -> None:
    def refuse_reading(_ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
        raise refuse("UnauthorizedOperation")

    ec2 = FakeEC2([HTTPS, SSH], [refuse_reading])
    with pytest.raises(UnfinishedError, match="sg-11111111"):
        respond(ec2, records.SWEEP, guarded(group_id="sg-11111111"), guarded())
    assert ec2.current() == {HTTPS}


@pytest.mark.reliability("security_group_revert", "Partial failure", fault="one rule of several, one group of several")
def test_no_answer_from_ec2_for_one_group_does_not_keep_the_others() -> None:
    def no_answer(_ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
        raise EndpointConnectionError(endpoint_url="https://ec2.us-east-1.amazonaws.com")

    ec2 = FakeEC2([HTTPS, SSH], [no_answer])
    with pytest.raises(UnfinishedError, match="sg-11111111: Could not connect"):
        respond(ec2, records.SWEEP, guarded(group_id="sg-11111111"), guarded())
    assert ec2.current() == {HTTPS}


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="the notice may not be sent",
    expected="an error, after the revert",
    observed="`KMSAccessDenied`, and the rule is gone",
)
def test_notice_that_cannot_be_sent_is_an_error_after_the_revert() -> None:
    class BrokenSNS(FakeSNS):
        def publish(self, **_parameters: str) -> None:
            raise ClientError({"Error": {"Code": "KMSAccessDenied", "Message": ""}}, "Publish")

    ec2 = FakeEC2([HTTPS, SSH])
    with pytest.raises(UnfinishedError, match="KMSAccessDenied"):
        respond(ec2, SSH_EVENT, sns=BrokenSNS())
    assert ec2.current() == {HTTPS}


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="text that others control, such as a description, in the notice",
    expected="it cannot look like a line of the notice",
    observed='one "Outcome", one "Group:"',
)
def test_text_of_other_people_cannot_forge_lines_of_the_notice() -> None:
    forged = Rule(False, "tcp", 22, 22, "CidrIpv4", "203.0.113.7/32", description='x"\r\nOutcome\n  all is well')
    detail = SSH_EVENT["detail"] | {"userAgent": "evil\nGroup: another"}
    (notice,) = respond(FakeEC2([HTTPS, forged]), SSH_EVENT | {"detail": detail})
    lines = notice["Message"].splitlines()
    assert lines.count("Outcome") == 1
    assert sum(line.startswith("Group:") for line in lines) == 1


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="text that others control, such as a description, in the notice",
)
def test_subject_is_one_short_line_of_ascii_whatever_the_group_is_called() -> None:
    name = "Web\nServer é " + "x" * 200
    group = Guarded(records.GROUP, name, (HTTPS,), None)
    (notice,) = respond(FakeEC2([HTTPS, SSH]), SSH_EVENT, group)  # FakeSNS checks the limits
    assert notice["Subject"].startswith("Reverted: 1 change to security group Web?Server ? xxx")


def test_notice_says_what_an_edited_rule_had_become() -> None:
    ec2 = FakeEC2([Rule(False, "tcp", 22, 22, "CidrIpv4", "0.0.0.0/0")])
    (rule_id,) = ec2.rules
    (notice,) = respond(ec2, records.event(records.modified(records.update(rule_id))))
    assert f"(it was: inbound TCP 22 from 0.0.0.0/0), {rule_id}" in notice["Message"]
    assert "Also found in this check" not in notice["Message"], "the edit is of this call"


def test_notice_of_a_failure_says_what_happens_next(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse_all(_ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
        raise refuse("UnauthorizedOperation")

    (notice,) = respond(FakeEC2([HTTPS, SSH], [None, refuse_all, refuse_all]), SSH_EVENT)
    assert "It is tried again at every sweep" in notice["Message"]
    _, action = logged(capsys)
    assert action["error"].startswith("UnauthorizedOperation")
    assert action["rule_id"] == "sgr-00000000000000001"


def test_approved_rule_that_was_revoked_and_is_back_already_names_its_caller() -> None:
    https = records.answered("sgr-1", cidrIpv4="0.0.0.0/0") | {"fromPort": 443, "toPort": 443}
    response = {"revokedSecurityGroupRuleSet": {"items": [https]}}
    detail = records.record("RevokeSecurityGroupIngress", {"groupId": records.GROUP}, response)
    (notice,) = respond(FakeEC2([HTTPS]), records.event(detail))
    assert "as approved at this check, undone by somebody or not visible yet: inbound TCP 443" in notice["Message"]


def test_metric_is_in_the_form_that_cloudwatch_reads(capsys: pytest.CaptureFixture[str]) -> None:
    respond(FakeEC2([HTTPS]), records.SWEEP)
    embedded = logged(capsys)[0]["_aws"]
    assert embedded["Timestamp"] > 1_700_000_000_000, "milliseconds"
    (metrics,) = embedded["CloudWatchMetrics"]
    assert metrics["Dimensions"] == [[]], "one set of no dimensions"


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="a thousand rules at once",
    expected="all are reported; the notice and each log line are cut to their limits",
    observed='"... and 900 more"; all are in the log',
)
def test_thousand_long_rules_fit_into_one_notice_and_each_into_a_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse_changes(_ec2: FakeEC2, operation: str, _parameters: dict[str, Any]) -> None:
        if not operation.startswith("Describe"):
            raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "x" * 5000}}, operation)

    long = "d" * 255
    rules = [Rule(False, "tcp", port, port, "CidrIpv4", "203.0.113.7/32", description=long) for port in range(1, 1001)]
    (notice,) = respond(FakeEC2([HTTPS, *rules], [refuse_changes] * 1100), records.SWEEP)
    assert "... and 900 more; all are in the log" in notice["Message"]
    assert len(notice["Message"].encode()) < 200_000, "SNS takes 256 KB"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 1000
    assert max(map(len, lines)) < 10_000


def test_approved_file_of_the_stack_is_read() -> None:
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIpv4": "0.0.0.0/0"}
    sample = {"group_id_variable": "WEB", "name": "Web Server", "ingress": [rule], "egress": None}
    own = {"group_id": "sg-2", "name": "", "ingress": [], "egress": [rule]}
    own["tolerated_egress"] = [{"IpProtocol": "-1", "CidrIpv6": "::/0"}]
    first, second = guarded_groups([sample, own], {"WEB": "sg-1"})
    assert [r.is_egress for r in second.tolerated] == [True]
    assert (first.group_id, first.ingress, first.egress) == ("sg-1", (HTTPS,), None)
    assert second.egress is not None
    assert second.egress[0].is_egress
