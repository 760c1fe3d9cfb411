"""The result of one check, as notifications and logs present it."""

from dataclasses import dataclass

from .break_glass import PermittedChange
from .cloudtrail import Change
from .revert import Action, Outcome
from .rules import Rule


@dataclass(frozen=True)
class Report:
    """One check of a group: its outcome, and the change that started it (None for a sweep).

    already_reverted: rules of the change that an earlier check reverted.
    not_visible: rules of the change that are already in their approved state, although no earlier check reverted them.
    resolved: whether all findings of the last report are resolved.
    missed_events: changes that earlier sweeps reverted, and whose events have not arrived.
    seconds_to_revert: the longest time from the call to the revert of one of its changes; None if there is none.
    permitted: break-glass changes of the call, which stay until their time ends.
    ended: break-glass changes that this check reverted.
    has_break_glass_caller: whether a break-glass principal made the call.
    """

    outcome: Outcome
    change: Change | None = None
    already_reverted: tuple[Rule, ...] = ()
    not_visible: tuple[Rule, ...] = ()
    resolved: bool = False
    missed_events: int = 0
    seconds_to_revert: float | None = None
    permitted: tuple[PermittedChange, ...] = ()
    ended: tuple[PermittedChange, ...] = ()
    has_break_glass_caller: bool = False

    @property
    def status(self) -> str:
        """Return the result of the check, one of those in docs/security_group_check.schema.json."""
        outcome = self.outcome
        results = {
            "group_missing": not outcome.group_exists,
            "suspended": outcome.suspended,
            "not_reverted": outcome.failed,
            "unapproved": any(action.status == "report_only" for action in outcome.actions),
            "reverted": outcome.actions,
            "break_glass": self.permitted,
            "no_longer_present": self.not_visible,
            "already_reverted": self.already_reverted,
        }
        return next((status for status, holds in results.items() if holds), "resolved")

    def is_named(self, action: Action) -> bool:
        """Return whether the CloudTrail event names the rule of an action."""
        return self.change is not None and self.change.refers_to(action.previous or action.rule)


def rules_in_approved_state(change: Change, outcome: Outcome) -> list[Rule]:
    """Return the rules of an unapproved change that were already in their approved state when the group was read.

    Empty if the event does not name the group, because the change may be to another one.
    """
    group = outcome.group
    if group.group_id not in change.group_ids or not outcome.group_exists:
        return []
    handled = {rule for action in outcome.actions for rule in (action.rule, action.previous)}
    egress_ids = {rule.rule_id for rule in outcome.rules if rule.is_egress}
    added = [rule for rule in change.added if rule.rule_id not in egress_ids]
    unapproved = [rule for rule in added if group.covers(rule) and not group.accepts(rule)]
    approved = [rule for rule in change.removed if group.approves(rule)]
    existing = set(outcome.rules)
    revoked = [rule for rule in unapproved if rule not in existing]
    restored = [rule for rule in approved if rule in existing]
    return [rule for rule in revoked + restored if rule not in handled]
