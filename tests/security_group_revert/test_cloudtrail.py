"""CloudTrail records: all forms of the same call."""

import json
from pathlib import Path
from typing import Any

import pytest

from lambdas.security_group_revert.cloudtrail import Change, read_change
from lambdas.security_group_revert.events import CloudTrailRecord
from lambdas.security_group_revert.rules import Rule

from . import records

VECTORS = Path(__file__).parents[3] / "shared" / "vectors"
NAME = "AuthorizeSecurityGroupIngress"
FLAT = {"groupId": records.GROUP, "ipPermissions": {}, "ipProtocol": "tcp", "fromPort": 22, "toPort": 22}


def rule(source_type: str = "CidrIpv4", source: str = "203.0.113.7/32", port: int = 22) -> Rule:
    return Rule(False, "tcp", port, port, source_type, source)


def read(record: CloudTrailRecord) -> Change:
    change = read_change(record)
    assert change
    return change


@pytest.mark.parametrize(
    "code", ["Client.UnauthorizedOperation", "Client.DryRunOperation", "Client.InvalidPermission.Duplicate"]
)
def test_read_change_of_failed_call_returns_none(code: str) -> None:
    assert read_change(records.record(NAME, FLAT, None, errorCode=code)) is None


@pytest.mark.parametrize(
    ("request_parameters", "expected"),
    [
        (FLAT | {"cidrIp": "203.0.113.7/32"}, rule()),
        (
            FLAT | {"ipPermissions": {"items": [records.permission(22, ipRanges=[{"cidrIp": "203.0.113.7/32"}])]}},
            rule(),
        ),
        (FLAT | {"ipPermissions": {"items": records.permission(22, ipRanges={"cidrIp": "203.0.113.7/32"})}}, rule()),
        (
            FLAT | {"ipPermissions": {"items": [records.permission(22, ipv6Ranges=[{"cidrIpv6": "2001:DB8::5/32"}])]}},
            rule("CidrIpv6", "2001:db8::/32"),
        ),
        (
            FLAT
            | {"ipPermissions": {"items": [records.permission(22, prefixListIds=[{"prefixListId": "pl-1234abcd"}])]}},
            rule("PrefixListId", "pl-1234abcd"),
        ),
        (
            FLAT | {"ipPermissions": {"items": [records.permission(22, groups=[{"groupId": "sg-1234abcd"}])]}},
            rule("ReferencedGroupId", "sg-1234abcd"),
        ),
    ],
    ids=["flat", "list", "object", "ipv6", "prefix list", "group"],
)
def test_rules_missing_in_response_are_read_from_request(request_parameters: Any, expected: Rule) -> None:
    change = read(records.record(NAME, request_parameters, {"_return": True}))
    assert change.added == (expected,)
    assert change.group_ids == {records.GROUP}


def test_egress_call_without_response_has_egress_rules() -> None:
    change = read(records.record("AuthorizeSecurityGroupEgress", FLAT | {"cidrIp": "203.0.113.7/32"}, {}))
    assert [rule.is_egress for rule in change.added] == [True]


def test_change_refers_to_rule_by_id() -> None:
    change = read(records.authorized(records.response_rule("sgr-7")))
    assert change.refers_to(Rule(False, "udp", 53, 53, "CidrIpv4", "10.0.0.0/8", rule_id="sgr-7"))
    assert not change.refers_to(Rule(False, "udp", 53, 53, "CidrIpv4", "10.0.0.0/8", rule_id="sgr-8"))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"cidrIpv4": "203.0.113.7/32"}, rule()),
        ({"cidrIpv6": "2001:db8::/32"}, rule("CidrIpv6", "2001:db8::/32")),
        ({"prefixListId": "pl-1234abcd"}, rule("PrefixListId", "pl-1234abcd")),
        ({"referencedGroupId": "sg-1234abcd"}, rule("ReferencedGroupId", "sg-1234abcd")),
        ({"referencedGroupInfo": {"groupId": "sg-1234abcd", "userId": "1"}}, rule("ReferencedGroupId", "sg-1234abcd")),
    ],
)
def test_rules_in_response_are_read_with_ids(source: dict[str, Any], expected: Rule) -> None:
    change = read(records.authorized(records.response_rule("sgr-7", **source)))
    assert change.added == (expected,)
    assert change.rule_ids == {"sgr-7"}


def test_group_id_of_request_by_name_is_read_from_response() -> None:
    response = {"_return": True, "securityGroupRuleSet": {"items": [records.response_rule()]}}
    change = read(records.record(NAME, {"groupName": "web", "ipPermissions": {}}, response))
    assert change.group_ids == {records.GROUP}


def test_modified_rules_are_read_as_object_and_list() -> None:
    one = read(records.modified(records.update("sgr-1")))
    two = read(records.modified(records.update("sgr-1"), records.update("sgr-2", cidr="10.0.0.0/8")))
    assert (one.group_ids, one.rule_ids, len(one.added)) == ({records.GROUP}, {"sgr-1"}, 1)
    assert (two.rule_ids, [r.source for r in two.added]) == ({"sgr-1", "sgr-2"}, ["0.0.0.0/0", "10.0.0.0/8"])


def test_revoked_rules_are_read_as_removed() -> None:
    revoked = {"revokedSecurityGroupRuleSet": {"items": [records.response_rule("sgr-9")]}}
    change = read(records.record("RevokeSecurityGroupIngress", {"groupId": records.GROUP}, revoked))
    assert (change.added, change.removed, change.rule_ids) == ((), (rule(),), {"sgr-9"})


@pytest.mark.parametrize("ids", [{"items": [{"securityGroupRuleId": "sgr-9"}]}, {"items": ["sgr-9"]}, ["sgr-9"]])
def test_revoke_by_rule_id_is_read(ids: Any) -> None:
    request = {"groupId": records.GROUP, "securityGroupRuleIds": ids}
    change = read(records.record("RevokeSecurityGroupIngress", request, {"_return": True}))
    assert change.rule_ids == {"sgr-9"}


def test_updated_descriptions_are_read() -> None:
    inner = {"GroupId": records.GROUP, "SecurityGroupRuleDescription": {"SecurityGroupRuleId": "sgr-3", "tag": 1}}
    request = {"UpdateSecurityGroupRuleDescriptionsIngressRequest": inner}
    change = read(records.record("UpdateSecurityGroupRuleDescriptionsIngress", request, {}))
    assert (change.group_ids, change.rule_ids) == ({records.GROUP}, {"sgr-3"})


ALICE_ARN = "arn:aws:iam::111111111111:user/alice"
ROOT_ARN = "arn:aws:iam::111111111111:root"


@pytest.mark.parametrize(
    ("identity", "caller"),
    [
        (records.ALICE, ALICE_ARN),
        ({"type": "Root", "principalId": "111111111111", "arn": ROOT_ARN}, ROOT_ARN),
        ({"type": "AWSService", "invokedBy": "eks.amazonaws.com"}, "eks.amazonaws.com"),
        (
            records.ALICE | {"invokedBy": "cloudformation.amazonaws.com"},
            f"{ALICE_ARN} through cloudformation.amazonaws.com",
        ),
        ({}, "unknown"),
    ],
)
def test_caller_is_read_from_identity(identity: dict[str, Any], caller: str) -> None:
    assert read(records.record(NAME, FLAT, userIdentity=identity)).call.caller == caller


def test_session_name_is_read_apart_from_the_role() -> None:
    """Source of the elements: CloudTrail user guide, userIdentity element."""
    session = {"sessionIssuer": {"arn": "arn:aws:iam::111111111111:role/Ops"}, "sourceIdentity": "alice"}
    identity = {
        "type": "AssumedRole",
        "arn": "arn:aws:sts::111111111111:assumed-role/Ops/bob",
        "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
        "sessionContext": session,
    }
    call = read(records.record(NAME, FLAT, userIdentity=identity)).call
    assert (call.caller, call.session_name) == ("arn:aws:sts::111111111111:assumed-role/Ops", "bob")
    assert (call.source_identity, call.access_key_id) == ("alice", "ASIAIOSFODNN7EXAMPLE")


@pytest.mark.reliability(
    "security_group_revert",
    "Malformed input",
    fault="an event is unreadable, or names no group",
)
def test_record_without_known_fields_is_read() -> None:
    change = read(records.record("AuthorizeSecurityGroupIngress", None, None))
    assert (change.group_ids, change.added) == (frozenset(), ())


@pytest.mark.skipif(not VECTORS.exists(), reason="public sample events are not available")
def test_public_sample_events_are_read() -> None:
    (flat,) = json.loads((VECTORS / "cloudtrail-authorize-security-group-ingress.json").read_text())
    change = read(flat)
    assert (change.group_ids, change.rule_ids) == ({"sg-003dc7f1f1c686164"}, {"sgr-09b3e3d2ca1edf2a2"})
    assert change.call.caller.endswith("user/christophe")
    request = json.loads((VECTORS / "cloudtrail-modify-security-group-rules-request.json").read_text())
    change = read(records.record("ModifySecurityGroupRules", request["requestParameters"]))
    assert (change.group_ids, change.rule_ids) == ({"sg-0123456789abcdef0"}, {"sgr-0d28445c956a5d8ac"})
    assert change.added == (rule(source="0.0.0.0/0", port=443),)
