"""How dependencies are asked whether they are there: a DynamoDB table, a URL.

Imported only when the settings name one, for a cold start is a health checker's wait.
"""

import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPDefaultErrorHandler, HTTPErrorProcessor, HTTPHandler, HTTPSHandler

import boto3
from botocore.config import Config

from .health import Check

ITEM = "healthcheck"  # key of the item that is read; it need not exist
# Without the handler of redirects: where one leads, to this function's own runtime API for one, is
# not for a dependency to say. Made once, for certificates take long to load.
OPENER = urllib.request.OpenerDirector()
for each in (HTTPHandler, HTTPSHandler, HTTPErrorProcessor, HTTPDefaultErrorHandler):
    OPENER.add_handler(each())


def checks_of(settings: list[dict[str, Any]]) -> tuple[Check, ...]:
    """Make the checks that `settings.json` names, and the clients they need, once."""
    return tuple(Check(each["name"], each["seconds"], _ask(each)) for each in settings)


def _dynamodb(seconds: float) -> Any:
    """A client that gives up in time: a second try would find nobody waiting."""
    return boto3.client(
        "dynamodb", config=Config(connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 1})
    )


def _ask(check: Mapping[str, Any]) -> Callable[[], None]:
    if check["table"]:
        return partial(read_item, _dynamodb(check["seconds"]), check["table"], check["partition_key"])
    return partial(get, check["url"], check["seconds"])


def read_item(dynamodb: Any, table: str, partition_key: str) -> None:
    """Read an item of `table`; raises ClientError or BotoCoreError when that cannot be done.

    Reading is what the API would do with it; that the table exists (DescribeTable) says less.
    """
    dynamodb.get_item(TableName=table, Key={partition_key: {"S": ITEM}})


def get(url: str, seconds: float) -> None:
    """Get `url`.

    Raises:
        OSError: there is no answer, or (HTTPError) none with 2xx; a redirect is not followed.
        HTTPException: what comes is no answer of HTTP.
    """
    try:
        OPENER.open(url, timeout=seconds).close()
    except HTTPError as error:
        error.close()  # it is the answer, with a connection of its own
        raise
