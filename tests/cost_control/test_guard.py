"""What is done at each threshold of a project's budget. The account is in memory."""

from decimal import Decimal
from typing import Any

import pytest

from lambdas.cost_control.budget import BudgetError
from lambdas.cost_control.notification_text import guard_notification

from .fake_aws import QUOTA, error
from .month import DECEMBER, POLICY, Month

ROLES = {"groups": [], "roles": ["team/deployer"]}


def test_cost_below_every_threshold_starts_nothing(month: Month) -> None:
    month.account.set_cost(80)  # not above 80 %
    assert month.message() == ""
    assert not month.account.executions


def test_first_threshold_only_notifies(month: Month) -> None:
    month.account.set_cost(85)
    assert month.message()
    month.guard()
    assert not month.is_denied
    assert set(month.account.states().values()) == {"running"}
    assert "85.00 USD of 100.00 USD (85 %)" in month.texts[0]


def test_threshold_at_100_percent_denies_and_stops_only_the_project(month: Month) -> None:
    month.account.set_cost(101)
    month.guard()
    assert month.is_denied
    assert month.account.states() == {"i-1": "stopped", "i-2": "stopped", "i-other": "running", "i-exempt": "running"}
    assert month.account.scaling["web"]["DesiredCapacity"] == month.account.scaling["web"]["MaxSize"] == 0


@pytest.mark.reliability(
    "cost_control",
    "Duplicate",
    fault="Budgets, or anybody else, sends the same message again",
    expected="one execution; a second one finds nothing to do",
    observed="no second execution; planned again: no actions, no notification",
)
def test_duplicate_message_changes_nothing(month: Month) -> None:
    month.account.set_cost(101)
    assert month.message()
    month.guard()
    before = len(month.account.calls), len(month.texts)
    assert month.message() == ""
    assert not month.guard("other")["news"]
    writes = {name for name, _ in month.account.calls[before[0] :]} & {"attach_group_policy", "stop_instances"}
    assert (writes, len(month.texts)) == (set(), before[1])


@pytest.mark.reliability("cost_control", "Duplicate", fault="Budgets, or anybody else, sends the same message again")
def test_concurrent_executions_share_the_actions(month: Month) -> None:
    """Two executions decide at the same time: only one does each action."""
    month.account.set_cost(101)
    first, second = month.decide(), month.decide()
    assert len(month.claim(first, "first")) == 4
    assert month.claim(second, "second") == []
    assert len(month.claim(first, "first")) == 4  # a retry of the function


@pytest.mark.reliability(
    "cost_control",
    "Hostile input",
    fault="somebody publishes a forged message to the topic",
    expected="the cost is requested from Budgets; below the thresholds, nothing happens",
    observed="no execution",
)
def test_forged_message_has_no_effect(month: Month) -> None:
    month.account.set_cost(3)
    assert month.message() == ""
    assert not month.decide()["act"]


@pytest.mark.reliability(
    "cost_control",
    "Partial failure",
    fault="one of the instances is protected against stopping",
    expected="reported with EC2's reason, once; the others are stopped",
    observed="i-1 stopped, i-2 reported; no notification of the same failure in the next check",
)
def test_protected_instance_is_reported_once(month: Month) -> None:
    month.account.protected.add("i-2")
    month.account.set_cost(101)
    month.guard()
    assert month.account.states()["i-1"] == "stopped"
    assert "instance i-2: OperationNotPermitted: The instance 'i-2' may not be stopped" in month.texts[0]
    month.guard("next check")
    assert len(month.texts) == 1
    month.account.protected.clear()
    month.guard("after the protection")
    assert "instance i-2: stopped" in month.texts[1]


@pytest.mark.reliability(
    "cost_control",
    "Access denied",
    fault="IAM refuses to attach the policy",
    expected="reported; instances are stopped anyway",
    observed="the notification has the reason; i-1 stopped",
)
def test_refused_attachment_does_not_prevent_stopping(month: Month) -> None:
    month.account.faults["attach_group_policy"] = [error("AccessDenied", "not authorized", 403)]
    month.account.set_cost(101)
    month.guard()
    assert "group projectBeta: AccessDenied: not authorized" in month.texts[0]
    assert month.account.states()["i-1"] == "stopped"


@pytest.mark.reliability(
    "cost_control",
    "System-specific",
    fault="a group already has as many managed policies as the account's quota",
    expected="reported at the first threshold, before the policy is needed, and not tried",
    observed="in the notification at 85 %",
)
def test_full_quota_is_reported_at_first_threshold(month: Month) -> None:
    month.account.add_group("projectBeta", policies=QUOTA)
    month.account.set_cost(85)
    month.guard()
    assert f"group projectBeta: it already has {QUOTA} managed policies" in month.texts[0]
    month.account.set_cost(101)
    month.guard()
    assert not month.is_denied
    assert "attach_group_policy" not in dict(month.account.calls)


def test_exempt_member_keeps_group_from_being_denied() -> None:
    month = Month(exempt_principals=["user/admins/alice"])
    month.account.set_cost(101)
    month.guard()
    assert not month.is_denied
    assert "exempt users are members: alice" in month.texts[0]


def test_exempt_member_since_the_plan_is_refused_before_attaching() -> None:
    month = Month(exempt_principals=["user/root-of-ops"])
    month.account.set_cost(101)
    actions = month.claim(month.decide(), "execution")
    month.account.groups["projectBeta"].append("root-of-ops")
    (result,) = month.act(actions)
    assert (result["status"], month.is_denied) == ("failed", False)


@pytest.mark.parametrize(
    ("role", "problem"),
    [
        ("CostControl-DenyRole1A2B3C", "it belongs to the stack CostControl"),
        ("cdk-hnb659fds-cfn-exec-role-111111111111-us-east-1", "the CDK deploys with it"),
        ("cdk-My_team-1-deploy-role-111111111111-us-east-1", "the CDK deploys with it"),
        ("OPS", "it is exempt"),  # IAM does not distinguish names by case
        ("costcontrol-DenyRole1A2B3C", "it belongs to the stack CostControl"),
        ("aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0123", "only AWS can attach policies to it"),
        ("ops", "it is exempt"),
    ],
)
def test_role_that_must_work_is_never_denied(role: str, problem: str) -> None:
    month = Month(groups=[], roles=[role], exempt_principals=["role/ops"])
    month.account.attached["role", role.rpartition("/")[2]] = []
    month.account.set_cost(101)
    month.guard()
    assert "attach_role_policy" not in dict(month.account.calls)
    assert problem in month.texts[0]


def test_role_with_path_is_denied_and_released() -> None:
    month = Month(**ROLES)
    month.account.attached["role", "deployer"] = []
    month.account.set_cost(101)
    month.guard()
    assert month.account.attached["role", "deployer"] == [POLICY]
    month.release(DECEMBER)
    assert month.account.attached["role", "deployer"] == []


@pytest.mark.reliability(
    "cost_control",
    "Deleted externally",
    fault="a group of the settings does not exist",
    expected="reported; the others are denied",
    observed="NoSuchEntity in the notification; the role is denied",
)
def test_missing_group_is_reported_and_others_are_denied() -> None:
    month = Month(groups=["missing"], roles=["deployer"])
    month.account.attached["role", "deployer"] = []
    month.account.set_cost(101)
    month.guard()
    assert "group missing: NoSuchEntity" in month.texts[0]
    assert month.account.attached["role", "deployer"] == [POLICY]


def test_report_mode_changes_nothing() -> None:
    month = Month(mode="report")
    month.account.add_instance("i-1", Project="Beta")
    month.account.set_cost(101)
    month.guard()
    month.guard("next check")
    assert not month.is_denied
    assert month.account.states() == {"i-1": "running"}
    assert len(month.texts) == 1
    assert "this would be done (nothing was changed):\n  group projectBeta: denied" in month.texts[0]


def test_instance_of_untagged_scaling_group_is_reported_and_runs_on() -> None:
    month = Month()
    month.account.add_instance("i-1", Project="Beta", aws__autoscaling__groupName="legacy")
    month.account.set_cost(101)
    month.guard()
    assert month.account.states()["i-1"] == "running"
    assert "its Auto Scaling group legacy does not have the project's tag" in month.texts[0]


@pytest.mark.reliability(
    "cost_control",
    "System-specific",
    fault="Budgets no longer updates the cost, and reports the budget as unhealthy",
    expected="an error with the reason, and an alarm: the old cost could stay below every threshold",
    observed="BudgetError",
)
def test_budget_that_is_not_updated_is_an_error(month: Month) -> None:
    month.account.budget["HealthStatus"] = {"Status": "HEALTHY"}
    month.message()
    month.account.budget["HealthStatus"] = {"Status": "UNHEALTHY", "StatusReason": "BILLING_VIEW_UNHEALTHY"}
    with pytest.raises(BudgetError, match="Budgets does not update budget budget: BILLING_VIEW_UNHEALTHY"):
        month.message()


@pytest.mark.reliability(
    "cost_control",
    "Malformed input",
    fault="the budget has no limit, for example because it adjusts itself",
    expected="an error that names the budget, and no action",
    observed="BudgetError",
)
@pytest.mark.parametrize("limit", [None, {"Amount": "0.0", "Unit": "USD"}, {"Amount": "-1", "Unit": "USD"}])
def test_budget_without_limit_is_an_error(month: Month, limit: dict[str, str] | None) -> None:
    month.account.budget["BudgetLimit"] = limit
    with pytest.raises(BudgetError, match="budget budget has no limit above zero"):
        month.message()


def test_spend_of_each_check_is_recorded(month: Month) -> None:
    month.account.set_cost(3.5)
    month.message()
    assert month.table.spend_of("2026-11") == Decimal("3.5")


def test_policy_that_somebody_detached_is_attached_again(month: Month) -> None:
    month.account.set_cost(101)
    month.guard()
    month.account.attached["group", "projectBeta"].remove(POLICY)
    month.guard("next check")
    assert month.is_denied


@pytest.mark.reliability(
    "cost_control",
    "Hostile input",
    fault="a user names an Auto Scaling group like a web address",
    expected="the notification contains no text that mail programs make a link of",
    observed="evil[.]example/login",
)
def test_name_of_scaling_group_is_no_link(month: Month) -> None:
    month.account.scaling["evil.example/login"] = month.account.scaling.pop("web")
    month.account.set_cost(101)
    month.guard()
    assert "Auto Scaling group evil[.]example/login: scaled to zero" in month.texts[0]


def test_member_of_exempt_group_keeps_group_from_being_denied() -> None:
    month = Month(exempt_principals=["group/team/admins"])
    month.account.add_group("admins", "bob", "alice")
    month.account.set_cost(101)
    month.guard()
    assert not month.is_denied
    assert "exempt users are members: alice" in month.texts[0]


def test_error_of_a_function_is_no_link(month: Month) -> None:
    month.account.set_cost(101)
    plan = month.decide()
    event: Any = {"plan": plan, "failure": "group evil.example/login", "releaseArn": "release"}
    month.notifier.notify_guard(event, [], [], month.now)
    assert "evil[.]example/login" in month.texts[0]


FORECAST = {"thresholds": [{"percent": 100, "kind": "FORECASTED", "actions": ["deny"]}]}


def test_forecast_above_its_threshold_denies() -> None:
    month = Month(**FORECAST)
    month.account.set_cost(40, forecast=100.5)
    month.guard()
    assert month.is_denied
    assert "forecast 100.50 USD" in month.texts[0]


@pytest.mark.parametrize("spend", [{"ActualSpend": {"Amount": "400", "Unit": "USD"}}, None])
def test_threshold_without_forecast_is_not_reached(spend: dict[str, dict[str, str]] | None) -> None:
    """A new account has no forecast, and a new budget no cost."""
    month = Month(**FORECAST)
    month.account.budget["CalculatedSpend"] = spend
    if spend is None:
        del month.account.budget["CalculatedSpend"]
    assert month.message() == ""
    assert not month.guard()["news"]


@pytest.mark.reliability(
    "cost_control",
    "Deleted externally",
    fault="somebody deletes a role between the plan and the action",
    expected="reported; the others are denied",
    observed="NoSuchEntity is the result; the group is denied",
)
def test_role_deleted_since_the_plan_is_reported() -> None:
    month = Month(roles=["deployer"])
    month.account.attached["role", "deployer"] = []
    month.account.set_cost(101)
    actions = month.claim(month.decide(), "execution")
    del month.account.attached["role", "deployer"]
    reasons = {result["item"]: result["reason"] for result in month.act(actions)}
    assert reasons["deny_role/deployer"].startswith("NoSuchEntity")
    assert month.is_denied


@pytest.mark.reliability(
    "cost_control",
    "System-specific",
    fault="an instance of an Auto Scaling group has the exempt tag, but its group does not",
    expected="the group is reported, and not scaled to zero, which would terminate the instance",
    observed="in the notification; sizes unchanged",
)
@pytest.mark.parametrize("project", ["Beta", "Alpha"])
def test_group_with_exempt_instance_is_not_scaled_to_zero(month: Month, project: str) -> None:
    month.account.add_instance("i-kept", Project=project, KeepRunning="yes", aws__autoscaling__groupName="web")
    month.account.set_cost(101)
    month.guard()
    assert month.account.scaling["web"]["DesiredCapacity"] == 2
    assert "Auto Scaling group web: its instance i-kept has the tag KeepRunning" in month.texts[0]


def test_instances_of_exempt_group_run_on_and_are_not_reported(month: Month) -> None:
    """The group's tag is not propagated to its instances."""
    month.account.scaling["web"]["Tags"].append({"Key": "KeepRunning", "Value": ""})
    month.account.add_instance("i-member", Project="Beta", aws__autoscaling__groupName="web")
    month.account.set_cost(101)
    month.guard()
    assert month.account.states()["i-member"] == "running"
    assert month.account.scaling["web"]["DesiredCapacity"] == 2
    assert "i-member" not in month.texts[0]


def test_failure_of_a_function_becomes_no_link() -> None:
    plan: Any = {"period": "2026-11", "spend": {"actual": "101", "limit": "100", "forecast": None, "unit": "USD"}}
    nothing: dict[str, Any] = {"thresholds": [], "mode": "enforce", "actions": [], "problems": [], "leftOver": 0}
    failure = "ClientError: http://evil.example\nDone:\n  everything"
    _, text = guard_notification("Beta", plan | nothing, [], failure, "release")
    assert "http[:]//evil[.]example?Done:?  everything" in text
