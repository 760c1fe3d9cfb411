"""Bring a guarded security group back to its approved rules."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from .rules import Plan, Rule, plan

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import SecurityGroupRuleDescriptionTypeDef, SecurityGroupRuleUpdateTypeDef

MAX_ATTEMPTS = 3
MAX_CALLS = 30  # for one kind of action in one direction, once a call for all its rules is refused
# Another caller changed the rule between our read and our call (EC2 API reference, error codes).
CONFLICT_CODES = frozenset(
    {"InvalidPermission.NotFound", "InvalidSecurityGroupRuleId.NotFound", "InvalidPermission.Duplicate"}
)
# Throttling and server errors, which a later call can avoid (EC2 API reference, error codes).
TRANSIENT_CODES = frozenset(
    {"RequestLimitExceeded", "Throttling", "InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable"}
)
GROUP_NOT_FOUND_CODES = frozenset({"InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound"})


@dataclass(frozen=True)
class GuardedGroup:
    """A security group and its approved rules; egress rules are guarded unless `egress` is None.

    tolerated: rules that are accepted if they exist, but not restored if they do not.
    """

    group_id: str
    name: str
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...] | None
    tolerated: tuple[Rule, ...] = ()

    @property
    def approved(self) -> tuple[Rule, ...]:
        """The approved rules of both directions."""
        return self.ingress + (self.egress or ())

    def accepts(self, rule: Rule) -> bool:
        """Whether the rule may exist."""
        return rule in self.approved or rule in self.tolerated

    def covers(self, rule: Rule) -> bool:
        """Whether rules of this direction are guarded."""
        return not rule.is_egress or self.egress is not None


@dataclass(frozen=True)
class Action:
    """One action on a rule, and its result.

    verb: a key of `CALLS`. `previous` is the existing rule that `modify` or `update_description` changes into `rule`.
    status: ``done``; ``reported``: nothing was changed; ``failed``: see `reason`, and `transient` if a retry can
    help; ``suspended``: reverted too often, so left in place; ``conflict``: another caller was faster, or the
    response to our own call was lost.
    """

    verb: str
    rule: Rule
    previous: Rule | None = None
    status: str = "done"
    reason: str | None = None
    transient: bool = False

    @property
    def key(self) -> str:
        """Identifies the change that is reverted: an unapproved rule, a missing rule or a changed description."""
        if self.verb in ("restore", "update_description"):
            return f"{self.verb}: {self.rule.identity}"
        return f"unapproved: {(self.previous or self.rule).identity}"

    @property
    def rule_id(self) -> str:
        """The ID of the existing rule; empty for `restore`."""
        return (self.previous or self.rule).rule_id or ""

    @property
    def is_open(self) -> bool:
        """Whether the rule still differs from the approved one."""
        return self.status in ("failed", "reported", "suspended")


@dataclass(frozen=True)
class Outcome:
    """The rules of a group, and the actions taken on them."""

    group: GuardedGroup
    rules: tuple[Rule, ...]  # when last read, in both directions
    actions: tuple[Action, ...]
    group_exists: bool = True

    @property
    def failed(self) -> tuple[Action, ...]:
        """The actions that failed."""
        return tuple(action for action in self.actions if action.status == "failed")

    @property
    def suspended(self) -> tuple[Action, ...]:
        """The actions that were not taken because of `max_reverts`."""
        return tuple(action for action in self.actions if action.status == "suspended")

    @property
    def not_reverted(self) -> int:
        """The number of open findings; a group that does not exist is one."""
        return sum(action.is_open for action in self.actions) + (not self.group_exists)

    def followed_by(self, later: "Outcome") -> "Outcome":
        """Combine with a later outcome of the same group: completed actions of both, open ones of the later."""
        completed = tuple(action for action in self.actions if not action.is_open)
        return replace(later, actions=completed + later.actions)


def reconcile(
    ec2: "EC2Client", group: GuardedGroup, *, restore: bool, change_rules: bool = True, suspended: Collection[str] = ()
) -> Outcome:
    """Change the rules of `group` into the approved ones.

    The group is read, compared and changed; after a conflict with another caller it is read again, up to
    `MAX_ATTEMPTS` times. Without `change_rules` findings are only reported. Actions whose key is in `suspended`
    are not taken.

    Raises:
        ClientError, BotoCoreError: the rules cannot be read.
    """
    rules: tuple[Rule, ...] = ()
    done: list[Action] = []
    conflicts: list[Action] = []
    results: list[Action] = []  # of the last attempt
    not_tried: list[Action] = []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            rules = _read_rules(ec2, group.group_id)
        except (ClientError, BotoCoreError) as error:
            if attempt == 1:
                raise
            results = [_failed(a, error, transient=True) if a.status == "conflict" else a for a in results]
            break
        if not rules and not _group_exists(ec2, group.group_id):
            return Outcome(group, (), tuple(done), group_exists=False)
        todo = plan(filter(group.covers, rules), group.approved, group.tolerated, restore=restore)
        actions = [_decide(action, restore and change_rules, change_rules, suspended) for action in _actions(todo)]
        not_tried = [action for action in actions if action.is_open]
        to_do = [action for action in actions if not action.is_open]
        results = _apply_or_replace(ec2, group.group_id, to_do, last=attempt == MAX_ATTEMPTS)
        done += [action for action in results if action.status == "done"]
        new_conflicts = [action for action in results if action.status == "conflict"]
        if not new_conflicts:
            break
        conflicts += new_conflicts
    already_gone = [a for a in dict.fromkeys(conflicts) if a.verb == "revoke" and a.rule not in rules]
    failed = [action for action in results if action.status == "failed"]
    return Outcome(group, rules, tuple(done + already_gone + failed + not_tried))


def _read_rules(ec2: "EC2Client", group_id: str) -> tuple[Rule, ...]:
    pages = ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": [group_id]}], PaginationConfig={"PageSize": 1000}
    )
    return tuple(Rule.from_describe(item) for page in pages for item in page["SecurityGroupRules"])


def _group_exists(ec2: "EC2Client", group_id: str) -> bool:
    """Distinguish a group without rules from a missing one: a filter without a match is not an error."""
    try:
        ec2.describe_security_groups(GroupIds=[group_id])
    except ClientError as error:
        if _code(error) in GROUP_NOT_FOUND_CODES:
            return False
        raise
    return True


def _actions(todo: Plan) -> Iterable[Action]:
    yield from (Action("revoke", rule) for rule in todo.revokes)
    yield from (Action("modify", approved, previous=existing) for existing, approved in todo.modifications)
    yield from (Action("update_description", approved, previous=existing) for existing, approved in todo.descriptions)
    yield from (Action("restore", rule) for rule in todo.restores)


def _decide(action: Action, may_restore: bool, may_revoke: bool, suspended: Collection[str]) -> Action:
    """Mark an action that is only reported, or suspended."""
    if not (may_revoke if action.verb == "revoke" else may_restore):
        return replace(action, status="reported")
    return replace(action, status="suspended") if action.key in suspended else action


def _apply_or_replace(ec2: "EC2Client", group_id: str, actions: list[Action], *, last: bool) -> list[Action]:
    """Apply the actions; if a rule cannot be modified, revoke it and restore the approved one instead."""
    results = _apply(ec2, group_id, actions, last=last)
    refused = [a for a in results if a.verb == "modify" and a.status == "failed" and not a.transient]
    replaced = _apply(ec2, group_id, list(_replacements(refused)), last=last)
    return [action for action in results if action not in refused] + replaced


def _replacements(modifications: list[Action]) -> Iterable[Action]:
    for action in modifications:
        if action.previous:
            yield Action("revoke", action.previous)
        yield Action("restore", action.rule)


def _apply(ec2: "EC2Client", group_id: str, actions: list[Action], *, last: bool) -> list[Action]:
    results: list[Action] = []
    for verb, call in CALLS.items():
        for is_egress in (False, True):
            batch = [a for a in actions if a.verb == verb and a.rule.is_egress == is_egress]
            results += _apply_batch(partial(call, ec2, group_id, is_egress), batch, last=last)
    return results


def _apply_batch(call: Callable[[list[Action]], None], actions: list[Action], *, last: bool) -> list[Action]:
    """Apply all actions in one call; if it is refused, in one call for each half, so that one rule blocks no other.

    A conflict ends the batch, because the group is read again, except in the `last` attempt, which halves
    the batch instead. There are at most `MAX_CALLS` calls.
    """
    results: list[Action] = []
    batches = [actions] if actions else []
    refusal: ClientError | None = None  # why the batches that remain after MAX_CALLS were split
    for _ in range(MAX_CALLS):
        if not batches:
            return results
        batch = batches.pop(0)
        error = _attempt(call, batch)
        if error is None:
            results += batch
        elif not isinstance(error, ClientError) or _code(error) in TRANSIENT_CODES:
            results += [_failed(action, error, transient=True) for action in batch]  # it may have succeeded
        elif _is_conflict(error) and not last:
            results += [replace(action, status="conflict") for action in batch]
        elif len(batch) > 1:
            refusal = error
            middle = len(batch) // 2
            batches += [batch[:middle], batch[middle:]]
        elif _is_conflict(error) and batch[0].verb != "modify":
            results += [replace(batch[0], status="conflict")]  # already as approved
        else:
            results += [_failed(batch[0], error, transient=_is_conflict(error))]
    for action in (action for batch in batches for action in batch):
        results.append(_failed(action, refusal, transient=_is_conflict(refusal)))
    return results


def _attempt(call: Callable[[list[Action]], None], batch: list[Action]) -> ClientError | BotoCoreError | None:
    try:
        call(batch)
    except (ClientError, BotoCoreError) as error:
        return error
    return None


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def _is_conflict(error: ClientError | None) -> bool:
    return error is not None and _code(error) in CONFLICT_CODES


def _failed(action: Action, error: ClientError | BotoCoreError | None, *, transient: bool) -> Action:
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, ClientError):
        reason = f"{_code(error)}: {error.response['Error'].get('Message', '')}"
    # Shortened, because messages can contain a long encoded authorization failure.
    return replace(action, status="failed", reason=reason[:300], transient=transient)


def _revoke(ec2: "EC2Client", group_id: str, is_egress: bool, batch: list[Action]) -> None:
    call = ec2.revoke_security_group_egress if is_egress else ec2.revoke_security_group_ingress
    call(GroupId=group_id, SecurityGroupRuleIds=[action.rule_id for action in batch])


def _modify(ec2: "EC2Client", group_id: str, _is_egress: bool, batch: list[Action]) -> None:
    updates: list[SecurityGroupRuleUpdateTypeDef] = [
        {"SecurityGroupRuleId": action.rule_id, "SecurityGroupRule": action.rule.as_request()} for action in batch
    ]
    ec2.modify_security_group_rules(GroupId=group_id, SecurityGroupRules=updates)


def _update_description(ec2: "EC2Client", group_id: str, is_egress: bool, batch: list[Action]) -> None:
    if is_egress:
        call = ec2.update_security_group_rule_descriptions_egress
    else:
        call = ec2.update_security_group_rule_descriptions_ingress
    descriptions: list[SecurityGroupRuleDescriptionTypeDef] = [
        {"SecurityGroupRuleId": action.rule_id, "Description": action.rule.description or ""} for action in batch
    ]
    call(GroupId=group_id, SecurityGroupRuleDescriptions=descriptions)


def _restore(ec2: "EC2Client", group_id: str, is_egress: bool, batch: list[Action]) -> None:
    call = ec2.authorize_security_group_egress if is_egress else ec2.authorize_security_group_ingress
    call(GroupId=group_id, IpPermissions=[action.rule.as_permission() for action in batch])


# In this order, so that unapproved access is closed before approved access is opened.
CALLS = {"revoke": _revoke, "modify": _modify, "update_description": _update_description, "restore": _restore}
