"""What must outlive one run: how often each finding was reverted, and what was last reported.

A DynamoDB table with one item a reverted finding, counted atomically because runs overlap, and one
item a group for the open findings that were last reported. Both expire by themselves. Source of
the expressions: DynamoDB developer guide, update expressions and time to live.
"""

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

REPORT = "report"  # sort key of the item about the last report; findings have a colon in theirs
REMINDER_SECONDS = 24 * 3600
EXPIRED = {"N": "0"}  # a count that DynamoDB deleted just before it was raised has no expiry
REPORT_SECONDS = 7 * REMINDER_SECONDS  # kept after the last reminder, for groups that leave the settings


@dataclass(frozen=True)
class Reverts:
    """How often a finding was reverted in the current window, and when last (seconds since the epoch)."""

    count: int
    last: int


@dataclass(frozen=True)
class State:
    """What is known about one group from earlier runs."""

    reverts: Mapping[str, Reverts] = field(default_factory=dict)
    reported: str = ""  # digest of the open findings last reported
    reported_at: int = 0

    def suspended(self, max_reverts: int) -> frozenset[str]:
        """The findings that were reverted `max_reverts` times in their window."""
        return frozenset(key for key, reverts in self.reverts.items() if reverts.count >= max_reverts)

    def reverted_since(self, key: str, when: float) -> bool:
        """Whether an earlier run reverted this finding at or after `when`."""
        return key in self.reverts and self.reverts[key].last >= when

    def news(self, findings: str) -> bool:
        """Whether the open findings are others than those reported, or a reminder is due."""
        if findings != self.reported:
            return True
        return bool(findings) and time.time() - self.reported_at >= REMINDER_SECONDS


def digest(findings: Iterable[str]) -> str:
    """A short text that is the same for the same open findings; empty when there are none."""
    lines = sorted(set(findings))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


@dataclass(frozen=True)
class StateTable:
    """The table; `window_seconds` is how long reverts are counted from the first one."""

    dynamodb: Any
    name: str
    window_seconds: int

    def read(self, group_id: str) -> State:
        """Read everything about a group; expired items that DynamoDB has not deleted yet do not count."""
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.name,
            KeyConditionExpression="group_id = :group",
            ExpressionAttributeValues={":group": {"S": group_id}},
            ConsistentRead=True,
        )
        items = {item["finding"]["S"]: item for page in pages for item in page["Items"]}
        now = time.time()
        live = {key: item for key, item in items.items() if int(item.get("expires_at", EXPIRED)["N"]) > now}
        report = live.pop(REPORT, None)
        reverts = {key: Reverts(int(item["reverts"]["N"]), int(item["last"]["N"])) for key, item in live.items()}
        if report is None:
            return State(reverts)
        return State(reverts, report["digest"]["S"], int(report["last"]["N"]))

    def count(self, group_id: str, state: State, keys: Iterable[str]) -> None:
        """Count one revert of each finding; the first one in `state` begins a window.

        When two runs begin a window at once, one revert is not counted, which does no harm.
        """
        now = int(time.time())
        for key in dict.fromkeys(keys):
            values = {":one": {"N": "1"}, ":now": {"N": str(now)}}
            if key in state.reverts:
                expression = "SET #last = :now ADD reverts :one"
            else:
                expression = "SET #last = :now, reverts = :one, expires_at = :end"
                values[":end"] = {"N": str(now + self.window_seconds)}
            self.dynamodb.update_item(
                TableName=self.name,
                Key={"group_id": {"S": group_id}, "finding": {"S": key}},
                UpdateExpression=expression,
                ExpressionAttributeNames={"#last": "last"},
                ExpressionAttributeValues=values,
            )

    def set_reported(self, group_id: str, findings: str) -> None:
        """Keep the digest of the open findings that were just reported, or that there are none."""
        key = {"group_id": {"S": group_id}, "finding": {"S": REPORT}}
        if not findings:
            self.dynamodb.delete_item(TableName=self.name, Key=key)
            return
        now = int(time.time())
        times = {"last": {"N": str(now)}, "expires_at": {"N": str(now + REPORT_SECONDS)}}
        self.dynamodb.put_item(TableName=self.name, Item=key | {"digest": {"S": findings}} | times)
