"""CloudWatch: metrics of services, their statistics, and alarms.

A metric is identified by its namespace, name and exact dimensions. Time is accelerated: the minute in which AWS
evaluates alarms, and to which it rounds `StartTime`, takes a minute divided by the speed; see `statistics` and
`alarms`. Metrics are available immediately; on AWS, after one to three minutes. The modules of the services call
`record`, except for queues and health checks.

Not implemented: metric math, metric filters, anomaly detection, quotas, and the metrics of services that do not call
`record`.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable
from typing import Any

from ..ministack import cloudwatch, route53, sqs
from ..ministack.requests import request_scope
from ..process import ACCOUNT, REGION
from ..route53.health_checks import is_healthy
from . import alarms, statistics
from .statistics import record

__all__ = ["install", "record", "run"]
logger = logging.getLogger("cloudwatch")


def install(speed: float) -> None:
    """Replace the statistics and the evaluation of alarms."""
    statistics.install(speed)
    alarms.install()


async def run() -> None:
    """Each accelerated minute, measure queues and health checks and evaluate alarms, until cancelled.

    If it is late, it evaluates the missed minutes too.
    """
    end = time.time()
    while True:
        end += statistics.SECONDS["minute"]
        await asyncio.sleep(max(0, end - time.time()))
        _guard(_measure_queues)
        _guard(_measure_health_checks)
        for (account, region, _), alarm in cloudwatch.alarms.all_items():
            with request_scope(account, region):
                _guard(alarms.evaluate, alarm, end)


def _guard(task: Callable[..., None], *arguments: Any) -> None:
    """Run a task in a separate context; an error is logged, so that the others run."""
    try:
        contextvars.copy_context().run(task, *arguments)
    except Exception:
        logger.exception("%s failed for %s", task.__name__, arguments)


def _measure_queues() -> None:
    now = time.time()
    for (account, region, _), queue in sqs.queues.all_items():
        visible = sum(message.get("visible_at", 0) <= now for message in queue["messages"])
        values = {"ApproximateNumberOfMessagesVisible": visible}
        with request_scope(account, region):
            statistics.record("AWS/SQS", values, [{"QueueName": queue["name"]}])


def _measure_health_checks() -> None:
    """Route 53 sends its metrics to us-east-1."""
    with request_scope(ACCOUNT, REGION):
        for check_id in list(route53.health_checks):
            values = {"HealthCheckStatus": int(is_healthy(check_id))}
            statistics.record("AWS/Route53", values, [{"HealthCheckId": check_id}], unit="None")
