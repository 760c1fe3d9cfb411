"""What people read of a check: a subject, a plain text, and structured log lines."""

import json
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from .cloudtrail import Call, Change
from .revert import Action, Guarded, Outcome
from .rules import Rule

METRIC_NAMESPACE = "SecurityGroupRevert"
NOT_REVERTED, REVERTS_SUSPENDED = "NotReverted", "RevertsSuspended"  # names of metrics
SUBJECT_LIMIT = 100  # characters, of SNS
LINES_LIMIT = 100  # in a section: with two sections far below the 256 KB of SNS
PAST = {
    "revoke": "revoked",
    "edit back": "edited back",
    "describe again": "described again",
    "restore": "restored",
}
NOT_FOUND = (
    "The group was not found. It was deleted, or the settings name a wrong id, or a group of another region or "
    "account. Nothing is guarded until the settings are corrected and deployed."
)
STILL_OPEN = "What is marked FAILED is still to be done. It is tried again at every sweep; please look."
SUSPENDED = (
    "What is marked SUSPENDED was reverted as often as max_reverts allows, came back each time, and is left as it is "
    "until revert_window_hours after its first revert. Find out who or what makes the change, and stop it."
)
CONNECTIONS = (
    "Connections that were opened through a revoked rule may still be open: a security group tracks connections, and "
    "revoking a rule ends none. To cut them, use a network ACL, or stop the instance."
)


@dataclass(frozen=True)
class Report:
    """One check of a group, for people: its outcome, and the call that led to it.

    reverted_before: rules of the call that an earlier check has reverted. not_found: rules of the
    call that are as approved at this check, and nobody knows why. resolved: what was reported as open no longer is.
    """

    outcome: Outcome
    change: Change | None = None
    reverted_before: tuple[Rule, ...] = ()
    not_found: tuple[Rule, ...] = ()
    resolved: bool = False

    @property
    def matched(self) -> list[Action]:
        """The actions on rules that the record of the call names."""
        return [a for a in self.outcome.actions if self.change and self.change.concerns(a.was or a.rule)]


def undone_already(change: Change, outcome: Outcome) -> list[Rule]:
    """Rules of an unapproved change that were as they should be at this look at the group.

    None when the record does not say which group it is about: it may well be another one.
    """
    guarded = outcome.guarded
    if guarded.group_id not in change.group_ids or not outcome.group_exists:
        return []
    handled = {rule for action in outcome.actions for rule in (action.rule, action.was)}
    egress_ids = {rule.rule_id for rule in outcome.found if rule.is_egress}
    added = [rule for rule in change.added if rule.rule_id not in egress_ids]
    gone = [rule for rule in added if not guarded.accepts(rule) and guarded.guards(rule)]
    back = [rule for rule in change.removed if rule in guarded.approved]
    return [rule for rule in gone + back if rule not in handled and (rule in outcome.found) == (rule in back)]


def subject(report: Report) -> str:
    """One ASCII line of at most 100 characters, as SNS wants it."""
    outcome = report.outcome
    group = outcome.guarded.name or outcome.guarded.group_id
    count = len(outcome.actions)
    changes = f"change{'' if count == 1 else 's'} to security group {group}"
    reported = sum(action.status == "reported" for action in outcome.actions)
    if not outcome.group_exists:
        return _subject(f"NOT GUARDED: security group {group} does not exist")
    if outcome.suspended:
        return _subject(f"REVERTING SUSPENDED: {len(outcome.suspended)} of {count} {changes}")
    if outcome.failed:
        return _subject(f"NOT REVERTED: {len(outcome.failed)} of {count} {changes}")
    if reported:
        share = f"{reported} of {count}" if reported < count else str(count)
        return _subject(f"Unapproved: {share} {changes}")
    if count:
        return _subject(f"Reverted: {count} {changes}")
    if report.not_found:
        return _subject(f"As approved again: unapproved change to security group {group}")
    if report.reverted_before:
        return _subject(f"Already reverted: unapproved change to security group {group}")
    return _subject(f"Resolved: security group {group} has its approved rules")


def text(report: Report, *, region: str, account: str) -> str:
    """The notification in plain text: what, which group, who, from where, when, outcome."""
    outcome, change = report.outcome, report.change
    lines = _facts(outcome.guarded, change.call if change else None, region=region, account=account)
    matched = outcome.actions if change is None else report.matched
    others = [action for action in outcome.actions if action not in matched]
    undone = [f"reverted by an earlier check: {rule}" for rule in report.reverted_before]
    undone += [f"as approved at this check, undone by somebody or not visible yet: {rule}" for rule in report.not_found]
    lines += _section("Outcome", [*map(_line, matched), *undone])
    lines += _section("Also found in this check; the record of the call does not name these rules", map(_line, others))
    if report.resolved:
        lines += ["", "What was reported before as not reverted is resolved."]
    if not outcome.group_exists:
        lines += ["", NOT_FOUND]
    if outcome.failed:
        lines += ["", STILL_OPEN]
    if outcome.suspended:
        lines += ["", SUSPENDED]
    if any(action.verb in ("revoke", "edit back") and not action.is_open for action in outcome.actions):
        lines += ["", CONNECTIONS]
    return "\n".join(lines) + "\n"


def exposure(call: Call, groups: list[Guarded], ids: Iterable[str], *, region: str, account: str) -> tuple[str, str]:
    """Subject and text about a call that changes whom the rules of `groups` apply to, and no rule."""
    names = [group.name or group.group_id for group in groups]
    lines = _facts(groups[0], call, region=region, account=account)
    lines += _section("Guarded groups", (f"{group.name} ({group.group_id})".strip() for group in groups))
    lines += _section("Named by the call", sorted(ids))
    lines += ["", "The rules are as approved, but the call changes whom they apply to: the entries of an approved"]
    lines += ["prefix list, the members of an approved group, or the groups beside a guarded one. It was not reverted."]
    return _subject(f"{call.event_name} may open security group {', '.join(names)}"), "\n".join(lines) + "\n"


def log_records(report: Report, *, account: str) -> Iterable[str]:
    """One JSON line for the check, and one for each action, so that none is too long to be kept.

    CloudWatch reads the first as the metrics `NotReverted` and `RevertsSuspended`. Source of the form:
    CloudWatch user guide, embedded metric format specification.
    """
    outcome, change = report.outcome, report.change
    names = [{"Name": name, "Unit": "Count"} for name in (NOT_REVERTED, REVERTS_SUSPENDED)]
    metrics = {"Namespace": METRIC_NAMESPACE, "Dimensions": [[]], "Metrics": names}
    record: dict[str, Any] = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metrics]},
        NOT_REVERTED: outcome.not_reverted,
        REVERTS_SUSPENDED: len(outcome.suspended),
        "group_id": outcome.guarded.group_id,
        "group_name": outcome.guarded.name,
        "group_exists": outcome.group_exists,
        "account": account,
        "actions": len(outcome.actions),
    }
    if change is not None:
        record["reverted_before"] = [str(rule) for rule in report.reverted_before[:LINES_LIMIT]]
        record["not_found"] = [str(rule) for rule in report.not_found[:LINES_LIMIT]]
        record["change"] = asdict(change.call)
    yield json.dumps(record)
    matched = report.matched
    for action in outcome.actions:
        named = {"named_by_call": action in matched} if change else {}
        yield json.dumps({"group_id": outcome.guarded.group_id, **_data(action), **named})


def _data(action: Action) -> dict[str, Any]:
    return {
        "verb": action.verb,
        "status": action.status,
        "rule": str(action.rule),
        "rule_id": (action.was or action.rule).rule_id,
        "was": str(action.was) if action.was else None,
        "error": action.error,
    }


def _facts(guarded: Guarded, call: Call | None, *, region: str, account: str) -> list[str]:
    name = f"{guarded.name} ({guarded.group_id})" if guarded.name else guarded.group_id
    facts = [("Group", f"{name} in {region}, account {account}")]
    if call is None:
        facts.append(("Found by", "a look at all guarded groups; CloudTrail has who made the change"))
    else:
        facts += [
            ("Who", call.who),
            ("Session", f"{call.session_name} (a name that the caller chose)" if call.session_name else ""),
            ("Identity", f"{call.source_identity} (source identity)" if call.source_identity else ""),
            ("Key", call.access_key_id),
            ("From", f"{call.source_ip} with {call.user_agent} (as the caller states)"),
            ("When", call.when),
            ("Call", f"{call.event_name}, CloudTrail event {call.event_id}"),
        ]
    return [f"{label + ':':<10}{_harmless(value)}" for label, value in facts if value]


def _line(action: Action) -> str:
    was = f" (it was: {action.was})" if action.was else ""
    identity = (action.was or action.rule).rule_id
    what = f"{action.rule}{was}" + (f", {identity}" if identity else "")
    if action.status == "failed":
        return f"FAILED to {action.verb}: {what}: {action.error}"
    if action.status == "suspended":
        return f"SUSPENDED, not tried to {action.verb}: {what}"
    if action.status == "reported":
        return f"not approved, to {action.verb}: {what}"
    if action.status == "overtaken":
        return f"gone when it was to be revoked: {what}"
    return f"{PAST[action.verb]}: {what}"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    shown = [f"  {_harmless(line)}" for line in lines]
    if not shown:
        return []
    more = len(shown) - LINES_LIMIT
    return ["", title, *shown[:LINES_LIMIT], *([f"  ... and {more} more; all are in the log"] if more > 0 else [])]


def _subject(line: str) -> str:
    return _printable(line).encode("ascii", "replace").decode()[:SUBJECT_LIMIT]


def _harmless(value: str) -> str:
    """Descriptions, names and user agents are other people's text: one line, and nothing that becomes a link."""
    ascii_only = _printable(value).encode("ascii", "replace").decode()
    return re.sub(r"\.(?=[A-Za-z])", "[.]", ascii_only.replace("://", "[:]//").replace("\\\\", "[\\\\]"))


def _printable(value: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in value)
