"""Reports changes to the stack's resources.

EventBridge publishes them directly, because the function itself may have been changed.
"""

from typing import Any

from aws_cdk import (
    Stack,
    aws_dynamodb as dynamodb,
    aws_events as events,
    aws_events_targets as targets,
    aws_iam as iam,
)

from ..constructs.acknowledgments import ONE_KEY, acknowledge_wildcards
from ..constructs.alarm_topic import AlarmTopic
from ..constructs.dead_letter_queue import DeadLetterQueue
from ..constructs.standard_function import StandardFunction

TRAIL_EVENTS = ["DeleteTrail", "PutEventSelectors", "StopLogging", "UpdateTrail"]
# Without its log group, or with a key that it cannot use, the function publishes no metrics. Lambda's CreateLogStream
# contains the group's name too.
LOG_GROUP_EVENTS = ["AssociateKmsKey", "DeleteLogGroup"]
# The bus's key encrypts its rules, which stop when the key is disabled.
EVENT_BUS_EVENTS = ["UpdateEventBus"]
# Of PutAccountPolicy: CloudWatch Logs can stop extracting metrics from the function's log.
METRICS_POLICY = ["METRIC_EXTRACTION_POLICY"]
# Of Cloud Control API. The calls that it then makes can look like CloudFormation's, which are excluded.
CLOUD_CONTROL_EVENTS = ["DeleteResource", "UpdateResource"]
# Calls with which any CloudFormation stack can change the policies of resources that this stack created.
ATTACHMENT_EVENTS = ["SetTopicAttributes", {"prefix": "AddPermission"}]


def report_tampering(
    topic: AlarmTopic,
    dead_letters: DeadLetterQueue,
    *,
    function: StandardFunction,
    table: dynamodb.Table,
) -> None:
    """Report calls that stop a trail, or change one of these resources or the topic, to `topic`.

    Calls by CloudFormation are deployments and are excluded, except those that change the policy of the topic or the
    function, the event bus, or the extraction of metrics from logs. Each of the two rules reports changes to the other.
    CloudTrail delivers them after seconds or minutes, so nobody is notified if both are disabled by then.
    """
    # Names of rules, alarms and log groups start with the stack name. Listing them would exceed the maximum size of a
    # pattern.
    stack_name = Stack.of(topic).stack_name
    stack_names = [{"prefix": f"{stack_name}-"}]
    # As the caller wrote it: Lambda accepts names, and full and partial ARNs with or without a version.
    functions = [{"wildcard": f"*{function.function_name}*"}]
    key_id = [{"suffix": topic.key.key_id}]  # an ARN ends in it
    watched_resources: dict[str, list[Any]] = {
        "name": stack_names,
        "rule": stack_names,
        "functionName": functions,
        "alarmName": stack_names,
        "alarmNames": stack_names,
        "identifier": [{"wildcard": f"*{stack_name}-*"}],  # of Cloud Control API: a name or an ARN
        "keyId": key_id,
        "resourceArn": [topic.topic_arn, table.table_arn],
        "subscriptionArn": [{"prefix": topic.topic_arn}],
        "tableName": [{"suffix": table.table_name}],  # an ARN ends in the name
        "topicArn": [topic.topic_arn],
    }
    by_others = [
        {"eventSource": ["cloudtrail.amazonaws.com"], "eventName": TRAIL_EVENTS},
        {"eventName": LOG_GROUP_EVENTS, "requestParameters": {"logGroupName": stack_names}},
        # An ARN, which AssociateKmsKey accepts instead of the name.
        {"requestParameters": {"resourceIdentifier": [{"wildcard": f"*:log-group:{stack_name}-*"}]}},
        *_parameters(watched_resources),
    ]
    not_by_stacks = {"sourceIPAddress": [{"anything-but": ["cloudformation.amazonaws.com"]}]}
    # Two rules, because one pattern would exceed the maximum size.
    tampering = _rule(
        topic,
        "Tampering",
        "Calls that stop a trail or change this stack's rules, function, topic, table or alarms",
        {**not_by_stacks, "$or": by_others},
    )
    other_rule = [tampering.rule_name]
    attachment = _rule(
        topic,
        "PolicyTampering",
        "Calls, even by CloudFormation, that change the other rule, metrics, or the policy of the topic or function",
        {
            "$or": [
                *_parameters({"functionName": functions, "topicArn": [topic.topic_arn]}, eventName=ATTACHMENT_EVENTS),
                *_parameters({"name": other_rule, "rule": other_rule}, **not_by_stacks),
                *_parameters({"typeName": ["AWS::CloudTrail::Trail"]}, eventName=CLOUD_CONTROL_EVENTS),
                *_parameters({"identifier": [{"wildcard": f"*{tampering.rule_name}*"}, *key_id]}),
                {"eventName": EVENT_BUS_EVENTS},
                # Lambda's PutResourcePolicy overwrites the permissions of EventBridge.
                *_parameters({"resourceArn": functions, "policyType": METRICS_POLICY}),
            ]
        },
    )
    message = events.RuleTargetInput.from_text(_text())
    role = _publisher(topic)
    for rule in (tampering, attachment):
        rule.add_target(targets.SnsTopic(topic, role=role, message=message, dead_letter_queue=dead_letters))


def _rule(topic: AlarmTopic, name: str, description: str, detail: dict[str, Any]) -> events.Rule:
    return events.Rule(
        Stack.of(topic),
        name,
        description=description,
        event_pattern=events.EventPattern(
            # Anyone with events:PutEvents can send other events, but not with a source that starts with aws.
            source=events.Match.prefix("aws."),
            detail_type=["AWS API Call via CloudTrail"],
            detail={
                "errorCode": [{"exists": False}],
                # Excludes the function's writes to its table, which trails can record as data events.
                "managementEvent": [True],
                "readOnly": [False],
                **detail,
            },
        ),
    )


def _parameters(values: dict[str, list[Any]], **fields: list[Any]) -> list[dict[str, Any]]:
    """Return one pattern for each parameter, which also requires `fields`."""
    return [{**fields, "requestParameters": {parameter: allowed}} for parameter, allowed in values.items()]


def _publisher(topic: AlarmTopic) -> iam.Role:
    """Create the role with which EventBridge publishes to the topic.

    Policies of the topic and its key would have to allow EventBridge for every account, because SNS supports neither
    aws:SourceAccount nor aws:SourceArn for it (SNS developer guide, key management).
    """
    role = iam.Role(
        Stack.of(topic),
        "TamperingRole",
        description="Lets EventBridge publish to the topic",
        assumed_by=iam.ServicePrincipal("events.amazonaws.com"),
    )
    acknowledge_wildcards(role, {"Action::kms:GenerateDataKey*": ONE_KEY})  # the target grants it
    return role


def _text() -> str:
    """Use only fields that the caller cannot choose: session names and user agents can contain links."""
    field = events.EventField.from_path
    identity = "$.detail.userIdentity"
    return (
        f"{field('$.detail.eventName')} changed a trail or a resource that guards security groups, "
        f"in {field('$.region')}, account {field('$.account')}, at {field('$.detail.eventTime')}. "
        f"Caller: {field(f'{identity}.type')}, access key {field(f'{identity}.accessKeyId')}. "
        f"See CloudTrail event {field('$.detail.eventID')}. "
        "Check that the trail is logging and that security groups are still guarded."
    )
