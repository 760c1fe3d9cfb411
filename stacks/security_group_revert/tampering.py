"""Reports changes to the guard itself directly, because its function may be what was changed."""

from aws_cdk import (
    Stack,
    aws_dynamodb as dynamodb,
    aws_events as events,
    aws_events_targets as targets,
)

from ..constructs.alarm_topic import AlarmTopic
from ..constructs.dead_letter_queue import DeadLetterQueue
from ..constructs.standard_function import StandardFunction

TRAIL_EVENTS = ["DeleteTrail", "PutEventSelectors", "StopLogging", "UpdateTrail"]
# Without its log group the function publishes no metrics. Lambda's CreateLogStream names the group too.
LOG_GROUP_EVENTS = ["DeleteLogGroup"]


def report_tampering(
    topic: AlarmTopic,
    dead_letters: DeadLetterQueue,
    *,
    rules: list[events.Rule],
    function: StandardFunction,
    table: dynamodb.Table,
) -> None:
    """Report to `topic` every call that stops a trail, or changes one of these resources or the topic itself.

    CloudFormation's calls, which are deployments, are left out. The rule cannot report that it was
    disabled itself.
    """
    rule_names = [rule.rule_name for rule in rules]
    # Names of alarms and log groups start with the stack's. Listing them would exceed the quota of a pattern's size.
    stack_names = [{"prefix": f"{Stack.of(topic).stack_name}-"}]
    guard_resources = {
        "name": rule_names,
        "rule": rule_names,
        # The record has the name as the caller wrote it: Lambda accepts full and partial ARNs, also with a version.
        "functionName": [{"wildcard": f"*{function.function_name}*"}],
        "alarmName": stack_names,
        "alarmNames": stack_names,
        "keyId": [topic.key.key_id, topic.key.key_arn],
        "resourceArn": [topic.topic_arn],
        "subscriptionArn": [{"prefix": topic.topic_arn}],
        "tableName": [table.table_name, table.table_arn],
        "topicArn": [topic.topic_arn],
    }
    rule = events.Rule(
        Stack.of(topic),
        "Tampering",
        description="Calls that stop a trail, or change the rules, the function, the topic, the table or the alarms",
        event_pattern=events.EventPattern(
            detail_type=["AWS API Call via CloudTrail"],
            detail={
                "errorCode": [{"exists": False}],
                "managementEvent": [True],  # not the guard's writes to its table, which trails with data events have
                "readOnly": [False],
                "sourceIPAddress": [{"anything-but": ["cloudformation.amazonaws.com"]}],
                "$or": [
                    {"eventSource": ["cloudtrail.amazonaws.com"], "eventName": TRAIL_EVENTS},
                    {"eventName": LOG_GROUP_EVENTS, "requestParameters": {"logGroupName": stack_names}},
                    *({"requestParameters": {parameter: values}} for parameter, values in guard_resources.items()),
                ],
            },
        ),
    )
    message = events.RuleTargetInput.from_text(_text())
    # The target allows EventBridge the topic and its key, without conditions: SNS supports neither
    # aws:SourceAccount nor aws:SourceArn here (SNS developer guide, key management).
    rule.add_target(targets.SnsTopic(topic, message=message, dead_letter_queue=dead_letters))


def _text() -> str:
    """Use only what the caller cannot choose: names of sessions and user agents can contain links."""
    field = events.EventField.from_path
    identity = "$.detail.userIdentity"
    return (
        f"{field('$.detail.eventName')} changed a trail or the guard of security groups in {field('$.region')}, "
        f"account {field('$.account')}, at {field('$.detail.eventTime')}. Caller: {field(f'{identity}.type')}, "
        f"access key {field(f'{identity}.accessKeyId')}. CloudTrail event {field('$.detail.eventID')} has the rest. "
        "Check that the trail logs and that security groups are still guarded."
    )
