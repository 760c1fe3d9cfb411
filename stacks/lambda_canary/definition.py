"""The definition of the state machine that rolls out a version, in Amazon States Language.

    Check --> Smoke Test --> Last Step? --no--> Shift --> Wait --> Evaluate --> Decision?
                                 ^ |                        ^                 | | | |
                                 | +--yes--> Finish         +---more calls----+ | | |
                                 +---------next step----------------------------+ | |
                                           Synthetic Calls <---too few calls------+ |
                                           Roll Back --> Failed <---fault-----------+

Once the alias has weights, every path leads through Finish or Roll Back, except if somebody else changed the alias. The
query language is JSONata, and results are kept in variables.
"""

from ..constructs.states_language import (
    ERROR_MESSAGE,
    FUNCTION_RETRY,
    State,
    assign_failure,
    choice,
    jsonata,
    lambda_task,
    rule,
    without_timeout,
)

# Errors of the AWS SDK in the functions, after its retries, that can pass; denied calls are not among them.
API_RETRY = FUNCTION_RETRY | {
    "ErrorEquals": [
        "MetricsIncompleteError",
        "TooManyRequestsException",
        "ServiceException",
        "ResourceConflictException",
        "InternalServiceFault",
        "LimitExceededFault",
        "ConnectTimeoutError",
        "EndpointConnectionError",
        "ReadTimeoutError",
        "ConnectionClosedError",
        "Sandbox.Timedout",
    ],
}
# A published version is pending for seconds; with SnapStart or in a VPC, for minutes.
PENDING_RETRY = {
    "ErrorEquals": ["VersionPendingError"],
    "IntervalSeconds": 10,
    "BackoffRate": 1,
    "MaxAttempts": 60,
}
# Lambda rejected the invocation, so the version has not run.
NOT_INVOKED_RETRY = API_RETRY | {
    "ErrorEquals": ["TooManyRequestsException", "ResourceConflictException", "ResourceNotReadyException"],
}
NOT_STARTED = ["InvalidInputError", "AliasBusyError", "SmokeTestError", "VersionPendingError"]
CONFLICT = ["AliasChangedError"]
TEST_TIMEOUT = 900  # seconds; the maximum of a function
MAX_INTERVAL = 3600
SLACK = 3600  # for retries, and for the calls of the smoke test
EXECUTION = jsonata("$states.context.Execution.Name")
WEIGHT = jsonata("$plan.weights[$step]")
PAYLOAD = "$states.result.Payload"


def definition(*, evaluated_steps: int, evaluations: int) -> State:
    """Return the definition, with substitutions for the functions."""
    return {
        "Comment": "Shifts the traffic of an alias to a new version, as long as it is not worse than the old one",
        "QueryLanguage": "JSONata",
        "StartAt": "Check",
        "TimeoutSeconds": evaluated_steps * evaluations * MAX_INTERVAL + SLACK,
        "States": {**_beginning(), **_step(), **_decision(), **_ends()},
    }


def _task(name: str, payload: State, *, assign: State, catch: list[State], next: str) -> State:
    state = lambda_task(name, payload, assign=assign, catch=catch, next=next)
    return state | {"Retry": [FUNCTION_RETRY, API_RETRY]}


def _test_task(synthetic: bool, *, assign: State, catch: list[State], next: str) -> State:
    payload = {"plan": jsonata("$plan"), "synthetic": synthetic}
    state = lambda_task("CallVersion", payload, assign=assign, catch=catch, next=next)
    return state | {"TimeoutSeconds": TEST_TIMEOUT, "Retry": [without_timeout(FUNCTION_RETRY), NOT_INVOKED_RETRY]}


def _catch(errors: list[str], next: str, cause: str = ERROR_MESSAGE) -> State:
    """Catch errors whose names and messages the execution fails with."""
    return {"ErrorEquals": errors, "Assign": assign_failure("$states.errorOutput.Error", cause), "Next": next}


def _catch_all(state: str, next: str = "Roll Back") -> State:
    return _catch(["States.ALL"], next, f"'{state}: ' & $states.errorOutput.Error & ': ' & {ERROR_MESSAGE}")


def _beginning() -> dict[str, State]:
    plan = {name: jsonata(f"{PAYLOAD}.{name}") for name in ("revision", "notes")}
    return {
        "Check": _task(
            "Check",
            {"input": jsonata("$states.context.Execution.Input"), "execution": EXECUTION},
            assign=plan | {"plan": jsonata(PAYLOAD), "step": 0, "history": "", "failure": {"error": "", "cause": ""}},
            catch=[
                without_history(_catch(NOT_STARTED, "Failed")),
                without_history(_catch_all("Check", "Failed")),
            ],
            next="New Version?",
        )
        | {"Retry": [PENDING_RETRY, FUNCTION_RETRY, API_RETRY]},
        "New Version?": choice([rule("$count($plan.weights) = 0", "Unchanged")], default="Smoke Test"),
        "Smoke Test": _test_task(
            False,
            assign={},
            catch=[_catch(NOT_STARTED, "Failed"), _catch_all("Smoke Test", "Failed")],
            next="Last Step?",
        ),
    }


def _step() -> dict[str, State]:
    shift = {"plan": jsonata("$plan"), "weight": WEIGHT, "revision": jsonata("$revision"), "execution": EXECUTION}
    return {
        "Last Step?": choice([rule("$step = $count($plan.weights) - 1", "Finish")], default="Shift"),
        "Shift": _task(
            "Shift",
            shift,
            assign={
                "revision": jsonata(f"{PAYLOAD}.revision"),
                "shiftedAt": jsonata(f"{PAYLOAD}.shiftedAt"),
                "evaluation": 1,
                "synthetic": {},
            },
            catch=[_catch(CONFLICT, "Failed"), _catch_all("Shift")],
            next="Wait",
        ),
        "Wait": {"Type": "Wait", "Seconds": jsonata("$plan.interval"), "Next": "Evaluate"},
        "Evaluate": _task(
            "Evaluate",
            {name: jsonata(f"${name}") for name in ("plan", "revision", "shiftedAt", "evaluation", "synthetic")}
            | {"weight": WEIGHT},
            assign={
                "decision": jsonata(f"{PAYLOAD}.decision"),
                "line": jsonata(f"{PAYLOAD}.line"),
                "evaluation": jsonata("$evaluation + 1"),
            },
            catch=[_catch(CONFLICT, "Failed"), _catch_all("Evaluate")],
            next="Decision?",
        ),
        "Finish": _task(
            "Shift",
            shift,
            assign={},
            catch=[_catch(CONFLICT, "Failed"), _catch_all("Finish")],
            next="Rolled Out",
        ),
    }


def _decision() -> dict[str, State]:
    history = {"history": jsonata("$history & '\\n' & $line")}
    failed = (
        "'Version ' & $plan.new & ' of ' & $plan.functionName & ' was rolled back at '"
        " & $round($plan.weights[$step] * 100) & ' %.'"
    )
    undecided = f"{failed} & ' There were too few calls to decide.'"
    return {
        "Decision?": choice(
            [
                rule("$decision = 'pass'", "Last Step?", history | {"step": jsonata("$step + 1")}),
                rule("$decision = 'wait'", "Wait"),
                rule("$decision = 'synthetic'", "Synthetic Calls"),
                rule("$decision = 'fail'", "Roll Back", history | assign_failure("'RolledBack'", failed)),
            ],
            default="Roll Back",
            assign=history | assign_failure("'Undecided'", undecided),
        ),
        "Synthetic Calls": _test_task(
            True,
            assign={"synthetic": jsonata(PAYLOAD)},
            catch=[_catch_all("Synthetic Calls")],
            next="Evaluate",
        ),
    }


def _ends() -> dict[str, State]:
    summary = "$plan.functionName & ': all calls of alias ' & $plan.alias & ' go to version ' & $plan.new & '.\\n'"
    output = {name: jsonata(f"$plan.{name}") for name in ("functionName", "alias", "old", "new")}
    not_possible = f"$failure.cause & ' The alias could not be rolled back: ' & {ERROR_MESSAGE}"
    return {
        "Roll Back": _task(
            "RollBack",
            {"plan": jsonata("$plan"), "execution": EXECUTION},
            assign=assign_failure("$failure.error", f"$failure.cause & ' Now: ' & {PAYLOAD}.alias"),
            catch=[
                {
                    "ErrorEquals": ["States.ALL"],
                    "Assign": assign_failure("$failure.error", not_possible),
                    "Next": "Failed",
                }
            ],
            next="Failed",
        ),
        "Rolled Out": {
            "Type": "Succeed",
            "Output": output | {"outcome": "finished", "summary": jsonata(f"{summary} & $notes & $history")},
        },
        "Unchanged": {
            "Type": "Succeed",
            "Output": output | {"outcome": "unchanged", "summary": jsonata(f"{summary} & 'It did so before.'")},
        },
        "Failed": {
            "Type": "Fail",
            "Error": jsonata("$failure.error"),
            "Cause": jsonata("$failure.cause & '\\n' & $notes & $history"),
        },
    }


def without_history(catch: State) -> State:
    """Assign what a failed check leaves unassigned."""
    return catch | {"Assign": catch["Assign"] | {"notes": "", "history": ""}}
