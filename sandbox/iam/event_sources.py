"""Permissions for deliveries that MiniStack makes without asking for any: notifications of S3, event source mappings.

Not implemented, and therefore disabled: event source mappings of streams, subscription filters of logs, and
integrations of API Gateway with services other than Lambda. MiniStack's other services that act with a role, such as
pipes, are only for administrators.
"""

from collections.abc import Callable
from typing import Any

from ..ministack import apigateway, cloudwatch, lambda_functions, s3
from . import implied
from .authorization import is_allowed
from .services import deliver, source

Function = Callable[..., Any]
QUEUE_ACTIONS = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")


def install() -> None:
    """Check permissions before deliveries."""
    for delivery in s3.deliver_notification.values():
        delivery.extend(_deliver_notification)
    lambda_functions.event_source_concurrency.extend(_concurrency)
    for poller in lambda_functions.stream_pollers:
        poller.replace(lambda: False)
    cloudwatch.deliver_logs.replace(lambda *_: None)
    apigateway.parse_service_integration.replace(lambda _: None)


def _deliver_notification(
    deliver_to: Function, arn: str, event: dict[str, Any], *arguments: Any, **options: Any
) -> None:
    bucket = event["Records"][0]["s3"]["bucket"]["name"] if "Records" in event else event["Bucket"]
    if deliver("s3.amazonaws.com", arn, source(f"arn:aws:s3:::{bucket}"), f"a notification of {bucket}"):
        deliver_to(arn, event, *arguments, **options)


def _concurrency(concurrency: Function, mapping: dict[str, Any], function: Any, configuration: Any, queue: Any) -> int:
    """Return the number of batches that may be read from a queue: none without the permissions of the function."""
    arn, role = mapping["EventSourceArn"], configuration["Role"]
    cause = f"the event source mapping of {mapping['FunctionName']}"
    keys = [(p.action, p.resource, p.context) for p in implied.queue_key(arn, (implied.DECRYPT,))]
    needed = [*((action, arn, {}) for action in QUEUE_ACTIONS), *keys]
    if not all(is_allowed(role, action, resource, context, cause) for action, resource, context in needed):
        return 0
    return int(concurrency(mapping, function, configuration, queue))
