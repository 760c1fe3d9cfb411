"""The record: what was done in each month, and how to undo it.

A DynamoDB table with one item per action and month. An action is written as ``planned`` before it is done, and as
``done`` afterwards, so that a crash in between is undone too. Only one execution at a time can claim an action.
Source: DynamoDB developer guide, condition expressions.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, TypedDict

from botocore.exceptions import ClientError

from .plan import OPEN, PLANNED, REFUSED, Action, Recorded, threshold_item

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

CLAIM_MINUTES = 30  # then the execution that claimed an action has ended: each of its functions runs for at most 5
RETENTION_DAYS = 400  # of closed items
SPEND, RELEASE = "spend", "release"  # items that are not actions

# Retries of the same execution keep their claim.
CLAIMABLE = "attribute_not_exists(#item) OR #status <> :planned OR #at < :stale OR #execution = :execution"
NOT_OPEN = "attribute_not_exists(#item) OR NOT #status IN (:planned, :done)"
OPEN_ACTION = "#status IN (:planned, :done) AND attribute_exists(#kind)"


class Result(TypedDict):
    """The outcome of an action: its key in the record, status and, if nothing was done, the reason."""

    item: str
    status: str
    reason: str


@dataclass(frozen=True)
class OpenItem:
    """An action that has to be undone."""

    period: str
    kind: str
    name: str
    undo: Mapping[str, int]

    @property
    def item(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class RecordTable:
    """The table of the record."""

    dynamodb: "DynamoDBClient"
    name: str

    def read(self, period: str) -> dict[str, Recorded]:
        """Return the items of a month."""
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.name,
            KeyConditionExpression="#period = :period",
            ExpressionAttributeNames={"#period": "period"},
            ExpressionAttributeValues={":period": {"S": period}},
            ConsistentRead=True,
        )
        return {
            item["item"]["S"]: Recorded(
                item["status"]["S"], item.get("reason", {}).get("S", ""), json.loads(item["undo"]["S"])
            )
            for page in pages
            for item in page["Items"]
            if "undo" in item
        }

    def claim(self, period: str, actions: Iterable[Action], execution: str, now: datetime) -> list[Action]:
        """Write actions as planned, and return those that no other execution is doing."""
        stale = (now - timedelta(minutes=CLAIM_MINUTES)).isoformat()
        claimed = []
        for action in actions:
            item = self._item(period, action.item, PLANNED, "", action.undo, now)
            item |= {"kind": {"S": action.kind}, "name": {"S": action.name}, "execution": {"S": execution}}
            try:
                self.dynamodb.put_item(
                    TableName=self.name,
                    Item=item,
                    ConditionExpression=CLAIMABLE,
                    ExpressionAttributeNames={
                        "#item": "item",
                        "#status": "status",
                        "#at": "at",
                        "#execution": "execution",
                    },
                    ExpressionAttributeValues={
                        ":planned": {"S": PLANNED},
                        ":stale": {"S": stale},
                        ":execution": {"S": execution},
                    },
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
            else:
                claimed.append(action)
        return claimed

    def finish(self, period: str, result: Result, now: datetime) -> None:
        """Write the outcome of an action, whose item keeps what undoes it."""
        expression, values = (
            "SET #status = :status, #reason = :reason, #at = :at",
            {
                ":status": {"S": result["status"]},
                ":reason": {"S": result["reason"]},
                ":at": {"S": now.isoformat()},
            },
        )
        if result["status"] not in OPEN:
            expression += ", expires_at = :expiry"
            values[":expiry"] = {"N": str(_expiry(now))}
        self.dynamodb.update_item(
            TableName=self.name,
            Key={"period": {"S": period}, "item": {"S": result["item"]}},
            UpdateExpression=expression,
            ExpressionAttributeNames={"#status": "status", "#reason": "reason", "#at": "at"},
            ExpressionAttributeValues=values,
        )

    def mark_thresholds(self, period: str, names: Iterable[str], status: str, now: datetime) -> None:
        """Write that thresholds were reported (`DONE`) or released by hand (`UNDONE`)."""
        for name in names:
            item = self._item(period, threshold_item(name), status, "", {}, now)
            self.dynamodb.put_item(TableName=self.name, Item=item | {"expires_at": {"N": str(_expiry(now))}})

    def mark_refused(self, period: str, name: str, reason: str, now: datetime) -> None:
        """Write that a problem was reported, except over an action that still has to be undone."""
        item = self._item(period, name, REFUSED, reason, {}, now) | {"expires_at": {"N": str(_expiry(now))}}
        try:
            self.dynamodb.put_item(
                TableName=self.name,
                Item=item,
                ConditionExpression=NOT_OPEN,
                ExpressionAttributeNames={"#item": "item", "#status": "status"},
                ExpressionAttributeValues={":planned": {"S": PLANNED}, ":done": {"S": "done"}},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def open_items(self) -> list[OpenItem]:
        """Return all actions of any month that have to be undone, oldest first."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.name,
            FilterExpression=OPEN_ACTION,
            ExpressionAttributeNames={"#status": "status", "#kind": "kind"},
            ExpressionAttributeValues={":planned": {"S": PLANNED}, ":done": {"S": "done"}},
            ConsistentRead=True,
        )
        items = [
            OpenItem(item["period"]["S"], item["kind"]["S"], item["name"]["S"], json.loads(item["undo"]["S"]))
            for page in pages
            for item in page["Items"]
        ]
        return sorted(items, key=lambda item: (item.period, item.item))

    def spend_of(self, period: str) -> Decimal | None:
        """Return the highest known cost of a month."""
        item = self.dynamodb.get_item(
            TableName=self.name, Key={"period": {"S": period}, "item": {"S": SPEND}}, ConsistentRead=True
        ).get("Item")
        return Decimal(item["highest"]["N"]) if item else None

    def put_spend(self, period: str, actual: Decimal, now: datetime) -> None:
        """Write the cost of a month, and its highest: after a change of the budget, Budgets shows none for hours."""
        highest = max(actual, self.spend_of(period) or actual)
        item: dict[str, AttributeValueTypeDef] = {
            "period": {"S": period},
            "item": {"S": SPEND},
            "expires_at": {"N": str(_expiry(now))},
        }
        item |= {"actual": {"N": str(actual)}, "highest": {"N": str(highest)}}
        self.dynamodb.put_item(TableName=self.name, Item=item)

    def releases_in(self, period: str) -> int:
        """Return how many releases had an effect on a month."""
        item = self.dynamodb.get_item(
            TableName=self.name, Key={"period": {"S": period}, "item": {"S": RELEASE}}, ConsistentRead=True
        ).get("Item")
        return int(item["count"]["N"]) if item else 0

    def count_release(self, period: str, now: datetime) -> None:
        """Count a release of a month."""
        self.dynamodb.update_item(
            TableName=self.name,
            Key={"period": {"S": period}, "item": {"S": RELEASE}},
            UpdateExpression="SET expires_at = :expiry ADD #count :one",
            ExpressionAttributeNames={"#count": "count"},
            ExpressionAttributeValues={":one": {"N": "1"}, ":expiry": {"N": str(_expiry(now))}},
        )

    def _item(
        self, period: str, name: str, status: str, reason: str, undo: Mapping[str, int], now: datetime
    ) -> "dict[str, AttributeValueTypeDef]":
        texts = {"period": period, "item": name, "status": status, "undo": json.dumps(undo), "at": now.isoformat()}
        return {key: {"S": value} for key, value in {**texts, "reason": reason}.items()}


def _expiry(now: datetime) -> int:
    return int((now + timedelta(days=RETENTION_DAYS)).timestamp())
