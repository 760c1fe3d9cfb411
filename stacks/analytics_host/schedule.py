"""The hosts stop at set times: EventBridge Scheduler calls EC2 itself, without a function."""

import json

from aws_cdk import (
    ArnFormat,
    Duration,
    Stack,
    aws_iam as iam,
    aws_scheduler as scheduler,
)
from constructs import Construct

from ..constructs.dead_letters import dead_letter_queue
from ..constructs.notices import alarm, notices_topic
from .host import Hosts


class StopOnSchedule(Construct):
    """A schedule that stops the hosts; what it could not do brings an alarm."""

    def __init__(self, scope: Construct, construct_id: str, *, schedule: str, email: str | None, hosts: Hosts) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        ids = [instance.ref for instance in hosts.instances]
        dead_letters = dead_letter_queue(self)
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": stack.account}}
            ),
        )
        instances = [
            stack.format_arn(
                service="ec2",
                resource="instance",
                resource_name=instance_id,
                arn_format=ArnFormat.SLASH_RESOURCE_NAME,
            )
            for instance_id in ids
        ]
        role.add_to_policy(iam.PolicyStatement(actions=["ec2:StopInstances"], resources=instances))
        dead_letters.grant_send_messages(role)
        made = scheduler.CfnSchedule(
            self,
            "Schedule",
            description="Stops the analytics hosts",
            schedule_expression=schedule,
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=f"arn:{stack.partition}:scheduler:::aws-sdk:ec2:stopInstances",
                role_arn=role.role_arn,
                input=json.dumps({"InstanceIds": ids}),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=dead_letters.queue_arn),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=3600, maximum_retry_attempts=10
                ),
            ),
        )
        made.node.add_dependency(role)
        topic = notices_topic(stack, "Analytics hosts", email)
        alarm(
            topic,
            "DeadLetters",
            dead_letters.metric_approximate_number_of_messages_visible(period=Duration.minutes(5)),
            "The hosts could not be stopped",
        )
