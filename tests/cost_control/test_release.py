"""What a release undoes, and what it keeps. The account is in memory."""

import json
from datetime import timedelta

import pytest
from botocore.exceptions import ReadTimeoutError

from lambdas.cost_control.notification_text import DONE_TEXTS
from lambdas.cost_control.plan import PLANNED, Action
from lambdas.cost_control.release import MAX_UNDONE, ORDER

from .fake_aws import error
from .month import DECEMBER, NOVEMBER, POLICY, Month


@pytest.mark.reliability(
    "cost_control",
    "Delayed or out of order",
    fault="a message of last month arrives after the release",
    expected="nothing changes",
    observed="no execution, no action",
)
def test_late_message_of_last_month_changes_nothing(month: Month) -> None:
    month.account.set_cost(101)
    month.message()
    month.guard()
    month.now = DECEMBER
    month.release(DECEMBER)
    month.account.set_cost(0.2)
    assert month.message() == ""
    assert not month.decide()["act"]
    assert not month.is_denied


@pytest.mark.reliability(
    "cost_control",
    "Delayed or out of order",
    fault="after the month has changed, Budgets still shows last month's cost",
    expected="nothing is done in the new month until the cost starts over, for at most 36 hours",
    observed="no execution at 00:10; one after 37 hours",
)
def test_last_months_cost_is_ignored_in_new_month(month: Month) -> None:
    month.account.set_cost(101)
    month.message()
    month.guard()
    month.release(DECEMBER)
    month.now = DECEMBER
    month.account.set_cost(103)  # the last hours of November
    assert month.scheduled_check() == ""
    assert not month.decide()["act"]
    month.now = DECEMBER + timedelta(hours=37)
    assert month.scheduled_check().startswith("2026-12")


def test_release_undoes_exactly_the_record(month: Month) -> None:
    month.account.add_instance("i-stopped-before", "stopped", Project="Beta")
    month.account.set_cost(101)
    month.guard()
    month.account.attached["group", "projectBeta"].append("arn:aws:iam::aws:policy/added-since")
    released = month.release(DECEMBER)
    assert released["open"] == 0
    assert month.account.attached["group", "projectBeta"] == [
        "arn:aws:iam::aws:policy/0",
        "arn:aws:iam::aws:policy/added-since",
    ]
    states = month.account.states()
    assert (states["i-1"], states["i-2"], states["i-stopped-before"]) == ("running", "running", "stopped")
    sizes = {name: month.account.scaling["web"][name] for name in ("MinSize", "MaxSize", "DesiredCapacity")}
    assert sizes == {"MinSize": 1, "MaxSize": 4, "DesiredCapacity": 2}


def test_schedule_keeps_current_month_denied(month: Month) -> None:
    month.account.set_cost(101)
    month.guard()
    assert month.release(NOVEMBER)["results"] == []
    assert month.is_denied


def test_policy_that_others_attached_before_is_kept(month: Month) -> None:
    month.account.attached["group", "projectBeta"].append(POLICY)
    month.account.set_cost(101)
    month.guard()
    month.release(DECEMBER)
    assert month.is_denied


@pytest.mark.reliability(
    "cost_control",
    "Deleted externally",
    fault="a stopped instance was terminated, and a scaled group was changed by somebody",
    expected="the record is closed; the change of others stays",
    observed="gone, and kept with the size that somebody chose",
)
def test_release_keeps_what_others_changed(month: Month) -> None:
    month.account.set_cost(101)
    month.guard()
    month.account.instances["i-1"]["State"]["Name"] = "terminated"
    month.account.scaling["web"]["MaxSize"] = 1
    statuses = {result["item"]: result["status"] for result in month.release(DECEMBER)["results"]}
    assert statuses["stop_instance/i-1"] == "gone"
    assert statuses["scale_to_zero/web"] == "kept"
    assert month.account.scaling["web"]["MaxSize"] == 1


@pytest.mark.reliability(
    "cost_control",
    "Lost event or response",
    fault="an execution ends between an action and its record",
    expected="the action is undone too, because it was recorded before",
    observed="policy detached, instances started",
)
def test_crash_after_action_is_undone(month: Month) -> None:
    month.account.set_cost(101)
    month.act(month.claim(month.decide(), "crashed"))  # and no results are written
    assert month.is_denied
    month.release(DECEMBER)
    assert not month.is_denied
    assert month.account.states()["i-1"] == "running"


@pytest.mark.reliability(
    "cost_control", "Lost event or response", fault="an execution ends between an action and its record"
)
def test_crash_before_action_is_repeated_by_later_check(month: Month) -> None:
    month.account.set_cost(101)
    month.claim(month.decide(), "crashed")
    month.guard("too early")
    assert not month.is_denied
    month.now += timedelta(hours=1)
    month.guard("next check")
    assert month.is_denied


@pytest.mark.reliability(
    "cost_control",
    "Timeout",
    fault="EC2 stops an instance, but its answer is lost",
    expected="the action is not treated as failed, and undone by the release",
    observed="stays planned; started by the release",
)
@pytest.mark.parametrize(
    "fault",
    [ReadTimeoutError(endpoint_url="ec2"), error("InternalError", status=500), error("Unavailable", status=503)],
    ids=["no response", "500", "503"],
)
def test_lost_answer_stays_planned_and_is_undone(month: Month, fault: Exception) -> None:
    month.account.set_cost(101)
    actions = [a for a in month.claim(month.decide(), "execution") if a.kind == "stop_instance"]
    month.account.faults["stop_instances"] = [fault] * 3  # after an error, each instance is stopped separately
    assert {result["status"] for result in month.act(actions)} == {PLANNED}
    month.account.instances["i-1"]["State"]["Name"] = "stopped"
    month.release(DECEMBER)
    assert month.account.states()["i-1"] == "running"


def test_release_by_hand_lasts_for_the_month_and_later_thresholds_still_act() -> None:
    thresholds = [
        {"percent": 100, "kind": "ACTUAL", "actions": ["deny"]},
        {"percent": 120, "kind": "ACTUAL", "actions": ["deny"]},
    ]
    month = Month(thresholds=thresholds)
    month.account.set_cost(101)
    first = month.message()
    month.guard()
    month.release()
    assert not month.is_denied
    assert not month.guard("next check")["news"]
    month.account.set_cost(121)
    assert month.message() not in ("", first)
    month.guard("later")
    assert month.is_denied


def test_instance_started_while_over_budget_is_stopped_again(month: Month) -> None:
    month.account.set_cost(101)
    month.guard()
    month.account.instances["i-1"]["State"]["Name"] = "running"
    month.account.scaling["web"].update(MaxSize=9, DesiredCapacity=9)
    month.now += timedelta(hours=1)
    month.guard("next check")
    assert month.account.states()["i-1"] == "stopped"
    month.release(DECEMBER)
    assert month.account.scaling["web"]["MaxSize"] == 4  # as recorded first


def test_still_stopping_instance_stays_recorded_for_next_attempt(month: Month) -> None:
    month.account.set_cost(101)
    month.guard()
    month.account.instances["i-1"]["State"]["Name"] = "stopping"
    assert month.release(DECEMBER)["open"] == 1
    month.account.instances["i-1"]["State"]["Name"] = "stopped"
    assert month.release(DECEMBER)["open"] == 0
    assert month.account.states()["i-1"] == "running"


def test_databases_are_stopped_only_as_an_option() -> None:
    month = Month(stop_databases=True)
    tags = [{"Key": "Project", "Value": "Beta"}]
    month.account.databases["orders"] = {
        "DBInstanceIdentifier": "orders",
        "DBInstanceStatus": "available",
        "TagList": tags,
    }
    month.account.set_cost(101)
    month.guard()
    assert month.account.databases["orders"]["DBInstanceStatus"] == "stopping"
    month.account.databases["orders"]["DBInstanceStatus"] = "stopped"
    month.release(DECEMBER)
    assert month.account.databases["orders"]["DBInstanceStatus"] == "starting"


def test_release_does_not_start_what_already_runs(month: Month) -> None:
    month.account.set_cost(101)
    month.guard()
    month.account.instances["i-1"]["State"]["Name"] = "running"
    month.account.calls.clear()
    statuses = {result["item"]: result["status"] for result in month.release(DECEMBER)["results"]}
    assert (statuses["stop_instance/i-1"], statuses["stop_instance/i-2"]) == ("kept", "undone")
    started = [parameters["InstanceIds"] for name, parameters in month.account.calls if name == "start_instances"]
    assert started == [["i-2"]]


@pytest.mark.reliability(
    "cost_control",
    "Delayed or out of order",
    fault="after the budget is changed on the last day, Budgets shows no cost until its next update",
    expected="in the first 36 hours of the new month, last month's cost is still recognized",
    observed="no execution",
)
def test_reset_cost_does_not_hide_last_months(month: Month) -> None:
    month.account.set_cost(101)
    month.message()
    month.account.set_cost(0)  # UpdateBudget
    month.message()
    month.now = DECEMBER
    month.account.set_cost(103)
    assert month.scheduled_check() == ""


@pytest.mark.reliability(
    "cost_control",
    "Hostile input",
    fault="somebody adds a launch template to the record of a scaled group",
    expected="only the sizes of the group are set",
    observed="MinSize, MaxSize and DesiredCapacity",
)
def test_release_sets_only_sizes(month: Month) -> None:
    month.account.set_cost(101)
    month.guard()
    item = month.account.items["2026-11", "scale_to_zero/web"]
    undo = json.loads(item["undo"]["S"]) | {"LaunchTemplate": {"LaunchTemplateName": "evil"}}
    item["undo"] = {"S": json.dumps(undo)}
    month.release(DECEMBER)
    (sizes,) = (p for name, p in month.account.calls[::-1][:20] if name == "update_auto_scaling_group")
    assert sizes == {"AutoScalingGroupName": "web", "MinSize": 1, "MaxSize": 4, "DesiredCapacity": 2}


@pytest.mark.reliability(
    "cost_control",
    "System-specific",
    fault="a release has to undo more than its function can in five minutes",
    expected="each attempt undoes and records a part; the state machine repeats it",
    observed="all instances started after three attempts, results below 256 KiB",
)
def test_many_recorded_actions_are_undone_in_several_attempts() -> None:
    month = Month()
    for number in range(2 * MAX_UNDONE + 1):
        month.account.add_instance(f"i-{number}", "stopped", Project="Beta")
        action = Action("stop_instance", f"i-{number}")
        month.table.claim("2026-11", [action], "execution", month.now)
    released = {"results": [], "closed": 0, "open": 1}
    attempts = 0
    while released["open"]:
        attempts += 1
        released = month.undo(DECEMBER, released)
        assert len(json.dumps(released)) < 100_000
    assert attempts == 3
    assert set(month.account.states().values()) == {"running"}
    month.notify(released)
    assert f"{2 * MAX_UNDONE + 1} of {2 * MAX_UNDONE + 1} recorded actions are closed" in month.texts[0]


def test_results_of_a_release_are_recorded_one_by_one(month: Month) -> None:
    """If the function ends early, what it has done is not undone again as somebody else's change."""
    month.account.set_cost(101)
    month.guard()
    month.account.faults["start_instances"] = [None, RuntimeError("out of memory")]
    with pytest.raises(RuntimeError):
        month.release(DECEMBER)
    statuses = {item.name for item in month.table.open_items()}
    assert "i-1" not in statuses
    assert "i-2" in statuses


def test_failed_release_is_notified(month: Month) -> None:
    month.notify({"results": [], "closed": 0, "open": 0}, "out of memory")
    assert "The release failed: out of memory" in month.texts[0]


def test_second_release_finds_nothing_to_undo(month: Month) -> None:
    month.account.set_cost(101)
    month.guard()
    month.release()
    month.account.calls.clear()
    assert month.release()["results"] == []
    names = {name for name, _ in month.account.calls}
    assert not names & {"detach_group_policy", "start_instances", "update_auto_scaling_group", "publish"}


def test_change_to_report_mode_keeps_the_record_and_its_release(month: Month) -> None:
    month.account.set_cost(101)
    month.guard()
    month.set_options(mode="report")
    month.guard("next check")
    assert month.is_denied
    assert month.release(DECEMBER)["open"] == 0
    assert not month.is_denied
    assert month.account.states()["i-1"] == "running"


@pytest.mark.reliability(
    "cost_control",
    "Deleted externally",
    fault="somebody deletes a denied group before the release",
    expected="the record is closed; the rest is undone",
    observed="gone; i-1 started",
)
def test_deleted_group_does_not_prevent_the_release(month: Month) -> None:
    month.account.set_cost(101)
    month.guard()
    del month.account.attached["group", "projectBeta"]
    released = month.release(DECEMBER)
    statuses = {result["item"]: result["status"] for result in released["results"]}
    assert (released["open"], statuses["deny_group/projectBeta"]) == (0, "gone")
    assert month.account.states()["i-1"] == "running"


def test_cluster_is_stopped_and_started_instead_of_its_instances() -> None:
    month = Month(stop_databases=True)
    tags = [{"Key": "Project", "Value": "Beta"}]
    month.account.clusters["orders"] = {"DBClusterIdentifier": "orders", "Status": "available", "TagList": tags}
    month.account.clusters["kept"] = {
        "DBClusterIdentifier": "kept",
        "Status": "available",
        "TagList": [*tags, {"Key": "KeepRunning", "Value": ""}],
    }
    month.account.databases["orders-1"] = {
        "DBInstanceIdentifier": "orders-1",
        "DBInstanceStatus": "available",
        "DBClusterIdentifier": "orders",
        "TagList": tags,
    }
    month.account.set_cost(101)
    month.guard()
    assert (month.account.clusters["orders"]["Status"], month.account.clusters["kept"]["Status"]) == (
        "stopping",
        "available",
    )
    assert "stop_db_instance" not in dict(month.account.calls)
    assert month.release(DECEMBER)["open"] == 1  # still stopping
    month.account.clusters["orders"]["Status"] = "stopped"
    assert month.release(DECEMBER)["open"] == 0
    assert month.account.clusters["orders"]["Status"] == "starting"
    assert "database cluster orders: as before" in month.texts[-1]


def test_deleted_cluster_is_closed() -> None:
    month = Month(stop_databases=True)
    tags = [{"Key": "Project", "Value": "Beta"}]
    month.account.clusters["orders"] = {"DBClusterIdentifier": "orders", "Status": "available", "TagList": tags}
    month.account.set_cost(101)
    month.guard()
    del month.account.clusters["orders"]
    statuses = {result["item"]: result["status"] for result in month.release(DECEMBER)["results"]}
    assert statuses["stop_cluster/orders"] == "gone"


def test_every_kind_of_action_has_a_text() -> None:
    assert DONE_TEXTS.keys() == {*ORDER}
