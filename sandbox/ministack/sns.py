"""SNS: topics, and delivery to subscriptions."""

from .names import Replaceable, need

topics = need("services.sns._topics", "policies of topics")
publish_to_subscriptions = need("services.sns._fanout", "notifications of alarms", "topic_arn msg_id message subject")
deliver_to_queue = Replaceable(
    "services.sns._deliver_to_sqs",
    "permissions of topics",
    "endpoint envelope raw raw_message message_group_id message_dedup_id message_attributes topic_arn",
)
deliver_to_function = Replaceable(
    "services.sns._deliver_to_lambda",
    "permissions of topics",
    "endpoint envelope topic_arn sub_arn msg_id raw_message message_attributes",
)
