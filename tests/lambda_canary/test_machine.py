"""The state machine: every end of a rollout, and where the alias is then.

It runs in the sandbox's interpreter, with the stack's functions, and with Lambda and CloudWatch in memory.
"""

from functools import partial

import pytest

from lambdas.mail_text import without_links
from stacks.lambda_canary.definition import definition

from .fake_aws import denied, error
from .machine_run import Machine
from .rollouts import config
from .test_smoke_test import fails

GOOD, BROKEN, FEW = (500, 0), (500, 100), (3, 0)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(monkeypatch)
    found.set_calls(GOOD)
    return found


def test_good_version_is_rolled_out_in_steps(machine: Machine) -> None:
    ended = machine.run()
    assert ended.status == "SUCCEEDED", ended
    assert machine.shares == [{"1": 0.75, "2": 0.25}, {"1": 0.5, "2": 0.5}, {"1": 0.25, "2": 0.75}]
    assert machine.awslambda.shares == {"2": 1}
    assert ended.output["outcome"] == "finished"
    assert ended.subject == "Finished: shop version 2"
    assert "75%: version 2 failed 0 of 500 calls (0.0%, p95 30 ms); version 1 failed 0 of 2000" in ended.message


def test_every_update_names_the_revision_before(machine: Machine) -> None:
    machine.run()
    assert [update["RevisionId"] for update in machine.awslambda.updates] == ["r0", "r1", "r2", "r3"]


@pytest.mark.reliability(
    "lambda_canary",
    "Partial failure",
    fault="A version fails some of its calls",
    expected="It is rolled back in the first step that shows it, with the figures in the notification",
    observed="The alias is on the old version alone; the message has calls, errors and the reason",
)
def test_broken_version_is_rolled_back(machine: Machine) -> None:
    machine.set_calls(BROKEN)
    ended = machine.run()
    assert (ended.status, ended.error) == ("FAILED", "RolledBack")
    assert machine.awslambda.shares == {"1": 1}
    assert len(machine.shares) == 1
    assert ended.subject == "Rolled back: shop version 2"
    assert ended.message.startswith("Version 2 of shop was rolled back at 25 %. Now: alias live of shop: version 1\n")
    assert "25%: version 2 failed 100 of 500 calls (20.0%, p95 30 ms)" in ended.message


def test_fault_that_shows_later_is_rolled_back(machine: Machine) -> None:
    machine.actions["Evaluate"] = [lambda: None, partial(machine.set_calls, BROKEN)]
    ended = machine.run()
    assert ended.error == "RolledBack"
    assert "at 50 %" in ended.cause
    assert machine.awslambda.shares == {"1": 1}


def test_version_that_fails_its_smoke_test_receives_no_traffic(machine: Machine) -> None:
    machine.awslambda.responses["2"] = fails
    ended = machine.run()
    assert (ended.error, ended.subject) == ("SmokeTestError", "Smoke test failed: shop version 2")
    assert machine.awslambda.updates == []
    assert "no database" in ended.message


@pytest.mark.parametrize("calls", [FEW, (0, 0)])
def test_too_few_calls_are_awaited_and_then_undecided(machine: Machine, calls: tuple[int, int]) -> None:
    machine.set_calls(calls, (0, 0))
    ended = machine.run()
    assert (ended.error, ended.subject) == ("Undecided", "Undecided, rolled back: shop version 2")
    assert ended.states.count("Evaluate") == 3
    assert machine.awslambda.shares == {"1": 1}
    assert f"{calls[0]} calls of the new version (minimum_calls: 50)" in ended.message


def test_late_calls_let_the_step_pass(machine: Machine) -> None:
    machine.set_calls(FEW)
    machine.actions["Evaluate"] = [lambda: None, partial(machine.set_calls, GOOD)]
    assert machine.run().status == "SUCCEEDED"


@pytest.mark.parametrize(("broken", "status"), [(False, "SUCCEEDED"), (True, "FAILED")])
def test_synthetic_calls_decide_if_nobody_calls(machine: Machine, broken: bool, status: str) -> None:
    machine.settings = config(synthetic_calls=200)
    machine.set_calls((0, 0), (0, 0))
    if broken:
        numbers = iter(range(1000))
        machine.awslambda.responses["2"] = lambda _: {"ok": next(numbers) % 5 > 0 or next(numbers) < 2}
    ended = machine.run()
    assert ended.status == status, ended
    assert "with synthetic calls" in ended.message
    assert machine.awslambda.shares == ({"1": 1} if broken else {"2": 1})


@pytest.mark.reliability(
    "lambda_canary",
    "Delayed or out of order",
    fault="A published version is still pending",
    expected="The rollout waits until Lambda can invoke it",
    observed="The check is repeated for ten minutes; then the rollout fails before it changes anything",
)
@pytest.mark.parametrize(("checks", "error_name"), [(3, ""), (100, "VersionPendingError")])
def test_pending_version_is_awaited(machine: Machine, checks: int, error_name: str) -> None:
    version = machine.awslambda.versions["2"]
    version["State"] = "Pending"
    machine.actions["Check"] = [lambda: None] * checks + [lambda: version.update(State="Active")]
    assert machine.run().error == error_name
    assert bool(machine.awslambda.updates) is not bool(error_name)


@pytest.mark.parametrize("name", ["ResourceConflictException", "ResourceNotReadyException", "TooManyRequestsException"])
def test_rejected_invocation_is_retried(machine: Machine, name: str) -> None:
    machine.failing["CallVersion"] = [name] * 2
    assert machine.run().status == "SUCCEEDED"


def test_all_at_once_only_needs_the_smoke_test(machine: Machine) -> None:
    machine.settings = config(rollout_type="all_at_once")
    assert machine.run().status == "SUCCEEDED"
    assert machine.shares == []
    assert machine.awslambda.shares == {"2": 1}


def test_version_that_the_alias_has_already_changes_nothing(machine: Machine) -> None:
    ended = machine.run({"function": "shop", "version": "1"})
    assert (ended.output["outcome"], ended.subject) == ("unchanged", "Nothing to do: shop version 1")
    assert machine.awslambda.updates == []


@pytest.mark.reliability(
    "lambda_canary",
    "Malformed input",
    fault="The input has another form, or names an unknown function, version or alarm",
)
@pytest.mark.parametrize("rollout_input", [[], "2", {"function": "other", "version": "2"}, {"version": "7"}])
def test_invalid_input_fails_and_is_reported(machine: Machine, rollout_input: object) -> None:
    ended = machine.run(rollout_input)
    assert ended.error == "InvalidInputError"
    assert ended.subject.startswith("Not started, invalid: ")
    assert machine.awslambda.updates == []


@pytest.mark.reliability(
    "lambda_canary",
    "Malformed input",
    fault="The execution has a name with characters that Step Functions does not log, such as a no-break space",
    expected="The rollout fails before it changes anything",
    observed="`InvalidInputError`; the mark with the name could not be found again, so the weights would stay",
)
@pytest.mark.parametrize("name", ["a\u00a0b", "a\u2007b", "www.evil.example"])
def test_execution_name_with_other_characters_is_rejected(machine: Machine, name: str) -> None:
    """Step Functions rejects white space; whether it counts no-break spaces is not documented."""
    machine.set_calls(BROKEN)
    ended = machine.run(name=name)
    assert machine.awslambda.shares == {"1": 1}, "the broken version keeps its weight"
    assert (ended.error, machine.awslambda.updates) == ("InvalidInputError", [])
    assert "the name of the execution is " in ended.message


@pytest.mark.reliability("lambda_canary", "System-specific", fault="Somebody else changes the alias during a rollout")
@pytest.mark.parametrize("function", ["Evaluate", "Shift"])
def test_foreign_change_stops_the_rollout_and_is_left_alone(machine: Machine, function: str) -> None:
    change = partial(machine.awslambda.change, FunctionVersion="3", RoutingConfig={})
    machine.actions[function] = [lambda: None, change]
    ended = machine.run()
    assert ended.error == "AliasChangedError"
    assert machine.awslambda.shares == {"3": 1}
    assert "left alone" in ended.message
    assert ended.subject == "Stopped, alias changed by somebody else: shop version 2"


@pytest.mark.reliability("lambda_canary", "Duplicate", fault="Two rollouts of one alias start at once")
def test_second_rollout_is_refused(machine: Machine) -> None:
    machine.awslambda.change(
        RoutingConfig={"AdditionalVersionWeights": {"3": 0.25}}, Description="[rollout other: version 3 at 25 %]"
    )
    ended = machine.run()
    assert (ended.error, ended.subject) == ("AliasBusyError", "Not started, alias busy: shop version 2")
    assert machine.awslambda.shares == {"1": 0.75, "3": 0.25}


@pytest.mark.reliability("lambda_canary", "Duplicate", fault="Two rollouts of one alias start at once")
def test_rollout_that_shifts_second_changes_nothing(machine: Machine) -> None:
    other = partial(
        machine.awslambda.change,
        RoutingConfig={"AdditionalVersionWeights": {"3": 0.25}},
        Description="[rollout other: version 3 at 25 %]",
    )
    machine.actions["Shift"] = [other]  # after the check of this rollout
    ended = machine.run()
    assert ended.error == "AliasChangedError"
    assert machine.awslambda.shares == {"1": 0.75, "3": 0.25}


@pytest.mark.reliability(
    "lambda_canary",
    "Throttling",
    fault="AWS throttles the rollout's own calls",
    expected="They are retried",
    observed="The rollout succeeds",
)
@pytest.mark.parametrize("function", ["Check", "Shift", "Evaluate"])
@pytest.mark.parametrize("name", ["TooManyRequestsException", "Lambda.TooManyRequestsException", "ReadTimeoutError"])
def test_throttled_call_is_retried(machine: Machine, function: str, name: str) -> None:
    machine.failing[function] = [name] * 3
    assert machine.run().status == "SUCCEEDED"


@pytest.mark.reliability(
    "lambda_canary",
    "Partial failure",
    fault="CloudWatch returns only some of the metrics, because of an internal error",
    expected="Missing errors are not taken for none: the evaluation is repeated, and then the version is rolled back",
    observed="A broken version is not promoted; one incomplete response does not stop a good one",
)
@pytest.mark.parametrize("metric", ["Errors", "Invocations", "Throttles", "Duration"])
def test_incomplete_metrics_decide_nothing(machine: Machine, metric: str) -> None:
    machine.set_calls(BROKEN)
    machine.cloudwatch.incomplete = ["", metric]  # the first request is that of the check
    ended = machine.run()
    assert (ended.error, machine.awslambda.shares) == ("MetricsIncompleteError", {"1": 1})
    machine.set_calls(GOOD)
    machine.cloudwatch.incomplete = ["Throttles", "", metric, ""]
    assert machine.run().status == "SUCCEEDED"


@pytest.mark.reliability(
    "lambda_canary",
    "Access denied",
    fault="A call is denied, or fails until its retries end",
    expected="The alias ends on the old version alone",
    observed="Every state after the first shift leads to Roll Back; the notification has the error",
)
@pytest.mark.parametrize("function", ["Shift", "Evaluate"])
@pytest.mark.parametrize("name", ["ClientError", "Lambda.ServiceException", "States.Timeout", "KeyError"])
def test_failed_state_after_the_first_shift_rolls_back(machine: Machine, function: str, name: str) -> None:
    machine.actions[function] = [lambda: None, lambda: machine.failing.update({function: [name] * 20})]
    ended = machine.run()
    assert ended.error == name
    assert machine.awslambda.shares == {"1": 1}
    assert without_links(name) in ended.message


@pytest.mark.parametrize("function", ["Check", "CallVersion"])
def test_failed_state_before_the_first_shift_changes_nothing(machine: Machine, function: str) -> None:
    machine.failing[function] = ["ClientError"] * 20
    ended = machine.run()
    assert (ended.status, ended.error) == ("FAILED", "ClientError")
    assert machine.awslambda.updates == []


def test_finish_that_is_denied_rolls_back(machine: Machine) -> None:
    def deny() -> None:
        raise denied("UpdateAlias")

    machine.awslambda.before_update += [lambda: None] * 3 + [deny]
    ended = machine.run()
    assert ended.status == "FAILED"
    assert machine.awslambda.shares == {"1": 1}


@pytest.mark.reliability("lambda_canary", "Lost event or response", fault="The response to UpdateAlias is lost")
@pytest.mark.parametrize("position", range(4))
def test_lost_response_of_any_update_does_not_stop_the_rollout(machine: Machine, position: int) -> None:
    def lose() -> None:
        raise error("ServiceException", "UpdateAlias")

    machine.awslambda.after_update += [lambda: None] * position + [lose]
    assert machine.run().status == "SUCCEEDED"
    assert machine.awslambda.shares == {"2": 1}


@pytest.mark.reliability(
    "lambda_canary",
    "Timeout",
    fault="An execution is stopped or times out at any point",
    expected="The alias ends on the old version alone, and somebody is notified",
    observed="The function that runs at the end removes the weights of this execution",
)
@pytest.mark.parametrize("function", ["Shift", "Evaluate"])
@pytest.mark.parametrize("position", range(3))
def test_stopped_execution_is_cleaned_up(machine: Machine, function: str, position: int) -> None:
    machine.actions[function] = [lambda: None] * position + [machine.stop]
    ended = machine.run()
    assert ended.status == "ABORTED"
    assert machine.awslambda.shares == {"1": 1}
    assert ended.subject == "Stopped: shop version 2"
    assert "The alias now: alias live of shop: version 1" in ended.message


def test_rollback_that_fails_is_repeated_at_the_end(machine: Machine) -> None:
    machine.set_calls(BROKEN)
    machine.failing["RollBack"] = ["ClientError"] * 20
    ended = machine.run()
    assert "could not be rolled back" in ended.cause
    assert machine.awslambda.shares == {"1": 1}
    assert "The rollout had left weights on the alias; they are removed now." in ended.message


@pytest.mark.reliability(
    "lambda_canary",
    "Deleted externally",
    fault="The alias is deleted during a rollout",
    expected="The rollout fails and reports the reason",
    observed="`AliasChangedError` in the notification",
)
@pytest.mark.parametrize("function", ["Evaluate", "Shift"])
def test_deleted_alias_ends_the_rollout(machine: Machine, function: str) -> None:
    def delete() -> None:
        machine.awslambda.alias = None

    machine.actions[function] = [delete]
    ended = machine.run()
    assert (ended.status, ended.error) == ("FAILED", "AliasChangedError")
    assert ended.subject == "Stopped, alias changed by somebody else: shop version 2"
    assert "Somebody else deleted alias live of shop" in ended.message


def test_version_that_is_deleted_before_the_first_shift_changes_nothing(machine: Machine) -> None:
    def refuse() -> None:
        raise error("ResourceNotFoundException", "UpdateAlias", "Function not found: shop:2")

    machine.awslambda.before_update.append(refuse)
    ended = machine.run()
    assert (ended.status, ended.error) == ("FAILED", "ResourceNotFoundException")
    assert "Function not found: shop:2" in ended.message
    assert machine.awslambda.shares == {"1": 1}


def test_every_task_catches_all_errors() -> None:
    states = definition(evaluated_steps=9, evaluations=16)["States"]
    for name, state in states.items():
        if state["Type"] == "Task":
            assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
            assert state["TimeoutSeconds"] <= 900, name


def test_states_after_the_first_shift_lead_to_a_rollback() -> None:
    states = definition(evaluated_steps=9, evaluations=16)["States"]
    for name in ("Shift", "Evaluate", "Synthetic Calls", "Finish"):
        assert states[name]["Catch"][-1]["Next"] == "Roll Back"
