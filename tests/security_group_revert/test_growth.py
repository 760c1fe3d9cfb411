"""Calls, time and memory of sweeps and bursts, by their size. The limits are those of the settings."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from lambdas.security_group_revert.respond import MAX_LATE_NOTIFICATIONS, RETRY_DELAYS_SECONDS, RetryableError
from lambdas.security_group_revert.rules import Plan, Rule, plan
from settings.security_group_revert import MAX_GROUPS, MAX_TOTAL_RULES

from . import records
from .fake_ec2 import FakeDynamoDB, FakeEC2, FakeEventBridge, FakeSNS
from .test_respond import HTTPS, SSH, guarded, respond

READ = "DescribeSecurityGroupRules"


def approved_rules(count: int) -> list[Rule]:
    return [Rule(False, "tcp", port, port, "CidrIpv4", "10.0.0.0/8") for port in range(1, count + 1)]


@pytest.mark.parametrize(
    ("groups", "rules", "calls"), [(1, 60, 1), (200, 5, 1), (201, 4, 2), (200, 60, 12), (MAX_GROUPS, 40, 8 + 8 + 4)]
)
def test_sweep_reads_200_groups_with_one_call_per_page(groups: int, rules: int, calls: int) -> None:
    """A call returns at most 1,000 rules of at most 200 groups."""
    approved = approved_rules(rules)
    ec2 = FakeEC2(approved)
    guarded_groups = [guarded(*approved, group_id=f"sg-{number:08x}") for number in range(groups)]
    assert not respond(ec2, records.SWEEP, *guarded_groups)
    assert ec2.calls == [READ] * calls
    assert groups * rules <= MAX_TOTAL_RULES


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="no access to the state table during a sweep of many groups",
    expected="it does not wait for the table again for each group",
    observed="one call of the table; the unapproved rule is reverted",
)
def test_sweep_calls_unavailable_table_once() -> None:
    ec2, dynamodb = FakeEC2([HTTPS, SSH]), FakeDynamoDB()
    dynamodb.error = EndpointConnectionError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")
    groups = [guarded(HTTPS, SSH, group_id=f"sg-{number:08x}") for number in range(100)]
    with pytest.raises(RetryableError, match="cannot read the state of sg-00000000"):
        respond(ec2, records.SWEEP, *groups, guarded(), dynamodb=dynamodb)
    assert ec2.current() == {HTTPS}
    assert dynamodb.calls == ["Query"]


def operations(function: Callable[[], object]) -> int:
    """Return the number of Python and C functions that `function` calls, which does not depend on the computer."""
    count = 0

    def profile(*_arguments: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(("protocol", "modified"), [("udp", 0), ("tcp", 2000)])
def test_plan_of_replaced_rules_is_linear(protocol: str, modified: int) -> None:
    def replaced(count: int) -> Plan:
        ports = range(1, count + 1)
        existing = [Rule(False, "tcp", port, port, "CidrIpv4", f"10.1.{port % 250}.0/24") for port in ports]
        approved = [Rule(False, protocol, port, port, "CidrIpv4", f"10.2.{port % 250}.0/24") for port in ports]
        return plan(existing, reversed(approved), restore=True)

    assert operations(lambda: replaced(2000)) < 4.2 * operations(lambda: replaced(500))
    changes = replaced(2000)
    assert len(changes.modifications) == modified
    assert len(changes.revokes) == len(changes.restores) == 2000 - modified


@pytest.mark.parametrize("change_rules", [True, False])
@pytest.mark.parametrize("name", ["AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"])
@pytest.mark.parametrize("is_reverted", [True, False])
def test_event_of_many_rules_is_processed_in_linear_time(name: str, change_rules: bool, is_reverted: bool) -> None:
    """An event can name as many rules as a group has, at most 1,000, and an earlier check may have reverted them."""
    is_added = name.startswith("Authorize")

    def check(count: int) -> None:
        rules = [ssh_from(number)[0] for number in range(count)]
        items = [records.response_rule(f"sgr-{n:017x}", cidrIpv4=rule.source) for n, rule in enumerate(rules)]
        key = "securityGroupRuleSet" if is_added else "revokedSecurityGroupRuleSet"
        event = records.event(records.record(name, {"groupId": records.GROUP}, {key: {"items": items}}))
        approved = [HTTPS] if is_added else [HTTPS, *rules]
        ec2 = FakeEC2([HTTPS, *rules] if is_added != is_reverted else [HTTPS])
        respond(ec2, event, guarded(*approved), change_rules=change_rules)

    check(1)  # imports, for example
    assert operations(lambda: check(200)) < 4.5 * operations(lambda: check(50))


def ssh_from(number: int) -> tuple[Rule, dict[str, Any]]:
    """A rule, and the event of the call that added it."""
    cidr = f"10.{number // 250}.{number % 250}.0/24"
    caller = {"userIdentity": records.ALICE | {"arn": f"arn:aws:iam::111111111111:user/caller-{number % 7}"}}
    detail = records.authorized(records.response_rule(f"sgr-{number:017x}", cidrIpv4=cidr))
    return Rule(False, "tcp", 22, 22, "CidrIpv4", cidr), records.event(detail | caller)


@pytest.mark.reliability(
    "security_group_revert",
    "System-specific",
    fault="a burst of 1,000 changes, all of which are reverted when the first event arrives",
    expected="one notification with all changes, one for each of the next five events, and one for all others",
    observed="7 notifications; EC2 is called once for each event, and once to revoke",
)
def test_burst_of_1000_events_causes_seven_notifications() -> None:
    burst = [ssh_from(number) for number in range(1000)]
    ec2, dynamodb, sns = FakeEC2([HTTPS, *(rule for rule, _ in burst)]), FakeDynamoDB(), FakeSNS()
    for _, event in burst:
        respond(ec2, event, sns=sns, dynamodb=dynamodb)
    assert ec2.calls.count(READ) == 1000 + 1  # the first read has two pages
    assert ec2.changes == ["RevokeSecurityGroupIngress"]
    respond(ec2, records.SWEEP, sns=sns, dynamodb=dynamodb)
    assert len(sns.notifications) == 1 + MAX_LATE_NOTIFICATIONS + 1
    rest = sns.notifications[-1]
    assert rest["Subject"] == "Already reverted: 994 more calls for security group Web Server"
    assert all(f"user/caller-{number}" in rest["Message"] for number in range(7))
    respond(ec2, records.SWEEP, sns=sns, dynamodb=dynamodb)
    assert len(sns.notifications) == 1 + MAX_LATE_NOTIFICATIONS + 1, "the rest is reported once"


def test_burst_of_changes_that_someone_else_reverts_causes_one_call_each(pauses: list[float]) -> None:
    """A change that is no longer present, or not visible yet, is waited for; not in a burst."""
    ec2, dynamodb, sns, events = FakeEC2([HTTPS]), FakeDynamoDB(), FakeSNS(), FakeEventBridge()
    for number in range(100):
        respond(ec2, ssh_from(number)[1], dynamodb=dynamodb, sns=sns, events=events)
    waiting = 1 + MAX_LATE_NOTIFICATIONS
    assert ec2.calls == [READ] * (100 + waiting * len(RETRY_DELAYS_SECONDS))
    assert pauses == [*RETRY_DELAYS_SECONDS] * waiting
    respond(ec2, records.SWEEP, dynamodb=dynamodb, sns=sns, events=events)
    assert len(events.details) == MAX_LATE_NOTIFICATIONS
    assert len(sns.notifications) == MAX_LATE_NOTIFICATIONS + 1


def test_concurrent_runs_that_revoke_the_same_rules_are_reported_together() -> None:
    """Each run reads the rule before another one revokes it."""

    def another_run_revokes(ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
        ec2.rules = {rule_id: rule for rule_id, rule in ec2.rules.items() if rule["FromPort"] == 443}

    dynamodb, sns = FakeDynamoDB(), FakeSNS()
    for number in range(100):
        rule, event = ssh_from(number)
        ec2 = FakeEC2([HTTPS, rule], [None, another_run_revokes])
        respond(ec2, event, sns=sns, dynamodb=dynamodb)
        assert ec2.calls == [READ, "RevokeSecurityGroupIngress", READ]
    respond(FakeEC2([HTTPS]), records.SWEEP, sns=sns, dynamodb=dynamodb)
    assert len(sns.notifications) == MAX_LATE_NOTIFICATIONS + 1


def test_few_late_events_are_reported_separately() -> None:
    rules = [ssh_from(number) for number in range(1 + MAX_LATE_NOTIFICATIONS)]
    ec2, dynamodb, sns = FakeEC2([HTTPS, *(rule for rule, _ in rules)]), FakeDynamoDB(), FakeSNS()
    for _ in range(3):
        for _, event in rules[: 1 + MAX_LATE_NOTIFICATIONS // 2]:
            respond(ec2, event, sns=sns, dynamodb=dynamodb)
        before = len(sns.notifications)
        respond(ec2, records.SWEEP, sns=sns, dynamodb=dynamodb)
        assert len(sns.notifications) == before, "all were reported"


def test_late_event_is_reported_if_it_cannot_be_counted() -> None:
    class NoUpdates(FakeDynamoDB):
        def update_item(self, **_parameters: Any) -> dict[str, Any]:
            raise EndpointConnectionError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com")

    ec2, dynamodb = FakeEC2([HTTPS]), NoUpdates()
    for _ in range(2 * MAX_LATE_NOTIFICATIONS):
        (notification,) = respond(ec2, ssh_from(1)[1], dynamodb=dynamodb)
        assert notification["Subject"].startswith("No longer present")


MEASURE = """
import json, resource, sys, time
from lambdas.security_group_revert.revert import read_rules
from tests.security_group_revert.fake_ec2 import FakeEC2
from tests.security_group_revert.test_growth import approved_rules
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.process_time()
rules = read_rules(FakeEC2(approved_rules(60)), [f"sg-{number:08x}" for number in range(200)])
assert sum(map(len, rules.values())) == 12_000
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([time.process_time() - started, (after - before) / 1024]))
"""


def test_200_groups_of_60_rules_take_seconds_and_little_memory() -> None:
    """In a separate process, because the peak of memory cannot be reset."""
    output = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, check=True, text=True).stdout
    seconds, megabytes = json.loads(output)
    assert seconds < 5
    assert megabytes < 50, "boto3 with its clients needs up to 200 MB, of the function's 512"
