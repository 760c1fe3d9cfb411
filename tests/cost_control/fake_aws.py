"""An account in memory: the operations of IAM, EC2, Auto Scaling, Budgets, DynamoDB, SNS and Step Functions in use.

It answers and refuses as the API references of these services describe. `faults` maps an operation to an error that its
calls raise, once each.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from lambdas.cost_control.record import CLAIMABLE, NOT_OPEN

Json = dict[str, Any]
QUOTA = 10  # managed policies of a group or role


def error(code: str, message: str = "refused", status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Operation")


class Client:
    """A client whose operations are the methods of `account`; lists are paginated one item a page."""

    exceptions = SimpleNamespace(ExecutionAlreadyExists=type("ExecutionAlreadyExists", (ClientError,), {}))

    def __init__(self, account: "FakeAccount") -> None:
        self.account = account

    def __getattr__(self, operation: str) -> Callable[..., Json]:
        def call(**parameters: Any) -> Json:
            self.account.calls.append((operation, parameters))
            if self.account.faults[operation]:
                fault = self.account.faults[operation].pop(0)
                if fault:
                    raise fault
            return getattr(self.account, operation)(**parameters) or {}

        return call

    def get_paginator(self, operation: str) -> Any:
        def paginate(**parameters: Any) -> Iterator[Json]:
            response = getattr(self, operation)(**parameters)
            (name,) = response
            yield from ({name: [value]} for value in response[name]) if response[name] else ({name: []},)

        return SimpleNamespace(paginate=paginate)


class FakeAccount:
    def __init__(self) -> None:
        self.client: Any = Client(self)
        self.calls: list[tuple[str, Json]] = []
        self.faults: dict[str, list[Exception | None]] = defaultdict(list)
        self.budget: Json = {
            "BudgetLimit": {"Amount": "100.0", "Unit": "USD"},
            "CalculatedSpend": {"ActualSpend": {"Amount": "0", "Unit": "USD"}},
        }
        self.groups: dict[str, list[str]] = {}  # members
        self.attached: dict[tuple[str, str], list[str]] = {}  # ("group", name): policies
        self.instances: dict[str, Json] = {}
        self.protected: set[str] = set()
        self.refusal = ""  # message for protected instances, instead of EC2's
        self.scaling: dict[str, Json] = {}
        self.databases: dict[str, Json] = {}
        self.clusters: dict[str, Json] = {}
        self.items: dict[tuple[str, str], Json] = {}
        self.messages: list[Json] = []
        self.executions: list[str] = []

    def set_cost(self, actual: float, forecast: float | None = None) -> None:
        spend = {"ActualSpend": {"Amount": str(actual), "Unit": "USD"}}
        if forecast is not None:
            spend["ForecastedSpend"] = {"Amount": str(forecast), "Unit": "USD"}
        self.budget["CalculatedSpend"] = spend

    def add_group(self, name: str, *members: str, policies: int = 1) -> None:
        self.groups[name] = list(members)
        self.attached["group", name] = [f"arn:aws:iam::aws:policy/{number}" for number in range(policies)]

    def add_instance(self, instance_id: str, state: str = "running", **tags: str) -> None:
        pairs = [{"Key": key.replace("__", ":"), "Value": value} for key, value in tags.items()]
        self.instances[instance_id] = {"InstanceId": instance_id, "State": {"Name": state}, "Tags": pairs}

    def states(self) -> dict[str, str]:
        return {name: instance["State"]["Name"] for name, instance in self.instances.items()}

    # Budgets, SNS, Step Functions

    def describe_budget(self, **_parameters: str) -> Json:
        return {"Budget": self.budget}

    def publish(self, **message: Any) -> None:
        assert len(message["Subject"]) < 100
        self.messages.append(message)

    def start_execution(self, name: str, **_parameters: str) -> None:
        assert len(name) <= 80
        if name in self.executions:
            raise Client.exceptions.ExecutionAlreadyExists({"Error": {}}, "StartExecution")
        self.executions.append(name)

    # IAM

    def get_account_summary(self) -> Json:
        return {"SummaryMap": {"AttachedPoliciesPerGroupQuota": QUOTA, "AttachedPoliciesPerRoleQuota": QUOTA}}

    def get_group(self, GroupName: str) -> Json:
        if GroupName not in self.groups:
            raise error("NoSuchEntity", f"The group with name {GroupName} cannot be found.")
        return {"Users": [{"UserName": name} for name in self.groups[GroupName]]}

    def list_attached_group_policies(self, GroupName: str) -> Json:
        return self._policies("group", GroupName)

    def list_attached_role_policies(self, RoleName: str) -> Json:
        return self._policies("role", RoleName)

    def _policies(self, kind: str, name: str) -> Json:
        if (kind, name) not in self.attached:
            raise error("NoSuchEntity", f"The {kind} with name {name} cannot be found.")
        return {"AttachedPolicies": [{"PolicyArn": arn} for arn in self.attached[kind, name]]}

    def attach_group_policy(self, GroupName: str, PolicyArn: str) -> None:
        self._attach("group", GroupName, PolicyArn)

    def attach_role_policy(self, RoleName: str, PolicyArn: str) -> None:
        self._attach("role", RoleName, PolicyArn)

    def _attach(self, kind: str, name: str, arn: str) -> None:
        if (kind, name) not in self.attached:
            raise error("NoSuchEntity", f"The {kind} with name {name} cannot be found.", 404)
        policies = self.attached[kind, name]
        if arn not in policies:
            if len(policies) >= QUOTA:
                raise error("LimitExceeded", status=409)
            policies.append(arn)

    def detach_group_policy(self, GroupName: str, PolicyArn: str) -> None:
        self._detach("group", GroupName, PolicyArn)

    def detach_role_policy(self, RoleName: str, PolicyArn: str) -> None:
        self._detach("role", RoleName, PolicyArn)

    def _detach(self, kind: str, name: str, arn: str) -> None:
        if arn not in self.attached.get((kind, name), []):
            raise error("NoSuchEntity", f"Policy {arn} was not found.", 404)
        self.attached[kind, name].remove(arn)

    # EC2 and Auto Scaling

    def describe_instances(self, Filters: Any = (), InstanceIds: Any = None) -> Json:
        matching = [
            i
            for name, i in self.instances.items()
            if (InstanceIds is None or name in InstanceIds) and all(_matches(i, f) for f in Filters)
        ]
        if InstanceIds and len(matching) < len(InstanceIds):
            raise error("InvalidInstanceID.NotFound")
        return {"Reservations": [{"Instances": [instance]} for instance in matching]}

    def stop_instances(self, InstanceIds: list[str]) -> None:
        for name in InstanceIds:
            if name in self.protected:
                text = (
                    f"The instance '{name}' may not be stopped. Modify its 'disableApiStop' instance attribute"
                    " and try again."
                )
                raise error("OperationNotPermitted", self.refusal or text)
        for name in InstanceIds:
            self.instances[name]["State"]["Name"] = "stopped"

    def start_instances(self, InstanceIds: list[str]) -> None:
        for name in InstanceIds:
            self.instances[name]["State"]["Name"] = "running"

    def describe_auto_scaling_groups(self, Filters: Any = (), AutoScalingGroupNames: Any = None) -> Json:
        groups = [
            {"AutoScalingGroupName": name, **group}
            for name, group in self.scaling.items()
            if (AutoScalingGroupNames is None or name in AutoScalingGroupNames)
            and all(_matches(group, f) for f in Filters)
        ]
        return {"AutoScalingGroups": groups}

    def update_auto_scaling_group(self, AutoScalingGroupName: str, **sizes: int) -> None:
        self.scaling[AutoScalingGroupName].update(sizes)

    # RDS

    def describe_db_instances(self, DBInstanceIdentifier: str | None = None) -> Json:
        found = [d for name, d in self.databases.items() if DBInstanceIdentifier in (None, name)]
        return {"DBInstances": found}

    def describe_db_clusters(self, DBClusterIdentifier: str | None = None) -> Json:
        found = [c for name, c in self.clusters.items() if DBClusterIdentifier in (None, name)]
        if DBClusterIdentifier and not found:
            raise error("DBClusterNotFoundFault", status=404)
        return {"DBClusters": found}

    def stop_db_cluster(self, DBClusterIdentifier: str) -> None:
        self.clusters[DBClusterIdentifier]["Status"] = "stopping"

    def start_db_cluster(self, DBClusterIdentifier: str) -> None:
        self.clusters[DBClusterIdentifier]["Status"] = "starting"

    def stop_db_instance(self, DBInstanceIdentifier: str) -> None:
        self.databases[DBInstanceIdentifier]["DBInstanceStatus"] = "stopping"

    def start_db_instance(self, DBInstanceIdentifier: str) -> None:
        self.databases[DBInstanceIdentifier]["DBInstanceStatus"] = "starting"

    # DynamoDB, with the conditions of `record`

    def put_item(self, Item: Json, ConditionExpression: str | None = None, **options: Any) -> None:
        key = Item["period"]["S"], Item["item"]["S"]
        old, values = self.items.get(key), options.get("ExpressionAttributeValues", {})
        conditions: dict[str | None, Callable[[Json], bool]] = {
            None: lambda _: True,
            CLAIMABLE: lambda i: (
                i["status"] != values[":planned"]
                or i["at"]["S"] < values[":stale"]["S"]
                or i.get("execution") == values[":execution"]
            ),
            NOT_OPEN: lambda i: i["status"] not in (values[":planned"], values[":done"]),
        }
        if old and not conditions[ConditionExpression](old):
            raise error("ConditionalCheckFailedException")
        self.items[key] = dict(Item)

    def update_item(self, Key: Json, UpdateExpression: str, **options: Any) -> None:
        item = self.items.setdefault((Key["period"]["S"], Key["item"]["S"]), dict(Key))
        names, values = options["ExpressionAttributeNames"], options["ExpressionAttributeValues"]
        if UpdateExpression.endswith("ADD #count :one"):
            item["count"] = {"N": str(int(item.get("count", {"N": "0"})["N"]) + 1)}
            return
        for assignment in UpdateExpression.removeprefix("SET ").split(", "):
            name, _, value = assignment.partition(" = ")
            item[names.get(name, name)] = values[value]

    def get_item(self, Key: Json, **_options: Any) -> Json:
        item = self.items.get((Key["period"]["S"], Key["item"]["S"]))
        return {"Item": item} if item else {}

    def query(self, ExpressionAttributeValues: Json, **_options: Any) -> Json:
        period = ExpressionAttributeValues[":period"]["S"]
        return {"Items": [item for key, item in self.items.items() if key[0] == period]}

    def scan(self, ExpressionAttributeValues: Json, **_options: Any) -> Json:
        statuses = [ExpressionAttributeValues[name] for name in (":planned", ":done")]
        return {"Items": [item for item in self.items.values() if "kind" in item and item["status"] in statuses]}


def _matches(resource: Json, condition: Json) -> bool:
    if condition["Name"] == "instance-state-name":
        return resource["State"]["Name"] in condition["Values"]
    if condition["Name"] == "tag-key":
        return any(tag["Key"] in condition["Values"] for tag in resource["Tags"])
    key = condition["Name"].removeprefix("tag:")
    return any(tag["Key"] == key and tag["Value"] in condition["Values"] for tag in resource["Tags"])
