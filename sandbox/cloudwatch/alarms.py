"""Alarms: periodic evaluation, actions, events and history.

At each accelerated minute, an alarm evaluates the last `EvaluationPeriods` periods, with the data that arrived in them,
because functions do not run faster and their data would be too old. It is in ALARM if at
least `DatapointsToAlarm` of them breach the threshold; `TreatMissingData` decides about periods without data. Topics
get AWS's message, whose text for `emails` differs, and the default event bus "CloudWatch Alarm State Change". Sources:
CloudWatch user guide, "Using Amazon CloudWatch alarms" and "Alarm events and EventBridge".

Not implemented: data of more periods than evaluated, which CloudWatch uses if some are missing; actions other than
topics; data of reasons; suppression of composite alarms.
"""

import json
import time
import uuid
from datetime import UTC, datetime
from functools import cache
from operator import ge, gt, le, lt
from typing import Any

import botocore.session

from ..ministack import cloudwatch, eventbridge, sns
from ..ministack.requests import get_account_id, get_region
from . import emails, statistics

COMPARISONS = {
    "GreaterThanOrEqualToThreshold": (ge, "greater than or equal to"),
    "GreaterThanThreshold": (gt, "greater than"),
    "LessThanOrEqualToThreshold": (le, "less than or equal to"),
    "LessThanThreshold": (lt, "less than"),
}
TREATED_AS = {"breaching": "Breaching", "notBreaching": "NonBreaching"}
ACTIONS = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}
_states: dict[str, dict[str, Any]] = {}  # by ARN of the alarm, as its last event reported it


def install() -> None:
    """Evaluate alarms only periodically, and replace what happens when their state changes."""
    cloudwatch.evaluate_alarm.replace(lambda _alarm: None)
    cloudwatch.dispatch_alarm_actions.replace(dispatch)


def evaluate(alarm: dict[str, Any], end: float) -> None:
    """Set the state of a metric alarm, and act on a change.

    end: the end of the last evaluated period.
    """
    values = _values(alarm, end)
    state = state_of(alarm, [value for _, value in values])
    old_state = alarm["StateValue"]
    if state in (None, old_state):
        return
    reason = _reason(alarm, state or "", values)
    alarm.update(StateValue=state, StateReason=reason)
    alarm["StateUpdatedTimestamp"] = alarm["StateTransitionedTimestamp"] = int(time.time())
    cloudwatch.record_history(alarm["AlarmName"], old_state, state, reason)
    cloudwatch.dispatch_alarm_actions(alarm, old_state, state, reason)
    cloudwatch.evaluate_parent_alarms(alarm)


def state_of(alarm: dict[str, Any], values: list[float | None]) -> str | None:
    """Return the state for the values of the evaluated periods, the newest first; None if it stays as it is."""
    compare, _ = COMPARISONS[alarm["ComparisonOperator"]]
    breaching = sum(value is not None and compare(value, alarm["Threshold"]) for value in values)
    missing = sum(value is None for value in values)
    treatment = alarm.get("TreatMissingData") or "missing"
    if missing == len(values) and treatment in ("missing", "ignore"):
        return "INSUFFICIENT_DATA" if treatment == "missing" else None
    breaching += missing if treatment == "breaching" else 0
    return "ALARM" if breaching >= _datapoints_to_alarm(alarm) else "OK"


def _datapoints_to_alarm(alarm: dict[str, Any]) -> int:
    return int(alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"])


def _values(alarm: dict[str, Any], end: float) -> list[tuple[float, float | None]]:
    """Return the start and the value of each evaluated period, the newest first.

    A function's data can be older than the accelerated period in which it arrived.
    """
    points = statistics.points_of(alarm["Namespace"], alarm["MetricName"], alarm.get("Dimensions") or [])
    seconds = alarm["Period"] / statistics.MINUTE * statistics.SECONDS["minute"]
    starts = [end - seconds * (number + 1) for number in range(alarm["EvaluationPeriods"])]
    statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
    arrived = [(point.get("Arrived", point["Timestamp"]), point) for point in points]
    return [
        (start, statistics.value_of([p for at, p in arrived if start < at <= start + seconds], statistic))
        for start in starts
    ]


def _reason(alarm: dict[str, Any], state: str, values: list[tuple[float, float | None]]) -> str:
    found = [(start, value) for start, value in values if value is not None]
    missing, total = len(values) - len(found), len(values)
    if state == "INSUFFICIENT_DATA":
        return f"Insufficient Data: {missing} datapoint{'s were' if missing > 1 else ' was'} unknown."
    if not found:
        treated = TREATED_AS[alarm["TreatMissingData"]]
        periods, datapoints = ("period", "datapoint was") if total == 1 else ("periods", "datapoints were")
        return (
            f"Threshold Crossed: no datapoints were received for {total} {periods} and {total} missing {datapoints} "
            f"treated as [{treated}]."
        )
    compare, words = COMPARISONS[alarm["ComparisonOperator"]]
    wanted = [(s, v) for s, v in found if compare(v, alarm["Threshold"]) == (state == "ALARM")] or found
    listed = ", ".join(f"{value} ({datetime.fromtimestamp(s, UTC):%d/%m/%y %H:%M:%S})" for s, value in wanted)
    verb = "was" if len(wanted) == 1 else "were"
    minimum = _datapoints_to_alarm(alarm)
    transition = "OK -> ALARM" if state == "ALARM" else "ALARM -> OK"
    return (
        f"Threshold Crossed: {len(wanted)} out of the last {total} datapoints [{listed}] {verb} "
        f"{'' if state == 'ALARM' else 'not '}{words} the threshold ({alarm['Threshold']}) (minimum {minimum} "
        f"datapoint{'s' if minimum > 1 else ''} for {transition} transition)."
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def dispatch(alarm: dict[str, Any], old_state: str, new_state: str, reason: str) -> None:
    """Send the event of a changed state, and notify the topics of the alarm."""
    _send_event(alarm, old_state, new_state, reason)
    content = _message(alarm, old_state, new_state, reason)
    email = emails.text_of(content, f"{datetime.now(UTC):%A %d %B, %Y %H:%M:%S} UTC")
    message = json.dumps({"default": json.dumps(content), "email": email})
    subject = f'{new_state}: "{alarm["AlarmName"]}" in {_region_name(get_region())}'[:100]
    for action in alarm.get(ACTIONS[new_state]) or [] if alarm.get("ActionsEnabled", True) else []:
        if action.split(":")[2] == "sns":
            sns.fan_out(action, str(uuid.uuid4()), message, subject, "json")


def _message(alarm: dict[str, Any], old_state: str, new_state: str, reason: str) -> dict[str, Any]:
    now = time.time()
    content = {
        "AlarmName": alarm["AlarmName"],
        "AlarmDescription": alarm.get("AlarmDescription") or None,
        "AWSAccountId": get_account_id(),
        "AlarmConfigurationUpdatedTimestamp": _time(alarm.get("AlarmConfigurationUpdatedTimestamp", now)),
        "NewStateValue": new_state,
        "NewStateReason": reason,
        "StateChangeTime": _time(now),
        "Region": _region_name(get_region()),
        "AlarmArn": alarm["AlarmArn"],
        "OldStateValue": old_state,
        **{key: alarm.get(key) or [] for key in ("OKActions", "AlarmActions", "InsufficientDataActions")},
    }
    if "AlarmRule" in alarm:
        return content | {"AlarmRule": alarm["AlarmRule"]}
    extended = alarm.get("ExtendedStatistic")
    trigger = {
        "MetricName": alarm["MetricName"],
        "Namespace": alarm["Namespace"],
        "StatisticType": "ExtendedStatistic" if extended else "Statistic",
        **({"ExtendedStatistic": extended} if extended else {"Statistic": alarm["Statistic"].upper()}),
        "Unit": alarm.get("Unit"),
        "Dimensions": [{"value": d["Value"], "name": d["Name"]} for d in alarm.get("Dimensions") or []],
        "Period": alarm["Period"],
        "EvaluationPeriods": alarm["EvaluationPeriods"],
        "DatapointsToAlarm": _datapoints_to_alarm(alarm),
        "ComparisonOperator": alarm["ComparisonOperator"],
        "Threshold": alarm["Threshold"],
        "TreatMissingData": alarm.get("TreatMissingData", "missing"),
        "EvaluateLowSampleCountPercentile": "",
    }
    return content | {"Trigger": trigger}


@cache
def _region_name(region: str) -> str:
    """Return the name of a Region that messages contain, such as "US East (N. Virginia)"."""
    (partition, *_) = botocore.session.get_session().get_data("endpoints")["partitions"]
    return str(partition["regions"].get(region, {}).get("description", region))


def _send_event(alarm: dict[str, Any], old_state: str, new_state: str, reason: str) -> None:
    state = {"value": new_state, "reason": reason, "timestamp": _time(time.time())}
    detail: dict[str, Any] = {
        "alarmName": alarm["AlarmName"],
        "state": state,
        "previousState": _states.get(alarm["AlarmArn"], {"value": old_state}),
        "configuration": {"description": alarm.get("AlarmDescription", "")},
    }
    if "MetricName" in alarm:
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in alarm.get("Dimensions") or []}
        metric = {"namespace": alarm["Namespace"], "name": alarm["MetricName"], "dimensions": dimensions}
        stat = {
            "metric": metric,
            "period": alarm["Period"],
            "stat": alarm.get("ExtendedStatistic") or alarm["Statistic"],
        }
        identifier = str(uuid.uuid5(uuid.NAMESPACE_URL, alarm["AlarmArn"]))
        detail["configuration"]["metrics"] = [{"id": identifier, "metricStat": stat, "returnData": True}]
    _states[alarm["AlarmArn"]] = state
    eventbridge.put_event("aws.cloudwatch", "CloudWatch Alarm State Change", detail, alarm["AlarmArn"])
