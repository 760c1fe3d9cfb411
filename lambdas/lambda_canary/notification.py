"""The notification about an ended execution, from its "Step Functions Execution Status Change" event.

It contains text of others: the input, and answers of the version. None of it becomes a link or another line.
"""

import json
from collections.abc import Sequence
from typing import NotRequired, TypedDict

from lambdas import mail_text

from .alias import Alias, RollbackResult
from .config import VERSION

MAX_FIELD = 256  # characters of a field of the input
SUBJECTS = {
    "RolledBack": "Rolled back",
    "Undecided": "Undecided, rolled back",
    "SmokeTestError": "Smoke test failed",
    "AliasChangedError": "Stopped, alias changed by somebody else",
    "AliasBusyError": "Not started, alias busy",
    "InvalidInputError": "Not started, invalid",
    "VersionPendingError": "Not started, version pending",
    "ABORTED": "Stopped",
    "TIMED_OUT": "Timed out",
}
RESULTS = {
    "rolled back": "The rollout had left weights on the alias; they are removed now.",
    "not shifted": "The rollout has left no weights on the alias.",
    "conflict": "The alias is not as this rollout set it, so it is left alone.",
}


class ExecutionDetail(TypedDict):
    """The detail of an "Execution Status Change" event. A long input is missing or null."""

    executionArn: str
    name: str
    status: str
    input: NotRequired[str | None]
    output: NotRequired[str]
    error: NotRequired[str | None]
    cause: NotRequired[str | None]


def subject(detail: ExecutionDetail, name: str) -> str:
    """Return the subject of the notification about an execution for the function `name`."""
    if detail["status"] == "SUCCEEDED":
        outcome = json.loads(detail["output"])["outcome"]
        text = "Finished" if outcome == "finished" else "Nothing to do"
    else:
        keys = (detail.get("error"), detail["status"])
        text = next((SUBJECTS[key] for key in keys if key in SUBJECTS), "Failed")
    version = _field(detail, "version") or ""
    suffix = f" version {version}" if VERSION.fullmatch(version) else ""
    return mail_text.subject(f"{text}: {name}", suffix)


def message(detail: ExecutionDetail, rollback: tuple[RollbackResult, Alias] | None, figures: Sequence[str] = ()) -> str:
    """Return the text: the reason, the figures of each step, and where the alias is now.

    figures: those of an execution that was stopped or timed out; otherwise, they are in its output or cause.
    """
    parts = []
    if detail["status"] == "SUCCEEDED":
        parts.append(json.loads(detail["output"])["summary"])
    else:
        parts.append(detail.get("cause") or f"The execution is {detail['status']}.")
        parts += ["\n".join(figures)] if figures else []
    if rollback:
        result, alias = rollback
        parts += [RESULTS[result], f"The alias now: {alias}"]
    caller = _field(detail, "started_by")
    started_by = f"\nStarted by, according to the input: {caller}" if caller else ""
    parts.append(f"Execution: {detail['executionArn']}{started_by}")
    return "\n".join(map(mail_text.without_links, "\n\n".join(parts).split("\n")))


def _field(detail: ExecutionDetail, name: str) -> str | None:
    """Return a field of the input, if it is text; the input is not validated here, and can be missing."""
    try:
        value = json.loads(detail["input"] or "")[name]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return mail_text.one_line(value[:MAX_FIELD]) if isinstance(value, str) else None
