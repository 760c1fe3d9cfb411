"""From an event to reverted groups and notifications."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NotRequired, TypedDict

from botocore.exceptions import BotoCoreError, ClientError

from .cloudtrail import (
    INTERFACE_EVENTS,
    PREFIX_LIST_EVENTS,
    Change,
    is_service_call,
    mentioned_ids,
    read_call,
    read_change,
)
from .events import CloudTrailRecord, Event, JsonObject
from .logs import log_check, put_metrics
from .notification import exposure, subject, text
from .report import Report, already_as_approved
from .revert import GuardedGroup, Outcome, reconcile
from .rules import Rule
from .state import State, StateTable, digest

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_sns import SNSClient

# Seconds to wait before reading a group again if the change is not visible: EC2 is eventually consistent.
REREAD_PAUSES = (2, 4)
logger = logging.getLogger(__name__)


class ApprovedGroup(TypedDict):
    """A group in `approved.json`, with its ID or the environment variable that contains it."""

    group_id: NotRequired[str]
    group_id_variable: NotRequired[str]
    name: str
    ingress: list[JsonObject]
    egress: list[JsonObject] | None
    tolerated_egress: NotRequired[list[JsonObject]]


class UnfinishedError(Exception):
    """A problem that a retry can solve; Lambda runs the event again."""


@dataclass(frozen=True)
class Responder:
    """The AWS clients and settings of every response.

    restore: whether missing approved rules are restored. change_rules: False only reports.
    max_reverts: the number of times a change is reverted within the window of `table`.
    """

    ec2: "EC2Client"
    sns: "SNSClient"
    table: StateTable
    topic_arn: str
    account: str
    restore: bool = True
    change_rules: bool = True
    max_reverts: int = 10

    def respond(self, event: Event, groups: list[GuardedGroup]) -> None:
        """Bring the groups of an event back to their approved rules, and report it.

        `event` is an "AWS API Call via CloudTrail" event, or the "Scheduled Event" of the sweep. Calls that failed,
        are approved or affect no guarded group have no effect. If the event does not name its group, all groups are
        checked.

        Raises:
            UnfinishedError: after all groups were checked, if a retry can help.
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
            except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
                logger.warning("Cannot read the event; checking all groups", extra={"reason": repr(error)})
        problems: list[str] = []
        for group in groups:
            try:
                self._check(group, change, problems)
            except Exception as error:  # so that one group does not block the others
                problems.append(f"{group.group_id}: {error}")
        if problems:
            raise UnfinishedError("; ".join(problems))

    def _check(self, group: GuardedGroup, change: Change | None, problems: list[str]) -> None:
        """Revert unapproved changes to one group, log them, and send a notification if there is news."""
        outcome, state = self._reconcile_visible(group, change, problems)
        problems += [f"{a.verb} {a.rule}: {a.reason}" for a in outcome.failed if a.transient]
        unexplained = _unexplained(change, outcome, state)
        as_approved = already_as_approved(change, outcome) if change else []
        findings = digest([f"{a.key} {a.status}" for a in outcome.actions if a.is_open] + _missing_group(outcome))
        report = Report(
            outcome,
            change,
            already_reverted=tuple(rule for rule in as_approved if rule not in unexplained),
            unexplained=tuple(unexplained),
            resolved=bool(state.reported_digest and not findings),
        )
        put_metrics(report)
        log_check(report)
        try:
            self.table.count(group.group_id, state, (a.key for a in outcome.actions if a.status == "done"))
        except (ClientError, BotoCoreError) as error:
            problems.append(f"cannot count the reverts of {group.group_id}: {error}")
        has_news = state.is_news(findings)
        if has_news or as_approved or any(not a.is_open or a in report.mentioned for a in outcome.actions):
            self._publish(subject(report), text(report, region=self._region, account=self.account))
        if has_news:
            self.table.set_reported(group.group_id, findings)

    def _reconcile_visible(
        self, group: GuardedGroup, change: Change | None, problems: list[str]
    ) -> tuple[Outcome, State]:
        """Reconcile a group, and again after a pause while the change of the event is not visible yet."""
        state = self._read_state(group, problems)
        outcome = self._reconcile(group, state)
        for pause in REREAD_PAUSES if change else ():
            if not _unexplained(change, outcome, state):
                break
            time.sleep(pause)
            state = self._read_state(group, problems)
            outcome = outcome.followed_by(self._reconcile(group, state))
        return outcome, state

    def _read_state(self, group: GuardedGroup, problems: list[str]) -> State:
        """Read the state of a group, or use an empty one, with which everything is reverted and reported."""
        try:
            return self.table.read(group.group_id)
        except (ClientError, BotoCoreError) as error:
            problems.append(f"cannot read the state of {group.group_id}: {error}")
            return State()

    def _reconcile(self, group: GuardedGroup, state: State) -> Outcome:
        return reconcile(
            self.ec2,
            group,
            restore=self.restore,
            change_rules=self.change_rules,
            suspended=state.suspended(self.max_reverts),
        )

    def _report_exposure(self, record: CloudTrailRecord, groups: list[GuardedGroup]) -> None:
        """Report a call that changes what approved rules apply to, without looking up the affected instances."""
        name = record["eventName"]
        if record.get("errorCode") or (name in ("CreateNetworkInterface", "RunInstances") and is_service_call(record)):
            return
        group_ids, prefix_lists = mentioned_ids(record)
        ids = prefix_lists if name in PREFIX_LIST_EVENTS else group_ids
        affected = [group for group in groups if _is_exposed(group, ids)]
        if affected:
            call = read_call(record)
            details = {"event_id": call.event_id, "group_ids": [group.group_id for group in affected]}
            logger.warning("%s may open guarded groups", name, extra=details | {"ids": sorted(ids)})
            self._publish(*exposure(call, affected, ids, region=self._region, account=self.account))

    @property
    def _region(self) -> str:
        return self.ec2.meta.region_name

    def _publish(self, subject_line: str, message: str) -> None:
        self.sns.publish(TopicArn=self.topic_arn, Subject=subject_line, Message=message)


def _unexplained(change: Change | None, outcome: Outcome, state: State) -> list[Rule]:
    """Rules of the change that are as approved, although no earlier check is known to have reverted them."""
    if change is None:
        return []
    timestamp, approved = change.call.timestamp, outcome.group.approved
    return [
        rule
        for rule in already_as_approved(change, outcome)
        if not state.reverted_since(f"{'restore' if rule in approved else 'unapproved'}: {rule.identity}", timestamp)
    ]


def _missing_group(outcome: Outcome) -> list[str]:
    return [] if outcome.group_exists else ["the group does not exist"]


def _is_exposed(group: GuardedGroup, ids: frozenset[str]) -> bool:
    """Whether a call uses sources of the group's approved rules, or the group together with another one."""
    sources = {rule.source for rule in group.approved if rule.source_type in ("PrefixListId", "ReferencedGroupId")}
    return bool(sources & ids) or (group.group_id in ids and len(ids) > 1)


def guarded_groups(approved: list[ApprovedGroup], environment: Mapping[str, str]) -> list[GuardedGroup]:
    """Read `approved.json`, which the stack adds to the package.

    The ID of a group that the stack creates is known only in the environment.
    """
    return [
        GuardedGroup(
            group_id=group.get("group_id") or environment[group["group_id_variable"]],
            name=group["name"],
            ingress=_rules(group["ingress"], is_egress=False),
            egress=None if group["egress"] is None else _rules(group["egress"], is_egress=True),
            tolerated=_rules(group.get("tolerated_egress", []), is_egress=True),
        )
        for group in approved
    ]


def _rules(items: list[JsonObject], *, is_egress: bool) -> tuple[Rule, ...]:
    return tuple(Rule.from_api(item, is_egress=is_egress) for item in items)
