"""Unapproved changes to security groups are undone at once, and someone is told.

    CloudTrail record of an EC2 call --> EventBridge rule --+
                                                            +--> Lambda --> EC2: revert
    schedule (sweep) --------------> EventBridge rule ------+          +--> SNS: notification
                                                                       +--> DynamoDB: state
    CloudTrail record of a call on the guard itself --> EventBridge rule --> SNS

Events that cannot be delivered or handled land in a dead-letter queue; alarms go to the
same topic as the notices. Idea: "How to Automatically Revert and Receive Notifications
About Changes to Your Amazon VPC Security Groups", AWS Security Blog, 2017.
"""

import json
from typing import Any

from aws_cdk import (
    ArnFormat,
    CfnOutput,
    CfnTag,
    Duration,
    RemovalPolicy,
    Stack,
    aws_cloudwatch as cloudwatch,
    aws_cloudwatch_actions as actions,
    aws_dynamodb as dynamodb,
    aws_ec2 as ec2,
    aws_events as events,
    aws_events_targets as targets,
    aws_iam as iam,
    aws_lambda as lambda_,
    aws_lambda_destinations as destinations,
    aws_logs as logs,
    aws_sns as sns,
    aws_sqs as sqs,
)
from constructs import Construct

from settings.security_group_revert import (
    ALL_EGRESS,
    ALL_EGRESS_IPV6,
    ApprovedRule,
    GuardedGroup,
    SecurityGroupRevertSettings,
)

from ..constructs.acknowledgments import acknowledge, acknowledge_wildcards
from ..constructs.dead_letters import dead_letter_queue
from ..constructs.lambda_code import code_of
from ..constructs.notices import alarm, notices_topic
from .tampering import report_tampering
from .trail import Trail

INGRESS_EVENTS = [
    "AuthorizeSecurityGroupIngress",
    "ModifySecurityGroupRules",
    "RevokeSecurityGroupIngress",
    "UpdateSecurityGroupRuleDescriptionsIngress",
]
EGRESS_EVENTS = [
    "AuthorizeSecurityGroupEgress",
    "RevokeSecurityGroupEgress",
    "UpdateSecurityGroupRuleDescriptionsEgress",
]
# Calls that change whom the rules apply to: entries of a prefix list, groups of an interface.
EXPOSURE_EVENTS = [
    "CreateNetworkInterface",
    "ModifyInstanceAttribute",
    "ModifyManagedPrefixList",
    "ModifyNetworkInterfaceAttribute",
    "RestoreManagedPrefixListVersion",
    "RunInstances",
]
GROUPS_PER_STATEMENT = 60  # with seven actions, at most 5,700 of the 6,144 characters of a managed policy
WEB_SERVER = "Web Server"
WEB_SERVER_INGRESS = (
    ApprovedRule(
        ip_protocol="tcp", from_port=443, to_port=443, cidr_ipv4="0.0.0.0/0", description="HTTPS from anywhere"
    ),
)


class SecurityGroupRevert(Stack):
    """The guard of the security groups given in `settings`, and the post's sample group."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: SecurityGroupRevertSettings, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, description="Reverts unapproved security group changes", **kwargs)
        self.settings = settings
        self.web_server = self._web_server() if settings.sample_group else None
        topic = notices_topic(self, "Security group changes", settings.email)
        dead_letters = dead_letter_queue(self)
        table = self._state_table()
        function = self._function(topic, dead_letters, table)
        changes, sweep = self._rules(function, dead_letters)
        report_tampering(topic, dead_letters, rules=[changes, sweep], function=function, table=table)
        self._alarms(function, dead_letters, topic, sweep)
        self._outputs(topic, function, dead_letters, table, changes, sweep)
        if settings.create_trail:  # without a trail EventBridge gets no management events
            Trail(self, "Trail")

    def _web_server(self) -> ec2.CfnSecurityGroup:
        """The post's group. The L1 construct, since the L2 needs a VPC, and that a lookup."""
        group = ec2.CfnSecurityGroup(
            self,
            "WebServer",
            group_description="Web Server: HTTPS only, guarded by SecurityGroupRevert",
            vpc_id=self.settings.vpc_id,
            security_group_ingress=[_cfn_rule(rule) for rule in WEB_SERVER_INGRESS],
            tags=[CfnTag(key="Name", value=WEB_SERVER)],
        )
        acknowledge(group, {"AwsSolutions-EC23": "A web server is open to the internet on HTTPS; that is the sample."})
        return group

    def _state_table(self) -> dynamodb.Table:
        """How often each change was reverted, and what was reported last; without it, counting starts again."""
        table = dynamodb.Table(
            self,
            "State",
            partition_key=dynamodb.Attribute(name="group_id", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="finding", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expires_at",
            removal_policy=RemovalPolicy.DESTROY,
        )
        acknowledge(table, {"AwsSolutions-DDB3": "Its items expire after days, and the guard works without them."})
        return table

    def _function(self, topic: sns.Topic, dead_letters: sqs.Queue, table: dynamodb.Table) -> lambda_.Function:
        log_group = logs.LogGroup(
            self, "Log", retention=logs.RetentionDays.ONE_YEAR, removal_policy=RemovalPolicy.DESTROY
        )
        environment = {
            "TOPIC_ARN": topic.topic_arn,
            "MODE": self.settings.mode,
            "RESTORE": str(self.settings.restore).lower(),
            "STATE_TABLE": table.table_name,
            "MAX_REVERTS": str(self.settings.max_reverts),
            "REVERT_WINDOW_HOURS": str(self.settings.revert_window_hours),
        }
        if self.web_server:
            environment["WEB_SERVER_GROUP_ID"] = self.web_server.attr_group_id
        # The approved rules go into the asset: the environment's 4 KB would not hold them.
        with code_of("security_group_revert", approved=json.dumps(self._approved(), indent=1)) as code:
            return lambda_.Function(
                self,
                "Function",
                description="Reverts unapproved security group changes",
                runtime=lambda_.Runtime.PYTHON_3_14,
                architecture=lambda_.Architecture.ARM_64,
                handler="security_group_revert.handler.handler",
                code=code,
                role=self._role(log_group, topic, table),
                memory_size=512,
                timeout=Duration.minutes(5),  # for a sweep of as many groups as the settings accept
                log_group=log_group,
                environment=environment,
                retry_attempts=2,
                on_failure=destinations.SqsDestination(dead_letters),
            )

    def _role(self, log_group: logs.LogGroup, topic: sns.Topic, table: dynamodb.Table) -> iam.Role:
        """May change the guarded groups only."""
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        topic.grant_publish(role)
        group_ids = [group.group_id for group in self.settings.groups]
        if self.web_server:
            group_ids.append(self.web_server.attr_group_id)
        groups = [self._ec2_arn("security-group", group_id) for group_id in group_ids]
        statements = [
            # Neither has resource-level permissions.
            iam.PolicyStatement(
                actions=["ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups"], resources=["*"]
            ),
            iam.PolicyStatement(
                actions=["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Query"], resources=[table.table_arn]
            ),
        ]
        if self.settings.mode == "revert":
            statements.append(iam.PolicyStatement(actions=["dynamodb:UpdateItem"], resources=[table.table_arn]))
            # In parts, because aws-cdk-lib moves whole statements into managed policies when a role has too many.
            for start in range(0, len(groups), GROUPS_PER_STATEMENT):
                part = groups[start : start + GROUPS_PER_STATEMENT]
                statements.append(iam.PolicyStatement(actions=self._changing_actions(), resources=part))
        if self.settings.mode == "revert" and self.settings.restore:
            # EC2 authorizes the rule and the prefix list that it refers to as well as the group, and the ids of
            # rules to come are not known; the group, above, is what limits it.
            resources = [self._ec2_arn("security-group-rule", "*")]
            if any("PrefixListId" in rule for group in self._approved() for rule in _all_rules(group)):
                resources.append(self._ec2_arn("prefix-list", "*", account="*"))
            statements.append(iam.PolicyStatement(actions=["ec2:ModifySecurityGroupRules"], resources=resources))
        for statement in statements:
            role.add_to_policy(statement)
        self._acknowledge_wildcards(role)
        return role

    def _changing_actions(self) -> list[str]:
        directions = ["Ingress", "Egress"] if self.settings.egress else ["Ingress"]
        changes = [f"ec2:RevokeSecurityGroup{direction}" for direction in directions]
        if self.settings.restore:
            changes.append("ec2:ModifySecurityGroupRules")
            for direction in directions:
                changes.append(f"ec2:AuthorizeSecurityGroup{direction}")
                changes.append(f"ec2:UpdateSecurityGroupRuleDescriptions{direction}")
        return changes

    def _acknowledge_wildcards(self, role: iam.Role) -> None:
        rules = "arn:<AWS::Partition>:ec2:<AWS::Region>:<AWS::AccountId>:security-group-rule/*"
        prefix_lists = "arn:<AWS::Partition>:ec2:<AWS::Region>:*:prefix-list/*"
        reasons = {
            "Resource::*": "EC2's Describe calls have no resource-level permissions.",
            f"Resource::{rules}": "EC2 asks for the rule as well as its group; rule ids are not known beforehand.",
            f"Resource::{prefix_lists}": "Prefix lists belong to AWS or to other accounts, too; the group limits it.",
            "Action::kms:GenerateDataKey*": "KMS names this family of calls with a suffix; the resource is one key.",
        }
        acknowledge_wildcards(role, reasons)

    def _ec2_arn(self, resource: str, name: str, account: str | None = None) -> str:
        return self.format_arn(
            service="ec2",
            account=account,
            resource=resource,
            resource_name=name,
            arn_format=ArnFormat.SLASH_RESOURCE_NAME,
        )

    def _rules(self, function: lambda_.Function, dead_letters: sqs.Queue) -> tuple[events.Rule, events.Rule]:
        target = targets.LambdaFunction(function, dead_letter_queue=dead_letters, retry_attempts=3)
        assert function.role
        issuer = ["userIdentity", "sessionContext", "sessionIssuer", "arn"]
        changes = events.Rule(
            self,
            "Changes",
            description="Calls that change security group rules or whom they apply to, except the function's own",
            event_pattern=events.EventPattern(
                source=["aws.ec2"],
                detail_type=["AWS API Call via CloudTrail"],
                detail={
                    "eventSource": ["ec2.amazonaws.com"],
                    "eventName": INGRESS_EVENTS + (EGRESS_EVENTS if self.settings.egress else []) + EXPOSURE_EVENTS,
                    "errorCode": [{"exists": False}],
                    # Users and the root have no session issuer, and anything-but wants a value.
                    "$or": [
                        _nested(issuer, [{"exists": False}]),
                        _nested(issuer, [{"anything-but": [function.role.role_arn]}]),
                    ],
                },
            ),
            targets=[target],
        )
        sweep = events.Rule(
            self,
            "Sweep",
            description="Checks every guarded group for changes without an event",
            schedule=events.Schedule.rate(Duration.minutes(self.settings.sweep_minutes)),
            targets=[target],
        )
        return changes, sweep

    def _alarms(
        self, function: lambda_.Function, dead_letters: sqs.Queue, topic: sns.Topic, sweep: events.Rule
    ) -> None:
        five_minutes = Duration.minutes(5)
        sweep_period = Duration.minutes(max(5, self.settings.sweep_minutes))
        not_reverted, suspended = (
            cloudwatch.Metric(
                namespace="SecurityGroupRevert", metric_name=name, statistic="Maximum", period=sweep_period
            )
            for name in ("NotReverted", "RevertsSuspended")
        )
        alarms = {
            "Errors": (function.metric_errors(period=five_minutes), "The function failed"),
            "Throttles": (function.metric_throttles(period=five_minutes), "The function was throttled"),
            "DeadLetters": (
                dead_letters.metric_approximate_number_of_messages_visible(period=five_minutes),
                "Events could not be handled; they are kept in the dead-letter queue",
            ),
            "NotReverted": (
                not_reverted,
                "Unapproved rules are in place, approved ones are missing, or a group does not exist: see the log",
            ),
            "RevertsSuspended": (
                suspended,
                "The same change came back after max_reverts reverts and is left in place: see the log",
            ),
        }
        for name, (metric, description) in alarms.items():
            alarm(topic, name, metric, description)
        self._sweep_alarm(topic, sweep, sweep_period)

    def _sweep_alarm(self, topic: sns.Topic, sweep: events.Rule, period: Duration) -> None:
        """Three periods, because the schedule and the periods do not begin together."""
        no_sweep = cloudwatch.Alarm(
            self,
            "NoSweepAlarm",
            metric=cloudwatch.Metric(
                namespace="AWS/Events",
                metric_name="Invocations",
                dimensions_map={"RuleName": sweep.rule_name},
                statistic="Sum",
                period=period,
            ),
            alarm_description=f"{self.node.id}: No sweep ran: the rule is disabled, changed or deleted.",
            threshold=1,
            evaluation_periods=3,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
        )
        no_sweep.add_alarm_action(actions.SnsAction(topic))
        no_sweep.node.add_dependency(topic)  # with its policy: missing data is an alarm from the beginning

    def _outputs(
        self,
        topic: sns.Topic,
        function: lambda_.Function,
        dead_letters: sqs.Queue,
        table: dynamodb.Table,
        changes: events.Rule,
        sweep: events.Rule,
    ) -> None:
        outputs = {
            "TopicArn": (topic.topic_arn, "Notifications and alarms"),
            "FunctionName": (function.function_name, "The function that reverts"),
            "DeadLetterQueueUrl": (dead_letters.queue_url, "Events that could not be handled"),
            "StateTableName": (table.table_name, "How often each change was reverted"),
            "ChangesRuleName": (changes.rule_name, "EventBridge rule on CloudTrail records"),
            "SweepRuleName": (sweep.rule_name, "EventBridge rule of the scheduled sweep"),
        }
        if self.web_server:
            outputs["WebServerGroupId"] = (self.web_server.attr_group_id, "The sample group")
        for name, (value, description) in outputs.items():
            CfnOutput(self, name, value=value, description=description)

    def _approved(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = []
        if self.web_server:
            groups.append(
                {"group_id_variable": "WEB_SERVER_GROUP_ID", "name": WEB_SERVER}
                | self._approved_rules(WEB_SERVER_INGRESS, ALL_EGRESS)
                | self._tolerated(None)
            )
        for group in self.settings.groups:
            groups.append(
                {"group_id": group.group_id, "name": group.name}
                | self._approved_rules(group.ingress, group.egress)
                | self._tolerated(group)
            )
        return groups

    def _tolerated(self, group: GuardedGroup | None) -> dict[str, Any]:
        """Without `egress` in the settings, the rule that EC2 adds only in VPCs with IPv6 may exist or not."""
        by_default = self.settings.egress and (group is None or "egress" not in group.model_fields_set)
        return {"tolerated_egress": [rule.as_api() for rule in ALL_EGRESS_IPV6] if by_default else []}

    def _approved_rules(self, ingress: tuple[ApprovedRule, ...], egress: tuple[ApprovedRule, ...]) -> dict[str, Any]:
        return {
            "ingress": [rule.as_api() for rule in ingress],
            "egress": [rule.as_api() for rule in egress] if self.settings.egress else None,
        }


def _cfn_rule(rule: ApprovedRule) -> ec2.CfnSecurityGroup.IngressProperty:
    return ec2.CfnSecurityGroup.IngressProperty(
        ip_protocol=rule.ip_protocol,
        from_port=rule.from_port,
        to_port=rule.to_port,
        cidr_ip=rule.cidr_ipv4,
        description=rule.description,
    )


def _all_rules(group: dict[str, Any]) -> list[dict[str, Any]]:
    return [*group["ingress"], *(group["egress"] or [])]


def _nested(path: list[str], leaf: Any) -> Any:
    """Wrap `leaf` in one object for each name of `path`."""
    for name in reversed(path):
        leaf = {name: leaf}
    return leaf
