"""The definitions of the state machines `Guard` and `Release`, in Amazon States Language.

    Guard:    Decide --> Anything New? --> Record Plan --> Deny --> Stop --> Record Results --> Notify --> Guarded
                              +--no--> Nothing New                             |
                              +--report, or no action--> Notify                +-- an error of any: Guard Failed
    Release:  Undo --> Anything Open? --no--> Notify --> Released
                ^---- Wait ---yes--+            +-- an error, or something is still open: Release Failed

What is planned is recorded before it is done. If a function fails, the others still run, and what has happened is
notified, before the execution fails.
"""

from ..constructs.states_language import (
    ERROR_MESSAGE,
    FUNCTION_RETRY,
    State,
    choice,
    jsonata,
    lambda_task,
    rule,
    wait,
    without_timeout,
)

TIMEOUT = 30 * 60  # seconds of `Guard`; the claims of an execution end with it (`CLAIM_MINUTES`)
RELEASE_TIMEOUT = 2 * 60 * 60  # seconds
TASK_TIMEOUT = 300  # seconds, the timeout of the functions
RELEASE_ATTEMPTS, RELEASE_INTERVAL = 10, 60  # an instance can take minutes to stop


def guard() -> State:
    """Return the definition; it has substitutions for five functions and ``${Release}``."""
    actions, results = jsonata("$actions"), {"denied": jsonata("$denied"), "stopped": jsonata("$stopped")}
    initial = {"actions": [], "denied": [], "stopped": [], "failure": ""}
    claim = {
        "period": jsonata("$plan.period"),
        "actions": jsonata("$plan.actions"),
        "execution": jsonata("$states.context.Execution.Id"),
    }
    notification = {
        # The actions that are done are in `actions`, and an input is at most 256 KiB.
        "plan": jsonata("$plan.act ? $merge([$plan, {'actions': []}]) : $plan"),
        "actions": actions,
        **results,
        "failure": jsonata("$failure"),
        "releaseArn": "${Release}",
    }
    return _machine(
        TIMEOUT,
        "Decide",
        {
            "Decide": _task("Decide", {}, {"plan": _payload(), **initial}, "Anything New?", on_error="Guard Failed"),
            "Anything New?": choice(
                [rule("$plan.act", "Record Plan"), rule("$plan.news", "Notify")], default="Nothing New"
            ),
            "Record Plan": _task("Record", claim, {"actions": _payload(".actions")}, "Deny", on_error="Notify"),
            "Deny": _task("Deny", {"actions": actions}, {"denied": _payload()}, "Stop", on_error="Stop"),
            "Stop": _task(
                "Stop", {"actions": actions}, {"stopped": _payload()}, "Record Results", on_error="Record Results"
            ),
            "Record Results": _task(
                "Record", {"period": jsonata("$plan.period"), **results}, {}, "Notify", on_error="Notify"
            ),
            "Notify": _task("Notify", notification, {}, "Everything Done?", on_error="Guard Failed"),
            "Everything Done?": choice([rule("$failure = ''", "Guarded")], default="Guard Failed"),
            "Nothing New": {"Type": "Succeed"},
            "Guarded": {"Type": "Succeed"},
            "Guard Failed": {"Type": "Fail", "Error": "GuardFailed", "Cause": jsonata("$failure")},
        },
    )


def release() -> State:
    """Return the definition; it has substitutions for two functions."""
    counts = {"closed": jsonata("$closed"), "open": jsonata("$open"), "failure": jsonata("$failure")}
    undo = {
        "input": jsonata("$states.context.Execution.Input"),
        "results": jsonata("$results"),
        "closed": jsonata("$closed"),
    }
    undone = {
        "results": _payload(".results"),
        "closed": _payload(".closed"),
        "open": _payload(".open"),
        "attempts": jsonata("$attempts + 1"),
    }
    initial = {"results": [], "closed": 0, "open": 0, "attempts": 0, "failure": ""}
    incomplete = "Not everything could be undone; see the notification."
    still_open = f"$open > 0 and $attempts < {RELEASE_ATTEMPTS}"
    return _machine(
        RELEASE_TIMEOUT,
        "Begin",
        {
            "Begin": {"Type": "Pass", "Assign": initial, "Next": "Undo"},
            "Undo": _task("Undo", undo, undone, "Anything Open?", on_error="Notify"),
            "Anything Open?": choice([rule(still_open, "Wait")], default="Notify"),
            "Wait": wait(RELEASE_INTERVAL, "Undo"),
            "Notify": _task(
                "Notify",
                {"released": jsonata("$results")} | counts,
                {},
                "Everything Undone?",
                on_error="Release Failed",
            ),
            "Everything Undone?": choice(
                [rule("$open = 0 and $failure = ''", "Released")],
                default="Release Failed",
                assign={"failure": jsonata(f"$failure = '' ? '{incomplete}' : $failure")},
            ),
            "Released": {"Type": "Succeed"},
            "Release Failed": {"Type": "Fail", "Error": "ReleaseFailed", "Cause": jsonata("$failure")},
        },
    )


def _machine(timeout: int, start: str, states: dict[str, State]) -> State:
    return {"QueryLanguage": "JSONata", "StartAt": start, "TimeoutSeconds": timeout, "States": states}


def _payload(path: str = "") -> str:
    return jsonata(f"$states.result.Payload{path}")


def _task(function: str, payload: State, assign: State, next: str, *, on_error: str) -> State:
    """Invoke a function; if it fails, keep the reason and go on."""
    catch = {"ErrorEquals": ["States.ALL"], "Assign": {"failure": jsonata(ERROR_MESSAGE)}, "Next": on_error}
    task = lambda_task(function, payload, assign=assign, catch=[catch], next=next)
    task["TimeoutSeconds"] = TASK_TIMEOUT
    task["Retry"] = [without_timeout(FUNCTION_RETRY)]  # the next check, or attempt, repeats what took too long
    return task if assign else {key: value for key, value in task.items() if key != "Assign"}
