"""cost_control: AWS calls and time from a message to the denial, for 1, 10 and the most principals and instances."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rich.progress import Progress

from lambdas.cost_control import guard
from lambdas.cost_control.enforce import Denier, Stopper
from lambdas.cost_control.inventory import Inventory
from lambdas.cost_control.options import Options
from lambdas.cost_control.plan import Action, Threshold
from lambdas.cost_control.record import RecordTable
from sandbox.process import ACCOUNT, Sandbox
from sandbox.target import session, set_cost
from settings.cost_control import MAX_PRINCIPALS

from .report import Row, Section
from .timing import BenchError

BUDGET = "bench"
SIZES = ((1, 1), (10, 10), (2 * MAX_PRINCIPALS, 100))  # principals, half of them groups, and instances
DENY = '{"Statement": [{"Effect": "Deny", "Action": "ec2:RunInstances", "Resource": "*"}]}'
TRUST = f'{{"Statement": [{{"Effect": "Allow", "Principal": {{"AWS": "{ACCOUNT}"}}, "Action": "sts:AssumeRole"}}]}}'
SERVICES = ("autoscaling", "budgets", "dynamodb", "ec2", "iam", "rds", "sns")
NOTES = (
    "The functions run one after another in this process, against the sandbox, as the state machine invokes them. The "
    "time of Lambda and Step Functions is not included, nor is the delay of Budgets, which dominates: hours.",
    "AWS calls: counted in boto3 (`before-call`), from `DescribeBudget` in the function that receives the message "
    "until the results are recorded and published.",
)


class Account:
    """A sandbox with a budget, and what one check needs."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.clients = {name: session(sandbox).client(name) for name in SERVICES}
        self.calls: list[str] = []
        for client in self.clients.values():
            client.meta.events.register("before-call", lambda model, **_: self.calls.append(model.name))
        self.iam, self.ec2 = self.clients["iam"], self.clients["ec2"]
        self.policy = self.iam.create_policy(PolicyName=BUDGET, PolicyDocument=DENY)["Policy"]["Arn"]
        self.topic = self.clients["sns"].create_topic(Name=BUDGET)["TopicArn"]
        keys = [("period", "HASH"), ("item", "RANGE")]
        self.clients["dynamodb"].create_table(
            TableName=BUDGET,
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
            BillingMode="PAY_PER_REQUEST",
        )
        limit = {"Amount": "100", "Unit": "USD"}
        budget = {"BudgetName": BUDGET, "BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": limit}
        self.clients["budgets"].create_budget(AccountId=ACCOUNT, Budget=budget)
        set_cost(sandbox, BUDGET, 101)

    def project(self, name: str, principals: int, instances: int) -> Options:
        """Create groups, roles and instances of a project, and return its options."""
        groups = [f"{name}Group{number}" for number in range((principals + 1) // 2)]
        roles = [f"{name}Role{number}" for number in range(principals // 2)]
        for group in groups:
            self.iam.create_group(GroupName=group)
        for role in roles:
            self.iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "Project", "Value": name}]}]
        image = self.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        self.ec2.run_instances(ImageId=image, MinCount=instances, MaxCount=instances, TagSpecifications=tags)
        threshold = Threshold(Decimal(100), "ACTUAL", frozenset({"deny", "stop"}))
        return Options(name, "Project", "KeepRunning", "enforce", (threshold,), tuple(groups), tuple(roles))

    def running(self, project: str) -> int:
        """Return how many instances of a project run or will run."""
        filters = [
            {"Name": "tag:Project", "Values": [project]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
        pages = self.ec2.get_paginator("describe_instances").paginate(Filters=filters)
        return sum(len(r["Instances"]) for page in pages for r in page["Reservations"])

    def check(self, options: Options) -> tuple[float, list[str]]:
        """Do what a message causes; return the seconds and the calls."""
        clients, now = self.clients, datetime.now(UTC)
        table = RecordTable(clients["dynamodb"], BUDGET)
        budget = guard.Budget(clients["budgets"], ACCOUNT, BUDGET, table)
        inventory = Inventory(
            self.iam, self.ec2, clients["autoscaling"], clients["rds"], options, self.policy, "CostControl"
        )
        denier = Denier(self.iam, self.policy, refuse=lambda _: "")
        stopper = Stopper(self.ec2, clients["autoscaling"], clients["rds"])
        self.calls.clear()
        started = time.perf_counter()
        budget.spend(now)  # of the function that receives the message
        plan: Any = guard.decide(budget, options, inventory, now)
        event: guard.ClaimEvent = {"period": plan["period"], "actions": plan["actions"], "execution": options.project}
        actions = [Action(**action) for action in guard.claim(table, event, now)["actions"]]
        results = denier.deny(actions) + stopper.stop(actions)
        guard.finish(table, plan["period"], results, now)
        notifier = guard.Notifier(clients["sns"], self.topic, options.project, table)
        notification: Any = {"plan": plan, "failure": "", "releaseArn": ""}
        notifier.notify_guard(notification, results, actions, now)
        seconds = time.perf_counter() - started
        failed = [result for result in results if result["status"] != "done"]
        if failed:
            raise BenchError(f"not everything was done: {failed[0]}")
        return seconds, list(self.calls)


def measure(progress: Progress) -> Section:
    """Measure checks in a separate sandbox."""
    rows: list[Row] = []
    with Sandbox() as sandbox:
        account = Account(sandbox)
        for principals, instances in progress.track(SIZES, description="Checks of cost_control"):
            name = f"Project{principals}"
            options = account.project(name, principals, instances)
            before = account.running(name)
            seconds, calls = account.check(options)
            rows += _rows(principals, instances, seconds, calls)
            after = account.running(name)
        rows.append(
            Row(
                "Instances of the project that keep running over budget",
                f"{after} of {before}",
                compared_with=f"the original post, which stops none: {before} of {before}",
                ratio=after / before,
                conditions="all with the project's tag",
            )
        )
        rows.append(_repeated(account.check, options))
    return Section("cost_control", tuple(rows), NOTES)


def _rows(principals: int, instances: int, seconds: float, calls: list[str]) -> Iterator[Row]:
    size = f"principals: {principals}, instances: {instances}"
    writes = sum(name in ("PutItem", "UpdateItem") for name in calls)
    yield Row(
        f"AWS calls from a message to the denial, {size}",
        str(len(calls)),
        conditions=f"{writes} writes of the record, {calls.count('StopInstances')} StopInstances",
    )
    yield Row(f"Time from a message to the denial, {size}", f"{seconds:.2f} s", conditions="sandbox")


def _repeated(check: Callable[[Options], tuple[float, list[str]]], options: Any) -> Row:
    seconds, calls = check(options)
    return Row(
        "AWS calls of the next check, with nothing to do",
        str(len(calls)),
        conditions=f"{seconds:.2f} s; one or two reads for each principal",
    )
