"""Break-glass changes: rules that a named principal adds or removes stay until their time ends.

The caller of the CloudTrail record decides, because callers cannot choose it. A tag on the group does not: everyone
with `ec2:CreateTags` could set it. A change is permitted rule by rule, so changes by others are still reverted.
Source of the caller's ARN: CloudTrail user guide, userIdentity element.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from .cloudtrail import Change
from .revert import Action, GuardedGroup, Outcome
from .rules import Rule

# Not ModifySecurityGroupRules: its record has no previous values.
CALLS = ("AuthorizeSecurityGroup", "RevokeSecurityGroup")


@dataclass(frozen=True)
class PermittedChange:
    """A rule that a principal added or removed, and that is not reverted until `until`.

    key: of the finding (`Action.key`). rule_id: of an added rule, so that a rule that someone else adds later does not
    match; empty for a removed one. called_at, until: seconds since the epoch.
    """

    key: str
    rule: str
    rule_id: str
    principal: str
    called_at: int
    until: int

    def __str__(self) -> str:
        return f"{'added' if self.rule_id else 'removed'}: {self.rule}, by {self.principal}, until {self.end}"

    @property
    def end(self) -> str:
        """Return `until` as text."""
        return datetime.fromtimestamp(self.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def matches(self, rule: Rule) -> bool:
        """Return whether the existing rule is the added one. Its description is required, as the reason."""
        return bool(self.rule_id and rule.description) and (self.rule_id, self.key) == (rule.rule_id, _added_key(rule))


@dataclass(frozen=True)
class BreakGlass:
    """The principals, as ARNs of roles and users, and how long their changes stay."""

    principals: Collection[str] = ()
    seconds: int = 0

    def permit(self, change: Change | None, group: GuardedGroup, now: float) -> list[PermittedChange]:
        """Return the changes of a call by a break-glass principal.

        Their time starts with the call, so for a late event it may already have ended. A time in the future counts as
        now.
        """
        if change is None or change.principal not in self.principals or group.group_id not in change.group_ids:
            return []
        called_at = change.call.timestamp
        if called_at == math.inf or not change.call.event_name.startswith(CALLS):
            return []
        called_at = int(min(called_at, now))
        added = [r for r in change.added if r.rule_id and group.covers(r) and not group.accepts(r)]
        removed = [rule for rule in change.removed if group.approves(rule)]
        times = called_at, called_at + self.seconds
        return [
            *(PermittedChange(_added_key(r), str(r), r.rule_id or "", change.principal, *times) for r in added),
            *(PermittedChange(_removed_key(rule), str(rule), "", change.principal, *times) for rule in removed),
        ]

    def active(
        self, permitted: Iterable[PermittedChange], change: Change | None, now: float
    ) -> tuple[PermittedChange, ...]:
        """Return the changes that may stay: not those whose time ended, or whose rule someone else changed since.

        The settings decide again, so that a principal that was removed from them, or a shorter time, has effect.
        """
        changed_keys = _keys(change)
        return tuple(
            item
            for item in permitted
            if item.principal in self.principals
            and now < item.until <= min(item.called_at, now) + self.seconds
            and not (item.key in changed_keys and change and _is_overridden(item, change))
        )


def accept(group: GuardedGroup, rules: Iterable[Rule], permitted: Collection[PermittedChange]) -> GuardedGroup:
    """Return the group with the permitted changes accepted: added rules may exist, and removed ones may be missing."""
    if not permitted:
        return group
    keys = {item.key for item in permitted}
    by_id = _by_rule_id(permitted)
    added = tuple(rule for rule in rules if rule.rule_id in by_id and by_id[rule.rule_id].matches(rule))
    removed = tuple(rule for rule in group.approved if _removed_key(rule) in keys)
    kept = set(group.approved).difference(removed)
    return replace(
        group,
        ingress=tuple(rule for rule in group.ingress if rule in kept),
        egress=None if group.egress is None else tuple(rule for rule in group.egress if rule in kept),
        optional=group.optional + added + removed,
    )


def in_effect(permitted: Iterable[PermittedChange], rules: Collection[Rule]) -> tuple[PermittedChange, ...]:
    """Return the permitted changes that the rules of the group show, with the descriptions of added rules."""
    existing = {_removed_key(rule) for rule in rules}
    by_id = _by_rule_id(permitted)
    pairs = [(by_id[rule.rule_id], rule) for rule in rules if rule.rule_id in by_id]
    added = tuple(replace(item, rule=str(rule)) for item, rule in pairs if item.matches(rule))
    return added + tuple(item for item in permitted if not item.rule_id and item.key not in existing)


def without_active(
    permitted: Iterable[PermittedChange], active: Collection[PermittedChange], outcome: Outcome
) -> list[PermittedChange]:
    """Return the changes that ended, except those that could not be reverted yet."""
    still_active = set(active)
    open_keys = {action.key for action in outcome.actions if action.is_unresolved}
    return [item for item in permitted if item not in still_active and item.key not in open_keys]


def _is_overridden(item: PermittedChange, change: Change) -> bool:
    """Return whether a call that adds or removes the same rule is by someone else, and not earlier."""
    return change.principal != item.principal and change.call.timestamp >= item.called_at


def _keys(change: Change | None) -> set[str]:
    """Return the keys of the findings that a call can cause by adding or removing rules."""
    if change is None or not change.call.event_name.startswith(CALLS):
        return set()
    return {key(rule) for rule in change.added + change.removed for key in (_added_key, _removed_key)}


def _by_rule_id(permitted: Iterable[PermittedChange]) -> dict[str | None, PermittedChange]:
    return {item.rule_id: item for item in permitted if item.rule_id}


def _added_key(rule: Rule) -> str:
    return Action("revoke", rule).key


def _removed_key(rule: Rule) -> str:
    return Action("restore", rule).key
