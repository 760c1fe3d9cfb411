"""State between runs: how often each finding was reverted, which open findings were reported, and late events.

The DynamoDB table has one item per reverted finding, counted atomically because runs overlap, one item per group for
the open findings that were last reported, one for the events whose changes an earlier run had reverted, and one for
each permitted break-glass change. Items expire.
Source of the expressions: DynamoDB developer guide, update expressions and time to live.
"""

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .break_glass import PermittedChange

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

# Sort keys of the last report and of late events; those of findings contain a colon.
REPORT_SORT_KEY, LATE_SORT_KEY = "report", "late"
BREAK_GLASS_PREFIX = "break-glass: "  # of the sort keys of permitted changes, before the key of the finding
# Read for each event of a group. Someone who adds different rules all day causes more items than the function's memory
# can hold. Those that are not read are revert counts, because all other items sort before them; reverting starts again.
MAX_ITEMS = 20_000
REMINDER_SECONDS = 24 * 3600
# Treat as expired: an update re-created the item, without an expiry, just after DynamoDB had deleted it.
EXPIRED = {"N": "0"}
EVENT_SECONDS = 15 * 60  # within which CloudTrail usually delivers an event
PERMITTED_TTL_SECONDS = 7 * REMINDER_SECONDS  # after the end, so that its revert can be reported
LATE_TTL_SECONDS = 2 * REMINDER_SECONDS  # longer than the maximum interval of sweeps
REPORT_TTL_SECONDS = 7 * REMINDER_SECONDS  # expiry of the last report; longer than the reminder interval


@dataclass(frozen=True)
class Reverts:
    """How often a finding was reverted in the current window, and the last time in seconds since the epoch.

    by_sweep: the time when a sweep reverted it, and no event has explained it since; 0 if there is none.
    """

    count: int
    last: int
    by_sweep: int = 0


@dataclass(frozen=True)
class LateEvents:
    """Events since the last sweep whose changes an earlier run had already reverted, and their callers."""

    count: int = 0
    callers: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """The state of one group from earlier runs."""

    reverts: Mapping[str, Reverts] = field(default_factory=dict)
    reported_digest: str = ""  # of the open findings
    reported_at: int = 0
    late_events: int = 0  # since the last sweep, whose changes an earlier run had reverted
    permitted: tuple[PermittedChange, ...] = ()  # also those whose time has ended, until they are reverted

    def suspended(self, max_reverts: int) -> frozenset[str]:
        """Return the findings that were reverted at least `max_reverts` times in their window."""
        return frozenset(key for key, reverts in self.reverts.items() if reverts.count >= max_reverts)

    def reverted_since(self, key: str, timestamp: float) -> bool:
        """Return whether an earlier run reverted this finding at or after `timestamp`."""
        return key in self.reverts and self.reverts[key].last >= timestamp

    def without_event(self, now: float) -> list[str]:
        """Return the findings that a sweep reverted, and whose event has not arrived in time."""
        limit = now - EVENT_SECONDS
        return [key for key, reverts in self.reverts.items() if 0 < reverts.by_sweep <= limit]

    def should_report(self, findings: str) -> bool:
        """Return whether the digest of the open findings differs from the last report, or a reminder is due."""
        if findings != self.reported_digest:
            return True
        return bool(findings) and time.time() - self.reported_at >= REMINDER_SECONDS


def digest(findings: Iterable[str]) -> str:
    """Return a hash of the open findings, or an empty string if there are none."""
    lines = sorted(set(findings))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def _permitted(sort_key: str, item: "Mapping[str, AttributeValueTypeDef]") -> PermittedChange:
    return PermittedChange(
        key=sort_key.removeprefix(BREAK_GLASS_PREFIX),
        rule=item["rule"]["S"],
        rule_id=item["rule_id"]["S"],
        principal=item["principal"]["S"],
        called_at=int(item["called_at"]["N"]),
        until=int(item["until"]["N"]),
    )


@dataclass(frozen=True)
class StateTable:
    """The state table; reverts are counted for `window_seconds` from the first one."""

    dynamodb: "DynamoDBClient"
    name: str
    window_seconds: int

    def read(self, group_id: str) -> State:
        """Read the state of a group, without expired items that DynamoDB has not deleted yet."""
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.name,
            KeyConditionExpression="group_id = :group",
            ExpressionAttributeValues={":group": {"S": group_id}},
            ConsistentRead=True,
            PaginationConfig={"MaxItems": MAX_ITEMS},
        )
        items = {item["finding"]["S"]: item for page in pages for item in page["Items"]}
        now = time.time()
        live = {key: item for key, item in items.items() if int(item.get("expires_at", EXPIRED)["N"]) > now}
        late = int(live.pop(LATE_SORT_KEY, {"reverts": {"N": "0"}})["reverts"]["N"])
        report = live.pop(REPORT_SORT_KEY, None)
        permitted = tuple(_permitted(key, live.pop(key)) for key in list(live) if key.startswith(BREAK_GLASS_PREFIX))
        reverts = {
            key: Reverts(int(item["reverts"]["N"]), int(item["last"]["N"]), int(item.get("by_sweep", EXPIRED)["N"]))
            for key, item in live.items()
        }
        if report is None:
            return State(reverts, late_events=late, permitted=permitted)
        return State(reverts, report["digest"]["S"], int(report["last"]["N"]), late, permitted)

    def count(self, group_id: str, state: State, keys: Iterable[str], *, by_sweep: bool) -> None:
        """Count one revert of each finding; a finding that is not in `state` starts a window.

        If two runs start a window at the same time, one revert is not counted, which is harmless.
        """
        now, sweep = int(time.time()), ", by_sweep = :now" if by_sweep else ""
        for key in dict.fromkeys(keys):
            values = {":one": {"N": "1"}, ":now": {"N": str(now)}}
            if key in state.reverts:
                expression = f"SET #last = :now{sweep} ADD reverts :one"
            else:
                expression = f"SET #last = :now{sweep}, reverts = :one, expires_at = :end"
                values[":end"] = {"N": str(now + self.window_seconds)}
            self.dynamodb.update_item(
                TableName=self.name,
                Key={"group_id": {"S": group_id}, "finding": {"S": key}},
                UpdateExpression=expression,
                ExpressionAttributeNames={"#last": "last"},
                ExpressionAttributeValues=values,
            )

    def set_explained(self, group_id: str, keys: Iterable[str]) -> None:
        """Record that the events of findings that a sweep reverted have arrived, or are counted as missed."""
        for key in keys:
            self.dynamodb.update_item(
                TableName=self.name,
                Key={"group_id": {"S": group_id}, "finding": {"S": key}},
                UpdateExpression="REMOVE by_sweep",
            )

    def set_permitted(self, group_id: str, change: PermittedChange) -> None:
        """Store a permitted change."""
        item: dict[str, AttributeValueTypeDef] = {
            "group_id": {"S": group_id},
            "finding": {"S": BREAK_GLASS_PREFIX + change.key},
            "rule": {"S": change.rule},
            "rule_id": {"S": change.rule_id},
            "principal": {"S": change.principal},
            "called_at": {"N": str(change.called_at)},
            "until": {"N": str(change.until)},
            "expires_at": {"N": str(change.until + PERMITTED_TTL_SECONDS)},
        }
        self.dynamodb.put_item(TableName=self.name, Item=item)

    def delete_permitted(self, group_id: str, change: PermittedChange) -> None:
        """Delete a permitted change whose time has ended."""
        key = {"group_id": {"S": group_id}, "finding": {"S": BREAK_GLASS_PREFIX + change.key}}
        self.dynamodb.delete_item(TableName=self.name, Key=key)

    def count_late_event(self, group_id: str, caller: str) -> int:
        """Count an event of a change that an earlier run reverted; return the number since the last sweep."""
        response = self.dynamodb.update_item(
            TableName=self.name,
            Key={"group_id": {"S": group_id}, "finding": {"S": LATE_SORT_KEY}},
            UpdateExpression="SET expires_at = :end ADD reverts :one, callers :callers",
            ExpressionAttributeValues={
                ":end": {"N": str(int(time.time()) + LATE_TTL_SECONDS)},
                ":one": {"N": "1"},
                ":callers": {"SS": [caller]},
            },
            ReturnValues="UPDATED_NEW",
        )
        return int(response["Attributes"]["reverts"]["N"])

    def take_late_events(self, group_id: str) -> LateEvents:
        """Return the late events of a group, and reset their count."""
        key = {"group_id": {"S": group_id}, "finding": {"S": LATE_SORT_KEY}}
        response = self.dynamodb.delete_item(TableName=self.name, Key=key, ReturnValues="ALL_OLD")
        item = response.get("Attributes")
        return LateEvents(int(item["reverts"]["N"]), tuple(sorted(item["callers"]["SS"]))) if item else LateEvents()

    def set_reported(self, group_id: str, findings: str) -> None:
        """Store the digest of the open findings that were just reported, or delete it if there are none."""
        key = {"group_id": {"S": group_id}, "finding": {"S": REPORT_SORT_KEY}}
        if not findings:
            self.dynamodb.delete_item(TableName=self.name, Key=key)
            return
        now = int(time.time())
        times = {"last": {"N": str(now)}, "expires_at": {"N": str(now + REPORT_TTL_SECONDS)}}
        self.dynamodb.put_item(TableName=self.name, Item=key | {"digest": {"S": findings}} | times)
