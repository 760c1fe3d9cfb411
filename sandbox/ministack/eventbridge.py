"""EventBridge: events, rules and targets."""

import json
from typing import Any

from .names import Replaceable, need

_put_events = need("services.eventbridge._put_events", "events of services", "data allow_aws_source")
matches_pattern = need("services.eventbridge._matches_pattern", "tests of event patterns", "pattern_str event")
invoke_target = Replaceable(
    "services.eventbridge._invoke_target", "retries, pipelines as targets", "target event rule view"
)
event_view = need("services.eventbridge._pattern_event_view", "dead-letter queues of rules", "event")
invoke_function = Replaceable("services.eventbridge._dispatch_to_lambda", "retries of function targets", "arn payload")
rate_seconds = Replaceable("services.eventbridge._parse_rate_seconds", "accelerated schedules", "expr")
scheduler_interval = Replaceable("services.eventbridge._SCHEDULER_TICK_INTERVAL", "accelerated schedules")


def put_event(source: str, detail_type: str, detail: dict[str, Any], *resources: str) -> None:
    """Send an event of an AWS service to the default event bus."""
    entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail), "Resources": list(resources)}
    _put_events({"Entries": [entry]}, allow_aws_source=True)
