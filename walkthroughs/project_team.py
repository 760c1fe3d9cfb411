"""A group, a user and a role of a project, with the original post's policy, and what they start."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from botocore.exceptions import ClientError

from .walkthrough import PreconditionError, Target

GROUP, ROLE, USER = "projectBeta", "projectBetaDeployer", "projectBetaUser"
SCALING_GROUP = LAUNCH_TEMPLATE = "projectBetaWeb"
IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"  # public SSM parameter
FULL_ACCESS = "arn:aws:iam::aws:policy/AmazonEC2FullAccess"


class ProjectTeam:
    """Creates the group, user and role; `cleanup` deletes them and all that they have started."""

    policies = (FULL_ACCESS,)

    def __init__(self, target: Target, cleanup: ExitStack) -> None:
        if target.session_with is None:
            raise PreconditionError("the target has no sessions with other credentials")
        self.target, self.cleanup, self.session_with = target, cleanup, target.session_with
        self.iam, self.admin_ec2 = target.client("iam"), target.client("ec2")
        self.autoscaling = target.client("autoscaling")
        self.image = target.client("ssm").get_parameter(Name=IMAGE)["Parameter"]["Value"]
        self._create_group()
        self.ec2 = self._create_user()
        self._create_role()

    def _create_group(self) -> None:
        self.iam.create_group(GroupName=GROUP)
        self.cleanup.callback(self._delete_group)
        self.iam.attach_group_policy(GroupName=GROUP, PolicyArn=FULL_ACCESS)

    def _delete_group(self) -> None:
        for policy in self.group_policies():
            self.iam.detach_group_policy(GroupName=GROUP, PolicyArn=policy)
        self.iam.delete_group(GroupName=GROUP)

    def _create_user(self) -> Any:
        self.iam.create_user(UserName=USER)
        self.cleanup.callback(self.iam.delete_user, UserName=USER)
        self.iam.add_user_to_group(GroupName=GROUP, UserName=USER)
        self.cleanup.callback(self.iam.remove_user_from_group, GroupName=GROUP, UserName=USER)
        key = self.iam.create_access_key(UserName=USER)["AccessKey"]
        self.cleanup.callback(self.iam.delete_access_key, UserName=USER, AccessKeyId=key["AccessKeyId"])
        ec2 = self.session_with(key["AccessKeyId"], key["SecretAccessKey"], None).client("ec2")
        self.target.wait_until(lambda: self._is_usable(ec2), "an access key that works")
        return ec2

    def _create_role(self) -> None:
        # Not the account, all of whose principals that may assume any role would then have full access to EC2.
        caller = self.target.client("sts").get_caller_identity()["Arn"]
        statement = {"Effect": "Allow", "Principal": {"AWS": caller}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=document)
        self.cleanup.callback(self._delete_role)
        self.iam.attach_role_policy(RoleName=ROLE, PolicyArn=FULL_ACCESS)
        self.role_arn = self.iam.get_role(RoleName=ROLE)["Role"]["Arn"]

    def _delete_role(self) -> None:
        attached = self.iam.list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"]
        for policy in attached:
            self.iam.detach_role_policy(RoleName=ROLE, PolicyArn=policy["PolicyArn"])
        self.iam.delete_role(RoleName=ROLE)

    def role_ec2(self) -> Any:
        """Return a client with the role's credentials."""
        credentials = self.target.client("sts").assume_role(RoleArn=self.role_arn, RoleSessionName="walkthrough")
        values = credentials["Credentials"]
        session = self.session_with(values["AccessKeyId"], values["SecretAccessKey"], values["SessionToken"])
        return session.client("ec2")

    @staticmethod
    def _is_usable(ec2: Any) -> bool:
        try:
            ec2.describe_instances(MaxResults=5)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("AuthFailure", "UnauthorizedOperation"):
                raise
            return False
        return True

    def run_instance(self, tags: Mapping[str, str], **options: Any) -> str:
        """Start an instance as the user; `cleanup` terminates it."""
        instance_id = self._run(self.ec2, tags, **options)
        self.cleanup.callback(self._terminate, instance_id)
        return instance_id

    def run_and_terminate(self, ec2: Any = None) -> None:
        """Start an instance as the user, or with another client, and terminate it."""
        self._terminate(self._run(ec2 or self.ec2, {}))

    def _run(self, ec2: Any, tags: Mapping[str, str], **options: Any) -> str:
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        specification = {"TagSpecifications": [{"ResourceType": "instance", "Tags": pairs}]} if pairs else {}
        response = ec2.run_instances(
            ImageId=self.image, InstanceType="t3.micro", MinCount=1, MaxCount=1, **specification, **options
        )
        return str(response["Instances"][0]["InstanceId"])

    def _terminate(self, instance_id: str) -> None:
        self.admin_ec2.terminate_instances(InstanceIds=[instance_id])

    def create_scaling_group(self, tags: Mapping[str, str], **sizes: int) -> None:
        """Create an Auto Scaling group with tags; `cleanup` deletes it and its instances."""
        self.admin_ec2.create_launch_template(
            LaunchTemplateName=LAUNCH_TEMPLATE, LaunchTemplateData={"ImageId": self.image, "InstanceType": "t3.micro"}
        )
        self.cleanup.callback(self.admin_ec2.delete_launch_template, LaunchTemplateName=LAUNCH_TEMPLATE)
        zone = self.admin_ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=SCALING_GROUP,
            LaunchTemplate={"LaunchTemplateName": LAUNCH_TEMPLATE},
            AvailabilityZones=[zone],
            Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in tags.items()],
            **sizes,
        )
        self.cleanup.callback(
            self.autoscaling.delete_auto_scaling_group, AutoScalingGroupName=SCALING_GROUP, ForceDelete=True
        )

    def scaling_sizes(self) -> dict[str, int]:
        """Return the sizes of the Auto Scaling group."""
        (group,) = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[SCALING_GROUP])[
            "AutoScalingGroups"
        ]
        return {name: group[name] for name in ("MinSize", "MaxSize", "DesiredCapacity")}

    def states(self, instance_ids: Sequence[str]) -> set[str]:
        """Return the states of instances."""
        reservations = self.admin_ec2.describe_instances(InstanceIds=list(instance_ids))["Reservations"]
        return {instance["State"]["Name"] for r in reservations for instance in r["Instances"]}

    def group_policies(self) -> set[str]:
        """Return the managed policies that are attached to the group."""
        return {p["PolicyArn"] for p in self.iam.list_attached_group_policies(GroupName=GROUP)["AttachedPolicies"]}
