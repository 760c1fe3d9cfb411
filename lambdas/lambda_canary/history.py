"""The figures of an execution that was stopped or timed out, which has neither output nor cause, from its history."""

import json
import logging
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_boto3_stepfunctions import SFNClient

MAX_EVENTS = 1000  # the latest ones, in one request
logger = logging.getLogger(__name__)


def evaluation_lines(step_functions: "SFNClient", execution_arn: str) -> list[str]:
    """Return the line of each evaluation, the oldest first; none if the history cannot be read.

    Source: Step Functions API reference, GetExecutionHistory.
    """
    try:
        page = step_functions.get_execution_history(
            executionArn=execution_arn, maxResults=MAX_EVENTS, reverseOrder=True, includeExecutionData=True
        )
    except (BotoCoreError, ClientError) as error:
        logger.warning("Cannot read the history", extra={"execution": execution_arn, "reason": str(error)})
        return []
    results = (event.get("taskSucceededEventDetails", {}).get("output") for event in reversed(page["events"]))
    return [line for line in map(_line, results) if line]


def _line(output: str | None) -> str | None:
    """Return the line in the result of a task, if it is an evaluation."""
    try:
        payload = json.loads(output or "")["Payload"]
        return str(payload["line"])
    except (KeyError, TypeError, ValueError):
        return None
