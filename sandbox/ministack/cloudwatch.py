"""CloudWatch: metrics and alarms."""

from .names import Replaceable, need

metrics = need("services.cloudwatch._metrics", "data points by namespace, name and dimensions")
alarms = need("services.cloudwatch._alarms", "evaluating alarms")
store_datum = need(
    "services.cloudwatch._store_datum",
    "metrics of services",
    "namespace name dims ts unit value values counts stat_values",
)
dimensions_key = need("services.cloudwatch._dims_key", "metrics by their dimensions", "dims")
statistics_of = need("services.cloudwatch._calc_stats", "statistics", "points")
statistic = need("services.cloudwatch._stat_value", "statistics and percentiles", "stats stat_name points")
parse_timestamp = need("services.cloudwatch._parse_ts", "statistics", "value")
json_response = need("services.cloudwatch._json_ok", "statistics", "data")
record_history = need(
    "services.cloudwatch._record_history",
    "the history of alarms",
    "alarm_name old_state new_state reason alarm_type reason_data",
)
evaluate_parent_alarms = need("services.cloudwatch._evaluate_parent_alarms", "composite alarms", "child")
get_metric_data = Replaceable(
    "services.cloudwatch._get_metric_data", "dimensions and periods", "params cbor_data is_cbor is_json"
)
get_metric_statistics = Replaceable(
    "services.cloudwatch._get_metric_statistics", "dimensions and periods", "params cbor_data is_cbor is_json"
)
evaluate_alarm = Replaceable("services.cloudwatch._evaluate_alarm", "periodic evaluation of alarms", "alarm")
dispatch_alarm_actions = Replaceable(
    "services.cloudwatch._dispatch_alarm_actions",
    "messages, events and permissions of alarms",
    "alarm old_state new_state reason",
)
deliver_logs = Replaceable(
    "services.cloudwatch_logs._fanout_to_subscription_filters",
    "permissions of subscription filters",
    "group_name stream_name events",
)
