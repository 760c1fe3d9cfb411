"""Break-glass changes: which stay, until when, and what others can do with them."""

import time
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from lambdas.security_group_revert.break_glass import BreakGlass
from lambdas.security_group_revert.cloudtrail import read_change
from lambdas.security_group_revert.respond import RetryableError
from lambdas.security_group_revert.rules import Rule

from . import records
from .fake_ec2 import FakeDynamoDB, FakeEC2, FakeEventBridge, FakeSNS, ec2_error
from .test_check_event import STRICT_SCHEMA
from .test_growth import operations
from .test_respond import HTTPS, RDP, SSH, guarded, metrics, respond

ROLE = "arn:aws:iam::111111111111:role/incidents/BreakGlass"
RESPONDER = {
    "type": "AssumedRole",
    "arn": "arn:aws:sts::111111111111:assumed-role/BreakGlass/INC-1234",
    "sessionContext": {"sessionIssuer": {"type": "Role", "arn": ROLE}},
}
ANOTHER_ROLE = {
    "type": "AssumedRole",
    "arn": "arn:aws:sts::111111111111:assumed-role/another/session",
    "sessionContext": {"sessionIssuer": {"type": "Role", "arn": "arn:aws:iam::111111111111:role/another"}},
}
VENDOR = replace(SSH, description="INC-1234: vendor")
HOUR = 3600
BREAK_GLASS = BreakGlass((ROLE,), HOUR)
FIRST_ID, SECOND_ID = f"sgr-{0:017x}", f"sgr-{1:017x}"


def at(seconds: float) -> str:
    """The time of a call that many seconds ago."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))


def event(detail: Any, *, age: float = 5, identity: Any = RESPONDER) -> Any:
    return records.event(detail | {"eventTime": at(age), "userIdentity": identity})


def added(rule_id: str = SECOND_ID, **options: Any) -> Any:
    return event(records.authorized(records.response_rule(rule_id)), **options)


def removed(**options: Any) -> Any:
    request = {"groupId": records.GROUP, "ipPermissions": {"items": [https()]}}
    return event(records.record("RevokeSecurityGroupIngress", request, {"_return": True}), **options)


def https() -> dict[str, Any]:
    return records.permission(443, ipRanges=[{"cidrIp": "0.0.0.0/0"}])


class Account:
    """One guarded group, and what the function keeps between events."""

    def __init__(self, *rules: Rule, break_glass: BreakGlass = BREAK_GLASS) -> None:
        self.ec2, self.dynamodb, self.sns = FakeEC2(list(rules)), FakeDynamoDB(), FakeSNS()
        self.events, self.break_glass = FakeEventBridge(), break_glass

    def respond(self, event: Any, **options: Any) -> str:
        """Return the new notifications, with their subjects."""
        before = len(self.sns.notifications)
        clients: Any = {"sns": self.sns, "dynamodb": self.dynamodb, "events": self.events}
        respond(self.ec2, event, guarded(), **clients, break_glass=self.break_glass, **options)
        return "\n".join(f"{n['Subject']}\n{n['Message']}" for n in self.sns.notifications[before:])

    def pass_time(self, seconds: int) -> None:
        self.dynamodb.pass_time(seconds)

    @property
    def items(self) -> list[str]:
        return [key for _, key in self.dynamodb.items if key.startswith("break-glass: ")]


def test_added_rule_stays_and_notification_has_caller_end_and_reason() -> None:
    account = Account(HTTPS, VENDOR)
    text = account.respond(added())
    assert account.ec2.current() == {HTTPS, SSH}
    assert text.startswith("Break-glass: 1 change to security group Web Server")
    for part in ("role/BreakGlass", "INC-1234 (chosen", '"INC-1234: vendor"', f"until {at(5 - HOUR)[:-4]}"):
        assert part in text, text
    (detail,) = account.events.details
    pytest.importorskip("jsonschema").Draft202012Validator(STRICT_SCHEMA).validate(detail)
    assert (detail["status"], detail["actions"]) == ("break_glass", [])
    (change,) = detail["break_glass"]
    assert change["rule"].startswith("inbound TCP 22")


def test_sweep_keeps_rule_until_the_end_then_reverts_and_reports(capsys: pytest.CaptureFixture[str]) -> None:
    account = Account(HTTPS, VENDOR)
    account.respond(added())
    assert account.respond(records.SWEEP) == ""
    account.pass_time(HOUR - 30)
    assert account.respond(records.SWEEP) == ""
    assert account.ec2.current() == {HTTPS, SSH}
    account.pass_time(60)
    text = account.respond(records.SWEEP)
    assert account.ec2.current() == {HTTPS}
    assert text.startswith("Reverted: 1 change to security group Web Server")
    assert "Break-glass changes that ended" in text
    assert ROLE in text
    assert account.items == []
    account.pass_time(HOUR)
    assert account.respond(records.SWEEP) == ""
    assert all(line["MissedEvents"] == 0 for line in metrics(capsys)), "no event is missing"


def test_many_changes_are_checked_in_linear_time() -> None:
    def incident(count: int) -> None:
        rules = [replace(VENDOR, source=f"10.{number // 250}.{number % 250}.0/24") for number in range(count)]
        account = Account(HTTPS, *rules)
        items = [records.response_rule(f"sgr-{n + 1:017x}", cidrIpv4=rule.source) for n, rule in enumerate(rules)]
        account.respond(event(records.authorized(*items)))
        account.respond(event(records.authorized(*items), identity=records.ALICE, age=10))
        account.respond(records.SWEEP)
        assert len(account.ec2.current()) == 1 + count
        account.pass_time(HOUR)
        account.respond(records.SWEEP)
        assert account.ec2.current() == {HTTPS}

    incident(1)  # imports, for example
    assert operations(lambda: incident(200)) < 4.5 * operations(lambda: incident(50))


def test_end_does_not_count_towards_max_reverts() -> None:
    account = Account(HTTPS, VENDOR)
    for number in range(3):
        account.respond(added(f"sgr-{1 + number:017x}"))
        account.pass_time(HOUR + 60)
        account.respond(records.SWEEP, max_reverts=1)
        assert account.ec2.current() == {HTTPS}
        account.ec2.add(VENDOR)


def test_removed_approved_rule_is_not_restored_until_the_end() -> None:
    account = Account()
    text = account.respond(removed())
    assert "removed: inbound TCP 443 from 0.0.0.0/0" in text
    assert account.respond(records.SWEEP) == ""
    assert account.ec2.current() == set()
    account.pass_time(HOUR + 60)
    assert "Break-glass changes that ended" in account.respond(records.SWEEP)
    assert account.ec2.current() == {HTTPS}


def test_changes_by_others_are_still_reverted() -> None:
    account = Account(HTTPS, VENDOR, RDP)
    detail = records.authorized(records.response_rule(f"sgr-{2:017x}", fromPort=3389, toPort=3389))
    account.respond(added())
    text = account.respond(event(detail, identity=records.ALICE))
    assert account.ec2.current() == {HTTPS, SSH}
    assert "revoked: inbound TCP 3389" in account.sns.notifications[0]["Message"] + text


@pytest.mark.parametrize("age", [HOUR, HOUR + 900])
def test_event_later_than_the_end_permits_nothing(age: float) -> None:
    account = Account(HTTPS, VENDOR)
    text = account.respond(added(age=age))
    assert account.ec2.current() == {HTTPS}
    assert text.startswith("Reverted: 1 change")
    assert "Break-glass changes that ended" in text
    assert "Permitted" not in text
    assert account.items == []


def test_time_starts_with_the_call() -> None:
    account = Account(HTTPS, VENDOR)
    account.respond(added(age=HOUR - 60))
    account.pass_time(61)
    account.respond(records.SWEEP)
    assert account.ec2.current() == {HTTPS}


def test_time_in_the_future_counts_as_now() -> None:
    account = Account(HTTPS, VENDOR)
    account.respond(added(age=-86400))
    assert account.ec2.current() == {HTTPS, SSH}
    account.pass_time(HOUR + 1)
    account.respond(records.SWEEP)
    assert account.ec2.current() == {HTTPS}


@pytest.mark.parametrize("when", ["unknown", "", "never"])
def test_unreadable_time_permits_nothing(when: str) -> None:
    account = Account(HTTPS, VENDOR)
    account.respond(records.event(added()["detail"] | {"eventTime": when}))
    assert account.ec2.current() == {HTTPS}


@pytest.mark.parametrize(
    "identity",
    [
        records.ALICE,
        {"type": "Root", "arn": "arn:aws:iam::111111111111:root"},
        {},
        # The name of a session or federated user is chosen by others.
        {"type": "AssumedRole", "arn": ROLE, "sessionContext": {"sessionIssuer": {"arn": ROLE + "2"}}},
        {"type": "AssumedRole", "arn": ROLE},
        {"type": "FederatedUser", "arn": ROLE, "sessionContext": {"sessionIssuer": {"arn": ROLE}}},
        {"type": "IAMUser", "userName": ROLE},
    ],
)
def test_other_principals_are_reverted(identity: Any) -> None:
    account = Account(HTTPS, VENDOR)
    account.respond(added(identity=identity))
    assert account.ec2.current() == {HTTPS}
    assert account.items == []


def test_user_can_be_named() -> None:
    account = Account(HTTPS, VENDOR, break_glass=BreakGlass((records.ALICE["arn"],), HOUR))
    account.respond(added(identity=records.ALICE))
    assert account.ec2.current() == {HTTPS, SSH}


def test_rule_without_description_is_reverted_and_the_reason_reported() -> None:
    account = Account(HTTPS, SSH)
    text = account.respond(added())
    assert account.ec2.current() == {HTTPS}
    assert "needs a description" in text


def test_same_rule_added_by_someone_else_is_reverted_without_an_event() -> None:
    account = Account(HTTPS, VENDOR)
    account.respond(added())
    del account.ec2.rules[SECOND_ID]
    account.ec2.add(VENDOR)  # with another rule ID
    account.respond(records.SWEEP)
    assert account.ec2.current() == {HTTPS}


def test_rule_that_someone_else_changes_is_reverted() -> None:
    account = Account(HTTPS, VENDOR)
    account.respond(added())
    account.ec2.rules[SECOND_ID] |= {"CidrIpv4": "0.0.0.0/0"}
    account.respond(records.SWEEP)
    assert account.ec2.current() == {HTTPS}


@pytest.mark.parametrize(("text", "stays"), [("another reason", True), ("", False)])
def test_changed_description_stays_and_removed_one_does_not(text: str, stays: bool) -> None:
    account = Account(HTTPS, VENDOR)
    account.respond(added())
    account.ec2.rules[SECOND_ID]["Description"] = text
    account.respond(event(records.described(SECOND_ID, text), identity=records.ALICE))
    assert (SSH in account.ec2.current()) == stays


@pytest.mark.parametrize("identity", [records.ALICE, ANOTHER_ROLE])
def test_removal_by_someone_else_after_break_glass_is_restored(identity: Any) -> None:
    account = Account()
    account.respond(removed(age=60))
    account.ec2.add(HTTPS)
    account.ec2.rules.clear()
    account.respond(removed(age=5, identity=identity))
    assert account.ec2.current() == {HTTPS}
    assert account.items == []


def test_earlier_call_by_someone_else_does_not_end_a_permit() -> None:
    account = Account()
    account.respond(removed(age=60))
    account.respond(removed(age=120, identity=records.ALICE))
    assert account.ec2.current() == set()


def test_modified_rule_is_reverted() -> None:
    account = Account(replace(HTTPS, from_port=22, to_port=22))
    account.respond(event(records.modified(records.update(FIRST_ID))))
    assert account.ec2.current() == {HTTPS}


def test_approved_rule_is_not_reported() -> None:
    account = Account(HTTPS)
    rule = records.response_rule(FIRST_ID, fromPort=443, toPort=443, cidrIpv4="0.0.0.0/0")
    assert account.respond(event(records.authorized(rule))) == ""
    assert account.items == []


def test_call_without_group_id_permits_nothing() -> None:
    account = Account(HTTPS, VENDOR)
    rule = {name: value for name, value in records.response_rule(SECOND_ID).items() if name != "groupId"}
    response = {"_return": True, "securityGroupRuleSet": {"items": [rule]}}
    account.respond(event(records.record("AuthorizeSecurityGroupIngress", {"groupName": "web"}, response)))
    assert account.ec2.current() == {HTTPS}


@pytest.mark.reliability(
    "security_group_revert",
    "Throttling",
    fault="SNS rejects the notification of a break-glass change",
    expected="Lambda retries the event, and the change is reported",
    observed="reported by the retry",
)
def test_change_is_reported_by_a_retry_if_the_notification_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def throttled(**_parameters: Any) -> None:
        raise ec2_error("Throttling")

    account, call = Account(HTTPS, VENDOR), added()
    with monkeypatch.context() as patch:
        patch.setattr(account.sns, "publish", throttled)
        with pytest.raises(RetryableError):
            account.respond(call)
    assert account.respond(call).startswith("Break-glass: 1 change")


def test_duplicate_event_does_not_extend_the_time() -> None:
    account = Account(HTTPS, VENDOR)
    call = added()
    account.respond(call)
    account.respond(call)
    account.pass_time(HOUR + 60)
    account.respond(records.SWEEP)
    assert account.ec2.current() == {HTTPS}


def test_rule_that_a_sweep_reverted_before_the_event_is_reported() -> None:
    account = Account(HTTPS, VENDOR)
    account.respond(records.SWEEP)
    text = account.respond(added())
    assert "Already reverted" in text
    assert "Permitted" not in text


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="no access to the state table when a break-glass change arrives",
    expected="the change is reverted, because its end could not be stored",
    observed="reverted and reported; Lambda retries the event",
)
def test_change_is_reverted_if_its_end_cannot_be_stored() -> None:
    account = Account(HTTPS, VENDOR)
    account.dynamodb.error = EndpointConnectionError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")
    with pytest.raises(RetryableError, match="break-glass"):
        account.respond(added())
    assert account.ec2.current() == {HTTPS}


@pytest.mark.parametrize("later", [BreakGlass(), BreakGlass(("arn:aws:iam::111111111111:role/Other",), HOUR)])
def test_principal_removed_from_the_settings_loses_its_permits(later: BreakGlass) -> None:
    account = Account(HTTPS, VENDOR)
    account.respond(added())
    account.break_glass = later
    account.respond(records.SWEEP)
    assert account.ec2.current() == {HTTPS}


def test_stored_end_beyond_the_maximum_is_ignored() -> None:
    account = Account(HTTPS, VENDOR)
    account.respond(added())
    (item,) = [item for (_, key), item in account.dynamodb.items.items() if key.startswith("break-glass: ")]
    item["until"] = {"N": str(int(time.time()) + 365 * 86400)}
    account.respond(records.SWEEP)
    assert account.ec2.current() == {HTTPS}


def test_unreadable_item_permits_nothing() -> None:
    account = Account(HTTPS, VENDOR)
    account.respond(added())
    (item,) = [item for (_, key), item in account.dynamodb.items.items() if key.startswith("break-glass: ")]
    del item["until"]
    account.respond(records.SWEEP)
    assert account.ec2.current() == {HTTPS}


def test_failed_revert_after_the_end_is_tried_again() -> None:
    def denied(_ec2: FakeEC2, _operation: str, _parameters: Any) -> None:
        raise ec2_error("UnauthorizedOperation")

    account = Account(HTTPS, VENDOR)
    account.respond(added())
    account.pass_time(HOUR + 60)
    account.ec2.faults = [None, denied]
    assert "NOT REVERTED" in account.respond(records.SWEEP)
    text = account.respond(records.SWEEP)
    assert account.ec2.current() == {HTTPS}
    assert "Break-glass changes that ended" in text


def test_notify_mode_reports_break_glass_too() -> None:
    account = Account(HTTPS, VENDOR)
    assert account.respond(added(), change_rules=False).startswith("Break-glass: 1 change")
    account.pass_time(HOUR + 60)
    assert account.respond(records.SWEEP, change_rules=False).startswith("Unapproved: 1 change")


def test_principal_is_the_role_with_its_path() -> None:
    change = read_change(added()["detail"])
    assert change
    assert change.principal == ROLE
