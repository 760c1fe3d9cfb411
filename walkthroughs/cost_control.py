"""Spend more than the budget of a project, and check what its users and instances can still do.

Only the sandbox can set a cost. In an AWS account, the steps that need one are skipped. The others are safe to run:
they create a group, a user, a role, instances and an Auto Scaling group, and delete them.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from lambdas.cost_control.plan import DONE, threshold_item

from .notifications import NotificationQueue
from .project_team import GROUP, ROLE, ProjectTeam
from .walkthrough import PreconditionError, RestoringWalkthrough, SkipStep, Step, Target

TAGS = {"Project": "Beta"}
OTHER_POLICY = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
SETTINGS = {
    "cost_control:mode": "enforce",
    "cost_control:groups": json.dumps([GROUP]),
    "cost_control:roles": json.dumps([ROLE]),
    "cost_control:tripwire": "500",
}
# As Budgets writes it; the receiver does not read it.
MESSAGE = (
    "AWS Budget Notification\n\nYou requested that we alert you when the ACTUAL Cost associated with your {budget}"
    " budget is greater than $100.00 for the current month. The ACTUAL Cost associated with this budget is $101.00."
)


class CostControlWalkthrough(RestoringWalkthrough):
    """The original post's walkthrough, with a forged message, a duplicate, a protected instance and the release."""

    stacks = ("CostControl",)

    @classmethod
    def settings(cls, _target: Target) -> dict[str, str]:
        """Enforce the budget on a group and a role, which the walkthrough creates."""
        return SETTINGS

    def _prepare(self) -> None:
        target = self.target
        self.outputs = target.outputs("CostControl")
        if self.outputs["Mode"] != "enforce":
            raise PreconditionError(
                "the stack is deployed with cost_control:mode=report; the walkthrough needs enforce"
            )
        if (self.outputs.get("Groups"), self.outputs.get("Roles")) != (GROUP, ROLE):
            raise PreconditionError(
                f"the walkthrough needs cost_control:groups={json.dumps([GROUP])} and roles={json.dumps([ROLE])}"
            )
        self.dynamodb, self.sns = map(target.client, ("dynamodb", "sns"))
        self.stepfunctions, self.iam, self.autoscaling = map(target.client, ("stepfunctions", "iam", "autoscaling"))
        self.month = f"{datetime.now(UTC):%Y-%m}"
        self.notifications = NotificationQueue(target, self.outputs["TopicArn"], self.cleanup, name="cost")
        if target.set_cost:
            self._begin_month()
        self.earlier_executions: set[str] = set()
        self.earlier_executions = self._executions()
        self.team = ProjectTeam(target, self.cleanup)
        if target.set_cost:
            self.cleanup.callback(self._release_by_hand)

    def _begin_month(self) -> None:
        """Set the cost to zero, forget the thresholds of this month, and let only messages cause checks."""
        for begin in (partial(self._set_cost, 0), self._forget_month):
            self.cleanup.callback(begin)
            begin()
        rules = self.target.client("events")
        self.cleanup.callback(rules.enable_rule, Name=self.outputs["CheckRuleName"])
        rules.disable_rule(Name=self.outputs["CheckRuleName"])

    def _release_by_hand(self) -> None:
        """Undo what a step that failed has left, and let the same thresholds start another execution."""
        release = self.stepfunctions.start_execution(stateMachineArn=self.outputs["ReleaseArn"])["executionArn"]

        def status() -> bool:
            return bool(self.stepfunctions.describe_execution(executionArn=release)["status"] != "RUNNING")

        self.target.wait_until(status, "the end of a release by hand")

    def user_starts_instances(self) -> str:
        team = self.team
        self.instances = {
            "web": team.run_instance(TAGS),
            "database": team.run_instance(TAGS),
            "protected": team.run_instance(TAGS, DisableApiStop=True),
            "exempt": team.run_instance(TAGS | {"KeepRunning": "until the release"}),
            "other project": team.run_instance({"Project": "Alpha"}),
            "untagged": team.run_instance({}),
        }
        team.create_scaling_group(TAGS, MinSize=1, MaxSize=4, DesiredCapacity=2)
        self._until_states(set(self.instances), "running")
        return "six instances, and an Auto Scaling group with two, started by the project's user"

    def forged_message_has_no_effect(self) -> str:
        if self.target.set_cost:
            self._set_cost(3)
        self._send(MESSAGE.format(budget=self.outputs["BudgetName"]))
        percent = self._until_checked(3 if self.target.set_cost else None)
        assert not self._executions(), f"a message started the state machine at {percent:g} % of the budget"
        self.team.run_and_terminate()
        return f"Budgets was asked, at {percent:g} % nothing happened; the user still starts instances"

    def tripwire_causes_a_check(self) -> str:
        self._set_cost(4)
        self.target.client("cloudwatch").set_alarm_state(
            AlarmName=self.outputs["TripwireAlarmName"], StateValue="ALARM", StateReason="walkthrough"
        )
        self._until_checked(4)
        self.notifications.wait_for("EstimatedCharges")
        assert not self._executions(), "the alarm started the state machine at 4 % of the budget"
        return "Budgets was asked at once, and the alarm is notified; at 4 % nothing else happened"

    def first_threshold_notifies(self) -> str:
        self._set_cost(85)
        notification = self.notifications.wait_for("Reached: 80 % of the budget (actual)")
        assert not self._is_denied(), "the policy is attached at 85 %"
        self.team.run_and_terminate()
        return f'"{notification["Subject"]}"; the user still starts instances'

    def over_budget_denies_user_and_role(self) -> str:
        started = time.monotonic()
        self._set_cost(101)
        self.report = self.notifications.wait_for("Reached: 100 % of the budget (actual)")
        seconds = time.monotonic() - started
        refusals = [self.target.wait_until(refuse, "a refusal") for refuse in self._refusals()]
        assert all("explicit deny" in text for text in refusals), f"not denied by the policy: {refusals}"
        return f"after {seconds:.1f} s the user's, and the role's, own RunInstances is refused: explicit deny"

    def tagged_instances_stop_and_others_run_on(self) -> str:
        self._need_cost()
        self._until_states({"web", "database"}, "stopped")
        self._until_states({"protected", "exempt", "other project", "untagged"}, "running")
        sizes = self.team.scaling_sizes()
        assert sizes == {"MinSize": 0, "MaxSize": 0, "DesiredCapacity": 0}, f"the group has {sizes}"
        return "two stopped, the group scaled to zero; exempt, untagged and other projects' instances run on"

    def protected_instance_is_reported(self) -> str:
        self._need_cost()
        text = self.report["Message"]
        line = f"instance {self.instances['protected']}: OperationNotPermitted"
        assert line in text, f"the notification does not report the protected instance:\n{text}"
        for name in ("web", "database"):
            assert f"instance {self.instances[name]}: stopped" in text, f"{name} is missing:\n{text}"
        return "EC2's reason is in the notification, and everything else was done"

    def duplicate_message_changes_nothing(self) -> str:
        self._set_cost(101.5)  # no further threshold
        before = self._executions()
        self._send(MESSAGE.format(budget=self.outputs["BudgetName"]))
        self._until_checked(101.5)
        assert self._executions() == before, "the message started another execution"
        self._expect_silence()
        reported = self._reported_thresholds()
        assert len(reported) == 2, f"reported according to the record: {reported}"
        return f"one more check, no execution, no notification; the record has {' and '.join(reported)} as reported"

    def others_attach_a_policy(self) -> str:
        self._need_cost()
        self.iam.attach_group_policy(GroupName=GROUP, PolicyArn=OTHER_POLICY)
        return f"somebody attaches {OTHER_POLICY.rpartition('/')[2]} to the group"

    def new_month_undoes_exactly_the_record(self) -> str:
        self._set_cost(0.5)
        next_month = (datetime.now(UTC).replace(day=1, hour=0, minute=10) + timedelta(days=32)).replace(day=1)
        # As EventBridge's schedule does on that day.
        self.stepfunctions.start_execution(
            stateMachineArn=self.outputs["ReleaseArn"], input=json.dumps({"time": f"{next_month:%Y-%m-%dT%H:%M:%SZ}"})
        )
        notification = self.notifications.wait_for("is released")
        attached = self.team.group_policies()
        assert attached == {*self.team.policies, OTHER_POLICY}, f"the group has {attached}"
        self._until_states({"web", "database"}, "running")
        sizes = self.team.scaling_sizes()
        assert sizes == {"MinSize": 1, "MaxSize": 4, "DesiredCapacity": 2}, f"the group has {sizes}"
        self.target.wait_until(self._allowed, "an allowed RunInstances")
        return f'"{notification["Subject"]}": the user starts instances again; the policy of others is still there'

    def late_message_of_last_month_has_no_effect(self) -> str:
        self._set_cost(0.75)
        before = self._executions()
        self._send(MESSAGE.format(budget=self.outputs["BudgetName"]))
        self._until_checked(0.75)
        assert self._executions() == before, "the message started an execution"
        assert not self._is_denied(), "the policy is attached"
        return "Budgets was asked, at 0.75 % nothing happened"

    def report_mode_changes_nothing(self) -> str:
        self._need_cost()
        deploy = self.target.deploy
        if deploy is None:
            raise SkipStep("the step deploys the stack again")
        self.cleanup.callback(deploy, "CostControl", SETTINGS)
        deploy("CostControl", SETTINGS | {"cost_control:mode": "report"})
        self._forget_month()
        self._set_cost(101)
        notification = self.notifications.wait_for("nothing was changed")
        for name in ("web", "database"):
            assert f"instance {self.instances[name]}: stopped" in notification["Message"], notification["Message"]
        self._until_states(set(self.instances), "running")
        assert not self._is_denied(), "the policy is attached"
        self.team.run_and_terminate()
        return "the notification lists what enforce would do; nothing was changed"

    steps = (
        Step("Start instances as a user of the project", user_starts_instances),
        Step("Forge a message to the topic", forged_message_has_no_effect),
        Step("Raise the account's estimated charges above the tripwire", tripwire_causes_a_check),
        Step("Set the cost to 85 % of the budget", first_threshold_notifies),
        Step("Set the cost to 101 %, and start instances", over_budget_denies_user_and_role),
        Step("List what is still running", tagged_instances_stop_and_others_run_on),
        Step("Look for the protected instance in the notification", protected_instance_is_reported),
        Step("Send the message a second time", duplicate_message_changes_nothing),
        Step("Attach another policy to the group", others_attach_a_policy),
        Step("Start a new month", new_month_undoes_exactly_the_record),
        Step("Send last month's message", late_message_of_last_month_has_no_effect),
        Step("Deploy with mode=report, and spend 101 % again", report_mode_changes_nothing),
    )

    def _need_cost(self) -> None:
        if self.target.set_cost is None:
            raise SkipStep("only AWS knows the cost of an account")

    def _set_cost(self, actual: float) -> None:
        self._need_cost()
        assert self.target.set_cost
        self.target.set_cost(self.outputs["BudgetName"], actual, None)

    def _send(self, text: str) -> None:
        self.sns.publish(TopicArn=self.outputs["SignalTopicArn"], Subject="AWS Budgets", Message=text)

    def _until_checked(self, actual: float | None) -> float:
        """Wait until the receiver has asked Budgets, and recorded this or, with None, any cost; return the cost."""
        key = {"period": {"S": self.month}, "item": {"S": "spend"}}

        def recorded() -> list[float]:
            table = self.outputs["RecordTableName"]
            item = self.dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
            return [cost for cost in ([float(item["actual"]["N"])] if item else []) if actual in (None, cost)]

        return self.target.wait_until(recorded, f"a check at a cost of {actual}")[0]

    def _reported_thresholds(self) -> list[str]:
        items = self.dynamodb.query(
            TableName=self.outputs["RecordTableName"],
            KeyConditionExpression="#period = :period and begins_with(#item, :threshold)",
            FilterExpression="#status = :done",
            ExpressionAttributeNames={"#period": "period", "#item": "item", "#status": "status"},
            ExpressionAttributeValues={
                ":period": {"S": self.month},
                ":threshold": {"S": threshold_item("")},
                ":done": {"S": DONE},
            },
        )["Items"]
        return sorted(item["item"]["S"].removeprefix(threshold_item("")) for item in items)

    def _executions(self) -> set[str]:
        pages = self.stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=self.outputs["GuardArn"])
        names = {execution["name"] for page in pages for execution in page["executions"]}
        return names - self.earlier_executions

    def _refusals(self) -> Iterator[Any]:
        """Yield functions that try to start an instance, and return the reason of the refusal."""
        for ec2 in (self.team.ec2, self.team.role_ec2()):

            def refused(ec2: Any = ec2) -> str | None:
                try:
                    self.team.run_and_terminate(ec2)
                except ClientError as error:
                    if error.response["Error"]["Code"] != "UnauthorizedOperation":
                        raise
                    return error.response["Error"]["Message"]
                return None

            yield refused

    def _allowed(self) -> bool:
        """Return whether the user can start an instance; a detached policy can take effect after seconds."""
        try:
            self.team.run_and_terminate()
        except ClientError as error:
            if error.response["Error"]["Code"] != "UnauthorizedOperation":
                raise
            return False
        return True

    def _is_denied(self) -> bool:
        return self.outputs["DenyPolicyArn"] in self.team.group_policies()

    def _until_states(self, names: set[str], state: str) -> None:
        ids = [self.instances[name] for name in names]
        self.target.wait_until(lambda: self.team.states(ids) == {state}, f"{', '.join(sorted(names))}: {state}")

    def _forget_month(self) -> None:
        """Delete the record of this month, so that its thresholds are new; keep the number of its releases.

        In the sandbox, "a new month" is a release with a later time.
        """
        table = self.outputs["RecordTableName"]
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=table,
            KeyConditionExpression="#period = :period",
            ExpressionAttributeNames={"#period": "period"},
            ExpressionAttributeValues={":period": {"S": self.month}},
        )
        for item in [item for page in pages for item in page["Items"]]:
            if item["item"]["S"] != "release":
                self.dynamodb.delete_item(TableName=table, Key={"period": item["period"], "item": item["item"]})

    def _expect_silence(self) -> None:
        time.sleep(max(1.0, self.target.propagation_seconds))
        unexpected = self.notifications.receive()
        assert not unexpected, f"unexpected notification: {unexpected[0]}"
