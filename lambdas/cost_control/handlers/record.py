"""Write the actions of a plan before they are done, or the results afterwards."""

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict, final

import boto3

from .. import guard
from ..plan import ActionsEvent
from ..record import RecordTable, Result
from . import RETRIES

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

DYNAMODB: "DynamoDBClient" = boto3.client("dynamodb", config=RETRIES)


@final
class ResultsEvent(TypedDict):
    """The results of the actions of a plan."""

    period: str
    denied: list[Result]
    stopped: list[Result]


def handler(event: guard.ClaimEvent | ResultsEvent, _context: object) -> ActionsEvent | None:
    """Return the actions to do, for the actions of a plan."""
    table = RecordTable(DYNAMODB, os.environ["RECORD_TABLE"])
    if "actions" in event:
        return guard.claim(table, event, datetime.now(UTC))
    guard.finish(table, event["period"], event["denied"] + event["stopped"], datetime.now(UTC))
    return None
