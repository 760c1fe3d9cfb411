"""SNS: topics, and delivery to subscriptions."""

from .names import Replaceable, need

topics = need("services.sns._topics", "policies of topics")
find_topic = need("services.sns._topic_by_arn_any_scope", "messages to email addresses", "topic_arn")
confirm_subscription = need("services.sns._confirm_subscription", "confirmation of email subscriptions", "params")
subscribe = Replaceable("services.sns._subscribe", "confirmation of email subscriptions", "params")
fan_out = Replaceable(
    "services.sns._fanout",
    "messages to email addresses",
    "topic_arn msg_id message subject message_structure message_attributes message_group_id message_dedup_id",
)
message_for_protocol = need(
    "services.sns._resolve_message_for_protocol", "messages to email addresses", "message message_structure protocol"
)
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
publish = need("services.sns.publish_internal", "notifications of budgets", "topic_arn message subject")
