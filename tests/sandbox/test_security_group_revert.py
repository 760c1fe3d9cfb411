"""Reverts by the deployed function while EC2 rejects its calls."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.target import session, target_of

from .fault_injection import call, inject

pytestmark = pytest.mark.enable_socket

SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "203.0.113.11/32"}]}


class SampleGroup:
    """The guarded sample group, with fault injection in EC2."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.target, clients = sandbox, target_of(sandbox), session(sandbox)
        outputs = self.target.outputs("SecurityGroupRevert")
        self.group, self.sweep = outputs["SampleGroupId"], outputs["SweepRuleName"]
        self.ec2, self.events = clients.client("ec2"), clients.client("events")

    def inject(self, *faults: dict[str, Any]) -> list[dict[str, Any]]:
        return inject(self.sandbox, *faults)

    def delay_reads(self, seconds: float) -> None:
        """Let EC2 list the rules of `seconds` ago."""
        call(self.sandbox, stale_seconds=seconds)

    def open_ssh(self) -> None:
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[SSH])

    def ports(self) -> list[int]:
        filters = [{"Name": "group-id", "Values": [self.group]}]
        rules = self.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
        return sorted(rule["FromPort"] for rule in rules if not rule["IsEgress"])

    def until_as_approved(self) -> None:
        self.target.wait_until(lambda: self.ports() == [443], "only HTTPS open", seconds=120)


@pytest.fixture
def sample(deployed: Sandbox) -> Iterator[SampleGroup]:
    group = SampleGroup(deployed)
    group.events.disable_rule(Name=group.sweep)
    yield group
    group.inject()
    group.delay_reads(0)
    group.events.enable_rule(Name=group.sweep)
    group.until_as_approved()


@pytest.mark.reliability(
    "security_group_revert",
    "Throttling",
    fault="EC2 throttles calls",
    expected="retried; if that fails, it is reported and Lambda retries the event",
    observed='reverted after three throttled calls; "NOT REVERTED", then reverted',
)
@pytest.mark.parametrize("action", ["DescribeSecurityGroupRules", "RevokeSecurityGroupIngress"])
def test_throttled_call_is_retried_without_a_sweep(sample: SampleGroup, action: str) -> None:
    sample.inject({"action": action, "code": "RequestLimitExceeded", "times": 3})
    sample.open_ssh()
    sample.target.wait_until(lambda: not call(sample.sandbox), "the function has been throttled three times")
    sample.until_as_approved()


@pytest.mark.reliability(
    "security_group_revert",
    "Delayed or out of order",
    fault="the change of an event is not visible in EC2 yet",
)
def test_change_that_is_not_yet_visible_is_reverted_without_a_sweep(sample: SampleGroup) -> None:
    time.sleep(1)  # the time of an event has no fractions, so it must not be the second of an earlier revert
    sample.delay_reads(1.5)
    sample.open_ssh()
    assert sample.ports() == [443], "EC2 does not list the rule yet"
    sample.target.wait_until(lambda: sample.ports() == [22, 443], "EC2 lists the rule")
    sample.until_as_approved()
    sample.delay_reads(0)
    assert sample.ports() == [443]


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="no permission to revoke a rule",
    expected="EC2's reason in the notification; an alarm while the rule exists; retried at every sweep",
    observed='"NOT REVERTED", metric 1; reverted by the first sweep with the permission',
)
def test_denied_revoke_is_completed_by_a_later_sweep(sample: SampleGroup) -> None:
    denial = {"action": "RevokeSecurityGroupIngress", "code": "UnauthorizedOperation", "times": 99}
    sample.inject(denial)
    sample.open_ssh()
    sample.target.wait_until(lambda: sample.inject(denial)[0]["times"] < 99, "a denied revoke")
    assert sample.ports() == [22, 443]
    sample.inject()
    time.sleep(1)
    assert sample.ports() == [22, 443], "Lambda does not retry the event of a denied call"
    sample.events.enable_rule(Name=sample.sweep)
    sample.until_as_approved()
