"""Restore the approved rules of a guarded security group."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from .rules import Plan, Rule, plan

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import SecurityGroupRuleDescriptionTypeDef, SecurityGroupRuleUpdateTypeDef

MAX_ATTEMPTS = 3
MAX_FILTER_VALUES = 200  # of one call (EC2 API: FilterLimitExceeded)
MAX_PAGE_RULES = 1000  # EC2 API reference, DescribeSecurityGroupRules
MAX_CALLS = 30  # per action and direction, if the batch call is rejected
# Another caller changed the rule after it was read (EC2 API reference, error codes).
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

    optional: rules that are accepted if they exist, but not restored if they do not.
    """

    group_id: str
    name: str
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...] | None
    optional: tuple[Rule, ...] = ()

    @cached_property
    def approved(self) -> tuple[Rule, ...]:
        """Return the approved rules of both directions."""
        return self.ingress + (self.egress or ())

    @cached_property
    def _approved_set(self) -> frozenset[Rule]:
        return frozenset(self.approved)

    @cached_property
    def _optional_set(self) -> frozenset[Rule]:
        return frozenset(self.optional)

    def approves(self, rule: Rule) -> bool:
        """Return whether the rule is approved."""
        return rule in self._approved_set

    def accepts(self, rule: Rule) -> bool:
        """Return whether the rule is approved or optional."""
        return self.approves(rule) or rule in self._optional_set

    def covers(self, rule: Rule) -> bool:
        """Return whether rules of this direction are guarded."""
        return not rule.is_egress or self.egress is not None


@dataclass(frozen=True)
class Action:
    """One action on a rule, and its result.

    action_type: a key of `CALLS`. `previous` is the existing rule that `modify` or `update_description` changes into
    `rule`. status: ``completed``; ``report_only``: nothing was changed; ``failed``: see `reason`, and `transient` if a
    retry can help; ``suspended``: reverted too often, so left in place; ``conflict``: another caller changed the rule
    first, or the response to an earlier call was lost.
    """

    action_type: str
    rule: Rule
    previous: Rule | None = None
    status: str = "completed"
    reason: str | None = None
    transient: bool = False

    @property
    def key(self) -> str:
        """Return a key for the change that is reverted: an unapproved rule, a missing rule or a changed description."""
        if self.action_type in ("restore", "update_description"):
            return f"{self.action_type}: {self.rule.identity}"
        return f"unapproved: {(self.previous or self.rule).identity}"

    @property
    def rule_id(self) -> str:
        """Return the ID of the existing rule, or an empty string for `restore`."""
        return (self.previous or self.rule).rule_id or ""

    @property
    def is_unresolved(self) -> bool:
        """Return whether the rule still differs from the approved one."""
        return self.status in ("failed", "report_only", "suspended")


@dataclass(frozen=True)
class Outcome:
    """The rules of a group, and the actions taken on them."""

    group: GuardedGroup
    rules: tuple[Rule, ...]  # when last read, in both directions
    actions: tuple[Action, ...]
    group_exists: bool = True

    @property
    def failed(self) -> tuple[Action, ...]:
        """Return the actions that failed."""
        return tuple(action for action in self.actions if action.status == "failed")

    @property
    def suspended(self) -> tuple[Action, ...]:
        """Return the actions that were not taken because of `max_reverts`."""
        return tuple(action for action in self.actions if action.status == "suspended")

    @property
    def open_findings(self) -> int:
        """Return the number of open findings; a group that does not exist is one."""
        return sum(action.is_unresolved for action in self.actions) + (not self.group_exists)

    def merge(self, later: "Outcome") -> "Outcome":
        """Merge with a later outcome of the same group: completed actions of both, and open ones of the later."""
        completed = tuple(action for action in self.actions if not action.is_unresolved)
        return replace(later, actions=completed + later.actions)


def reconcile(
    ec2: "EC2Client",
    group: GuardedGroup,
    rules: tuple[Rule, ...],
    *,
    restore: bool,
    change_rules: bool = True,
    suspended: Collection[str] = (),
) -> Outcome:
    """Change the `rules` of `group`, as read before, to match the approved ones.

    The rules are compared and changed, and read again, up to `MAX_ATTEMPTS` times while other callers change the same
    rules. After the last attempt they are read once more, and what still differs has failed. Without `change_rules`
    findings are only reported. Actions whose key is in `suspended` are not taken.

    Raises:
        ClientError, BotoCoreError: it is unknown whether the group exists.
    """
    completed: list[Action] = []
    conflicts: list[Action] = []  # of all attempts
    new_conflicts: list[Action] = []  # of the last attempt, like `failed` and `skipped`
    failed: list[Action] = []
    skipped: list[Action] = []
    for attempt in range(1, MAX_ATTEMPTS + 2):
        try:
            rules = rules if attempt == 1 else read_rules(ec2, [group.group_id])[group.group_id]
        except (ClientError, BotoCoreError) as error:
            failed += [_failed(action, error, transient=True) for action in new_conflicts]
            break
        if not rules and not _group_exists(ec2, group.group_id):
            return Outcome(group, (), tuple(completed), group_exists=False)
        changes = plan(filter(group.covers, rules), group.approved, group.optional, restore=restore)
        actions = [
            _set_status(action, may_restore=restore and change_rules, may_revoke=change_rules, suspended=suspended)
            for action in _actions(changes)
        ]
        skipped = [action for action in actions if action.is_unresolved]
        pending = [action for action in actions if not action.is_unresolved]
        if attempt > MAX_ATTEMPTS:
            failed_keys = {action.key for action in failed}
            failed += [_unfinished(action) for action in pending if action.key not in failed_keys]
            break
        results = _apply_or_replace(ec2, group.group_id, pending, last=attempt == MAX_ATTEMPTS)
        completed += [action for action in results if action.status == "completed"]
        failed = [action for action in results if action.status == "failed"]
        new_conflicts = [action for action in results if action.status == "conflict"]
        if not new_conflicts:
            break
        conflicts += new_conflicts
    existing = set(rules)
    already_removed = [a for a in dict.fromkeys(conflicts) if a.action_type == "revoke" and a.rule not in existing]
    return Outcome(group, rules, tuple(completed + already_removed + failed + skipped))


def read_rules(ec2: "EC2Client", group_ids: Sequence[str]) -> dict[str, tuple[Rule, ...]]:
    """Return the rules of each group, at most `MAX_FILTER_VALUES` groups; none for a group that does not exist.

    Raises:
        ClientError, BotoCoreError: the rules cannot be read.
    """
    pages = ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": list(group_ids)}], PaginationConfig={"PageSize": MAX_PAGE_RULES}
    )
    rules: dict[str, list[Rule]] = {group_id: [] for group_id in group_ids}
    for page in pages:
        for item in page["SecurityGroupRules"]:
            rules[item["GroupId"]].append(Rule.from_describe(item))
    return {group_id: tuple(group_rules) for group_id, group_rules in rules.items()}


def _group_exists(ec2: "EC2Client", group_id: str) -> bool:
    """Return whether the group exists: DescribeSecurityGroupRules returns no error for a group that does not."""
    try:
        ec2.describe_security_groups(GroupIds=[group_id])
    except ClientError as error:
        if _code(error) in GROUP_NOT_FOUND_CODES:
            return False
        raise
    return True


def _actions(changes: Plan) -> Iterable[Action]:
    yield from (Action("revoke", rule) for rule in changes.revokes)
    yield from (Action("modify", approved, previous=existing) for existing, approved in changes.modifications)
    yield from (
        Action("update_description", approved, previous=existing) for existing, approved in changes.descriptions
    )
    yield from (Action("restore", rule) for rule in changes.restores)


def _set_status(action: Action, *, may_restore: bool, may_revoke: bool, suspended: Collection[str]) -> Action:
    """Set the status of an action that is not taken: report_only or suspended."""
    if not (may_revoke if action.action_type == "revoke" else may_restore):
        return replace(action, status="report_only")
    return replace(action, status="suspended") if action.key in suspended else action


def _apply_or_replace(ec2: "EC2Client", group_id: str, actions: list[Action], *, last: bool) -> list[Action]:
    """Apply the actions; if a rule cannot be modified, revoke it and restore the approved one instead."""
    results = _apply(ec2, group_id, actions, last=last)
    accepted: list[Action] = []
    rejected: list[Action] = []
    for action in results:
        is_rejected = action.action_type == "modify" and action.status == "failed" and not action.transient
        (rejected if is_rejected else accepted).append(action)
    return accepted + _apply(ec2, group_id, list(_replacements(rejected)), last=last)


def _replacements(modifications: list[Action]) -> Iterable[Action]:
    for action in modifications:
        if action.previous:
            yield Action("revoke", action.previous)
        yield Action("restore", action.rule)


def _apply(ec2: "EC2Client", group_id: str, actions: list[Action], *, last: bool) -> list[Action]:
    results: list[Action] = []
    for action_type, call in CALLS.items():
        for is_egress in (False, True):
            batch = [a for a in actions if a.action_type == action_type and a.rule.is_egress == is_egress]
            results += _apply_batch(partial(call, ec2, group_id, is_egress), batch, last=last)
    return results


def _apply_batch(call: Callable[[list[Action]], None], actions: list[Action], *, last: bool) -> list[Action]:
    """Apply all actions in one call.

    If EC2 rejects the call because of one rule, each half of the actions is applied in a separate call, and so on, so
    that the rule does not block the others. After `MAX_CALLS` calls, the remaining actions have failed.
    """
    results: list[Action] = []
    batches = [actions] if actions else []
    rejection: ClientError | BotoCoreError | None = None  # the last reason to split a batch
    for _ in range(MAX_CALLS):
        if not batches:
            break
        batch = batches.pop(0)
        error = _attempt(call, batch)
        batch_results = _results(batch, error, last=last)
        if not batch_results:
            rejection, middle = error, len(batch) // 2
            batches += [batch[:middle], batch[middle:]]
        results += batch_results
    remaining = [action for batch in batches for action in batch]
    return results + [_failed(action, rejection, transient=_is_conflict(rejection)) for action in remaining]


def _results(batch: list[Action], error: ClientError | BotoCoreError | None, *, last: bool) -> list[Action]:
    """Return the results of one call for `batch`, or none if the batch must be split.

    After a conflict the batch is not split, because the group is read again, except in the `last` attempt.
    """
    if error is None:
        return batch
    if not isinstance(error, ClientError) or _code(error) in TRANSIENT_CODES:
        return [_failed(action, error, transient=True) for action in batch]  # the call may have succeeded
    if _is_conflict(error) and not last:
        return [replace(action, status="conflict") for action in batch]
    if len(batch) > 1:
        return []
    if _is_conflict(error) and batch[0].action_type != "modify":
        return [replace(batch[0], status="conflict")]  # probably in its approved state; the last read shows it
    return [_failed(batch[0], error, transient=_is_conflict(error))]


def _attempt(call: Callable[[list[Action]], None], batch: list[Action]) -> ClientError | BotoCoreError | None:
    try:
        call(batch)
    except (ClientError, BotoCoreError) as error:
        return error
    return None


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def _is_conflict(error: ClientError | BotoCoreError | None) -> bool:
    return isinstance(error, ClientError) and _code(error) in CONFLICT_CODES


def _unfinished(action: Action) -> Action:
    reason = f"the rule changed in each of {MAX_ATTEMPTS} attempts: by another caller, or EC2 lists outdated rules"
    return replace(action, status="failed", reason=reason, transient=True)


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
