"""Facts about reverts by the deployed function while EC2 refuses its calls."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.target import session, target_of

from .fault_injection import inject

pytestmark = pytest.mark.enable_socket

SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "203.0.113.11/32"}]}


class Guarded:
    """The guarded sample group, and faults of EC2."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.target, clients = sandbox, target_of(sandbox), session(sandbox)
        outputs = self.target.outputs("SecurityGroupRevert")
        self.group, self.sweep = outputs["WebServerGroupId"], outputs["SweepRuleName"]
        self.ec2, self.events = clients.client("ec2"), clients.client("events")

    def inject(self, *faults: dict[str, Any]) -> list[dict[str, Any]]:
        return inject(self.sandbox, *faults)

    def open_ssh(self) -> None:
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[SSH])

    def ports(self) -> list[int]:
        filters = [{"Name": "group-id", "Values": [self.group]}]
        rules = self.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
        return sorted(rule["FromPort"] for rule in rules if not rule["IsEgress"])

    def until_as_approved(self) -> None:
        self.target.wait_until(lambda: self.ports() == [443], "only HTTPS open", seconds=120)


@pytest.fixture
def guarded(deployed: Sandbox) -> Iterator[Guarded]:
    found = Guarded(deployed)
    found.events.disable_rule(Name=found.sweep)
    yield found
    found.inject()
    found.events.enable_rule(Name=found.sweep)
    found.until_as_approved()


@pytest.mark.reliability(
    "security_group_revert",
    "Throttling",
    fault="EC2 refuses calls for a while",
    expected="waited out; if it takes too long, the notice says so and Lambda runs the event again",
    observed='gone after three refusals; "NOT REVERTED", then reverted',
)
def test_throttled_revoke_is_waited_out_without_a_sweep(guarded: Guarded) -> None:
    guarded.inject({"action": "RevokeSecurityGroupIngress", "code": "RequestLimitExceeded", "times": 3})
    guarded.open_ssh()
    guarded.until_as_approved()


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="a rule may not be revoked",
    expected="the notice has EC2's reason; an alarm goes off while the rule is in place; tried at every sweep",
    observed='"NOT REVERTED", metric 1; gone with the first sweep that may',
)
def test_rule_that_may_not_be_revoked_goes_with_the_first_sweep_that_may(guarded: Guarded) -> None:
    refusal = {"action": "RevokeSecurityGroupIngress", "code": "UnauthorizedOperation", "times": 99}
    guarded.inject(refusal)
    guarded.open_ssh()
    guarded.target.wait_until(lambda: guarded.inject(refusal)[0]["times"] < 99, "the revoke is refused")
    assert guarded.ports() == [22, 443]
    guarded.inject()
    time.sleep(1)
    assert guarded.ports() == [22, 443], "an event whose refusal is final is not run again"
    guarded.events.enable_rule(Name=guarded.sweep)
    guarded.until_as_approved()
