"""Facts about people who attack the guard, or get around it, and about what it says of them."""

import re
from typing import Any

import pytest

from lambdas.security_group_revert.revert import MAX_CALLS, Guarded
from lambdas.security_group_revert.rules import Rule

from . import records
from .fake_ec2 import FakeEC2, Fault, refuse
from .test_respond import HTTPS, SSH, SSH_EVENT, guarded, respond

PREFIX_LIST, PEER = "pl-0123456789abcdef0", "sg-0fedcba9876543210"
FROM_LIST = Rule(False, "tcp", 22, 22, "PrefixListId", PREFIX_LIST)
FROM_PEER = Rule(False, "tcp", 5432, 5432, "ReferencedGroupId", PEER)
LINK = re.compile(r"://|\w\.[a-zA-Z]")


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="links in user agents, names of sessions and descriptions",
    expected="none can be clicked",
    observed="`[.]` and `[:]//`",
)
def test_user_agent_session_name_and_descriptions_become_no_links() -> None:
    session = {"sessionIssuer": {"arn": "arn:aws:iam::111111111111:role/Ops"}, "sourceIdentity": "www.evil.example"}
    identity = {
        "type": "AssumedRole",
        "arn": "arn:aws:sts::111111111111:assumed-role/Ops/aws-support.example.com",
        "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
        "sessionContext": session,
    }
    lure = {"userAgent": "Click https://evil.example/login or www.evil.example", "userIdentity": identity}
    described = Rule(False, "tcp", 22, 22, "CidrIpv4", "203.0.113.7/32", description="see http://203.0.113.9/x")
    (notice,) = respond(FakeEC2([HTTPS, described]), records.event(SSH_EVENT["detail"] | lure))
    assert not LINK.search(notice["Message"]), notice["Message"]
    assert "aws-support[.]example[.]com (a name that the caller chose)" in notice["Message"]
    assert "www[.]evil[.]example (source identity)" in notice["Message"]
    assert "ASIAIOSFODNN7EXAMPLE" in notice["Message"]
    assert "203.0.113.50" in notice["Message"], "addresses stay as they are"


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="links in user agents, names of sessions and descriptions",
)
def test_unicode_dots_become_no_links_either() -> None:
    detail = SSH_EVENT["detail"] | {"userAgent": "www\u3002evil\uff0eexample"}
    (notice,) = respond(FakeEC2([HTTPS, SSH]), records.event(detail))
    assert notice["Message"].isascii()


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="links in user agents, names of sessions and descriptions",
)
def test_windows_share_becomes_no_link_either() -> None:
    """Outlook makes one of two backslashes and a name, and Windows sends its user's login there."""
    detail = SSH_EVENT["detail"] | {"userAgent": r"see \\evil\share"}
    (notice,) = respond(FakeEC2([HTTPS, SSH]), records.event(detail))
    assert r"\\evil" not in notice["Message"]


def test_notification_says_that_open_connections_survive_a_revoke() -> None:
    (notice,) = respond(FakeEC2([HTTPS, SSH]), SSH_EVENT)
    assert "may still be open" in notice["Message"]
    (notice,) = respond(FakeEC2([HTTPS, SSH]), SSH_EVENT, change_rules=False)
    assert "may still be open" not in notice["Message"], "nothing was revoked"


def rules(count: int) -> list[Rule]:
    return [Rule(False, "tcp", port, port, "CidrIpv4", "203.0.113.7/32") for port in range(1, count + 1)]


def swapping(ec2: FakeEC2, operation: str, parameters: dict[str, Any]) -> None:
    """Somebody replaces a rule between the read and the revoke, each time."""
    if operation.startswith("Revoke") and len(parameters["SecurityGroupRuleIds"]) > 50:
        rule = Rule.from_api(ec2.rules.pop(parameters["SecurityGroupRuleIds"][0]))
        ec2.add(rule)


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="a rule is swapped between each read and revoke",
    expected="few calls, and the next check has the rest",
    observed="fewer than 20 calls for 60 rules",
)
def test_rule_that_is_swapped_before_each_revoke_costs_few_calls() -> None:
    ec2 = FakeEC2([HTTPS, *rules(60)], [swapping] * 999)
    respond(ec2, records.SWEEP)
    assert len(ec2.calls) < 20, f"{len(ec2.calls)} calls"
    ec2.faults.clear()
    respond(ec2, records.SWEEP)
    assert ec2.current() == {HTTPS}


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="a rule is swapped between each read and revoke",
)
def test_refusal_of_every_rule_costs_a_bounded_number_of_calls() -> None:
    def refuse_all(_ec2: FakeEC2, operation: str, _parameters: dict[str, Any]) -> None:
        if operation.startswith("Revoke"):
            raise refuse("UnauthorizedOperation")

    ec2 = FakeEC2([HTTPS, *rules(1000)], [refuse_all] * 9999)
    (notice,) = respond(ec2, records.SWEEP)
    assert len(ec2.changes) == MAX_CALLS
    assert notice["Subject"].startswith("NOT REVERTED: 1000 of 1000")


def refusing(port: int) -> Fault:
    def fault(ec2: FakeEC2, operation: str, parameters: dict[str, Any]) -> None:
        ids = parameters.get("SecurityGroupRuleIds", []) if operation.startswith("Revoke") else []
        if any(ec2.rules[rule_id]["FromPort"] == port for rule_id in ids):
            raise refuse("UnauthorizedOperation")

    return fault


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="a rule is swapped between each read and revoke",
)
def test_one_refused_rule_of_a_thousand_keeps_no_other() -> None:
    ec2 = FakeEC2([HTTPS, *rules(1000)], [refusing(700)] * 9999)
    respond(ec2, records.SWEEP)
    assert {rule.from_port for rule in ec2.current()} == {443, 700}
    assert len(ec2.changes) < MAX_CALLS


def exposure(name: str, request: dict[str, Any], response: Any = None, **more: Any) -> dict[str, Any]:
    return records.event(records.record(name, request, response, **more))


GROUPS = (
    guarded(HTTPS, FROM_LIST, FROM_PEER),
    Guarded("sg-00000000000000001", "Other", (HTTPS,), None),
)
ENTRIES = {"ModifyManagedPrefixListRequest": {"PrefixListId": PREFIX_LIST, "AddEntry": {"Cidr": "0.0.0.0/0", "tag": 1}}}
RESTORED = {"RestoreManagedPrefixListVersionRequest": {"PrefixListId": PREFIX_LIST, "PreviousVersion": 1}}
ONE_INTERFACE = {"networkInterfaceId": "eni-1", "groupSet": {"items": [{"groupId": PEER}]}}
TWO_GROUPS = {"items": [{"groupId": records.GROUP}, {"groupId": "sg-0aaaaaaaaaaaaaaaa"}]}


@pytest.mark.parametrize(
    ("name", "request_parameters", "response"),
    [
        ("ModifyManagedPrefixList", ENTRIES, None),
        ("RestoreManagedPrefixListVersion", RESTORED, None),
        ("ModifyNetworkInterfaceAttribute", ONE_INTERFACE, None),
        ("ModifyNetworkInterfaceAttribute", {"networkInterfaceId": "eni-1", "groupSet": TWO_GROUPS}, None),
        ("ModifyInstanceAttribute", {"instanceId": "i-1", "groupSet": TWO_GROUPS}, None),
        ("CreateNetworkInterface", {"groupSet": {"items": [{"groupId": PEER}]}}, None),
        ("CreateInstanceConnectEndpoint", {"CreateInstanceConnectEndpointRequest": {"SecurityGroupId": PEER}}, None),
        ("ModifyVpcEndpoint", {"ModifyVpcEndpointRequest": {"AddSecurityGroupId": {"content": PEER}}}, None),
        ("ApplySecurityGroupsToClientVpnTargetNetwork", {"groups": {"SecurityGroupId": [PEER]}}, None),
        # With a launch template the groups are in the response only.
        ("RunInstances", {"launchTemplate": {}}, {"instancesSet": {"items": [{"groupSet": TWO_GROUPS}]}}),
    ],
)  # fmt: skip
@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="prefix lists, members and interfaces are changed instead of rules",
    expected="reported",
    observed='"may open security group"',
)
def test_calls_that_change_whom_approved_rules_apply_to_are_reported(
    name: str, request_parameters: dict[str, Any], response: Any
) -> None:
    ec2 = FakeEC2([HTTPS])
    (notice,) = respond(ec2, exposure(name, request_parameters, response), *GROUPS)
    assert notice["Subject"] == f"{name} may open security group Web Server"
    assert "user/alice" in notice["Message"]
    assert "It was not reverted" in notice["Message"]
    assert not ec2.calls


@pytest.mark.parametrize(
    "event",
    [
        exposure(
            "ModifyManagedPrefixList", {"ModifyManagedPrefixListRequest": {"PrefixListId": "pl-0aaaaaaaaaaaaaaaa"}}
        ),
        exposure("ModifyNetworkInterfaceAttribute", {"groupSet": {"items": [{"groupId": records.GROUP}]}}),
        exposure("ModifyNetworkInterfaceAttribute", {"sourceDestCheck": False}),
        exposure("ModifyManagedPrefixList", ENTRIES, errorCode="Client.UnauthorizedOperation"),
        exposure("RunInstances", ONE_INTERFACE, userIdentity={"invokedBy": "autoscaling.amazonaws.com"}),
    ],
)
@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="prefix lists, members and interfaces are changed instead of rules",
)
def test_calls_that_open_nothing_are_not_reported(event: dict[str, Any]) -> None:
    assert not respond(FakeEC2([HTTPS]), event, *GROUPS)


def test_rules_that_a_record_cannot_be_matched_with_are_blamed_on_nobody() -> None:
    """A revoke by rule id whose response lacks the rule, an edit of ports and range, a record that was too large."""
    by_id = {"groupId": records.GROUP, "securityGroupRuleIds": {"items": [{"securityGroupRuleId": "sgr-1"}]}}
    omitted = {"omitted": True}
    for ec2, detail in (
        (FakeEC2([]), records.record("RevokeSecurityGroupIngress", by_id, {"_return": True})),
        (FakeEC2([SSH]), records.modified(records.update("sgr-00000000000000000", cidr="203.0.113.7/32"))),
        (FakeEC2([HTTPS, SSH]), records.record("AuthorizeSecurityGroupIngress", omitted, omitted)),
    ):
        (notice,) = respond(ec2, records.event(detail))
        assert "other call" not in notice["Message"]
        assert "the record of the call does not name these rules" in notice["Message"]
