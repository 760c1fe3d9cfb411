"""An encrypted topic for notifications and alarms."""

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
from constructs import Construct

from .acknowledgments import ONE_KEY, acknowledge_wildcards

AT_LEAST_THRESHOLD = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
NOT_BREACHING = cloudwatch.TreatMissingData.NOT_BREACHING


class AlarmTopic(sns.Topic):
    """A topic for alarms, encrypted with a customer managed key; `email` is subscribed to it."""

    def __init__(self, scope: Construct, construct_id: str, *, display_name: str, email: str | None) -> None:
        self.alarm_scope = stack = Stack.of(scope)
        self.alarm_prefix = stack.node.id
        self.key = kms.Key(
            scope,
            f"{construct_id}Key",
            description=f"Notifications of {self.alarm_prefix}",
            enable_key_rotation=True,
            pending_window=Duration.days(7),
            removal_policy=RemovalPolicy.DESTROY,
        )
        super().__init__(scope, construct_id, display_name=display_name, master_key=self.key, enforce_ssl=True)
        # Alarms need both statements. They cannot use the AWS managed key for SNS, and a custom topic policy must
        # allow them to publish.
        self.key.add_to_resource_policy(_allow_alarms(stack, ["kms:Decrypt", "kms:GenerateDataKey*"], "*"))
        self.add_to_resource_policy(_allow_alarms(stack, ["sns:Publish"], self.topic_arn))
        self.alarm_action = actions.SnsAction(self)
        if email:
            self.add_subscription(subscriptions.EmailSubscription(email))

    def grant_publishing(self, role: iam.Role) -> None:
        """Allow a role to publish, and to use the key for that."""
        self.grant_publish(role)
        acknowledge_wildcards(role, {"Action::kms:GenerateDataKey*": ONE_KEY})

    def add_alarm(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        description: str,
        *,
        threshold: float = 1,
        comparison_operator: cloudwatch.ComparisonOperator = AT_LEAST_THRESHOLD,
        evaluation_periods: int = 1,
        treat_missing_data: cloudwatch.TreatMissingData = NOT_BREACHING,
    ) -> cloudwatch.Alarm:
        """Create an alarm that compares `metric` with the threshold and notifies the topic."""
        alarm = cloudwatch.Alarm(
            self.alarm_scope,
            f"{name}Alarm",
            metric=metric,
            alarm_description=f"{self.alarm_prefix}: {description}.",
            threshold=threshold,
            evaluation_periods=evaluation_periods,
            comparison_operator=comparison_operator,
            treat_missing_data=treat_missing_data,
        )
        alarm.add_alarm_action(self.alarm_action)
        # Also waits for the topic's policy and subscription; otherwise an early alarm's notification would be lost.
        alarm.node.add_dependency(self)
        return alarm


def _allow_alarms(stack: Stack, allowed_actions: list[str], resource: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
        actions=allowed_actions,
        resources=[resource],
        conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
    )
