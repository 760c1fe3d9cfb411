"""CloudWatch: alarms."""

from .names import Replaceable

dispatch_alarm_actions = Replaceable(
    "services.cloudwatch._dispatch_alarm_actions", "permissions of alarms", "alarm old_state new_state reason"
)
