"""Bring a guarded security group back to its approved rules."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .rules import Plan, Rule, plan

ROUNDS = 3
# Somebody was quicker: the rule is gone, or is back, or is not what it was a moment ago.
OVERTAKEN = frozenset(
    {"InvalidPermission.NotFound", "InvalidSecurityGroupRuleId.NotFound", "InvalidPermission.Duplicate"}
)
# Worth another try later: EC2's throttling and server errors (EC2 API reference, error codes).
TRANSIENT = frozenset(
    {"RequestLimitExceeded", "Throttling", "InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable"}
)


@dataclass(frozen=True)
class Guarded:
    """A guarded group and its approved rules; `egress` None leaves egress rules alone."""

    group_id: str
    name: str
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...] | None

    @property
    def approved(self) -> tuple[Rule, ...]:
        return self.ingress + (self.egress or ())

    def guards(self, rule: Rule) -> bool:
        return not rule.is_egress or self.egress is not None


@dataclass(frozen=True)
class Action:
    """One rule and what became of it.

    verb: a key of `CALLS`; `was` is the rule as it was found, before it was edited back.
    status: ``done``, ``reported`` (nothing was changed), ``failed`` (`error` says why, and
    `transient` that trying again may help), or ``overtaken``: somebody else was quicker, or the
    answer to our own call was lost.
    """

    verb: str
    rule: Rule
    was: Rule | None = None
    status: str = "done"
    error: str | None = None
    transient: bool = False


@dataclass(frozen=True)
class Outcome:
    """What was found in a group and what was done about it."""

    guarded: Guarded
    found: tuple[Rule, ...]  # every rule at the last look, also of a direction that is not guarded
    actions: tuple[Action, ...]

    @property
    def failed(self) -> tuple[Action, ...]:
        return tuple(action for action in self.actions if action.status == "failed")


def reconcile(ec2: Any, guarded: Guarded, *, restore: bool, change_rules: bool = True) -> Outcome:
    """Make the rules of `guarded` the approved ones, and say what was done.

    One call to read and one for each kind of action when nothing goes wrong. When a call
    for several rules is refused, each rule is tried alone, so that one does not keep the
    others; a rule that may not be edited back is revoked, and the approved one restored. When
    somebody else has changed a rule meanwhile, the group is read again. With `change_rules` False
    nothing is changed, only reported.

    Raises:
        ClientError, BotoCoreError: the rules cannot be read.
    """
    done: list[Action] = []
    overtaken: list[Action] = []
    results: list[Action] = []
    for round_number in range(1, ROUNDS + 1):
        try:
            found = _rules_of(ec2, guarded.group_id)
        except (ClientError, BotoCoreError) as error:
            if round_number == 1:
                raise
            results = [_failed(a, error, transient=True) if a.status == "overtaken" else a for a in results]
            break
        todo = plan(filter(guarded.guards, found), guarded.approved, restore=restore)
        actions = list(_actions(todo))
        if not change_rules:
            return Outcome(guarded, found, tuple(replace(action, status="reported") for action in actions))
        alone = round_number == ROUNDS
        results = list(_perform_all(ec2, guarded.group_id, actions, alone=alone))
        refused = [a for a in results if a.verb == "edit back" and a.status == "failed" and not a.transient]
        results = [action for action in results if action not in refused]
        results += _perform_all(ec2, guarded.group_id, list(_instead(refused)), alone=alone)
        done += [action for action in results if action.status == "done"]
        if not any(action.status == "overtaken" for action in results):
            break
        overtaken += [action for action in results if action.status == "overtaken"]
    gone = [a for a in dict.fromkeys(overtaken) if a.verb == "revoke" and a.rule not in found]
    failed = [action for action in results if action.status == "failed"]
    return Outcome(guarded, found, tuple(done + gone + failed))


def _rules_of(ec2: Any, group_id: str) -> tuple[Rule, ...]:
    pages = ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": [group_id]}], PaginationConfig={"PageSize": 1000}
    )
    return tuple(Rule.found(item) for page in pages for item in page["SecurityGroupRules"])


def _actions(todo: Plan) -> Iterable[Action]:
    yield from (Action("revoke", rule) for rule in todo.revokes)
    yield from (Action("edit back", approved, was=actual) for actual, approved in todo.edits)
    yield from (Action("describe again", approved, was=actual) for actual, approved in todo.descriptions)
    yield from (Action("restore", rule) for rule in todo.restores)


def _instead(edits: list[Action]) -> Iterable[Action]:
    for edit in edits:
        if edit.was:
            yield Action("revoke", edit.was)
        yield Action("restore", edit.rule)


def _perform_all(ec2: Any, group_id: str, actions: list[Action], *, alone: bool) -> Iterable[Action]:
    for verb, call in CALLS.items():
        for is_egress in (False, True):
            batch = [a for a in actions if a.verb == verb and a.rule.is_egress == is_egress]
            yield from _perform(partial(call, ec2, group_id, is_egress), batch, alone=alone)


def _perform(call: Callable[[list[Action]], None], batch: list[Action], *, alone: bool) -> list[Action]:
    """Make one call for the batch; when it is refused, one for each rule of it.

    Rules that somebody else has changed are left to the next round, or with `alone`, in the
    last one, tried one by one as well.
    """
    if not batch:
        return []
    try:
        call(batch)
        return batch
    except BotoCoreError as error:  # no answer: nobody knows whether the call was carried out
        return [_failed(action, error, transient=True) for action in batch]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in OVERTAKEN and not alone:
            return [replace(action, status="overtaken") for action in batch]
        if code in TRANSIENT:
            return [_failed(action, error, transient=True) for action in batch]
        if len(batch) > 1:
            return [result for action in batch for result in _perform(call, [action], alone=alone)]
        (action,) = batch
        if code in OVERTAKEN and action.verb != "edit back":
            return [replace(action, status="overtaken")]  # gone, or back: as it should be
        return [_failed(action, error, transient=code in OVERTAKEN)]


def _failed(action: Action, error: ClientError | BotoCoreError, *, transient: bool) -> Action:
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, ClientError):
        said = f"{error.response['Error']['Code']}: {error.response['Error'].get('Message', '')}"
    return replace(action, status="failed", error=said[:300], transient=transient)  # encoded refusals are long


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
