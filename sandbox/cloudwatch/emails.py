"""The text of an alarm's email; other subscribers get JSON. CloudWatch sends both in one message."""

from typing import Any
from urllib.parse import quote

from ..ministack.requests import get_region

ALARM = """\
You are receiving this email because your Amazon CloudWatch Alarm "{AlarmName}" in the {Region} region has entered the \
{NewStateValue} state, because "{NewStateReason}" at "{time}".

View this alarm in the AWS Management Console:
https://{region}.console.aws.amazon.com/cloudwatch/deeplink.js?region={region}#alarmsV2:alarm/{path}

Alarm Details:
- Name:                       {AlarmName}
- Description:                {AlarmDescription}
- State Change:               {OldStateValue} -> {NewStateValue}
- Reason for State Change:    {NewStateReason}
- Timestamp:                  {time}
- AWS Account:                {AWSAccountId}
- Alarm Arn:                  {AlarmArn}
"""
METRIC = """
Threshold:
- The alarm is in the ALARM state when the metric is {ComparisonOperator} {Threshold} for at least {DatapointsToAlarm} \
of the last {EvaluationPeriods} period(s) of {Period} seconds.

Monitored Metric:
- MetricNamespace:     {Namespace}
- MetricName:          {MetricName}
- Dimensions:          {dimensions}
- Period:              {Period} seconds
- Statistic:           {statistic}
- Unit:                {unit}
- TreatMissingData:    {TreatMissingData}
"""
ACTIONS = """
State Change Actions:
- OK: {OKActions}
- ALARM: {AlarmActions}
- INSUFFICIENT_DATA: {InsufficientDataActions}
"""


def text_of(message: dict[str, Any], time: str) -> str:
    """Return the email for the JSON message of an alarm. Composite alarms have no threshold and metric.

    time: of the change, such as ``Monday 02 March, 2026 07:05:00 UTC``.
    """
    lists = {key: f"[{', '.join(value)}]" for key, value in message.items() if key.endswith("Actions")}
    fields = message | lists | {"AlarmDescription": message["AlarmDescription"] or ""}
    text = ALARM.format(**fields, time=time, region=get_region(), path=quote(message["AlarmName"]))
    if trigger := message.get("Trigger"):
        dimensions = ", ".join(f"[{d['name']} = {d['value']}]" for d in trigger["Dimensions"])
        statistic = trigger.get("ExtendedStatistic") or trigger["Statistic"].capitalize()
        unit = trigger["Unit"] or "not specified"
        text += METRIC.format(**trigger, dimensions=dimensions, statistic=statistic, unit=unit)
    return text + ACTIONS.format(**fields)
