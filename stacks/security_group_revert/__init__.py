"""Reverts unapproved changes to security groups, usually within seconds, and sends notifications.

    CloudTrail record of an EC2 call --> EventBridge rule --+
                                                            +--> Lambda --> EC2: revert
    schedule (sweep) --------------> EventBridge rule ------+          +--> SNS: notification, by email or chat
                                                                       +--> EventBridge: event of the check
                                                                       +--> DynamoDB: state
    CloudTrail record of a call that changes this stack --> EventBridge rule --> SNS

Events that cannot be delivered or processed go to a dead-letter queue; alarms go to the
same topic as the notifications. Based on "How to Automatically Revert and Receive Notifications
About Changes to Your Amazon VPC Security Groups", AWS Security Blog, 2017.
"""

import json
from typing import Any

from aws_cdk import (
    ArnFormat,
    CfnTag,
    Duration,
    RemovalPolicy,
    Stack,
    aws_cloudwatch as cloudwatch,
    aws_dynamodb as dynamodb,
    aws_ec2 as ec2,
    aws_events as events,
    aws_events_targets as targets,
    aws_lambda_destinations as destinations,
)
from constructs import Construct

from lambdas.security_group_revert.logs import (
    METRIC_NAMESPACE,
    MISSED_EVENTS,
    NOT_REVERTED,
    REVERTS_SUSPENDED,
    SECONDS_TO_REVERT,
)
from settings.security_group_revert import (
    ALL_EGRESS,
    ALL_EGRESS_IPV6,
    ApprovedRule,
    GuardedGroup,
    SecurityGroupRevertSettings,
)

from ..constructs.acknowledgments import acknowledge
from ..constructs.alarm_topic import AlarmTopic
from ..constructs.dead_letter_queue import DeadLetterQueue
from ..constructs.grants import grant
from ..constructs.lambda_code import lambda_asset
from ..constructs.outputs import add_outputs
from ..constructs.standard_function import StandardFunction
from .event_names import ACCESS_CHANGE_EVENTS, EGRESS_EVENTS, INGRESS_EVENTS
from .tampering import report_tampering
from .trail import Trail

GROUPS_PER_STATEMENT = 60  # with seven actions, at most 5,700 of the 6,144 characters of a managed policy
MAX_SECONDS_TO_REVERT = 300  # with CloudTrail's delivery, usually within seconds
SAMPLE_GROUP_NAME = "Web Server"
SAMPLE_INGRESS = (
    ApprovedRule(
        ip_protocol="tcp", from_port=443, to_port=443, cidr_ipv4="0.0.0.0/0", description="HTTPS from anywhere"
    ),
)


class SecurityGroupRevert(Stack):
    """Guards the security groups in `settings` and the sample group of the original post."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: SecurityGroupRevertSettings, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, description="Reverts unapproved security group changes", **kwargs)
        self.settings = settings
        self.sample_group = self._create_sample_group() if settings.sample_group else None
        topic = AlarmTopic(self, "Topic", display_name="Security group changes", email=settings.email)
        dead_letters = DeadLetterQueue(self, "DeadLetters")
        table = self._create_state_table()
        function = self._create_function(topic, dead_letters, table)
        self._grant_table(function, table)
        grant(function, ["events:PutEvents"], self._default_bus())
        self._grant_groups(function)
        changes, sweep = self._create_rules(function, dead_letters)
        report_tampering(topic, dead_letters, function=function, table=table)
        self._add_alarms(function, dead_letters, topic, sweep)
        self._add_outputs(topic, function, dead_letters, table, changes, sweep)
        if settings.create_trail:  # without a trail EventBridge receives no API calls
            Trail(self, "Trail")

    def _create_sample_group(self) -> ec2.CfnSecurityGroup:
        """Create the sample group with the L1 construct, because the L2 construct requires a VPC lookup."""
        group = ec2.CfnSecurityGroup(
            self,
            "SampleGroup",
            group_description="Web Server: HTTPS only, guarded by SecurityGroupRevert",
            vpc_id=self.settings.vpc_id,
            security_group_ingress=[_cfn_rule(rule) for rule in SAMPLE_INGRESS],
            tags=[CfnTag(key="Name", value=SAMPLE_GROUP_NAME)],
        )
        acknowledge(group, {"AwsSolutions-EC23": "The sample is a web server that is open to the internet on HTTPS."})
        return group

    def _create_state_table(self) -> dynamodb.Table:
        """Create the table of revert counts, last reports and break-glass changes."""
        table = dynamodb.Table(
            self,
            "State",
            partition_key=dynamodb.Attribute(name="group_id", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="finding", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expires_at",
            removal_policy=RemovalPolicy.DESTROY,
        )
        acknowledge(table, {"AwsSolutions-DDB3": "Items expire after days, and without them every change is reverted."})
        return table

    def _create_function(
        self, topic: AlarmTopic, dead_letters: DeadLetterQueue, table: dynamodb.Table
    ) -> StandardFunction:
        environment = {
            "TOPIC_ARN": topic.topic_arn,
            "MODE": self.settings.mode,
            "RESTORE": str(self.settings.restore).lower(),
            "STATE_TABLE": table.table_name,
            "MAX_REVERTS": str(self.settings.max_reverts),
            "REVERT_WINDOW_HOURS": str(self.settings.revert_window_hours),
            "BREAK_GLASS_PRINCIPALS": json.dumps(self.settings.break_glass_principals),
            "BREAK_GLASS_MINUTES": str(self.settings.break_glass_minutes),
            # Not Lambda's application log level: WARN would drop metric lines, which Lambda treats as INFO.
            "LOG_LEVEL": self.settings.log_level,
        }
        if self.sample_group:
            environment["SAMPLE_GROUP_ID"] = self.sample_group.attr_group_id
        # The approved rules are in the asset, because they can exceed the environment's 4 KB.
        function = StandardFunction(
            self,
            "Function",
            description="Reverts unapproved security group changes",
            handler="security_group_revert.handler.handler",
            code=lambda_asset(
                "security_group_revert", shared=["mail_text"], approved=json.dumps(self._approved(), indent=1)
            ),
            timeout_seconds=300,  # for a sweep of MAX_GROUPS
            environment=environment,
            retry_attempts=2,
            on_failure=destinations.SqsDestination(dead_letters),
        )
        topic.grant_publishing(function.execution_role)
        return function

    def _grant_table(self, function: StandardFunction, table: dynamodb.Table) -> None:
        actions = ["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"]
        grant(function, actions, table.table_arn)

    def _default_bus(self) -> str:
        return self.format_arn(
            service="events", resource="event-bus", resource_name="default", arn_format=ArnFormat.SLASH_RESOURCE_NAME
        )

    def _grant_groups(self, function: StandardFunction) -> None:
        """Grant read access to all groups, and write access to guarded groups only."""
        grant(
            function,
            [
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroupRules",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeVpcEndpoints",
            ],
            "*",
            wildcard_reason="EC2's Describe actions have no resource-level permissions.",
        )
        if self.settings.mode != "revert":
            return
        group_ids = [group.group_id for group in self.settings.groups]
        if self.sample_group:
            group_ids.append(self.sample_group.attr_group_id)
        groups = [self._ec2_arn("security-group", group_id) for group_id in group_ids]
        # In parts, because aws-cdk-lib moves whole statements into managed policies when a role has too many.
        for start in range(0, len(groups), GROUPS_PER_STATEMENT):
            grant(function, self._write_actions(), *groups[start : start + GROUPS_PER_STATEMENT])
        if self.settings.restore:
            self._grant_restored_rules(function)

    def _grant_restored_rules(self, function: StandardFunction) -> None:
        """Grant access to the rules that EC2 authorizes in addition to the group. The group still limits the action.

        EC2 also authorizes the prefix list of a rule, but the function modifies only rules with IP ranges.
        """
        grant(
            function,
            ["ec2:ModifySecurityGroupRules"],
            self._ec2_arn("security-group-rule", "*"),
            wildcard_reason="EC2 authorizes the rule as well as its group; rule IDs are not known in advance.",
        )

    def _write_actions(self) -> list[str]:
        directions = ["Ingress", "Egress"] if self.settings.guard_egress else ["Ingress"]
        actions = [f"ec2:RevokeSecurityGroup{direction}" for direction in directions]
        if self.settings.restore:
            actions.append("ec2:ModifySecurityGroupRules")
            for direction in directions:
                actions.append(f"ec2:AuthorizeSecurityGroup{direction}")
                actions.append(f"ec2:UpdateSecurityGroupRuleDescriptions{direction}")
        return actions

    def _ec2_arn(self, resource: str, name: str) -> str:
        return self.format_arn(
            service="ec2", resource=resource, resource_name=name, arn_format=ArnFormat.SLASH_RESOURCE_NAME
        )

    def _create_rules(
        self, function: StandardFunction, dead_letters: DeadLetterQueue
    ) -> tuple[events.Rule, events.Rule]:
        target = targets.LambdaFunction(function, dead_letter_queue=dead_letters, retry_attempts=3)
        issuer = ["userIdentity", "sessionContext", "sessionIssuer", "arn"]
        egress_events = EGRESS_EVENTS if self.settings.guard_egress else []
        changes = events.Rule(
            self,
            "Changes",
            description="Calls that change security group rules or what they apply to, except the function's",
            event_pattern=events.EventPattern(
                source=["aws.ec2"],
                detail_type=["AWS API Call via CloudTrail"],
                detail={
                    "eventSource": ["ec2.amazonaws.com"],
                    "eventName": INGRESS_EVENTS + egress_events + ACCESS_CHANGE_EVENTS,
                    "errorCode": [{"exists": False}],
                    # Users and the root user have no session issuer, and anything-but matches only existing fields.
                    "$or": [
                        _nested(issuer, [{"exists": False}]),
                        _nested(issuer, [{"anything-but": [function.execution_role.role_arn]}]),
                    ],
                },
            ),
            targets=[target],
        )
        sweep = events.Rule(
            self,
            "Sweep",
            description="Checks all guarded groups, in case an event was missed",
            schedule=events.Schedule.rate(Duration.minutes(self.settings.sweep_minutes)),
            targets=[target],
        )
        return changes, sweep

    def _add_alarms(
        self, function: StandardFunction, dead_letters: DeadLetterQueue, topic: AlarmTopic, sweep: events.Rule
    ) -> None:
        five_minutes = Duration.minutes(5)
        sweep_period = Duration.minutes(max(5, self.settings.sweep_minutes))
        not_reverted, suspended, missed_events, seconds = (
            cloudwatch.Metric(namespace=METRIC_NAMESPACE, metric_name=name, statistic="Maximum", period=sweep_period)
            for name in (NOT_REVERTED, REVERTS_SUSPENDED, MISSED_EVENTS, SECONDS_TO_REVERT)
        )
        alarms = {
            "Errors": (function.metric_errors(period=five_minutes), "The function failed"),
            "Throttles": (function.metric_throttles(period=five_minutes), "The function was throttled"),
            "DeadLetters": (
                dead_letters.metric_messages(),
                "Events could not be processed; they are in the dead-letter queue",
            ),
            "NotReverted": (
                not_reverted,
                "Unapproved rules exist, approved rules are missing, or a guarded group does not exist; see the log",
            ),
            "RevertsSuspended": (
                suspended,
                "A change recurred after max_reverts reverts and is left in place; see the log",
            ),
            "MissedEvents": (
                missed_events,
                "A sweep reverted a change whose event has not arrived; check the trail and the rule for API calls",
            ),
        }
        for name, (metric, description) in alarms.items():
            topic.add_alarm(name, metric, description)
        topic.add_alarm(
            "SlowRevert",
            seconds,
            f"A change was reverted more than {MAX_SECONDS_TO_REVERT} seconds after its call",
            threshold=MAX_SECONDS_TO_REVERT,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        )
        self._add_sweep_alarm(topic, sweep, sweep_period)

    def _add_sweep_alarm(self, topic: AlarmTopic, sweep: events.Rule, period: Duration) -> None:
        """Add an alarm for missing sweeps.

        It needs three periods, because the schedule is not aligned with the alarm's periods.
        """
        invocations = cloudwatch.Metric(
            namespace="AWS/Events",
            metric_name="Invocations",
            dimensions_map={"RuleName": sweep.rule_name},
            statistic="Sum",
            period=period,
        )
        topic.add_alarm(
            "NoSweep",
            invocations,
            "No sweep ran: the rule is disabled, changed or deleted",
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            evaluation_periods=3,
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
        )

    def _add_outputs(
        self,
        topic: AlarmTopic,
        function: StandardFunction,
        dead_letters: DeadLetterQueue,
        table: dynamodb.Table,
        changes: events.Rule,
        sweep: events.Rule,
    ) -> None:
        outputs = {
            "TopicArn": (topic.topic_arn, "Notifications and alarms"),
            "FunctionName": (function.function_name, "Function that reverts changes"),
            "LogGroupName": (function.log_group.log_group_name, "Log of the function"),
            "DeadLetterQueueUrl": (dead_letters.queue_url, "Events that could not be processed"),
            "StateTableName": (table.table_name, "Revert counts, last reports and break-glass changes"),
            "ChangesRuleName": (changes.rule_name, "EventBridge rule for API calls"),
            "SweepRuleName": (sweep.rule_name, "EventBridge rule for the scheduled sweep"),
        }
        if self.sample_group:
            outputs["SampleGroupId"] = (self.sample_group.attr_group_id, "Sample security group")
        add_outputs(self, outputs)

    def _approved(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = []
        if self.sample_group:
            groups.append(
                {"group_id_variable": "SAMPLE_GROUP_ID", "name": SAMPLE_GROUP_NAME}
                | self._approved_rules(SAMPLE_INGRESS, ALL_EGRESS)
                | self._optional_rules(None)
            )
        for group in self.settings.groups:
            groups.append(
                {"group_id": group.group_id, "name": group.name}
                | self._approved_rules(group.ingress, group.egress)
                | self._optional_rules(group)
            )
        return groups

    def _optional_rules(self, group: GuardedGroup | None) -> dict[str, Any]:
        """Return the egress rule that EC2 adds only in VPCs with IPv6, or none if the settings define egress rules."""
        default_egress = self.settings.guard_egress and (group is None or "egress" not in group.model_fields_set)
        return {"optional_egress": [rule.as_api() for rule in ALL_EGRESS_IPV6] if default_egress else []}

    def _approved_rules(self, ingress: tuple[ApprovedRule, ...], egress: tuple[ApprovedRule, ...]) -> dict[str, Any]:
        return {
            "ingress": [rule.as_api() for rule in ingress],
            "egress": [rule.as_api() for rule in egress] if self.settings.guard_egress else None,
        }


def _cfn_rule(rule: ApprovedRule) -> ec2.CfnSecurityGroup.IngressProperty:
    return ec2.CfnSecurityGroup.IngressProperty(
        ip_protocol=rule.ip_protocol,
        from_port=rule.from_port,
        to_port=rule.to_port,
        cidr_ip=rule.cidr_ipv4,
        description=rule.description,
    )


def _nested(path: list[str], leaf: Any) -> Any:
    """Nest `leaf` in one object per name of `path`."""
    for name in reversed(path):
        leaf = {name: leaf}
    return leaf
