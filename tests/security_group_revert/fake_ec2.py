"""Stubs of EC2 with one security group, of DynamoDB and of SNS, with fault injection.

moto differs from AWS in what these tests need: it modifies only IPv4 ranges, and returns another
error for an unknown rule ID. Parameters are validated against botocore's model of the API.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError
from botocore.model import OperationModel
from botocore.session import Session
from botocore.validate import validate_parameters

from lambdas.security_group_revert.rules import Rule
from lambdas.security_group_revert.state import MAX_ITEMS
from tests.fake_client import FakeClient

MODEL = Session().get_service_model("ec2")
DYNAMODB = Session().get_service_model("dynamodb")
PUBLISH = Session().get_service_model("sns").operation_model("Publish")
PUT_EVENTS = Session().get_service_model("events").operation_model("PutEvents")
SOURCES = {
    "IpRanges": ("CidrIpv4", "CidrIp"),
    "Ipv6Ranges": ("CidrIpv6", "CidrIpv6"),
    "PrefixListIds": ("PrefixListId", "PrefixListId"),
    "UserIdGroupPairs": ("ReferencedGroupId", "GroupId"),
}
Fault = Callable[["FakeEC2", str, dict[str, Any]], None]


def validate(parameters: Mapping[str, Any], model: OperationModel) -> None:
    """Raise ParamValidationError unless boto3 would send these parameters."""
    assert model.input_shape
    validate_parameters(parameters, model.input_shape)


def ec2_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "injected by the test"}}, "call")


class FakeEC2:
    """Rules by ID. Each call first runs the next of `faults`, which can raise an error or change rules."""

    meta = SimpleNamespace(region_name="us-east-1")

    def __init__(self, rules: list[Rule], faults: list[Fault | None] | None = None, *, exists: bool = True) -> None:
        self.endpoint_groups: list[str] = []
        self.interface_groups: list[str] = []
        self.interface_filters: list[dict[str, Any]] = []
        self.exists = exists
        self._ids = (f"sgr-{number:017x}" for number in itertools.count())
        self.rules: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.faults = list(faults or [])
        for rule in rules:
            self.add(rule)

    def add(self, rule: Rule) -> str:
        rule_id = next(self._ids)
        reference = {"ReferencedGroupInfo": {"GroupId": rule.source, "UserId": "111111111111"}}
        self.rules[rule_id] = {
            "SecurityGroupRuleId": rule_id,
            "IsEgress": rule.is_egress,
            **{k: v for k, v in rule.as_request().items() if k != "ReferencedGroupId"},
            **(reference if rule.source_type == "ReferencedGroupId" else {}),
        }
        return rule_id

    def current(self, *, is_egress: bool = False) -> set[Rule]:
        return {Rule.from_api(rule) for rule in self.rules.values() if rule["IsEgress"] == is_egress}

    @property
    def changes(self) -> list[str]:
        return [call for call in self.calls if not call.startswith("Describe")]

    def _record(self, operation: str, parameters: dict[str, Any]) -> None:
        validate(parameters, MODEL.operation_model(operation))
        self.calls.append(operation)
        fault = self.faults.pop(0) if self.faults else None
        if fault:
            fault(self, operation, parameters)

    def get_paginator(self, name: str) -> Any:
        assert name == "describe_security_group_rules"
        return self

    def paginate(self, *, Filters: list[Any], PaginationConfig: dict[str, int]) -> Iterator[dict[str, Any]]:
        assert 5 <= PaginationConfig["PageSize"] <= 1000  # EC2 API reference, DescribeSecurityGroupRules
        self._record("DescribeSecurityGroupRules", {"Filters": Filters, "MaxResults": PaginationConfig["PageSize"]})
        ((_, group_ids),) = (item.values() for item in Filters)
        assert len(group_ids) <= 200, "FilterLimitExceeded"
        rules = [{**rule, "GroupId": group_id} for group_id in group_ids for rule in self.rules.values()]
        size = PaginationConfig["PageSize"]
        self.calls += ["DescribeSecurityGroupRules"] * ((len(rules) - 1) // size)
        yield {"SecurityGroupRules": rules[:2]}  # a page can have fewer items than MaxResults
        yield from ({"SecurityGroupRules": rules[start : start + size]} for start in range(2, len(rules) or 3, size))

    def describe_security_groups(self, **parameters: Any) -> dict[str, Any]:
        """Raise an error for an unknown group ID, as EC2 does; with a filter it would return an empty list."""
        self._record("DescribeSecurityGroups", parameters)
        if not self.exists:
            raise ec2_error("InvalidGroup.NotFound")
        return {"SecurityGroups": [{"GroupId": group_id} for group_id in parameters["GroupIds"]]}

    def describe_vpc_endpoints(self, **parameters: Any) -> dict[str, Any]:
        self._record("DescribeVpcEndpoints", parameters)
        groups = [{"GroupId": group_id} for group_id in self.endpoint_groups]
        if not groups:
            raise ec2_error("InvalidVpcEndpointId.NotFound")
        return {"VpcEndpoints": [{"VpcEndpointId": parameters["VpcEndpointIds"][0], "Groups": groups}]}

    def describe_network_interfaces(self, **parameters: Any) -> dict[str, Any]:
        """Return an interface for each group; with a filter, EC2 returns an empty list for an unknown ID."""
        self._record("DescribeNetworkInterfaces", parameters)
        self.interface_filters += parameters["Filters"]
        groups = [{"Groups": [{"GroupId": group_id}]} for group_id in self.interface_groups]
        return {"NetworkInterfaces": groups}

    def _revoke(self, operation: str, parameters: dict[str, Any]) -> None:
        self._record(operation, parameters)
        self._check(parameters["SecurityGroupRuleIds"], is_egress=operation.endswith("Egress"))
        for rule_id in parameters["SecurityGroupRuleIds"]:
            del self.rules[rule_id]

    def _authorize(self, operation: str, parameters: dict[str, Any]) -> None:
        self._record(operation, parameters)
        is_egress = operation.endswith("Egress")
        new = [
            Rule.from_api(
                {**permission, source: entry[name], "Description": entry.get("Description")}, is_egress=is_egress
            )
            for permission in parameters["IpPermissions"]
            for ranges, (source, name) in SOURCES.items()
            for entry in permission.get(ranges, [])
        ]
        if set(new) & self.current(is_egress=is_egress):
            raise ec2_error("InvalidPermission.Duplicate")
        for rule in new:
            self.add(rule)

    def _describe(self, operation: str, parameters: dict[str, Any]) -> None:
        self._record(operation, parameters)
        descriptions = {d["SecurityGroupRuleId"]: d["Description"] for d in parameters["SecurityGroupRuleDescriptions"]}
        self._check(list(descriptions), is_egress=operation.endswith("Egress"))
        for rule_id, description in descriptions.items():
            self.rules[rule_id]["Description"] = description

    def modify_security_group_rules(self, **parameters: Any) -> None:
        self._record("ModifySecurityGroupRules", parameters)
        self._check([update["SecurityGroupRuleId"] for update in parameters["SecurityGroupRules"]])
        after = dict(self.rules)
        for update in parameters["SecurityGroupRules"]:
            old = self.rules[update["SecurityGroupRuleId"]]
            new = update["SecurityGroupRule"]
            if not any(name in old and name in new for name in ("CidrIpv4", "CidrIpv6", "PrefixListId")):
                raise ec2_error("InvalidParameterValue")
            after[old["SecurityGroupRuleId"]] = {**old, **new}
        identities = [Rule.from_api(rule) for rule in after.values()]
        if len(set(identities)) < len(identities):
            raise ec2_error("InvalidPermission.Duplicate")
        self.rules = after

    def _check(self, ids: list[str], *, is_egress: bool | None = None) -> None:
        for rule_id in ids:
            if rule_id not in self.rules or is_egress not in (None, self.rules[rule_id]["IsEgress"]):
                raise ec2_error("InvalidSecurityGroupRuleId.NotFound")

    def __getattr__(self, name: str) -> Callable[..., None]:
        operation = "".join(word.capitalize() for word in name.split("_"))
        for prefix, call in (("Revoke", self._revoke), ("Authorize", self._authorize), ("Update", self._describe)):
            if operation.startswith(prefix):
                return lambda **parameters: call(operation, parameters)
        raise AttributeError(name)


class FakeSNS:
    """Stores published notifications."""

    def __init__(self) -> None:
        self.notifications: list[dict[str, str]] = []

    def publish(self, **parameters: str) -> None:
        validate(parameters, PUBLISH)
        assert len(parameters["Subject"]) < 100
        assert parameters["Subject"].isascii()
        assert parameters["Subject"].isprintable()
        assert parameters["MessageStructure"] == "json"
        assert len(parameters["Message"].encode()) <= 256 * 1024
        forms = json.loads(parameters["Message"])
        self.notifications.append(parameters | {"Message": forms["default"], "Chat": forms["https"]})


class FakeEventBridge(FakeClient):
    """Stores the details of events on the default event bus. `failed`: the error of each entry."""

    def __init__(self, failed: dict[str, str] | None = None) -> None:
        self.details: list[dict[str, Any]] = []
        self.failed = failed

    def put_events(self, **parameters: Any) -> dict[str, Any]:
        validate(parameters, PUT_EVENTS)
        if self.failed:
            return {"FailedEntryCount": 1, "Entries": [self.failed]}
        (entry,) = parameters["Entries"]
        assert len(json.dumps(entry)) <= 256 * 1024
        self.details.append(json.loads(entry["Detail"]))
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}


class FakeDynamoDB:
    """The items of one table, for the requests of `StateTable`; parameters are validated by botocore's model."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[str] = []
        self.error: Exception | None = None

    def _record(self, operation: str, parameters: dict[str, Any]) -> None:
        validate(parameters, DYNAMODB.operation_model(operation))
        self.calls.append(operation)
        if self.error:
            raise self.error

    def get_paginator(self, name: str) -> Any:
        assert name == "query"
        return self

    def paginate(self, *, PaginationConfig: dict[str, int], **parameters: Any) -> Iterator[dict[str, Any]]:
        self._record("Query", parameters)
        assert PaginationConfig == {"MaxItems": MAX_ITEMS}
        assert parameters["ConsistentRead"], "a run must read the counts of the previous run"
        assert parameters["KeyConditionExpression"] == "group_id = :group"
        group_id = parameters["ExpressionAttributeValues"][":group"]["S"]
        items = [dict(item) for (key, _), item in sorted(self.items.items()) if key == group_id]
        yield {"Items": items[:1]}  # more than one page
        yield {"Items": items[1:]}

    def update_item(self, **parameters: Any) -> dict[str, Any]:
        self._record("UpdateItem", parameters)
        item = self.items.setdefault(self._key(parameters["Key"]), dict(parameters["Key"]))
        if parameters["UpdateExpression"].startswith("REMOVE "):
            item.pop(parameters["UpdateExpression"].removeprefix("REMOVE "), None)
            return {}
        names, values = parameters.get("ExpressionAttributeNames", {}), parameters["ExpressionAttributeValues"]
        setting, _, adding = parameters["UpdateExpression"].removeprefix("SET ").partition(" ADD ")
        for assignment in setting.split(", "):
            name, value = assignment.split(" = ")
            item[names.get(name, name)] = values[value]
        for addition in adding.split(", ") if adding else ():
            name, value = addition.split(" ")
            item[name] = self._sum(item.get(name), values[value])
        return {"Attributes": item}

    @staticmethod
    def _sum(old: dict[str, Any] | None, added: dict[str, Any]) -> dict[str, Any]:
        if "SS" in added:
            return {"SS": sorted({*(old or {"SS": []})["SS"], *added["SS"]})}
        return {"N": str(int((old or {"N": "0"})["N"]) + int(added["N"]))}

    def put_item(self, **parameters: Any) -> None:
        self._record("PutItem", parameters)
        self.items[self._key(parameters["Item"])] = parameters["Item"]

    def delete_item(self, **parameters: Any) -> dict[str, Any]:
        self._record("DeleteItem", parameters)
        item = self.items.pop(self._key(parameters["Key"]), None)
        return {"Attributes": item} if item else {}

    def pass_time(self, seconds: int) -> None:
        """Move all timestamps in the table `seconds` into the past."""
        for item in self.items.values():
            for name in {"last", "expires_at", "by_sweep", "called_at", "until"} & item.keys():
                item[name] = {"N": str(int(item[name]["N"]) - seconds)}

    @staticmethod
    def _key(item: dict[str, Any]) -> tuple[str, str]:
        return item["group_id"]["S"], item["finding"]["S"]
