"""Bring a guarded security group back to its approved rules."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .rules import Plan, Rule, plan

ROUNDS = 3
MAX_CALLS = 30  # for the rules of one kind of action and direction, when a call for all of them is refused
# Somebody was quicker: the rule is gone, or is back, or is not what it was a moment ago.
OVERTAKEN = frozenset(
    {"InvalidPermission.NotFound", "InvalidSecurityGroupRuleId.NotFound", "InvalidPermission.Duplicate"}
)
# Worth another try later: EC2's throttling and server errors (EC2 API reference, error codes).
TRANSIENT = frozenset(
    {"RequestLimitExceeded", "Throttling", "InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable"}
)
GROUP_NOT_FOUND = frozenset({"InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound"})


@dataclass(frozen=True)
class Guarded:
    """A guarded group and its approved rules; `egress` None leaves egress rules alone.

    tolerated: rules that are accepted where they exist, and not restored where they do not.
    """

    group_id: str
    name: str
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...] | None
    tolerated: tuple[Rule, ...] = ()

    @property
    def approved(self) -> tuple[Rule, ...]:
        return self.ingress + (self.egress or ())

    def accepts(self, rule: Rule) -> bool:
        return rule in self.approved or rule in self.tolerated

    def guards(self, rule: Rule) -> bool:
        return not rule.is_egress or self.egress is not None


@dataclass(frozen=True)
class Action:
    """One rule and what became of it.

    verb: a key of `CALLS`; `was` is the rule as it was found, before it was edited back.
    status: ``done``, ``reported`` (nothing was changed), ``failed`` (`error` says why, and
    `transient` that trying again may help), ``suspended`` (reverted too often, now left as it
    is), or ``overtaken``: somebody else was quicker, or the answer to our own call was lost.
    """

    verb: str
    rule: Rule
    was: Rule | None = None
    status: str = "done"
    error: str | None = None
    transient: bool = False

    @property
    def key(self) -> str:
        """What was wrong, the same each time that it happens: an unapproved, missing or redescribed rule."""
        if self.verb in ("restore", "describe again"):
            return f"{self.verb}: {self.rule.identity}"
        return f"unapproved: {(self.was or self.rule).identity}"

    @property
    def is_open(self) -> bool:
        """The rules are still not the approved ones."""
        return self.status in ("failed", "reported", "suspended")


@dataclass(frozen=True)
class Outcome:
    """What was found in a group and what was done about it."""

    guarded: Guarded
    found: tuple[Rule, ...]  # every rule at the last look, also of a direction that is not guarded
    actions: tuple[Action, ...]
    group_exists: bool = True

    @property
    def failed(self) -> tuple[Action, ...]:
        return tuple(action for action in self.actions if action.status == "failed")

    @property
    def suspended(self) -> tuple[Action, ...]:
        return tuple(action for action in self.actions if action.status == "suspended")

    @property
    def not_reverted(self) -> int:
        """How many findings are still open; a group that does not exist is one."""
        return sum(action.is_open for action in self.actions) + (not self.group_exists)

    def followed_by(self, later: "Outcome") -> "Outcome":
        """This outcome and a later one of the same group as one: what was done in both, what is open now."""
        done = tuple(action for action in self.actions if not action.is_open)
        return replace(later, actions=done + later.actions)


def reconcile(
    ec2: Any, guarded: Guarded, *, restore: bool, change_rules: bool = True, suspended: Collection[str] = ()
) -> Outcome:
    """Make the rules of `guarded` the approved ones, and report what was done.

    One call to read and one for each kind of action when nothing goes wrong. When a call
    for several rules is refused, it is repeated for each half of them, so that one rule does not
    keep the others; a rule that may not be edited back is revoked, and the approved one restored.
    When somebody else has changed a rule in between, the group is read again. With `change_rules`
    False nothing is changed, only reported. Findings whose key is in `suspended` are left as they are.

    Raises:
        ClientError, BotoCoreError: the rules cannot be read.
    """
    done: list[Action] = []
    overtaken: list[Action] = []
    results: list[Action] = []
    left: list[Action] = []
    for round_number in range(1, ROUNDS + 1):
        try:
            found = _rules_of(ec2, guarded.group_id)
        except (ClientError, BotoCoreError) as error:
            if round_number == 1:
                raise
            results = [_failed(a, error, transient=True) if a.status == "overtaken" else a for a in results]
            break
        if not found and not _group_exists(ec2, guarded.group_id):
            return Outcome(guarded, (), tuple(done), group_exists=False)
        todo = plan(filter(guarded.guards, found), guarded.approved, guarded.tolerated, restore=restore)
        planned = [_decide(action, restore and change_rules, change_rules, suspended) for action in _actions(todo)]
        left = [action for action in planned if action.is_open]
        actions = [action for action in planned if not action.is_open]
        last = round_number == ROUNDS
        results = list(_perform_all(ec2, guarded.group_id, actions, last=last))
        refused = [a for a in results if a.verb == "edit back" and a.status == "failed" and not a.transient]
        results = [action for action in results if action not in refused]
        results += _perform_all(ec2, guarded.group_id, list(_instead(refused)), last=last)
        done += [action for action in results if action.status == "done"]
        if not any(action.status == "overtaken" for action in results):
            break
        overtaken += [action for action in results if action.status == "overtaken"]
    gone = [a for a in dict.fromkeys(overtaken) if a.verb == "revoke" and a.rule not in found]
    failed = [action for action in results if action.status == "failed"]
    return Outcome(guarded, found, tuple(done + gone + failed + left))


def _rules_of(ec2: Any, group_id: str) -> tuple[Rule, ...]:
    pages = ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": [group_id]}], PaginationConfig={"PageSize": 1000}
    )
    return tuple(Rule.found(item) for page in pages for item in page["SecurityGroupRules"])


def _group_exists(ec2: Any, group_id: str) -> bool:
    """Tell a group without rules from one that does not exist: a filter that matches nothing is no error."""
    try:
        ec2.describe_security_groups(GroupIds=[group_id])
    except ClientError as error:
        if error.response["Error"]["Code"] in GROUP_NOT_FOUND:
            return False
        raise
    return True


def _actions(todo: Plan) -> Iterable[Action]:
    yield from (Action("revoke", rule) for rule in todo.revokes)
    yield from (Action("edit back", approved, was=actual) for actual, approved in todo.edits)
    yield from (Action("describe again", approved, was=actual) for actual, approved in todo.descriptions)
    yield from (Action("restore", rule) for rule in todo.restores)


def _decide(action: Action, may_restore: bool, may_revoke: bool, suspended: Collection[str]) -> Action:
    """Mark the actions that are reported only, or suspended."""
    if not (may_revoke if action.verb == "revoke" else may_restore):
        return replace(action, status="reported")
    return replace(action, status="suspended") if action.key in suspended else action


def _instead(edits: list[Action]) -> Iterable[Action]:
    for edit in edits:
        if edit.was:
            yield Action("revoke", edit.was)
        yield Action("restore", edit.rule)


def _perform_all(ec2: Any, group_id: str, actions: list[Action], *, last: bool) -> Iterable[Action]:
    for verb, call in CALLS.items():
        for is_egress in (False, True):
            batch = [a for a in actions if a.verb == verb and a.rule.is_egress == is_egress]
            yield from _perform(partial(call, ec2, group_id, is_egress), batch, last=last)


def _perform(call: Callable[[list[Action]], None], actions: list[Action], *, last: bool) -> list[Action]:
    """Make one call for all actions; when it is refused, one for each half, at most `MAX_CALLS`.

    Rules that somebody else has changed are left to the next round, or in the `last` one are
    searched for in the same way.
    """
    results: list[Action] = []
    waiting = [actions] if actions else []
    for _ in range(MAX_CALLS):
        if not waiting:
            return results
        batch = waiting.pop(0)
        error = _attempt(call, batch)
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        if error is None:
            results += batch
        elif code in OVERTAKEN and not last:
            results += [replace(action, status="overtaken") for action in batch]
        elif not code or code in TRANSIENT:  # without an answer nobody knows whether the call was carried out
            results += [_failed(action, error, transient=True) for action in batch]
        elif len(batch) > 1:
            middle = len(batch) // 2
            waiting += [batch[:middle], batch[middle:]]
        elif code in OVERTAKEN and batch[0].verb != "edit back":
            results += [replace(batch[0], status="overtaken")]  # gone, or back: as it should be
        else:
            results += [_failed(batch[0], error, transient=code in OVERTAKEN)]
    return results + [_failed(action, error, transient=code in OVERTAKEN) for batch in waiting for action in batch]


def _attempt(call: Callable[[list[Action]], None], batch: list[Action]) -> ClientError | BotoCoreError | None:
    try:
        call(batch)
    except (ClientError, BotoCoreError) as error:
        return error
    return None


def _failed(action: Action, error: ClientError | BotoCoreError | None, *, transient: bool) -> Action:
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, ClientError):
        reason = f"{error.response['Error']['Code']}: {error.response['Error'].get('Message', '')}"
    return replace(action, status="failed", error=reason[:300], transient=transient)  # encoded refusals are long


def _revoke(ec2: Any, group_id: str, is_egress: bool, batch: list[Action]) -> None:
    call = ec2.revoke_security_group_egress if is_egress else ec2.revoke_security_group_ingress
    call(GroupId=group_id, SecurityGroupRuleIds=[action.rule.rule_id for action in batch])


def _edit_back(ec2: Any, group_id: str, _is_egress: bool, batch: list[Action]) -> None:
    updates = [
        {"SecurityGroupRuleId": action.was.rule_id, "SecurityGroupRule": action.rule.as_request()}
        for action in batch
        if action.was
    ]
    ec2.modify_security_group_rules(GroupId=group_id, SecurityGroupRules=updates)


def _describe(ec2: Any, group_id: str, is_egress: bool, batch: list[Action]) -> None:
    suffix = "egress" if is_egress else "ingress"
    call = getattr(ec2, f"update_security_group_rule_descriptions_{suffix}")
    descriptions = [
        {"SecurityGroupRuleId": action.was.rule_id, "Description": action.rule.description}
        for action in batch
        if action.was
    ]
    call(GroupId=group_id, SecurityGroupRuleDescriptions=descriptions)


def _restore(ec2: Any, group_id: str, is_egress: bool, batch: list[Action]) -> None:
    call = ec2.authorize_security_group_egress if is_egress else ec2.authorize_security_group_ingress
    call(GroupId=group_id, IpPermissions=[action.rule.as_permission() for action in batch])


# In this order: close what is open before opening what is closed.
CALLS = {"revoke": _revoke, "edit back": _edit_back, "describe again": _describe, "restore": _restore}
