"""Process an event: revert the affected groups and send notifications."""

import json
import logging
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from . import check_event
from .break_glass import BreakGlass, PermittedChange, accept, in_effect, without_active
from .chat import chat_message
from .cloudtrail import (
    INTERFACE_EVENTS,
    PREFIX_LIST_EVENTS,
    SCALING_CALLS,
    Change,
    attachment_filters,
    is_scaling,
    modified_endpoint_ids,
    read_call,
    read_change,
    referenced_ids,
)
from .events import CloudTrailRecord, Event
from .logs import emit_metrics, log_check
from .notification_text import access_change_notification, late_events_notification, subject, text
from .report import Report, rules_in_approved_state
from .revert import MAX_FILTER_VALUES, GuardedGroup, Outcome, read_rules, reconcile
from .rules import Rule
from .state import State, StateTable, digest

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_events import EventBridgeClient
    from types_boto3_sns import SNSClient

# Seconds to wait before reading a group again if the change is not visible: EC2 is eventually consistent.
RETRY_DELAYS_SECONDS = (2, 4)
# Between two sweeps, for each group, about changes that were already reverted. The next sweep reports the rest.
MAX_LATE_NOTIFICATIONS = 5
logger = logging.getLogger(__name__)


class RetryableError(Exception):
    """An error that a retry can resolve; Lambda retries the event."""


@dataclass(frozen=True)
class Responder:
    """The AWS clients and settings of every response.

    restore: whether missing approved rules are restored. change_rules: False only reports.
    max_reverts: the number of times a change is reverted within the window of `table`. break_glass: who may change
    groups for a limited time.
    """

    ec2: "EC2Client"
    sns: "SNSClient"
    events: "EventBridgeClient"
    table: StateTable
    topic_arn: str
    account: str
    restore: bool = True
    change_rules: bool = True
    max_reverts: int = 10
    break_glass: BreakGlass = field(default_factory=BreakGlass)

    def respond(self, event: Event, groups: list[GuardedGroup]) -> None:
        """Restore the approved rules of the groups in an event, and report the result.

        `event` is an "AWS API Call via CloudTrail" event, or the "Scheduled Event" of the sweep. Failed calls, approved
        calls and calls that affect no guarded group are ignored. If the event does not name its group, all groups are
        checked.

        Raises:
            RetryableError: after all groups were checked, if a retry can help.
        """
        change = None
        if event.get("detail-type") != "Scheduled Event":
            try:
                record = event.get("detail") or {}
                if record.get("eventName") in PREFIX_LIST_EVENTS | INTERFACE_EVENTS:
                    self._report_access_change(record, groups)
                    return
                change = read_change(record)
                if change is None:
                    return
                groups = [g for g in groups if not change.group_ids or g.group_id in change.group_ids]
            except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
                logger.warning("Cannot read the event; checking all groups", extra={"reason": repr(error)})
        run = _Run(change, is_sweep=event.get("detail-type") == "Scheduled Event")
        for start in range(0, len(groups), MAX_FILTER_VALUES):
            self._check_all(groups[start : start + MAX_FILTER_VALUES], run)
        if run.problems:
            raise RetryableError("; ".join(run.problems))

    def _check_all(self, groups: Sequence[GuardedGroup], run: "_Run") -> None:
        """Read the rules of the groups at once, and check each group."""
        try:
            rules = read_rules(self.ec2, [group.group_id for group in groups])
        except (ClientError, BotoCoreError) as error:
            run.problems.append(f"cannot read {', '.join(group.group_id for group in groups[:3])}...: {error}")
            return
        for group in groups:
            try:
                self._check(group, rules.pop(group.group_id), run)
            except Exception as error:  # so that one group does not block the others
                run.problems.append(f"{group.group_id}: {error}")

    def _check(self, group: GuardedGroup, rules: tuple[Rule, ...], run: "_Run") -> None:
        """Revert unapproved changes to one group, log them, and send a notification if the findings changed."""
        change, problems = run.change, run.problems
        permitted = self._permit(group, run)
        outcome, state = self._reconcile_visible(group, rules, run)
        active = self.break_glass.active(state.permitted, change, run.now)
        ended = without_active(state.permitted, active, outcome)
        problems += [f"{a.action_type} {a.rule}: {a.reason}" for a in outcome.failed if a.transient]
        not_visible = dict.fromkeys(_not_visible(change, outcome, state))
        reverted_keys = {action.key for action in outcome.actions}
        in_approved_state = rules_in_approved_state(change, outcome) if change else []
        findings = digest([f"{a.key} {a.status}" for a in outcome.actions if a.is_unresolved] + _missing_group(outcome))
        missed = state.without_event(time.time()) if run.is_sweep else []
        report = Report(
            outcome,
            change,
            already_reverted=tuple(rule for rule in in_approved_state if rule not in not_visible),
            not_visible=tuple(not_visible),
            resolved=bool(state.reported_digest and not findings),
            missed_events=len(missed),
            seconds_to_revert=_seconds_to_revert(change, outcome, state),
            permitted=in_effect([item for item in permitted if item in active], outcome.rules),
            ended=tuple(item for item in ended if item.key in reverted_keys),
            has_break_glass_caller=bool(change and change.principal in self.break_glass.principals),
        )
        emit_metrics(report)
        log_check(report)
        self._write_state(group, state, outcome, [*missed, *_explained(change, state)], run, ended)
        should_report = state.should_report(findings)
        to_notify = [a for a in outcome.actions if not a.is_unresolved or report.is_named(a)]
        if run.is_sweep and state.late_events:
            self._report_late_events(group)
        by_others = all(action.status == "conflict" for action in to_notify)  # or there is nothing to notify
        is_late = by_others and bool(to_notify or in_approved_state) and not should_report
        if change and is_late and not report.permitted and self._is_repeated(group, change):
            return
        if should_report or in_approved_state or to_notify or report.permitted:
            self._publish(group, subject(report), text(report, region=self._region, account=self.account))
            self._put_event(report)
        if should_report:
            self.table.set_reported(group.group_id, findings)

    def _permit(self, group: GuardedGroup, run: "_Run") -> list[PermittedChange]:
        """Store the break-glass changes of the call, and return them.

        Without the table, none is permitted, because nothing would end it. A retried or duplicate event is reported
        again, because the notification may have failed.
        """
        permitted = self.break_glass.permit(run.change, group, run.now)
        try:
            for item in permitted:
                self.table.set_permitted(group.group_id, item)
        except (ClientError, BotoCoreError) as error:
            run.table_is_available = False
            run.problems.append(f"cannot store break-glass changes of {group.group_id}: {error}")
        return permitted

    def _is_repeated(self, group: GuardedGroup, change: Change) -> bool:
        """Count an event whose changes someone else has reverted; return whether the next sweep reports it.

        An error does not suppress the notification.
        """
        try:
            return self.table.count_late_event(group.group_id, change.call.caller) > MAX_LATE_NOTIFICATIONS
        except (ClientError, BotoCoreError) as error:
            logger.warning("Cannot count an event of %s", group.group_id, extra={"reason": repr(error)})
            return False

    def _report_late_events(self, group: GuardedGroup) -> None:
        """Report the events since the last sweep for which no notification was sent."""
        late = self.table.take_late_events(group.group_id)
        if late.count > MAX_LATE_NOTIFICATIONS:
            suppressed = replace(late, count=late.count - MAX_LATE_NOTIFICATIONS)
            notification = late_events_notification(group, suppressed, region=self._region, account=self.account)
            self._publish(group, *notification)

    def _reconcile_visible(self, group: GuardedGroup, rules: tuple[Rule, ...], run: "_Run") -> tuple[Outcome, State]:
        """Reconcile a group; repeat after a pause if the change in the event is not visible yet.

        During a burst of changes that someone else reverts, there is no pause: the next event or sweep checks again.
        """
        change = run.change
        state = self._read_state(group, run)
        outcome = self._reconcile(group, rules, state, run)
        is_burst = state.late_events > MAX_LATE_NOTIFICATIONS
        for pause in RETRY_DELAYS_SECONDS if change and not is_burst else ():
            if not _not_visible(change, outcome, state):
                break
            time.sleep(pause)
            state = self._read_state(group, run)
            rules = read_rules(self.ec2, [group.group_id])[group.group_id]
            outcome = outcome.merge(self._reconcile(group, rules, state, run))
        return outcome, state

    def _read_state(self, group: GuardedGroup, run: "_Run") -> State:
        """Read the state of a group. If that fails, return an empty one, so that all findings are handled as new."""
        if not run.table_is_available:
            return State()
        try:
            return self.table.read(group.group_id)
        except (ClientError, BotoCoreError) as error:
            run.table_is_available = False
            run.problems.append(f"cannot read the state of {group.group_id}: {error}")
            return State()
        except (LookupError, TypeError, ValueError) as error:  # a retry does not help
            logger.error("Ignoring the unreadable state of %s", group.group_id, extra={"reason": repr(error)})
            return State()

    def _write_state(
        self,
        group: GuardedGroup,
        state: State,
        outcome: Outcome,
        explained: list[str],
        run: "_Run",
        ended: Collection[PermittedChange],
    ) -> None:
        """Count the reverts of a group, except of break-glass changes that ended, unless the table is not available."""
        if not run.table_is_available:
            return
        ended_keys = {item.key for item in ended}
        reverted = [a.key for a in outcome.actions if a.status == "completed" and a.key not in ended_keys]
        try:
            for item in ended:
                self.table.delete_permitted(group.group_id, item)
            self.table.set_explained(group.group_id, explained)
            self.table.count(group.group_id, state, reverted, by_sweep=run.is_sweep)
        except (ClientError, BotoCoreError) as error:
            run.table_is_available = False
            run.problems.append(f"cannot count the reverts of {group.group_id}: {error}")

    def _reconcile(self, group: GuardedGroup, rules: tuple[Rule, ...], state: State, run: "_Run") -> Outcome:
        return reconcile(
            self.ec2,
            accept(group, rules, self.break_glass.active(state.permitted, run.change, run.now)),
            rules,
            restore=self.restore,
            change_rules=self.change_rules,
            suspended=state.suspended(self.max_reverts),
        )

    def _report_access_change(self, record: CloudTrailRecord, groups: list[GuardedGroup]) -> None:
        """Report a call that changes what approved rules apply to, without looking up the affected instances."""
        name = record["eventName"]
        if record.get("errorCode") or (name in SCALING_CALLS and is_scaling(record)):
            return
        group_ids, prefix_lists = referenced_ids(record)
        ids = (
            prefix_lists
            if name in PREFIX_LIST_EVENTS
            else group_ids | self._endpoint_groups(record) | self._attached_groups(record)
        )
        affected = [group for group in groups if _is_affected(group, ids)]
        if affected:
            call = read_call(record)
            details = {"event_id": call.event_id, "group_ids": [group.group_id for group in affected]}
            logger.warning("%s may open guarded groups", name, extra=details | {"ids": sorted(ids)})
            notification = access_change_notification(call, affected, ids, region=self._region, account=self.account)
            self._publish(affected[0], *notification)

    def _endpoint_groups(self, record: CloudTrailRecord) -> frozenset[str]:
        """Return the current groups of the VPC endpoint that a call changed."""
        ids = modified_endpoint_ids(record)
        if not ids:
            return frozenset()
        try:
            endpoints = self.ec2.describe_vpc_endpoints(VpcEndpointIds=ids)["VpcEndpoints"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidVpcEndpointId.NotFound":
                raise
            return frozenset()  # it was deleted
        return frozenset(group["GroupId"] for endpoint in endpoints for group in endpoint.get("Groups", []))

    def _attached_groups(self, record: CloudTrailRecord) -> frozenset[str]:
        """Return the groups of all interfaces of an instance to which a call attached an interface."""
        groups: set[str] = set()
        for name, value in attachment_filters(record):
            response = self.ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": [value]}])
            for interface in response["NetworkInterfaces"]:
                groups.update(group["GroupId"] for group in interface.get("Groups", []))
        return frozenset(groups)

    @property
    def _region(self) -> str:
        return self.ec2.meta.region_name

    def _publish(self, group: GuardedGroup, subject_line: str, message: str) -> None:
        """Publish a notification, which chat applications get in another form: they subscribe with HTTPS."""
        forms = {"default": message, "https": chat_message(subject_line, message, thread=group.group_id)}
        self.sns.publish(
            TopicArn=self.topic_arn, Subject=subject_line, Message=json.dumps(forms), MessageStructure="json"
        )

    def _put_event(self, report: Report) -> None:
        """Send an event to the default event bus.

        Raises:
            RetryableError: EventBridge rejected it.
        """
        group_id = report.outcome.group.group_id
        partition = self.topic_arn.split(":")[1]
        arn = f"arn:{partition}:ec2:{self._region}:{self.account}:security-group/{group_id}"
        response = self.events.put_events(Entries=[check_event.entry(report, summary=subject(report), group_arn=arn)])
        if response["FailedEntryCount"]:
            failed = response["Entries"][0]
            raise RetryableError(f"EventBridge: {failed.get('ErrorCode')}: {failed.get('ErrorMessage')}")


@dataclass
class _Run:
    """The response to one event.

    is_sweep: whether the scheduled sweep started it. problems: errors that a retry can resolve.
    table_is_available: False after the first error, because an unavailable table would delay each group by the
    timeouts of its calls. now: when it started, so that break-glass changes end at one time in the whole response.
    """

    change: Change | None
    is_sweep: bool
    now: float = field(default_factory=time.time)
    problems: list[str] = field(default_factory=list)
    table_is_available: bool = True


def _not_visible(change: Change | None, outcome: Outcome, state: State) -> list[Rule]:
    """Return the rules of the change that are in their approved state, although no earlier check reverted them."""
    if change is None:
        return []
    timestamp, group = change.call.timestamp, outcome.group
    return [
        rule
        for rule in rules_in_approved_state(change, outcome)
        if not state.reverted_since(_key(rule, group), timestamp)
    ]


def _key(rule: Rule, group: GuardedGroup) -> str:
    """Return the key of the finding that a changed rule causes."""
    return f"{'restore' if group.approves(rule) else 'unapproved'}: {rule.identity}"


def _explained(change: Change | None, state: State) -> list[str]:
    """Return the findings that a sweep reverted, and that the event explains; all if it may not name each rule."""
    by_sweep = [key for key, reverts in state.reverts.items() if reverts.by_sweep]
    if change is None:
        return []
    if change.call.event_name.startswith("UpdateSecurityGroupRuleDescriptions"):
        return [key for key in by_sweep if key.startswith("update_description: ")]
    identities = {rule.identity for rule in change.added + change.removed}
    if not identities or change.call.event_name == "ModifySecurityGroupRules":  # without the previous values
        return by_sweep
    return [key for key in by_sweep if key.partition(": ")[2] in identities]


def _seconds_to_revert(change: Change | None, outcome: Outcome, state: State) -> float | None:
    """Return the longest time from a call to the revert of one of its changes, by this check or an earlier one."""
    if change is None or change.call.timestamp == math.inf:
        return None
    named = [a for a in outcome.actions if a.status == "completed" and change.refers_to(a.previous or a.rule)]
    keys = [_key(rule, outcome.group) for rule in rules_in_approved_state(change, outcome)]
    times = [float(state.reverts[key].last) for key in keys if state.reverted_since(key, change.call.timestamp)]
    times += [time.time()] if named else []
    return max(0.0, max(times) - change.call.timestamp) if times else None


def _missing_group(outcome: Outcome) -> list[str]:
    return [] if outcome.group_exists else ["the group does not exist"]


def _is_affected(group: GuardedGroup, ids: frozenset[str]) -> bool:
    """Return whether a call refers to a source of the group's approved rules, or to the group and another group."""
    sources = {rule.source for rule in group.approved if rule.source_type in ("PrefixListId", "ReferencedGroupId")}
    return bool(sources & ids) or (group.group_id in ids and len(ids) > 1)
