"""Stops the hosts on a schedule: EventBridge Scheduler calls EC2 directly."""

import json

from aws_cdk import (
    ArnFormat,
    Stack,
    aws_iam as iam,
    aws_scheduler as scheduler,
)
from constructs import Construct

from ..constructs.alarm_topic import AlarmTopic
from ..constructs.dead_letter_queue import DeadLetterQueue
from ..constructs.grants import grant
from .host import Hosts


class StopOnSchedule(Construct):
    """A schedule that stops the hosts, and an alarm for failed stops."""

    def __init__(self, scope: Construct, construct_id: str, *, schedule: str, email: str | None, hosts: Hosts) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        ids = [instance.ref for instance in hosts.instances]
        dead_letters = DeadLetterQueue(self, "DeadLetters")
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
        grant(role, ["ec2:StopInstances"], *instances)
        dead_letters.grant_send_messages(role)
        schedule_resource = scheduler.CfnSchedule(
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
        schedule_resource.node.add_dependency(role)
        topic = AlarmTopic(stack, "Topic", display_name="Analytics hosts", email=email)
        topic.add_alarm("DeadLetters", dead_letters.metric_messages(), "The hosts could not be stopped")
