"""CloudWatch: metrics of services, their statistics, and alarms.

A metric is identified by its namespace, name and exact dimensions. Time is accelerated: the minute in which AWS
evaluates alarms, and to which it rounds `StartTime`, takes a minute divided by the speed; see `statistics` and
`alarms`. Metrics are available immediately; on AWS, after one to three minutes. `embedded_metrics` extracts those in
the logs of functions; `clock` measures queues and health checks. The modules of the other services call `record`.

Not implemented: metric math, metric filters, anomaly detection, quotas, and the metrics of services that do not call
`record`.
"""

from . import alarms, embedded_metrics, statistics
from .clock import run
from .statistics import record

__all__ = ["install", "record", "run"]


def install(speed: float) -> None:
    """Replace the statistics and the evaluation of alarms."""
    statistics.install(speed)
    alarms.install()
    embedded_metrics.install()
