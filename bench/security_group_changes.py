"""Changes to the sample group of SecurityGroupRevert, each with its CloudTrail event.

The events follow the CloudTrail user guide, "CloudTrail record contents", and public records of these calls.
"""

from typing import Any

from sandbox.process import ACCOUNT, REGION

ANOTHER_GROUP = "sg-0123456789abcdef0"
SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
SWEEP = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


class Group:
    """The deployed sample group."""

    def __init__(self, ec2: Any, group_id: str) -> None:
        self.ec2, self.group_id = ec2, group_id

    def ingress(self) -> list[dict[str, Any]]:
        filters = [{"Name": "group-id", "Values": [self.group_id]}]
        rules = self.ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
        return [rule for rule in rules if not rule["IsEgress"]]

    def is_as_approved(self) -> bool:
        rules = [(rule["FromPort"], rule["ToPort"], rule.get("CidrIpv4")) for rule in self.ingress()]
        return rules == [(443, 443, "0.0.0.0/0")]

    def open_ssh(self, *addresses: str) -> dict[str, Any]:
        """Allow SSH from addresses in one call."""
        ranges = [{"CidrIp": address} for address in addresses]
        response = self.ec2.authorize_security_group_ingress(
            GroupId=self.group_id, IpPermissions=[SSH | {"IpRanges": ranges}]
        )
        sources: dict[str, Any] = {"groups": {}, "ipRanges": _items(ranges), "ipv6Ranges": {}, "prefixListIds": {}}
        return _event(
            "AuthorizeSecurityGroupIngress",
            {"groupId": self.group_id, "ipPermissions": {"items": [_small(SSH) | sources]}},
            {"_return": True, "securityGroupRuleSet": _items(response["SecurityGroupRules"])},
        )

    def close_ssh(self) -> None:
        """Revoke the rules of `open_ssh`."""
        ids = [rule["SecurityGroupRuleId"] for rule in self.ingress() if rule["FromPort"] == SSH["FromPort"]]
        self.ec2.revoke_security_group_ingress(GroupId=self.group_id, SecurityGroupRuleIds=ids)

    def edit(self) -> dict[str, Any]:
        """Modify the approved rule to SSH from the same addresses."""
        (rule,) = self.ingress()
        update = {
            "SecurityGroupRuleId": rule["SecurityGroupRuleId"],
            "SecurityGroupRule": SSH | {"CidrIpv4": rule["CidrIpv4"], "Description": "edited"},
        }
        self.ec2.modify_security_group_rules(GroupId=self.group_id, SecurityGroupRules=[update])
        name = "ModifySecurityGroupRules"
        request = {"GroupId": self.group_id, "SecurityGroupRule": update | {"tag": 1}}
        return _event(name, {f"{name}Request": request}, {f"{name}Response": {"return": True}})

    def delete(self) -> dict[str, Any]:
        """Revoke the approved rule."""
        (rule,) = self.ingress()
        rule_id = rule["SecurityGroupRuleId"]
        response = self.ec2.revoke_security_group_ingress(GroupId=self.group_id, SecurityGroupRuleIds=[rule_id])
        ids = _items([{"SecurityGroupRuleId": rule_id}])
        return _event(
            "RevokeSecurityGroupIngress",
            {"groupId": self.group_id, "ipPermissions": {}, "securityGroupRuleIds": ids},
            {"_return": True, "revokedSecurityGroupRuleSet": _items(response["RevokedSecurityGroupRules"])},
        )


def change_of_another_group() -> dict[str, Any]:
    """An event without a change, in the flat form of calls without IpPermissions."""
    rule = {"GroupId": ANOTHER_GROUP, "IsEgress": False, "CidrIpv4": "198.18.3.1/32"} | SSH
    return _event(
        "AuthorizeSecurityGroupIngress",
        {"groupId": ANOTHER_GROUP, "cidrIp": "198.18.3.1/32", "ipPermissions": {}} | _small(SSH),
        {"_return": True, "securityGroupRuleSet": _items([rule | {"SecurityGroupRuleId": "sgr-0123456789abcdef0"}])},
    )


def _event(name: str, request: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    identity = {"type": "IAMUser", "arn": f"arn:aws:iam::{ACCOUNT}:user/someone", "accountId": ACCOUNT}
    record = {
        "eventVersion": "1.10",
        "userIdentity": identity | {"principalId": "AIDACKCEVSQ6C2EXAMPLE", "userName": "someone"},
        "eventTime": "2026-01-01T00:00:00Z",
        "eventSource": "ec2.amazonaws.com",
        "eventName": name,
        "awsRegion": REGION,
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "aws-cli/2",
        "requestParameters": request,
        "responseElements": response,
        "eventID": "9fd68588-ecbf-4528-a345-199fa6bb0821",
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }
    return {
        "version": "0",
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.ec2",
        "account": ACCOUNT,
        "region": REGION,
        "resources": [],
        "detail": record,
    }


def _items(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"items": [_small(item) for item in items]}


def _small(item: dict[str, Any]) -> dict[str, Any]:
    """CloudTrail writes these calls' names in lower camel case."""
    return {key[:1].lower() + key[1:]: value for key, value in item.items() if not isinstance(value, list)}
