"""From an event to reverted groups and notifications."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .cloudtrail import (
    INTERFACE_EVENTS,
    PREFIX_LIST_EVENTS,
    Change,
    made_by_service,
    named_ids,
    read_call,
    read_change,
)
from .notice import Report, exposure, log_records, subject, text, undone_already
from .revert import Guarded, Outcome, reconcile
from .rules import Rule
from .state import State, StateTable, digest

# Seconds before a group is read again in which a change is not visible: EC2 is eventually consistent.
REREAD_PAUSES = (2, 4)


class UnfinishedError(Exception):
    """Something passing kept a group from being reverted; Lambda runs the event again."""


@dataclass(frozen=True)
class Responder:
    """The AWS clients and the choices that every response needs.

    restore: put back approved rules that are missing. change_rules: False only reports.
    max_reverts: how often the same finding is reverted in the window of `table`.
    """

    ec2: Any
    sns: Any
    table: StateTable
    topic_arn: str
    account: str
    restore: bool = True
    change_rules: bool = True
    max_reverts: int = 10

    def respond(self, event: dict[str, Any], groups: list[Guarded]) -> None:
        """Bring the groups that the event concerns back to their approved rules, and report it.

        `event` is an "AWS API Call via CloudTrail" event or a "Scheduled Event", the sweep. A
        call that failed, was approved, or concerns no guarded group changes nothing. When the
        event does not say which group it is about, all are looked at.

        Raises:
            UnfinishedError: after all groups had their turn, when trying again may help.
        """
        change = None
        if event.get("detail-type") != "Scheduled Event":
            try:
                record = event.get("detail") or {}
                if record.get("eventName") in PREFIX_LIST_EVENTS | INTERFACE_EVENTS:
                    self._report_exposure(record, groups)
                    return
                change = read_change(record)
                if change is None:
                    return
                groups = [g for g in groups if not change.group_ids or g.group_id in change.group_ids]
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                print(json.dumps({"unreadable_event": repr(error)}))  # and look at all, as the sweep does
        problems: list[str] = []
        for guarded in groups:
            try:
                self._check(guarded, change, problems)
            except Exception as error:  # whatever it is, the other groups have their turn
                problems.append(f"{guarded.group_id}: {error}")
        if problems:
            raise UnfinishedError("; ".join(problems))

    def _check(self, guarded: Guarded, change: Change | None, problems: list[str]) -> None:
        """Revert what is to be reverted in one group, and report what is new."""
        state = self._read_state(guarded, problems)
        outcome = self._reconcile(guarded, state)
        for pause in REREAD_PAUSES if change else ():
            if not _unexplained(change, outcome, state):
                break
            time.sleep(pause)
            state = self._read_state(guarded, problems)
            outcome = outcome.followed_by(self._reconcile(guarded, state))
        problems += [f"{a.verb} {a.rule}: {a.error}" for a in outcome.failed if a.transient]
        not_found = _unexplained(change, outcome, state)
        undone = undone_already(change, outcome) if change else []
        findings = digest([f"{a.key} {a.status}" for a in outcome.actions if a.is_open] + _missing(outcome))
        report = Report(
            outcome,
            change,
            reverted_before=tuple(rule for rule in undone if rule not in not_found),
            not_found=tuple(not_found),
            resolved=bool(state.reported and not findings),
        )
        print(*log_records(report, account=self.account), sep="\n")
        try:
            self.table.count(guarded.group_id, state, (a.key for a in outcome.actions if a.status == "done"))
        except (ClientError, BotoCoreError) as error:
            problems.append(f"the reverts of {guarded.group_id} were not counted: {error}")
        if undone or any(not a.is_open or a in report.matched for a in outcome.actions) or state.news(findings):
            self._publish(subject(report), text(report, region=self._region, account=self.account))
        if state.news(findings):
            self.table.set_reported(guarded.group_id, findings)

    def _read_state(self, guarded: Guarded, problems: list[str]) -> State:
        """Read the state of a group; without it everything is reverted and reported as the first time."""
        try:
            return self.table.read(guarded.group_id)
        except (ClientError, BotoCoreError) as error:
            problems.append(f"the state of {guarded.group_id} was not read: {error}")
            return State()

    def _reconcile(self, guarded: Guarded, state: State) -> Outcome:
        return reconcile(
            self.ec2,
            guarded,
            restore=self.restore,
            change_rules=self.change_rules,
            suspended=state.suspended(self.max_reverts),
        )

    def _report_exposure(self, record: dict[str, Any], groups: list[Guarded]) -> None:
        """Report a call that changes whom approved rules apply to; which instances these are is not looked up."""
        name = record["eventName"]
        if record.get("errorCode") or (name in ("CreateNetworkInterface", "RunInstances") and made_by_service(record)):
            return
        group_ids, prefix_lists = named_ids(record)
        named = prefix_lists if name in PREFIX_LIST_EVENTS else group_ids
        affected = [group for group in groups if _exposes(group, named)]
        if affected:
            call = read_call(record)
            message = exposure(call, affected, named, region=self._region, account=self.account)
            print(json.dumps({"exposure": name, "event_id": call.event_id, "ids": sorted(named)}))
            self._publish(*message)

    @property
    def _region(self) -> str:
        region: str = self.ec2.meta.region_name
        return region

    def _publish(self, subject_line: str, message: str) -> None:
        self.sns.publish(TopicArn=self.topic_arn, Subject=subject_line, Message=message)


def _unexplained(change: Change | None, outcome: Outcome, state: State) -> list[Rule]:
    """Rules of the call that are not in place, and that no earlier check is known to have reverted."""
    if change is None:
        return []
    when, approved = change.call.timestamp, outcome.guarded.approved
    return [
        rule
        for rule in undone_already(change, outcome)
        if not state.reverted_since(f"{'restore' if rule in approved else 'unapproved'}: {rule.identity}", when)
    ]


def _missing(outcome: Outcome) -> list[str]:
    return [] if outcome.group_exists else ["the group does not exist"]


def _exposes(group: Guarded, named: frozenset[str]) -> bool:
    """Whether ids that a call names are in the approved rules of a group, or stand beside the group itself."""
    approved = {rule.source for rule in group.approved if rule.source_type in ("PrefixListId", "ReferencedGroupId")}
    return bool(approved & named) or (group.group_id in named and len(named) > 1)


def guarded_groups(approved: list[dict[str, Any]], environment: Mapping[str, str]) -> list[Guarded]:
    """Read `approved.json`, which the stack writes beside this module.

    The id of a group that the stack creates is known only in the environment, under the name
    given as `group_id_variable`.
    """
    return [
        Guarded(
            group_id=group.get("group_id") or environment[group["group_id_variable"]],
            name=group["name"],
            ingress=_rules(group["ingress"], is_egress=False),
            egress=None if group["egress"] is None else _rules(group["egress"], is_egress=True),
            tolerated=_rules(group.get("tolerated_egress", []), is_egress=True),
        )
        for group in approved
    ]


def _rules(items: list[dict[str, Any]], *, is_egress: bool) -> tuple[Rule, ...]:
    return tuple(Rule.from_api(item, is_egress=is_egress) for item in items)
