"""Changes to a stack that watches others: reported directly, because its function may be what was changed."""

from aws_cdk import (
    Stack,
    aws_dynamodb as dynamodb,
    aws_events as events,
    aws_events_targets as targets,
    aws_lambda as lambda_,
    aws_sns as sns,
    aws_sqs as sqs,
)

TRAIL_EVENTS = ["DeleteTrail", "PutEventSelectors", "StopLogging", "UpdateTrail"]


def report_tampering(
    topic: sns.Topic,
    dead_letters: sqs.Queue,
    *,
    rules: list[events.Rule],
    function: lambda_.Function,
    table: dynamodb.Table,
) -> None:
    """Report to `topic` every call that stops a trail, or changes one of these resources or the topic itself.

    CloudFormation's own calls, which are deployments, are left out. The rule cannot report that it was
    disabled itself.
    """
    assert topic.master_key
    rule_names = [rule.rule_name for rule in rules]
    # As CloudFormation chooses them. All six names would exceed the quota of a pattern's size.
    alarm_names = [{"prefix": f"{Stack.of(topic).stack_name}-"}]
    own = {
        "name": rule_names,
        "rule": rule_names,
        # The record has the name as the caller wrote it: Lambda accepts whole and partial ARNs, also with a version.
        "functionName": [{"wildcard": f"*{function.function_name}*"}],
        "alarmName": alarm_names,
        "alarmNames": alarm_names,
        "keyId": [topic.master_key.key_id, topic.master_key.key_arn],
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
                "managementEvent": [True],  # without the guard's own writes, which trails of data events have
                "readOnly": [False],
                "sourceIPAddress": [{"anything-but": ["cloudformation.amazonaws.com"]}],
                "$or": [
                    {"eventSource": ["cloudtrail.amazonaws.com"], "eventName": TRAIL_EVENTS},
                    *({"requestParameters": {parameter: values}} for parameter, values in own.items()),
                ],
            },
        ),
    )
    message = events.RuleTargetInput.from_text(_text())
    # The target allows EventBridge the topic and its key, without conditions: SNS supports neither
    # aws:SourceAccount nor aws:SourceArn here (SNS developer guide, key management).
    rule.add_target(targets.SnsTopic(topic, message=message, dead_letter_queue=dead_letters))


def _text() -> str:
    """Only what the caller cannot choose: names of sessions and user agents can carry links."""
    field = events.EventField.from_path
    identity = "$.detail.userIdentity"
    return (
        f"{field('$.detail.eventName')} changed a trail or the guard of security groups in {field('$.region')}, "
        f"account {field('$.account')}, at {field('$.detail.eventTime')}. Caller: {field(f'{identity}.type')}, "
        f"access key {field(f'{identity}.accessKeyId')}. CloudTrail event {field('$.detail.eventID')} has the rest. "
        "Check that the trail logs and that security groups are still guarded."
    )
