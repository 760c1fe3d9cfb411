"""Checks of many resources, long reasons, and resources that cannot be read. The account is in memory."""

import json

import pytest
from botocore.exceptions import ReadTimeoutError

from lambdas.cost_control.plan import MAX_ACTIONS

from .fake_aws import error
from .month import Month


def test_actions_over_the_maximum_follow_in_the_next_check() -> None:
    month = Month()
    for number in range(MAX_ACTIONS + 5):
        month.account.add_instance(f"i-{number}", Project="Beta")
    month.account.set_cost(101)
    month.guard()
    assert "6 more follow in the next check." in month.texts[0]  # the policy is an action too
    assert list(month.account.states().values()).count("running") == 6
    month.guard("next check")
    assert set(month.account.states().values()) == {"stopped"}


@pytest.mark.reliability(
    "cost_control",
    "System-specific",
    fault="more instances are protected than a check can stop",
    expected="the next check first stops those that it has not tried",
    observed="the rest is stopped in the second check",
)
def test_failed_actions_do_not_delay_others() -> None:
    month = Month()
    for number in range(MAX_ACTIONS):
        month.account.add_instance(f"i-{number}", Project="Beta")
    month.account.protected = set(month.account.instances)
    month.account.add_instance("i-last", Project="Beta")
    month.account.set_cost(101)
    month.guard()
    assert month.account.states()["i-last"] == "running"
    month.guard("next check")
    assert month.account.states()["i-last"] == "stopped"


@pytest.mark.reliability(
    "cost_control",
    "System-specific",
    fault="EC2 refuses to stop hundreds of instances, each time with a message of 2,000 characters",
    expected="what the state machine passes on stays below Step Functions' 256 KiB",
    observed="the reasons are shortened; the plan is limited by its size",
)
def test_long_reasons_and_names_fit_into_a_state() -> None:
    """Step Functions cannot catch States.DataLimitExceeded: nothing would be recorded or notified."""
    month = Month()
    for number in range(MAX_ACTIONS):
        month.account.add_instance(f"i-{number}", Project="Beta")
        month.account.scaling[f"{number}".ljust(255, "x")] = month.scaling_group()
        month.account.add_instance(f"i-grouped-{number}", Project="Beta", aws__autoscaling__groupName="legacy")
    month.account.protected = set(month.account.instances)
    month.account.refusal = "UnauthorizedOperation " + "x" * 2000
    month.account.set_cost(101)
    for execution in ("first", "second", "third"):
        plan = month.decide()
        actions = month.claim(plan, execution)
        results = month.act(actions)
        event = {
            "plan": plan | {"actions": []},  # as in the definition
            "actions": [vars(action) for action in actions],
            "stopped": results,
        }
        assert len(json.dumps(event)) < 250_000
        assert plan["leftOver"] > 0
        month.finish(plan, results, actions)
        assert len(month.texts[-1]) < 250_000


def test_nothing_is_left_over_after_actions_and_problems_that_fit() -> None:
    month = Month(groups=["projectBeta", "missing", "unknown"])
    month.account.set_cost(101)
    plan = month.decide()
    assert (len(plan["actions"]), len(plan["problems"]), plan["leftOver"]) == (1, 2, 0)


@pytest.mark.reliability(
    "cost_control",
    "Access denied",
    fault="a policy of the organization prevents the stack from reading RDS",
    expected="reported; users are denied and instances stop anyway",
    observed="the notification has the reason; policy attached, i-1 stopped",
)
@pytest.mark.parametrize(
    ("operation", "fault", "still_done"),
    [
        ("describe_db_instances", error("AccessDenied", "explicit deny", 403), {"deny_group", "stop_instance"}),
        ("describe_auto_scaling_groups", error("AccessDenied", "explicit deny", 403), {"deny_group"}),
        ("describe_instances", ReadTimeoutError(endpoint_url="ec2"), {"deny_group"}),
        ("get_account_summary", error("AccessDenied", "explicit deny", 403), {"deny_group", "stop_instance"}),
    ],
)
def test_resources_that_cannot_be_read_do_not_prevent_the_rest(
    operation: str, fault: Exception, still_done: set[str]
) -> None:
    month = Month(stop_databases=True)
    month.account.add_instance("i-1", Project="Beta")
    month.account.faults[operation] = [fault]
    month.account.set_cost(101)
    plan = month.guard()
    assert {action["kind"] for action in plan["actions"]} == still_done
    assert month.is_denied
    if operation != "get_account_summary":  # then IAM itself reports a full quota
        assert "cannot be read: " in month.texts[0]
