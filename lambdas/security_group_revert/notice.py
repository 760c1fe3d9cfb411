"""What people read of an outcome: a subject, a plain text, and one structured log line."""

import json
import time
from collections.abc import Iterable
from typing import Any

from .cloudtrail import Change
from .revert import Action, Outcome
from .rules import Rule

METRIC_NAMESPACE = "SecurityGroupRevert"
SUBJECT_LIMIT = 100  # characters, of SNS
LINES_LIMIT = 100  # in a section: with two sections far below the 256 KB of SNS
PAST = {
    "revoke": "revoked",
    "edit back": "edited back",
    "describe again": "described again",
    "restore": "restored",
}


def undone_already(change: Change, outcome: Outcome) -> list[Rule]:
    """Rules of an unapproved change that somebody had undone before this look at the group.

    None when the record does not say which group it is about: it may well be another one.
    """
    guarded = outcome.guarded
    if guarded.group_id not in change.group_ids:
        return []
    handled = {rule for action in outcome.actions for rule in (action.rule, action.was)}
    egress_ids = {rule.rule_id for rule in outcome.found if rule.is_egress}
    added = [rule for rule in change.added if rule.rule_id not in egress_ids]
    gone = [rule for rule in added if rule not in guarded.approved and guarded.guards(rule)]
    back = [rule for rule in change.removed if rule in guarded.approved]
    return [rule for rule in gone + back if rule not in handled and (rule in outcome.found) == (rule in back)]


def subject(outcome: Outcome) -> str:
    """One ASCII line of at most 100 characters, as SNS wants it."""
    group = outcome.guarded.name or outcome.guarded.group_id
    count = len(outcome.actions)
    if outcome.failed:
        start = f"NOT REVERTED: {len(outcome.failed)} of {count}"
    elif any(action.status == "reported" for action in outcome.actions):
        start = f"Unapproved: {count}"
    else:
        start = f"Reverted: {count}" if count else "Already reverted: unapproved"
    line = _printable(f"{start} change{'' if count == 1 else 's'} to security group {group}")
    return line.encode("ascii", "replace").decode()[:SUBJECT_LIMIT]


def text(outcome: Outcome, change: Change | None, *, region: str, account: str) -> str:
    """The notice in plain text: what, which group, who, from where, when, outcome."""
    guarded = outcome.guarded
    name = f"{guarded.name} ({guarded.group_id})" if guarded.name else guarded.group_id
    facts = [("Group", f"{name} in {region}, account {account}")]
    if change is None:
        facts.append(("Found by", "a look at all guarded groups; CloudTrail has who made the change"))
    else:
        facts += [
            ("Who", change.who),
            ("From", f"{change.source_ip} with {change.user_agent}"),
            ("When", change.when),
            ("Call", f"{change.event_name}, CloudTrail event {change.event_id}"),
        ]
    lines = [f"{label + ':':<10}{_printable(value)}" for label, value in facts]
    mine = [action for action in outcome.actions if change is None or _concerns(change, action)]
    others = [action for action in outcome.actions if action not in mine]
    already = undone_already(change, outcome) if change else []
    lines += _section("Outcome", [*map(_line, mine), *(f"undone before this check: {rule}" for rule in already)])
    lines += _section("Found in the same check, made by other calls", map(_line, others))
    if outcome.failed:
        lines += ["", "What is marked FAILED is still to be done. It is tried again at every sweep; please look."]
    return "\n".join(lines) + "\n"


def log_records(outcome: Outcome, change: Change | None, *, account: str) -> Iterable[str]:
    """One JSON line for the check, and one for each action, so that none is too long to be kept.

    CloudWatch reads the first as the metric `NotReverted`. Source of the form: CloudWatch user
    guide, embedded metric format specification.
    """
    remaining = [action for action in outcome.actions if action.status in ("failed", "reported")]
    metrics = {"Namespace": METRIC_NAMESPACE, "Dimensions": [[]], "Metrics": [{"Name": "NotReverted", "Unit": "Count"}]}
    record: dict[str, Any] = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metrics]},
        "NotReverted": len(remaining),
        "group_id": outcome.guarded.group_id,
        "group_name": outcome.guarded.name,
        "account": account,
        "actions": len(outcome.actions),
    }
    if change is not None:
        record["undone_already"] = [str(rule) for rule in undone_already(change, outcome)[:LINES_LIMIT]]
        record["change"] = {
            "event_id": change.event_id,
            "event_name": change.event_name,
            "who": change.who,
            "source_ip": change.source_ip,
            "user_agent": change.user_agent,
            "when": change.when,
        }
    yield json.dumps(record)
    for action in outcome.actions:
        yield json.dumps({"group_id": outcome.guarded.group_id, **_data(action, change)})


def _data(action: Action, change: Change | None) -> dict[str, Any]:
    return {
        "verb": action.verb,
        "status": action.status,
        "rule": str(action.rule),
        "rule_id": (action.was or action.rule).rule_id,
        "was": str(action.was) if action.was else None,
        "error": action.error,
        "of_this_call": change is not None and _concerns(change, action),
    }


def _concerns(change: Change, action: Action) -> bool:
    return change.concerns(action.was or action.rule)


def _line(action: Action) -> str:
    was = f" (it was: {action.was})" if action.was else ""
    identity = (action.was or action.rule).rule_id
    what = f"{action.rule}{was}" + (f", {identity}" if identity else "")
    if action.status == "failed":
        return f"FAILED to {action.verb}: {what}: {action.error}"
    if action.status == "reported":
        return f"not approved, to {action.verb}: {what}"
    if action.status == "overtaken":
        return f"gone when it was to be revoked: {what}"
    return f"{PAST[action.verb]}: {what}"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    shown = [f"  {_printable(line)}" for line in lines]
    if not shown:
        return []
    more = len(shown) - LINES_LIMIT
    return ["", title, *shown[:LINES_LIMIT], *([f"  ... and {more} more; all are in the log"] if more > 0 else [])]


def _printable(value: str) -> str:
    """Descriptions and user agents are other people's text: no new lines, no control characters."""
    return "".join(character if character.isprintable() else "?" for character in value)
