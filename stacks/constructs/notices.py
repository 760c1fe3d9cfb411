"""Where notices and alarms go: an encrypted topic that CloudWatch may use."""

from aws_cdk import (
    Duration,
    RemovalPolicy,
    Stack,
    aws_cloudwatch as cloudwatch,
    aws_cloudwatch_actions as actions,
    aws_iam as iam,
    aws_kms as kms,
    aws_sns as sns,
    aws_sns_subscriptions as subscriptions,
)


def notices_topic(stack: Stack, display_name: str, email: str | None) -> sns.Topic:
    """Make the topic of a stack, for its functions and alarms; `email` gets what comes."""
    key = kms.Key(
        stack,
        "TopicKey",
        description=f"Notices of {stack.node.id}",
        enable_key_rotation=True,
        pending_window=Duration.days(7),
        removal_policy=RemovalPolicy.DESTROY,
    )
    topic = sns.Topic(stack, "Notices", display_name=display_name, master_key=key, enforce_ssl=True)
    # Alarms need both said: the AWS managed key of SNS would lock them out, and so does a
    # topic that has a policy of its own.
    for policy, allowed, resource in (
        (key.add_to_resource_policy, ["kms:Decrypt", "kms:GenerateDataKey*"], "*"),
        (topic.add_to_resource_policy, ["sns:Publish"], topic.topic_arn),
    ):
        policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=allowed,
                resources=[resource],
                conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
            )
        )
    if email:
        topic.add_subscription(subscriptions.EmailSubscription(email))
    return topic


def alarm(
    topic: sns.Topic, name: str, metric: cloudwatch.IMetric, description: str, *, below: bool = False
) -> cloudwatch.Alarm:
    """Tell `topic` when `metric` reaches 1, or with `below` when it falls under 1."""
    operator = cloudwatch.ComparisonOperator
    stack = Stack.of(topic)
    made = cloudwatch.Alarm(
        stack,
        f"{name}Alarm",
        metric=metric,
        alarm_description=f"{stack.node.id}: {description}.",
        threshold=1,
        evaluation_periods=1,
        comparison_operator=operator.LESS_THAN_THRESHOLD if below else operator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    made.add_alarm_action(actions.SnsAction(topic))
    made.node.add_dependency(topic)  # with its policy and subscriptions: an alarm that goes off at once would be lost
    return made
