"""Checks of dependencies: a DynamoDB table or a URL.

Imported only if the settings name a dependency, because health checkers wait for a cold start.
"""

import urllib.request
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import HTTPDefaultErrorHandler, HTTPErrorProcessor, HTTPHandler, HTTPSHandler

from .handler_settings import DependencySettings
from .health import DependencyCheck

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

ITEM = "healthcheck"  # key of the item that is read; it need not exist
# No redirect handler: a dependency must not redirect requests, for example to the Lambda runtime API.
# Created once, because loading certificates is slow.
OPENER = urllib.request.OpenerDirector()
for handler_class in (HTTPHandler, HTTPSHandler, HTTPErrorProcessor, HTTPDefaultErrorHandler):
    OPENER.add_handler(handler_class())


def load_dependencies(settings: list[DependencySettings]) -> tuple[DependencyCheck, ...]:
    """Create the checks in `settings.json` and the clients they need."""
    return tuple(DependencyCheck(item["name"], item["timeout_seconds"], _check(item)) for item in settings)


def _check(dependency: DependencySettings) -> Callable[[], None]:
    timeout = dependency["timeout_seconds"]
    if "table" in dependency:
        return partial(read_item, _dynamodb(timeout), dependency["table"], dependency["partition_key"])
    return partial(get_url, dependency["url"], timeout)


def _dynamodb(timeout: float) -> "DynamoDBClient":
    """Create a client without retries, because a health checker would not wait for a second attempt.

    Imports boto3 here, because that takes much longer than the rest of the cold start, and URLs do not need it.
    """
    import boto3
    from botocore.config import Config

    client: DynamoDBClient = boto3.client(
        "dynamodb", config=Config(connect_timeout=timeout, read_timeout=timeout, retries={"total_max_attempts": 1})
    )
    return client


def read_item(dynamodb: "DynamoDBClient", table: str, partition_key: str) -> None:
    """Read an item of `table`; raises ClientError or BotoCoreError if that fails.

    The API would read the table too, so this proves more than DescribeTable does.
    """
    dynamodb.get_item(TableName=table, Key={partition_key: {"S": ITEM}})


def get_url(url: str, timeout: float) -> None:
    """Send a GET request to `url`, with `timeout` in seconds.

    Raises:
        OSError: there is no response, or its status is not 2xx (HTTPError). Redirects are not followed.
        HTTPException: the response is not valid HTTP.
    """
    try:
        OPENER.open(url, timeout=timeout).close()
    except HTTPError as error:
        error.close()  # the error is the response, which holds a connection
        raise
