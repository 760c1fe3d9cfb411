"""Log lines of a check, and its metrics.

Metrics are printed in the embedded metric format, because Lambda's JSON log format wraps only the output of
`logging`: CloudWatch would not find metrics inside a "message". Source: CloudWatch user guide, embedded metric
format specification; Lambda developer guide, log formats.
"""

import json
import logging
import time
from dataclasses import asdict

from .report import Report
from .revert import Action

METRIC_NAMESPACE = "SecurityGroupRevert"
# Metric names.
NOT_REVERTED, REVERTS_SUSPENDED, MISSED_EVENTS = "NotReverted", "RevertsSuspended", "MissedEvents"
SECONDS_TO_REVERT = "SecondsToRevert"
MAX_LOGGED_RULES = 100  # per key
logger = logging.getLogger(__name__)


def emit_metrics(report: Report) -> None:
    """Print the metrics of a check.

    Without a "level" Lambda treats the line as INFO, so the function's application log level must not be higher.
    The ID of the request that caused the check shows that its event arrived, at any LOG_LEVEL.
    """
    values: dict[str, float] = {
        NOT_REVERTED: report.outcome.open_findings,
        REVERTS_SUSPENDED: len(report.outcome.suspended),
        MISSED_EVENTS: report.missed_events,
    }
    metrics = [{"Name": name, "Unit": "Count"} for name in values]
    if report.seconds_to_revert is not None:
        values[SECONDS_TO_REVERT] = report.seconds_to_revert
        metrics.append({"Name": SECONDS_TO_REVERT, "Unit": "Seconds"})
    directive = {"Namespace": METRIC_NAMESPACE, "Dimensions": [[]], "Metrics": metrics}
    metadata = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    properties = {"group_id": report.outcome.group.group_id}
    if report.change:
        properties["request_id"] = report.change.call.request_id
    print(json.dumps({"_aws": metadata, **values, **properties}))


def log_check(report: Report) -> None:
    """Log one line for the check and one for each action, so that no line exceeds the maximum size."""
    outcome, change = report.outcome, report.change
    group_id = outcome.group.group_id
    details: dict[str, object] = {
        "group_id": group_id,
        "group_name": outcome.group.name,
        "group_exists": outcome.group_exists,
        "action_count": len(outcome.actions),
    }
    for name, items in (("break_glass", report.permitted), ("break_glass_ended", report.ended)):
        if items:
            details[name] = [str(item) for item in items[:MAX_LOGGED_RULES]]
    if change:
        details["call"] = asdict(change.call)
        details["already_reverted"] = [str(rule) for rule in report.already_reverted[:MAX_LOGGED_RULES]]
        details["not_visible"] = [str(rule) for rule in report.not_visible[:MAX_LOGGED_RULES]]
    logger.log(logging.INFO if outcome.group_exists else logging.ERROR, "Checked %s", group_id, extra=details)
    for action in outcome.actions:
        level = logging.WARNING if action.is_unresolved else logging.INFO
        if action.status == "failed":
            level = logging.ERROR
        data = {"group_id": group_id} | _data(action)
        if change:
            data["named_in_event"] = report.is_named(action)
        logger.log(level, "%s: %s", action.action_type, action.status, extra=data)


def _data(action: Action) -> dict[str, object]:
    return {
        "action": action.action_type,
        "status": action.status,
        "rule": str(action.rule),
        "rule_id": action.rule_id or None,
        "previous_rule": str(action.previous) if action.previous else None,
        "reason": action.reason,
    }
