"""The sandbox's EC2 and CloudTrail behave as AWS documents."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox import Sandbox
from sandbox.target import session

from .stacks import Stacks

pytestmark = pytest.mark.enable_socket
SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}


class Group:
    """A security group, and a queue of its CloudTrail records."""

    def __init__(self, sandbox: Sandbox) -> None:
        clients = session(sandbox)
        self.ec2, self.sqs, self.events = (clients.client(name) for name in ("ec2", "sqs", "events"))
        self.id = self.ec2.create_security_group(GroupName="test", Description="test")["GroupId"]
        service = {"Service": "events.amazonaws.com"}
        statement = {"Effect": "Allow", "Principal": service, "Action": "sqs:SendMessage", "Resource": "*"}
        policy = {"Policy": json.dumps({"Statement": [statement]})}
        self.queue = self.sqs.create_queue(QueueName="records", Attributes=policy)["QueueUrl"]
        pattern = {"source": ["aws.ec2"], "detail-type": ["AWS API Call via CloudTrail"]}
        self.events.put_rule(Name="records", EventPattern=json.dumps(pattern))
        arn = "arn:aws:sqs:us-east-1:111111111111:records"
        self.events.put_targets(Rule="records", Targets=[{"Id": "queue", "Arn": arn}])

    def delete(self) -> None:
        self.events.remove_targets(Rule="records", Ids=["queue"])
        self.events.delete_rule(Name="records")
        self.sqs.delete_queue(QueueUrl=self.queue)
        self.ec2.delete_security_group(GroupId=self.id)

    def authorize(self, *cidrs: str, **options: Any) -> list[str]:
        permission = SSH | {"IpRanges": [{"CidrIp": cidr} for cidr in cidrs]}
        response = self.ec2.authorize_security_group_ingress(GroupId=self.id, IpPermissions=[permission], **options)
        return [rule["SecurityGroupRuleId"] for rule in response["SecurityGroupRules"]]

    def cidrs(self) -> set[str]:
        filters = [{"Name": "group-id", "Values": [self.id]}]
        rules = self.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
        return {rule["CidrIpv4"] for rule in rules if not rule["IsEgress"]}

    def last_record(self) -> dict[str, Any]:
        """Return the record of the last call, and discard older ones."""
        record: dict[str, Any] = {}
        while True:
            messages = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=1).get("Messages", [])
            if not messages:
                return record
            self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=messages[0]["ReceiptHandle"])
            record = json.loads(messages[0]["Body"])["detail"]


@pytest.fixture
def group(deployed: Sandbox) -> Iterator[Group]:
    group = Group(deployed)
    yield group
    group.delete()


def test_rules_are_listed_in_pages(group: Group) -> None:
    added = group.authorize(*(f"192.0.2.{number}/32" for number in range(8)))
    filters = [{"Name": "group-id", "Values": [group.id]}]
    paginator = group.ec2.get_paginator("describe_security_group_rules")
    pages = [page["SecurityGroupRules"] for page in paginator.paginate(Filters=filters, MaxResults=5)]
    assert [len(page) for page in pages] == [5, 4]  # with the rule for outgoing traffic
    assert {rule["SecurityGroupRuleId"] for page in pages for rule in page if not rule["IsEgress"]} == set(added)


def test_call_without_active_trail_is_not_recorded(group: Group, deployed: Sandbox) -> None:
    """EventBridge user guide, AWS service events delivered via CloudTrail: a trail with logging is needed."""
    cloudtrail = session(deployed).client("cloudtrail")
    (trail,) = cloudtrail.describe_trails()["trailList"]
    cloudtrail.stop_logging(Name=trail["TrailARN"])
    try:
        group.authorize("192.0.2.0/24")
    finally:
        cloudtrail.start_logging(Name=trail["TrailARN"])
    assert not group.last_record()
    group.authorize("198.51.100.0/24")
    assert group.last_record()["eventName"] == "AuthorizeSecurityGroupIngress"


def test_record_has_request_id_of_response(group: Group) -> None:
    permission = SSH | {"IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
    response = group.ec2.authorize_security_group_ingress(GroupId=group.id, IpPermissions=[permission])
    assert group.last_record()["requestID"] == response["ResponseMetadata"]["RequestId"]
    # MiniStack handles this call.
    response = group.ec2.create_tags(Resources=[group.id], Tags=[{"Key": "Name", "Value": "test"}])
    assert group.last_record()["requestID"] == response["ResponseMetadata"]["RequestId"]
    with pytest.raises(ClientError) as error:
        group.authorize("10.0.0.0/8", DryRun=True)
    assert group.last_record()["requestID"] == error.value.response["ResponseMetadata"]["RequestId"]


def test_each_source_becomes_a_rule_with_an_id(group: Group) -> None:
    ids = group.authorize("10.1.2.3/8", "192.0.2.0/24")
    assert len(set(ids)) == 2
    assert group.cidrs() == {"10.0.0.0/8", "192.0.2.0/24"}, "CIDR blocks are stored in canonical form"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda g, _: g.authorize("10.0.0.0/8", "10.1.0.0/8"), "InvalidPermission.Duplicate"),
        (lambda g, _: g.authorize("10.0.0.0/33"), "InvalidParameterValue"),
        (lambda g, _: g.authorize("10.0.0.0/8", DryRun=True), "DryRunOperation"),
        (lambda g, _: g.authorize(*(f"10.0.{n}.0/24" for n in range(60))), "RulesPerSecurityGroupLimitExceeded"),
        (
            lambda g, _: g.ec2.revoke_security_group_ingress(GroupId=g.id, SecurityGroupRuleIds=["sgr-0"]),
            "InvalidSecurityGroupRuleId.NotFound",
        ),
        (
            lambda g, _: g.ec2.authorize_security_group_ingress(
                GroupId=g.id, IpPermissions=[SSH | {"PrefixListIds": [{"PrefixListId": "pl-00000000"}]}]
            ),
            "InvalidPrefixListID.NotFound",
        ),
        (
            lambda g, rule_id: g.ec2.modify_security_group_rules(
                GroupId=g.id,
                SecurityGroupRules=[{"SecurityGroupRuleId": rule_id, "SecurityGroupRule": SSH | {"CidrIpv6": "::/0"}}],
            ),
            "InvalidParameterValue",
        ),
    ],
)
def test_invalid_call_is_rejected_without_changes(group: Group, call: Any, code: str) -> None:
    (rule_id,) = group.authorize("192.0.2.0/24")
    with pytest.raises(ClientError) as error:
        call(group, rule_id)
    assert error.value.response["Error"]["Code"] == code
    assert group.cidrs() == {"192.0.2.0/24"}


def test_unknown_rule_id_rejects_whole_call(group: Group) -> None:
    (known,) = group.authorize("10.0.0.0/8")
    with pytest.raises(ClientError):
        group.ec2.revoke_security_group_ingress(GroupId=group.id, SecurityGroupRuleIds=[known, "sgr-0"])
    assert group.cidrs() == {"10.0.0.0/8"}


def test_record_has_caller_request_and_created_rules(group: Group) -> None:
    (rule_id,) = group.authorize("203.0.113.7/32")
    record = group.last_record()
    assert (record["eventName"], record["eventSource"]) == ("AuthorizeSecurityGroupIngress", "ec2.amazonaws.com")
    assert record["userIdentity"]["arn"] == "arn:aws:iam::111111111111:user/sandbox-user"
    (permission,) = record["requestParameters"]["ipPermissions"]["items"]
    assert permission == {
        "ipProtocol": "tcp",
        "fromPort": 22,
        "toPort": 22,
        "groups": {},
        "ipRanges": {"items": [{"cidrIp": "203.0.113.7/32"}]},
        "ipv6Ranges": {},
        "prefixListIds": {},
    }
    (rule,) = record["responseElements"]["securityGroupRuleSet"]["items"]
    assert (rule["securityGroupRuleId"], rule["cidrIpv4"], rule["isEgress"]) == (rule_id, "203.0.113.7/32", False)
    assert "errorCode" not in record


def test_record_of_top_level_parameters_is_flat(group: Group) -> None:
    group.ec2.authorize_security_group_ingress(
        GroupId=group.id, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="203.0.113.7/32"
    )
    request = group.last_record()["requestParameters"]
    assert request == {
        "groupId": group.id,
        "ipProtocol": "tcp",
        "fromPort": 22,
        "toPort": 22,
        "cidrIp": "203.0.113.7/32",
        "ipPermissions": {},
    }


def test_record_of_modify_has_single_rule_as_object(group: Group) -> None:
    (rule_id,) = group.authorize("203.0.113.7/32")
    values = SSH | {"CidrIpv4": "203.0.113.8/32"}
    group.ec2.modify_security_group_rules(
        GroupId=group.id, SecurityGroupRules=[{"SecurityGroupRuleId": rule_id, "SecurityGroupRule": values}]
    )
    request = group.last_record()["requestParameters"]["ModifySecurityGroupRulesRequest"]
    expected = {"SecurityGroupRuleId": rule_id, "tag": 1, "SecurityGroupRule": values}
    assert request == {"GroupId": group.id, "SecurityGroupRule": expected}


def test_record_of_failed_call_has_error_and_no_response(group: Group) -> None:
    with pytest.raises(ClientError):
        group.authorize("203.0.113.7/32", DryRun=True)
    record = group.last_record()
    assert (record["errorCode"], record["responseElements"]) == ("Client.DryRunOperation", None)


def test_other_mutating_calls_are_recorded(group: Group) -> None:
    group.ec2.create_tags(Resources=[group.id], Tags=[{"Key": "team", "Value": "web"}])
    record = group.last_record()
    assert record["eventName"] == "CreateTags"
    assert record["requestParameters"]["tag"] == {"items": [{"key": "team", "value": "web"}]}
    assert record["responseElements"]["_return"] is True
    with pytest.raises(ClientError):
        group.ec2.delete_security_group(GroupId="sg-00000000000000000")
    record = group.last_record()
    assert (record["errorCode"], record["responseElements"]) == ("Client.InvalidGroup.NotFound", None)


def test_read_only_calls_are_not_recorded(group: Group) -> None:
    group.last_record()
    group.ec2.describe_security_groups(GroupIds=[group.id])
    group.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group.id]}])
    assert group.last_record() == {}


def test_template_rule_between_groups_is_added_and_removed(stacks: Stacks) -> None:
    """Rules as separate resources, because two groups that name each other in their own rules would be circular."""
    ec2, name = stacks.clients.client("ec2"), stacks.name()
    groups = {
        key: {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": key}} for key in ("Hosts", "Home")
    }
    rule = {
        "Type": "AWS::EC2::SecurityGroupEgress",
        "Properties": {
            "GroupId": {"Fn::GetAtt": ["Hosts", "GroupId"]},
            "DestinationSecurityGroupId": {"Fn::GetAtt": ["Home", "GroupId"]},
            "IpProtocol": "tcp",
            "FromPort": 2049,
            "ToPort": 2049,
        },
    }
    assert stacks.create(name, Resources=groups | {"Rule": rule})["StackStatus"] == "CREATE_COMPLETE"
    resources = stacks.cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    ids = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}

    def rules() -> list[tuple[int, str]]:
        filters = [{"Name": "group-id", "Values": [ids["Hosts"]]}]
        found = ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
        return [(rule["FromPort"], rule["ReferencedGroupInfo"]["GroupId"]) for rule in found if rule["FromPort"] > 0]

    assert rules() == [(2049, ids["Home"])]
    assert stacks.update(name, Resources=groups)["StackStatus"] == "UPDATE_COMPLETE"
    assert rules() == []
