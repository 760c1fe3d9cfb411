"""Run the functions in the order of the state machines, against an account in memory."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from lambdas.cost_control import guard
from lambdas.cost_control.enforce import Denier, Stopper
from lambdas.cost_control.inventory import Inventory, with_members
from lambdas.cost_control.options import Options
from lambdas.cost_control.plan import DENY_GROUP, Action
from lambdas.cost_control.principals import group_problem, role_problem
from lambdas.cost_control.record import RecordTable
from lambdas.cost_control.release import Releaser

from .fake_aws import FakeAccount

POLICY = "arn:aws:iam::111111111111:policy/deny"
NOVEMBER = datetime(2026, 11, 26, 12, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, 0, 10, tzinfo=UTC)
OPTIONS: dict[str, Any] = {
    "project": "Beta",
    "tag": "Project",
    "exempt_tag": "KeepRunning",
    "mode": "enforce",
    "thresholds": [
        {"percent": 80, "kind": "ACTUAL", "actions": []},
        {"percent": 100, "kind": "ACTUAL", "actions": ["deny", "stop"]},
    ],
    "groups": ["projectBeta"],
    "roles": [],
    "exempt_principals": [],
    "stop_instances": True,
    "stop_databases": False,
}


class Month:
    """A project's account, and a clock."""

    def __init__(self, **options: Any) -> None:
        self.account = FakeAccount()
        self.account.add_group("projectBeta", "alice")
        self.now = NOVEMBER
        client = self.client = self.account.client
        self.table = RecordTable(client, "record")
        self.budget = guard.Budget(client, "111111111111", "budget", self.table)
        self.set_options(**options)
        self.notifier = guard.Notifier(client, "topic", self.options.project, self.table)

    def set_options(self, **options: Any) -> None:
        self.options = Options.from_json(OPTIONS | options)
        client = self.client
        self.inventory = Inventory(client, client, client, client, self.options, POLICY, "CostControl")

    def message(self) -> str:
        """Receive a message; return the name of the execution that it starts."""
        return guard.check(self.budget, self.options, self.client, "guard", self.now)

    def scheduled_check(self) -> str:
        return guard.check(self.budget, self.options, self.client, "guard", self.now, str(uuid4()))

    def decide(self) -> Any:
        return guard.decide(self.budget, self.options, self.inventory, self.now)

    def claim(self, plan: dict[str, Any], execution: str) -> list[Action]:
        event: guard.ClaimEvent = {"period": plan["period"], "actions": plan["actions"], "execution": execution}
        return [Action(**action) for action in guard.claim(self.table, event, self.now)["actions"]]

    def guard(self, execution: str = "execution") -> dict[str, Any]:
        """Run the state machine `Guard`; return its plan."""
        plan: dict[str, Any] = self.decide()
        if not plan["news"]:
            return plan
        actions = self.claim(plan, execution) if plan["act"] else []
        self.finish(plan, self.act(actions), actions)
        return plan

    def finish(self, plan: dict[str, Any], results: list[Any], actions: list[Action]) -> None:
        """Record and notify the results of a plan."""
        guard.finish(self.table, plan["period"], results, self.now)
        event: Any = {"plan": plan, "failure": "", "releaseArn": "release"}
        self.notifier.notify_guard(event, results, actions, self.now)

    def act(self, actions: list[Action]) -> list[Any]:
        return Denier(self.client, POLICY, self.refuse).deny(actions) + Stopper(
            self.client, self.client, self.client
        ).stop(actions)

    def refuse(self, action: Action) -> str:
        if action.kind == DENY_GROUP:
            exempt = with_members(self.client, self.options.exempt_principals)
            return group_problem(action.name, exempt, self.account.groups[action.name])
        return role_problem(action.name, "CostControl", self.options.exempt_principals)

    def release(self, time: datetime | None = None) -> dict[str, Any]:
        """Run the state machine `Release` once: by the schedule at `time`, or by hand."""
        released: dict[str, Any] = self.undo(time, {"results": [], "closed": 0})
        self.notify(released)
        return released

    def undo(self, time: datetime | None, earlier: dict[str, Any]) -> Any:
        releaser = Releaser(self.client, self.client, self.client, self.client, POLICY)
        event: Any = {"input": {"time": time.isoformat()} if time else {}, **earlier}
        return guard.release(self.table, releaser, event, time or self.now)

    def notify(self, released: dict[str, Any], failure: str = "") -> None:
        event: Any = released | {"released": released["results"], "failure": failure}
        self.notifier.notify_release(event)

    @staticmethod
    def scaling_group() -> dict[str, Any]:
        return {"MinSize": 1, "MaxSize": 4, "DesiredCapacity": 2, "Tags": [{"Key": "Project", "Value": "Beta"}]}

    @property
    def texts(self) -> list[str]:
        return [message["Message"] for message in self.account.messages]

    @property
    def is_denied(self) -> bool:
        return POLICY in self.account.attached["group", "projectBeta"]
