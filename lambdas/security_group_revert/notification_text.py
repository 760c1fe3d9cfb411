"""Subject and text of notifications; `Responder` in `respond.py` publishes them."""

from collections.abc import Iterable

from lambdas import mail_text

from .cloudtrail import Call
from .report import Report
from .revert import Action, GuardedGroup
from .state import LateEvents

MAX_SECTION_LINES = 100  # two full sections stay far below the 256 KB of SNS
BASE_FORM = {
    "revoke": "revoke",
    "modify": "modify",
    "update_description": "update the description",
    "restore": "restore",
}
PAST_TENSE = {
    "revoke": "revoked",
    "modify": "modified",
    "update_description": "description updated",
    "restore": "restored",
}
GROUP_NOT_FOUND = (
    "The group does not exist: it was deleted, or the settings have a wrong ID or the ID of a group in another Region "
    "or account. It is not guarded until you correct the settings and deploy them."
)
FAILED = "Actions marked FAILED are retried at every sweep. Check the reason."
SUSPENDED = (
    "Changes marked SUSPENDED recurred after max_reverts reverts. They are left in place until "
    "revert_window_hours after the first revert. Find and stop the source of the change."
)
NOT_PERMITTED = (
    "The caller may make break-glass changes, but a rule that is added needs a description, as the reason, and rules "
    "cannot be modified: add and remove rules instead. If the change was reverted by an earlier check, repeat it."
)
OPEN_CONNECTIONS = (
    "Connections opened through a revoked rule may still be open, because security groups track connections and "
    "revoking a rule does not close them. To close them, use a network ACL or stop the instance."
)
LATE_EVENTS = (
    "{} calls since the last sweep changed the group, in addition to those in earlier notifications. Another check had "
    "already reverted their changes, or these were no longer present. The log has each call and its changes."
)
ACCESS_CHANGE = (
    "The rules are as approved, but the call changes what they apply to: the entries of an approved prefix list, the "
    "members of an approved group, or the other groups of a guarded group's network interface. It was not reverted."
)


def subject(report: Report) -> str:
    """Return a subject that SNS accepts."""
    outcome = report.outcome
    group = outcome.group.name or outcome.group.group_id
    count = len(outcome.actions)
    changes = f"change{'' if count == 1 else 's'} to security group {group}"
    reported = sum(action.status == "report_only" for action in outcome.actions)
    share = f"{reported} of {count}" if reported < count else str(count)
    lines = {
        "group_missing": f"NOT GUARDED: security group {group} does not exist",
        "suspended": f"REVERTING SUSPENDED: {len(outcome.suspended)} of {count} {changes}",
        "not_reverted": f"NOT REVERTED: {len(outcome.failed)} of {count} {changes}",
        "unapproved": f"Unapproved: {share} {changes}",
        "reverted": f"Reverted: {count} {changes}",
        "break_glass": f"Break-glass: {len(report.permitted)} change{'' if len(report.permitted) == 1 else 's'} to"
        f" security group {group}",
        "no_longer_present": f"No longer present: unapproved change to security group {group}",
        "already_reverted": f"Already reverted: unapproved change to security group {group}",
        "resolved": f"Resolved: security group {group} has its approved rules",
    }
    return mail_text.subject(lines[report.status])


def text(report: Report, *, region: str, account: str) -> str:
    """Return the notification in plain text: group, caller, time, call and outcome."""
    outcome, change = report.outcome, report.change
    lines = _facts(outcome.group, change.call if change else None, region=region, account=account)
    main = [action for action in outcome.actions if change is None or report.is_named(action)]
    others = [action for action in outcome.actions if change and not report.is_named(action)]
    reverted = [f"already reverted by an earlier check: {rule}" for rule in report.already_reverted]
    reverted += [
        f"no longer present (reverted by someone else, or not visible yet): {rule}" for rule in report.not_visible
    ]
    lines += _section("Outcome", [*map(_line, main), *reverted])
    lines += _section("Other findings in this check (rules not named in the CloudTrail event)", map(_line, others))
    lines += _section("Permitted as break-glass, to be reverted at the end", map(str, report.permitted))
    lines += _section("Break-glass changes that ended", map(str, report.ended))
    if report.has_break_glass_caller and (main or report.already_reverted):
        lines += ["", NOT_PERMITTED]
    if report.resolved:
        lines += ["", "All changes that were reported as not reverted are resolved."]
    if not outcome.group_exists:
        lines += ["", GROUP_NOT_FOUND]
    if outcome.failed:
        lines += ["", FAILED]
    if outcome.suspended:
        lines += ["", SUSPENDED]
    if any(action.action_type in ("revoke", "modify") and not action.is_unresolved for action in outcome.actions):
        lines += ["", OPEN_CONNECTIONS]
    return "\n".join(lines) + "\n"


def access_change_notification(
    call: Call, groups: list[GuardedGroup], ids: Iterable[str], *, region: str, account: str
) -> tuple[str, str]:
    """Return subject and text for a call that doesn't change rules, but changes what the rules of `groups` apply to."""
    names = [group.name or group.group_id for group in groups]
    lines = _facts(groups[0], call, region=region, account=account)
    lines += _section("Guarded groups", (f"{group.name} ({group.group_id})".strip() for group in groups))
    lines += _section("IDs in the call", sorted(ids))
    lines += ["", ACCESS_CHANGE]
    return mail_text.subject(f"{call.event_name} may open security group {', '.join(names)}"), "\n".join(lines) + "\n"


def late_events_notification(group: GuardedGroup, late: LateEvents, *, region: str, account: str) -> tuple[str, str]:
    """Return subject and text for events about which no separate notifications were sent."""
    lines = _facts(group, None, region=region, account=account)
    lines += _section("Callers", late.callers)
    lines += ["", LATE_EVENTS.format(late.count)]
    name = group.name or group.group_id
    return mail_text.subject(f"Already reverted: {late.count} more calls for security group {name}"), "\n".join(
        lines
    ) + "\n"


def _facts(group: GuardedGroup, call: Call | None, *, region: str, account: str) -> list[str]:
    name = f"{group.name} ({group.group_id})" if group.name else group.group_id
    facts = [("Group", f"{name} in {region}, account {account}")]
    if call is None:
        facts.append(("Detected by", "scheduled sweep. See CloudTrail for the caller."))
    else:
        facts += [
            ("Caller", call.caller),
            ("Session", f"{call.session_name} (chosen by the caller)" if call.session_name else ""),
            ("Identity", f"{call.source_identity} (source identity)" if call.source_identity else ""),
            ("Access key", call.access_key_id),
            ("Source", call.source_ip),
            ("User agent", f"{call.user_agent} (chosen by the caller)"),
            ("Time", call.time),
            ("Call", f"{call.event_name}, CloudTrail event {call.event_id}"),
        ]
    return [f"{label + ':':<13}{mail_text.without_links(value)}" for label, value in facts if value]


def _line(action: Action) -> str:
    previous = f" (previously: {action.previous})" if action.previous else ""
    rule = f"{action.rule}{previous}" + (f", {action.rule_id}" if action.rule_id else "")
    base_form = BASE_FORM[action.action_type]
    match action.status:
        case "failed":
            return f"FAILED to {base_form}: {rule}: {action.reason}"
        case "suspended":
            return f"SUSPENDED, did not {base_form}: {rule}"
        case "report_only":
            return f"unapproved, would {base_form}: {rule}"
        case "conflict":
            return f"already removed before it was revoked: {rule}"
        case _:
            return f"{PAST_TENSE[action.action_type]}: {rule}"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    shown = [f"  {mail_text.without_links(line)}" for line in lines]
    if not shown:
        return []
    more = len(shown) - MAX_SECTION_LINES
    return ["", title, *shown[:MAX_SECTION_LINES], *([f"  ... and {more} more; see the log"] if more > 0 else [])]
