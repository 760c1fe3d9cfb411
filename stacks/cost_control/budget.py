"""The budget, and the topic on which Budgets and the tripwire report."""

import hashlib
import json

from aws_cdk import (
    Duration,
    Stack,
    aws_budgets as budgets,
    aws_cloudwatch as cloudwatch,
    aws_cloudwatch_actions as actions,
    aws_iam as iam,
    aws_sns as sns,
)
from constructs import Construct

from settings.cost_control import CostControlSettings

from ..constructs.alarm_topic import AlarmTopic

BUDGETS = "budgets.amazonaws.com"


class SignalTopic(sns.Topic):
    """A topic to which only Budgets and the tripwire can publish, encrypted with the key of `notifications`.

    Source: Cost Management user guide, "Creating an Amazon SNS topic for budget notifications".
    """

    def __init__(self, scope: Construct, construct_id: str, *, notifications: AlarmTopic) -> None:
        super().__init__(
            scope, construct_id, display_name="Budget signals", master_key=notifications.key, enforce_ssl=True
        )
        stack = Stack.of(scope)
        self.add_to_resource_policy(_allow_budgets(stack, ["sns:Publish"], self.topic_arn))
        notifications.key.add_to_resource_policy(_allow_budgets(stack, ["kms:Decrypt", "kms:GenerateDataKey*"], "*"))

    def add_tripwire(self, amount: float, notifications: AlarmTopic) -> cloudwatch.Alarm:
        """Create an alarm on the estimated charges of the account, which exist only in us-east-1.

        It causes a check of the budget, and a notification, because the charges are those of all projects.
        """
        stack = Stack.of(self)
        self.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
            )
        )
        alarm = cloudwatch.Alarm(
            stack,
            "TripwireAlarm",
            metric=cloudwatch.Metric(
                namespace="AWS/Billing",
                metric_name="EstimatedCharges",
                dimensions_map={"Currency": "USD"},
                statistic="Maximum",
                period=Duration.hours(6),
            ),
            alarm_description=f"{stack.node.id}: The estimated charges of the account exceed {amount:g} USD.",
            threshold=amount,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.MISSING,
        )
        alarm.add_alarm_action(actions.SnsAction(self), actions.SnsAction(notifications))
        alarm.node.add_dependency(self, notifications)  # also their policies; an early notification would be lost
        return alarm


def _allow_budgets(stack: Stack, allowed: list[str], resource: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        principals=[iam.ServicePrincipal(BUDGETS)],
        actions=allowed,
        resources=[resource],
        conditions={
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {"aws:SourceArn": stack.format_arn(service="budgets", region="", resource="*")},
        },
    )


class ProjectBudget(budgets.CfnBudget):
    """A monthly budget for the resources with the project's tag, with a notification for each threshold.

    Its name depends on the thresholds, because CloudFormation replaces a budget whose notifications change, and a name
    cannot be used twice in an account. It has the Region, so that the stack can be deployed in several. Credits and
    refunds are not counted: they would hide what the project costs.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: CostControlSettings, signals: sns.Topic
    ) -> None:
        thresholds = [(threshold.kind, threshold.percent) for threshold in settings.thresholds]
        digest = hashlib.sha256(json.dumps(thresholds).encode()).hexdigest()[:8]
        stack = Stack.of(scope)
        self.budget_name = f"{stack.stack_name}-{stack.region}-{digest}"
        super().__init__(
            scope,
            construct_id,
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=self.budget_name,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=settings.amount, unit="USD"),
                # A user-defined tag: user:<key>$<value>
                cost_filters={"TagKeyValue": [f"user:{settings.tag}${settings.project}"]},
                cost_types=budgets.CfnBudget.CostTypesProperty(include_credit=False, include_refund=False),
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[
                        budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=signals.topic_arn)
                    ],
                )
                for kind, percent in thresholds
            ],
        )
        self.node.add_dependency(signals)  # also its policy: Budgets checks that it can publish
