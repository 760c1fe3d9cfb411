"""The text of an alarm's email; other subscribers get JSON. CloudWatch sends both in one message."""

from typing import Any
from urllib.parse import quote

from ..ministack.requests import get_region

STATISTIC = ("ExtendedStatistic", "Statistic")


def text_of(message: dict[str, Any], time: str) -> str:
    """Return the email for the JSON message of an alarm.

    time: of the change, such as ``Monday 02 March, 2026 07:05:00 UTC``.
    """
    name, state, reason = message["AlarmName"], message["NewStateValue"], message["NewStateReason"]
    console = f"https://{get_region()}.console.aws.amazon.com/cloudwatch/deeplink.js?region={get_region()}"
    details = {
        "Name": name,
        "Description": message["AlarmDescription"] or "",
        "State Change": f"{message['OldStateValue']} -> {state}",
        "Reason for State Change": reason,
        "Timestamp": time,
        "AWS Account": message["AWSAccountId"],
        "Alarm Arn": message["AlarmArn"],
    }
    actions = {"OK": "OKActions", "ALARM": "AlarmActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}
    return "\n\n".join(
        [
            f'You are receiving this email because your Amazon CloudWatch Alarm "{name}" in the {message["Region"]} '
            f'region has entered the {state} state, because "{reason}" at "{time}".',
            f"View this alarm in the AWS Management Console:\n{console}#alarmsV2:alarm/{quote(name)}",
            _section("Alarm Details", details),
            *_metric(message.get("Trigger")),
            _section(
                "State Change Actions",
                {s: f"[{', '.join(message[key])}]" if message[key] else "" for s, key in actions.items()},
            ),
        ]
    )


def _metric(trigger: dict[str, Any] | None) -> list[str]:
    """Return the sections about the threshold and the metric; composite alarms have neither."""
    if trigger is None:
        return []
    condition = (
        f"- The alarm is in the ALARM state when the metric is {trigger['ComparisonOperator']} {trigger['Threshold']} "
        f"for at least {trigger['DatapointsToAlarm']} of the last {trigger['EvaluationPeriods']} period(s) of "
        f"{trigger['Period']} seconds."
    )
    metric = {
        "MetricNamespace": trigger["Namespace"],
        "MetricName": trigger["MetricName"],
        "Dimensions": ", ".join(f"[{d['name']} = {d['value']}]" for d in trigger["Dimensions"]),
        "Period": f"{trigger['Period']} seconds",
        "Statistic": next(trigger[key] for key in STATISTIC if key in trigger).capitalize(),
        "Unit": trigger["Unit"] or "not specified",
        "TreatMissingData": trigger["TreatMissingData"],
    }
    return [f"Threshold:\n{condition}", _section("Monitored Metric", metric)]


def _section(title: str, fields: dict[str, str]) -> str:
    width = max(map(len, fields)) + 5
    return "\n".join([f"{title}:", *(f"- {f'{name}:':<{width}}{value}".rstrip() for name, value in fields.items())])
