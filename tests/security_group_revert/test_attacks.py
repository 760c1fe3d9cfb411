"""Attacks: untrusted text, many or changing rules, and calls that bypass the rules."""

import re
from typing import Any

import pytest

from lambdas.security_group_revert.respond import RetryableError
from lambdas.security_group_revert.revert import MAX_CALLS, GuardedGroup
from lambdas.security_group_revert.rules import Rule

from . import records
from .fake_ec2 import FakeEC2, Fault, ec2_error
from .test_respond import HTTPS, SSH, SSH_EVENT, guarded, respond

PREFIX_LIST, PEER = "pl-0123456789abcdef0", "sg-0fedcba9876543210"
FROM_LIST = Rule(False, "tcp", 22, 22, "PrefixListId", PREFIX_LIST)
FROM_PEER = Rule(False, "tcp", 5432, 5432, "ReferencedGroupId", PEER)
LINK = re.compile(r"://|\w\.[a-zA-Z]|@\w|\d+\.\d+\.\d+\.\d")


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="links in user agents, session names and descriptions",
    expected="mail clients create no links",
    observed="`[.]`, `[:]` and `[@]`",
)
def test_untrusted_text_contains_no_links() -> None:
    session = {"sessionIssuer": {"arn": "arn:aws:iam::111111111111:role/Ops"}, "sourceIdentity": "www.evil.example"}
    identity = {
        "type": "AssumedRole",
        "arn": "arn:aws:sts::111111111111:assumed-role/Ops/aws-support@example.com",
        "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
        "sessionContext": session,
    }
    untrusted = {"userAgent": "Click https://evil.example/login or www.evil.example", "userIdentity": identity}
    linked = Rule(False, "tcp", 22, 22, "CidrIpv4", "203.0.113.7/32", description="see http://203.0.113.9/x")
    (notification,) = respond(FakeEC2([HTTPS, linked]), records.event(SSH_EVENT["detail"] | untrusted))
    assert not LINK.search(notification["Message"]), notification["Message"]
    assert "aws-support[@]example[.]com (chosen by the caller)" in notification["Message"]
    assert "www[.]evil[.]example (source identity)" in notification["Message"]
    assert "ASIAIOSFODNN7EXAMPLE" in notification["Message"]
    assert "203.0.113[.]50" in notification["Message"]
    assert "from 203.0.113[.]7/32" in notification["Message"], "the caller chose the range"


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="links in user agents, session names and descriptions",
)
def test_unicode_dots_become_no_links() -> None:
    detail = SSH_EVENT["detail"] | {"userAgent": "www\u3002evil\uff0eexample"}
    (notification,) = respond(FakeEC2([HTTPS, SSH]), records.event(detail))
    assert notification["Message"].isascii()


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="links in user agents, session names and descriptions",
)
def test_windows_share_becomes_no_link() -> None:
    """Outlook turns two backslashes and a name into a link, and Windows sends the user's login there."""
    detail = SSH_EVENT["detail"] | {"userAgent": r"see \\evil\share"}
    (notification,) = respond(FakeEC2([HTTPS, SSH]), records.event(detail))
    assert r"\\evil" not in notification["Message"]


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="a CloudTrail record nested thousands deep",
    expected="all groups are checked",
    observed="the unapproved rule is reverted",
)
@pytest.mark.parametrize("name", ["AuthorizeSecurityGroupIngress", "CreateNetworkInterface"])
def test_deeply_nested_record_does_not_prevent_revert(name: str) -> None:
    deep: list[Any] = []
    for _ in range(20_000):
        deep = [deep]
    ec2 = FakeEC2([HTTPS, SSH])
    respond(ec2, records.event(records.record(name, {"groupId": records.GROUP, "tags": deep})))
    assert ec2.current() == {HTTPS}


def test_notification_of_revoke_mentions_open_connections() -> None:
    (notification,) = respond(FakeEC2([HTTPS, SSH]), SSH_EVENT)
    assert "may still be open" in notification["Message"]
    (notification,) = respond(FakeEC2([HTTPS, SSH]), SSH_EVENT, change_rules=False)
    assert "may still be open" not in notification["Message"], "nothing was revoked"


def rules(count: int) -> list[Rule]:
    return [Rule(False, "tcp", port, port, "CidrIpv4", "203.0.113.7/32") for port in range(1, count + 1)]


def swap_rule(ec2: FakeEC2, operation: str, parameters: dict[str, Any]) -> None:
    """Replace a rule between each read and revoke."""
    if operation.startswith("Revoke") and len(parameters["SecurityGroupRuleIds"]) > 50:
        rule = Rule.from_api(ec2.rules.pop(parameters["SecurityGroupRuleIds"][0]))
        ec2.add(rule)


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="a rule is swapped between each read and revoke",
    expected="few calls; what remains is reported and retried",
    observed="fewer than 20 calls for 60 rules",
)
def test_rule_swapped_before_each_revoke_causes_few_calls() -> None:
    ec2 = FakeEC2([HTTPS, *rules(60)], [swap_rule] * 999)
    with pytest.raises(RetryableError, match="the rule changed in each of 3 attempts"):
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
def test_denied_revoke_of_every_rule_is_bounded_in_calls() -> None:
    def refuse_all(_ec2: FakeEC2, operation: str, _parameters: dict[str, Any]) -> None:
        if operation.startswith("Revoke"):
            raise ec2_error("UnauthorizedOperation")

    ec2 = FakeEC2([HTTPS, *rules(1000)], [refuse_all] * 9999)
    (notification,) = respond(ec2, records.SWEEP)
    assert len(ec2.changes) == MAX_CALLS
    assert notification["Subject"].startswith("NOT REVERTED: 1000 of 1000")


def denying(port: int) -> Fault:
    def fault(ec2: FakeEC2, operation: str, parameters: dict[str, Any]) -> None:
        ids = parameters.get("SecurityGroupRuleIds", []) if operation.startswith("Revoke") else []
        if any(ec2.rules[rule_id]["FromPort"] == port for rule_id in ids):
            raise ec2_error("UnauthorizedOperation")

    return fault


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="a rule is swapped between each read and revoke",
)
def test_one_denied_rule_of_a_thousand_blocks_no_other() -> None:
    ec2 = FakeEC2([HTTPS, *rules(1000)], [denying(700)] * 9999)
    respond(ec2, records.SWEEP)
    assert {rule.from_port for rule in ec2.current()} == {443, 700}
    assert len(ec2.changes) < MAX_CALLS


def exposure(name: str, request: dict[str, Any], response: Any = None, **more: Any) -> dict[str, Any]:
    return records.event(records.record(name, request, response, **more))


GROUPS = (
    guarded(HTTPS, FROM_LIST, FROM_PEER),
    GuardedGroup("sg-00000000000000001", "Other", (HTTPS,), None),
)
ENTRIES = {"ModifyManagedPrefixListRequest": {"PrefixListId": PREFIX_LIST, "AddEntry": {"Cidr": "0.0.0.0/0", "tag": 1}}}
RESTORED = {"RestoreManagedPrefixListVersionRequest": {"PrefixListId": PREFIX_LIST, "PreviousVersion": 1}}
ONE_INTERFACE = {"networkInterfaceId": "eni-1", "groupSet": {"items": [{"groupId": PEER}]}}
SPOT_INSTANCES = {"launchSpecification": {"groupSet": {"items": [{"groupId": PEER}]}}}
SPOT_FLEET = {
    "RequestSpotFleetRequest": {
        "SpotFleetRequestConfig": {"LaunchSpecifications": {"SecurityGroup": {"GroupId": PEER, "tag": 1}, "tag": 1}}
    }
}
RESOLVER_TARGET = {"CreateIpamPrefixListResolverTargetRequest": {"PrefixListId": PREFIX_LIST}}
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
        ("RequestSpotInstances", SPOT_INSTANCES, None),
        ("RequestSpotFleet", SPOT_FLEET, None),
        ("ImportInstance", {"launchSpecification": {"groupSet": {"items": [{"groupId": PEER}]}}}, None),
        ("RunScheduledInstances", {"launchSpecification": {"securityGroupId": PEER}}, None),
        ("CreateIpamPrefixListResolverTarget", RESOLVER_TARGET, None),
        # The prefix list is in the response only.
        ("ModifyIpamPrefixListResolverTarget", {}, {"ipamPrefixListResolverTarget": {"prefixListId": PREFIX_LIST}}),
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
def test_calls_that_change_what_rules_apply_to_are_reported(
    name: str, request_parameters: dict[str, Any], response: Any
) -> None:
    ec2 = FakeEC2([HTTPS])
    (notification,) = respond(ec2, exposure(name, request_parameters, response), *GROUPS)
    assert notification["Subject"] == f"{name} may open security group Web Server"
    assert "user/alice" in notification["Message"]
    assert "It was not reverted" in notification["Message"]
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
        exposure("CreateNetworkInterface", ONE_INTERFACE, userIdentity={"invokedBy": "ecs.amazonaws.com"}),
    ],
)
@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="prefix lists, members and interfaces are changed instead of rules",
)
def test_calls_without_exposure_are_not_reported(event: dict[str, Any]) -> None:
    assert not respond(FakeEC2([HTTPS]), event, *GROUPS)


def test_rules_not_in_the_record_are_attributed_to_no_caller() -> None:
    """A revoke by rule ID without the rule in the response, a change of ports and range, an omitted large record."""
    by_id = {"groupId": records.GROUP, "securityGroupRuleIds": {"items": [{"securityGroupRuleId": "sgr-1"}]}}
    omitted = {"omitted": True}
    for ec2, detail in (
        (FakeEC2([]), records.record("RevokeSecurityGroupIngress", by_id, {"_return": True})),
        (FakeEC2([SSH]), records.modified(records.update("sgr-00000000000000000", cidr="203.0.113.7/32"))),
        (FakeEC2([HTTPS, SSH]), records.record("AuthorizeSecurityGroupIngress", omitted, omitted)),
    ):
        (notification,) = respond(ec2, records.event(detail))
        assert "other call" not in notification["Message"]
        assert "rules not named in the CloudTrail event" in notification["Message"]


def test_rules_left_after_max_calls_have_the_last_reason() -> None:
    def refuse_batches(_ec2: FakeEC2, operation: str, parameters: dict[str, Any]) -> None:
        if operation.startswith("Revoke") and len(parameters["SecurityGroupRuleIds"]) > 1:
            raise ec2_error("UnauthorizedOperation")

    ec2 = FakeEC2([HTTPS, *rules(16)], [refuse_batches] * 99)
    (notification,) = respond(ec2, records.SWEEP)
    assert len(ec2.changes) == MAX_CALLS
    assert notification["Subject"].startswith("NOT REVERTED: 1 of 16")
    assert "UnauthorizedOperation" in notification["Message"]


@pytest.mark.parametrize("service", ["cloudformation", "ssm", "lambda"])
@pytest.mark.parametrize("name", ["RunInstances", "CreateNetworkInterface"])
def test_call_through_a_service_is_reported(name: str, service: str) -> None:
    """A stack or an automation makes any call for its caller."""
    identity = {"arn": "arn:aws:iam::111111111111:user/alice", "invokedBy": f"{service}.amazonaws.com"}
    event = exposure(name, {"groupSet": TWO_GROUPS}, userIdentity=identity)
    (notification,) = respond(FakeEC2([HTTPS]), event, *GROUPS)
    assert f"user/alice through {service}" in notification["Message"]


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="an interface with an open group is attached to an instance in a guarded group",
    expected="reported",
    observed='"AttachNetworkInterface may open security group"',
)
def test_interface_attached_to_guarded_instance_is_reported() -> None:
    """The record contains only the IDs of the interface and the instance."""
    attachment = {"networkInterfaceId": "eni-0b", "instanceId": "i-0a", "deviceIndex": 1}
    ec2 = FakeEC2([HTTPS])
    ec2.interface_groups = [records.GROUP, "sg-0eeeeeeeeeeeeeeee"]
    (notification,) = respond(ec2, exposure("AttachNetworkInterface", attachment), *GROUPS)
    assert notification["Subject"] == "AttachNetworkInterface may open security group Web Server"
    assert ec2.interface_filters == [
        {"Name": "attachment.instance-id", "Values": ["i-0a"]},
        {"Name": "network-interface-id", "Values": ["eni-0b"]},
    ]
    for groups in ([], ["sg-0eeeeeeeeeeeeeeee"], [records.GROUP]):
        ec2.interface_groups = groups
        assert not respond(ec2, exposure("AttachNetworkInterface", attachment), *GROUPS)


def test_interface_of_guarded_group_given_to_another_account_is_reported() -> None:
    """Only the other account records the call that attaches the interface to its instance."""
    permission = {"networkInterfaceId": "eni-0b", "awsAccountId": "222222222222", "permission": "INSTANCE-ATTACH"}
    call = exposure("CreateNetworkInterfacePermission", {"CreateNetworkInterfacePermissionRequest": permission})
    ec2 = FakeEC2([HTTPS])
    ec2.interface_groups = [PEER]
    (notification,) = respond(ec2, call, *GROUPS)
    assert notification["Subject"].startswith("CreateNetworkInterfacePermission may open security group")
    ec2.interface_groups = ["sg-0eeeeeeeeeeeeeeee"]
    assert not respond(ec2, call, *GROUPS)


ADDED_GROUP = {"tag": 1, "content": "sg-0eeeeeeeeeeeeeeee"}
ENDPOINT_CHANGE = {"ModifyVpcEndpointRequest": {"VpcEndpointId": "vpce-0123", "AddSecurityGroupId": ADDED_GROUP}}


def test_group_added_to_endpoint_of_guarded_group_is_reported() -> None:
    """The record does not contain the groups that the endpoint already has."""
    ec2 = FakeEC2([HTTPS])
    ec2.endpoint_groups = [records.GROUP, "sg-0eeeeeeeeeeeeeeee"]
    (notification,) = respond(ec2, exposure("ModifyVpcEndpoint", ENDPOINT_CHANGE), *GROUPS)
    assert notification["Subject"] == "ModifyVpcEndpoint may open security group Web Server"
    for groups in ([], ["sg-0eeeeeeeeeeeeeeee"]):
        ec2.endpoint_groups = groups
        assert not respond(ec2, exposure("ModifyVpcEndpoint", ENDPOINT_CHANGE), *GROUPS)
