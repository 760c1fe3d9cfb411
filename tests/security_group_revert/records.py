"""CloudTrail records in the forms that AWS uses, and their EventBridge events."""

import json
from typing import Any

GROUP = "sg-0123456789abcdef0"
ROOT_ID = "111111111111"
ALICE = {
    "type": "IAMUser",
    "principalId": "AIDACKCEVSQ6C2EXAMPLE",
    "arn": "arn:aws:iam::111111111111:user/alice",
    "accountId": ROOT_ID,
    "userName": "alice",
}
SWEEP: Any = json.loads('{"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}')


def record(name: str, request: Any, response: Any = None, **more: Any) -> Any:
    return {
        "eventVersion": "1.10",
        "userIdentity": ALICE,
        "eventTime": "2025-11-21T07:08:26Z",
        "eventSource": "ec2.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": "203.0.113.50",
        "userAgent": "aws-cli/2.31.0",
        "requestParameters": request,
        "responseElements": response,
        "requestID": "59dbff89-35bd-4eac-99ed-be587EXAMPLE",
        "eventID": "9fd68588-ecbf-4528-a345-199fa6bb0821",
        "readOnly": False,
        "recipientAccountId": ROOT_ID,
        **more,
    }


def event(detail: Any) -> Any:
    return {"source": "aws.ec2", "detail-type": "AWS API Call via CloudTrail", "detail": detail}


def permission(port: int, **sources: Any) -> dict[str, Any]:
    """An element of `ipPermissions.items`, in which CloudTrail writes empty lists as ``{}``."""
    empty: dict[str, Any] = {"ipRanges": {}, "ipv6Ranges": {}, "prefixListIds": {}, "groups": {}}
    filled = {name: {"items": items} for name, items in sources.items()}
    return {"ipProtocol": "tcp", "fromPort": port, "toPort": port, **empty, **filled}


def response_rule(rule_id: str = "sgr-1", *, is_egress: bool = False, **source: Any) -> dict[str, Any]:
    """An element of `securityGroupRuleSet.items`."""
    source = source or {"cidrIpv4": "203.0.113.7/32"}
    return {
        "groupOwnerId": ROOT_ID,
        "groupId": GROUP,
        "securityGroupRuleId": rule_id,
        "isEgress": is_egress,
        "ipProtocol": "tcp",
        "fromPort": 22,
        "toPort": 22,
        **source,
    }


def authorized(*items: dict[str, Any], name: str = "AuthorizeSecurityGroupIngress") -> Any:
    response = {"_return": True, "requestId": "r", "securityGroupRuleSet": {"items": list(items)}}
    return record(name, {"groupId": GROUP, "ipPermissions": {}}, response)


def modified(*updates: dict[str, Any]) -> Any:
    """CloudTrail writes one update as an object, several as a list."""
    tagged = [{**update, "tag": number} for number, update in enumerate(updates, 1)]
    rules = tagged[0] if len(tagged) == 1 else tagged
    request = {"ModifySecurityGroupRulesRequest": {"GroupId": GROUP, "SecurityGroupRule": rules}}
    return record("ModifySecurityGroupRules", request, {"ModifySecurityGroupRulesResponse": {"return": True}})


def described(rule_id: str = "sgr-1", text: str = "HTTPS") -> Any:
    """A call that sets a description. CloudTrail does not record the previous one."""
    name = "UpdateSecurityGroupRuleDescriptionsIngress"
    item = {"SecurityGroupRuleId": rule_id, "Description": text, "tag": 1}
    request = {f"{name}Request": {"GroupId": GROUP, "SecurityGroupRuleDescription": item}}
    return record(name, request, {f"{name}Response": {"return": True}})


def update(rule_id: str, port: int = 22, cidr: str = "0.0.0.0/0") -> dict[str, Any]:
    values = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIpv4": cidr}
    return {"SecurityGroupRuleId": rule_id, "SecurityGroupRule": values}
