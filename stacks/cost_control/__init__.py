"""Keeps a project within its budget: notifies, denies new resources, stops running ones, and undoes it all.

    Budgets --> SNS: signals --+
    alarm: Tripwire ---------- +--> Lambda: receive --> Step Functions: Guard --> IAM: deny policy
    schedule: every hour ------+       reads the cost        |               --> EC2, Auto Scaling, RDS: stop
                                                             +--> DynamoDB: record   --> SNS: notification
    schedule, or by hand --> Step Functions: Release --> undoes what the record shows

A message only causes a check: the cost is read from Budgets. Based on "Serverless Automated Cost Controls, Part 1",
AWS Compute Blog, 2017.
"""

import json
from typing import Any

from aws_cdk import (
    Duration,
    RemovalPolicy,
    Stack,
    aws_cloudwatch as cloudwatch,
    aws_dynamodb as dynamodb,
    aws_events as events,
    aws_events_targets as targets,
    aws_lambda as lambda_,
    aws_lambda_destinations as destinations,
    aws_sns_subscriptions as subscriptions,
    aws_stepfunctions as sfn,
)
from constructs import Construct

from settings.cost_control import CostControlSettings

from ..constructs.alarm_topic import AlarmTopic
from ..constructs.dead_letter_queue import DeadLetterQueue
from ..constructs.grants import grant
from ..constructs.lambda_code import lambda_asset
from ..constructs.outputs import add_outputs
from ..constructs.standard_function import StandardFunction
from ..constructs.standard_state_machine import StandardStateMachine
from . import definition
from .budget import ProjectBudget, SignalTopic
from .definition import TASK_TIMEOUT
from .deny_policy import DenyPolicy
from .permissions import Permissions


class CostControl(Stack):
    """The budget of one project, and what happens when its cost reaches a threshold."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: CostControlSettings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, description="Keeps a project within its budget", **kwargs)
        self.settings = settings
        self.topic = AlarmTopic(self, "Topic", display_name="Cost control", email=settings.email)
        self.signals = SignalTopic(self, "Signals", notifications=self.topic)
        self.dead_letters = DeadLetterQueue(self, "DeadLetters")
        self.budget = ProjectBudget(self, "Budget", settings=settings, signals=self.signals)
        self.policy = DenyPolicy(self, "DenyPolicy", exempt_principals=settings.exempt_principals)
        self.table = self._create_record_table()
        # CloudFormation cannot delete an attached policy. Then it must not have deleted the record either.
        self.policy.node.add_dependency(self.table)
        self.code = lambda_asset("cost_control", shared=["mail_text"], options=json.dumps(self._options(), indent=1))
        self.permissions = Permissions(self, settings, self.policy)
        notify = self._create_notify()
        self.release = self._create_release(notify)
        self.guard = self._create_guard(notify)
        receiver, check = self._create_receiver()
        self._add_alarms(receiver)
        self._add_outputs(receiver, check)

    def _create_record_table(self) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            "RecordTable",
            partition_key=dynamodb.Attribute(name="period", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="item", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            # It is the only way back.
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute="expires_at",
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _options(self) -> dict[str, Any]:
        names = ("project", "tag", "exempt_tag", "mode", "groups", "roles", "exempt_principals")
        options = self.settings.model_dump(include={*names, "stop_instances", "stop_databases"})
        return options | {"thresholds": [threshold.model_dump() for threshold in self.settings.thresholds]}

    def _create_function(self, name: str, handler: str, description: str, **options: Any) -> StandardFunction:
        return StandardFunction(
            self,
            name,
            code=self.code,
            handler=f"cost_control.handlers.{handler}.handler",
            description=description,
            timeout_seconds=TASK_TIMEOUT,
            **options,
        )

    def _grant_table(self, function: StandardFunction, *actions: str) -> None:
        grant(function, [f"dynamodb:{action}" for action in actions], self.table.table_arn)
        function.add_environment("RECORD_TABLE", self.table.table_name)

    def _grant_budget(self, function: StandardFunction) -> None:
        arn = self.format_arn(service="budgets", region="", resource="budget", resource_name=self.budget.budget_name)
        grant(function, ["budgets:ViewBudget"], arn)
        function.add_environment("BUDGET_NAME", self.budget.budget_name)

    def _create_notify(self) -> StandardFunction:
        function = self._create_function("Notify", "notify", "Publishes what a check or a release has done")
        function.add_environment("TOPIC_ARN", self.topic.topic_arn)
        self.topic.grant_publishing(function.execution_role)
        self._grant_table(function, "PutItem")
        return function

    def _create_guard(self, notify: StandardFunction) -> sfn.StateMachine:
        decide = self._create_function("Decide", "decide", "Reads the cost from Budgets, and plans what has to be done")
        self._grant_budget(decide)
        self._grant_table(decide, "GetItem", "Query")
        self.permissions.grant_read(decide)
        record = self._create_function("Record", "record", "Writes what is planned, and what was done")
        self._grant_table(record, "PutItem", "UpdateItem")
        deny = self._create_function("Deny", "deny", "Attaches the deny policy to groups and roles")
        stop = self._create_function("Stop", "stop", "Stops instances and databases, and scales groups to zero")
        if self.settings.mode == "enforce":
            self.permissions.grant_deny(deny)
            self.permissions.grant_stop(stop)
        for function in (decide, deny):
            function.add_environment("DENY_POLICY_ARN", self.policy.managed_policy_arn)
            function.add_environment("STACK_NAME", self.stack_name)
        functions = {"Decide": decide, "Record": record, "Deny": deny, "Stop": stop, "Notify": notify}
        return self._create_state_machine(
            "Guard",
            definition.guard(),
            functions,
            substitutions={"Release": self.release.state_machine_arn},
        )

    def _create_release(self, notify: StandardFunction) -> sfn.StateMachine:
        undo = self._create_function("Undo", "release", "Undoes what the record shows")
        undo.add_environment("DENY_POLICY_ARN", self.policy.managed_policy_arn)
        self._grant_table(undo, "PutItem", "Query", "Scan", "UpdateItem")
        self.permissions.grant_release(undo)
        state_machine = self._create_state_machine("Release", definition.release(), {"Undo": undo, "Notify": notify})
        if self.settings.release == "monthly":
            events.Rule(
                self,
                "MonthlyRelease",
                # Every day, so that what could not be undone on the first day is tried again.
                description="Undoes the actions of earlier months",
                schedule=events.Schedule.cron(minute="10", hour="0"),
                targets=[targets.SfnStateMachine(state_machine, dead_letter_queue=self.dead_letters, retry_attempts=3)],
            )
        return state_machine

    def _create_state_machine(
        self,
        name: str,
        states: dict[str, Any],
        functions: dict[str, StandardFunction],
        substitutions: dict[str, str] | None = None,
    ) -> sfn.StateMachine:
        return StandardStateMachine(
            self,
            name,
            definition=states,
            function_arns={key: function.function_arn for key, function in functions.items()},
            substitutions=substitutions,
            log_execution_data=True,
        )

    def _create_receiver(self) -> tuple[StandardFunction, events.Rule]:
        """Create the function that a message, an alarm or the schedule invokes, and the schedule."""
        function = self._create_function(
            "Receiver",
            "receive",
            "Reads the cost from AWS Budgets, and starts the state machine if it has reached a threshold",
            environment={"GUARD_ARN": self.guard.state_machine_arn},
            retry_attempts=2,
            on_failure=destinations.SqsDestination(self.dead_letters),
        )
        self._grant_budget(function)
        self._grant_table(function, "GetItem", "PutItem")
        grant(function, ["states:StartExecution"], self.guard.state_machine_arn)
        self.signals.add_subscription(subscriptions.LambdaSubscription(function, dead_letter_queue=self.dead_letters))
        check = events.Rule(
            self,
            "Check",
            description="Checks the budget every hour, in case a message was lost or resources were started since",
            schedule=events.Schedule.rate(Duration.hours(1)),
            targets=[targets.LambdaFunction(function, dead_letter_queue=self.dead_letters, retry_attempts=3)],
        )
        return function, check

    def _add_alarms(self, receiver: lambda_.Function) -> None:
        period = Duration.minutes(5)
        alarms = {
            "Errors": (receiver.metric_errors(period=period), "The budget could not be checked"),
            "GuardAborted": (
                self.guard.metric_aborted(period=period),
                "Somebody stopped a check before it was complete",
            ),
            "GuardFailed": (self.guard.metric_failed(period=period), "A function of Guard failed; see its execution"),
            "GuardTimedOut": (self.guard.metric_timed_out(period=period), "A check ended before it was complete"),
            "ReleaseFailed": (self.release.metric_failed(period=period), "An action could not be undone"),
            "ReleaseTimedOut": (self.release.metric_timed_out(period=period), "A release ended before it was complete"),
            "DeadLetters": (
                self.dead_letters.metric_messages(),
                "Events could not be processed; they are in the dead-letter queue",
            ),
        }
        for name, (metric, description) in alarms.items():
            self.topic.add_alarm(name, metric, description)
        self.topic.add_alarm(
            "NoCheck",
            # Not the rule's, which counts calls of any target, also of a function that is throttled.
            receiver.metric_invocations(period=Duration.hours(1)),
            "No hourly check ran: the rule or the function is disabled, changed or deleted",
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            evaluation_periods=3,  # because the schedule is not aligned with them
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
        )
        if self.settings.tripwire is not None:
            tripwire = self.signals.add_tripwire(self.settings.tripwire, self.topic)
            add_outputs(self, {"TripwireAlarmName": (tripwire.alarm_name, "Alarm on the account's estimated charges")})

    def _add_outputs(self, receiver: StandardFunction, check: events.Rule) -> None:
        outputs = {
            "BudgetName": (self.budget.budget_name, "The project's budget"),
            "TopicArn": (self.topic.topic_arn, "Notifications and alarms"),
            "SignalTopicArn": (self.signals.topic_arn, "Messages of Budgets and of the tripwire, which cause a check"),
            "ReceiverName": (receiver.function_name, "Function that checks the budget"),
            "CheckRuleName": (check.rule_name, "EventBridge rule for the hourly check"),
            "GuardArn": (self.guard.state_machine_arn, "State machine that denies and stops"),
            "ReleaseArn": (self.release.state_machine_arn, "State machine that undoes actions; start it without input"),
            "DenyPolicyArn": (self.policy.managed_policy_arn, "Policy that denies starting anything new"),
            "RecordTableName": (self.table.table_name, "Actions, and how to undo them"),
            "DeadLetterQueueUrl": (self.dead_letters.queue_url, "Events that could not be processed"),
            "Mode": (self.settings.mode, "report or enforce"),
        }
        for name, values in {"Groups": self.settings.groups, "Roles": self.settings.roles}.items():
            if values:
                outputs[name] = (",".join(values), f"{name} that are denied permission to start anything new")
        add_outputs(self, outputs)
