"""The result of one check, as notifications and logs present it."""

from dataclasses import dataclass

from .cloudtrail import Change
from .revert import Action, Outcome
from .rules import Rule


@dataclass(frozen=True)
class Report:
    """One check of a group: its outcome, and the change that started it (None for a sweep).

    already_reverted: rules of the change that an earlier check reverted.
    unexplained: rules of the change that are as approved, although no check reverted them.
    resolved: whether findings that were reported before are gone.
    """

    outcome: Outcome
    change: Change | None = None
    already_reverted: tuple[Rule, ...] = ()
    unexplained: tuple[Rule, ...] = ()
    resolved: bool = False

    @property
    def mentioned(self) -> list[Action]:
        """The actions on rules that the CloudTrail event names."""
        return [a for a in self.outcome.actions if self.change and self.change.mentions(a.previous or a.rule)]


def already_as_approved(change: Change, outcome: Outcome) -> list[Rule]:
    """Rules of an unapproved change that were as approved when the group was read.

    Empty if the event does not name the group, because the change may be to another one.
    """
    group = outcome.group
    if group.group_id not in change.group_ids or not outcome.group_exists:
        return []
    handled = {rule for action in outcome.actions for rule in (action.rule, action.previous)}
    egress_ids = {rule.rule_id for rule in outcome.rules if rule.is_egress}
    added = [rule for rule in change.added if rule.rule_id not in egress_ids]
    unapproved = [rule for rule in added if group.covers(rule) and not group.accepts(rule)]
    approved = [rule for rule in change.removed if rule in group.approved]
    revoked = [rule for rule in unapproved if rule not in outcome.rules]
    restored = [rule for rule in approved if rule in outcome.rules]
    return [rule for rule in revoked + restored if rule not in handled]
