"""Instances: states, protection, tags, and the permissions to launch and stop them; Auto Scaling groups."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox import Sandbox
from sandbox.process import ACCOUNT
from sandbox.target import session, target_of

from .stacks import Stacks

pytestmark = pytest.mark.enable_socket
BETA = {"Key": "Project", "Value": "Beta"}
EC2 = f"arn:aws:ec2:us-east-1:{ACCOUNT}"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def ec2(sandbox: Sandbox) -> Any:
    return session(sandbox).client("ec2")


@pytest.fixture(scope="module")
def autoscaling(sandbox: Sandbox) -> Any:
    return session(sandbox).client("autoscaling")


User = Callable[..., boto3.Session]


@pytest.fixture(scope="module")
def user(sandbox: Sandbox) -> User:
    """Return a function that creates a user with a policy, and returns a session of it."""
    iam, session_with = session(sandbox).client("iam"), target_of(sandbox).session_with
    assert session_with

    def create(*statements: dict[str, Any]) -> boto3.Session:
        name = unique("user")
        iam.create_user(UserName=name)
        document = json.dumps({"Statement": list(statements)})
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return session_with(key["AccessKeyId"], key["SecretAccessKey"], None)

    return create


def allow(*actions: str, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resource}
    return statement | ({"Condition": condition} if condition else {})


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def run(ec2: Any, *tags: dict[str, str], **options: Any) -> str:
    (image, *_) = ec2.describe_images(Owners=["amazon"])["Images"] if "ImageId" not in options else [options]
    tagged = {"TagSpecifications": [{"ResourceType": "instance", "Tags": list(tags)}]} if tags else {}
    values = {"ImageId": image["ImageId"], "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1} | tagged | options
    (instance,) = ec2.run_instances(**values)["Instances"]
    return str(instance["InstanceId"])


def states(ec2: Any, **selection: Any) -> dict[str, str]:
    reservations = ec2.describe_instances(**selection)["Reservations"]
    return {i["InstanceId"]: i["State"]["Name"] for reservation in reservations for i in reservation["Instances"]}


def wait_for(ec2: Any, state: str, *names: str) -> None:
    deadline = time.monotonic() + 60
    while set(states(ec2, InstanceIds=list(names)).values()) != {state}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def refusal(code: str, message: str = "") -> Any:
    return pytest.raises(ClientError, match=rf"(?s)\({code}\).*{message}")


def test_instance_uses_no_aws_files_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With this configuration, boto3 would call AWS, with the user's keys if the instance has no role."""
    from sandbox.ec2.instances import boot_environment

    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text("[default]\nignore_configured_endpoint_urls = true\n")
    (tmp_path / ".aws/credentials").write_text("[default]\naws_access_key_id = user\naws_secret_access_key = user\n")
    emulator = {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "GATEWAY_PORT": "1",
        "WEB_PORT": "2",
    }
    for name, value in (emulator | {"HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    code = "import boto3; print(boto3.client('s3', 'us-east-1').meta.endpoint_url, boto3.Session().available_profiles)"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=boot_environment(tmp_path, "i-1"), capture_output=True, text=True, check=True)
    assert run.stdout == "http://127.0.0.1:1 []\n"


def test_launch_creates_the_maximum_count(ec2: Any) -> None:
    instances = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=3)["Instances"]
    assert len({instance["InstanceId"] for instance in instances}) == 3
    with refusal("InvalidParameterCombination", "MinCount must not exceed MaxCount"):
        ec2.run_instances(ImageId="ami-12345678", MinCount=2, MaxCount=1)


def test_instance_is_stopping_then_stopped_and_pending_then_running(ec2: Any) -> None:
    name = run(ec2)
    (change,) = ec2.stop_instances(InstanceIds=[name])["StoppingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]) == ("running", {"Code": 64, "Name": "stopping"})
    with refusal("IncorrectInstanceState", f"This instance '{name}' is not in a state from which it can be started"):
        ec2.start_instances(InstanceIds=[name])
    wait_for(ec2, "stopped", name)
    (change,) = ec2.start_instances(InstanceIds=[name])["StartingInstances"]
    assert change["CurrentState"]["Name"] == "pending"
    wait_for(ec2, "running", name)


def test_terminated_instance_cannot_be_stopped(ec2: Any) -> None:
    name = run(ec2)
    ec2.terminate_instances(InstanceIds=[name])
    with refusal("IncorrectInstanceState", "from which it can be stopped"):
        ec2.stop_instances(InstanceIds=[name])


def test_protected_instance_prevents_the_stop_of_all(ec2: Any) -> None:
    protected, other = run(ec2, DisableApiStop=True), run(ec2)
    described = ec2.describe_instance_attribute(InstanceId=protected, Attribute="disableApiStop")
    assert described["DisableApiStop"] == {"Value": True}
    message = f"The instance '{protected}' may not be stopped. Modify its 'disableApiStop' instance attribute"
    with refusal("OperationNotPermitted", message):
        ec2.stop_instances(InstanceIds=[other, protected])
    assert set(states(ec2, InstanceIds=[other, protected]).values()) == {"running"}
    ec2.modify_instance_attribute(InstanceId=protected, DisableApiStop={"Value": False})
    ec2.stop_instances(InstanceIds=[other, protected])
    wait_for(ec2, "stopped", other, protected)


def test_unknown_instance_prevents_the_stop_of_all(ec2: Any) -> None:
    name = run(ec2)
    with refusal("InvalidInstanceID.NotFound"):
        ec2.stop_instances(InstanceIds=[name, "i-0123456789abcdef0"])
    assert states(ec2, InstanceIds=[name]) == {name: "running"}


def test_termination_protection(ec2: Any) -> None:
    name = run(ec2, DisableApiTermination=True)
    with refusal("OperationNotPermitted", "may not be terminated"):
        ec2.terminate_instances(InstanceIds=[name])


def test_dry_run_changes_nothing(ec2: Any) -> None:
    name = run(ec2)
    with refusal("DryRunOperation"):
        ec2.stop_instances(InstanceIds=[name], DryRun=True)
    assert states(ec2, InstanceIds=[name]) == {name: "running"}


def test_instances_are_found_by_tag(ec2: Any) -> None:
    value = unique("tag")
    tagged, later = run(ec2, {"Key": "Team", "Value": value}), run(ec2)
    run(ec2)
    ec2.create_tags(Resources=[later], Tags=[{"Key": "Team", "Value": value}])
    found = states(ec2, Filters=[{"Name": "tag:Team", "Values": [value]}])
    assert found == {tagged: "running", later: "running"}


def test_stop_is_permitted_by_tags_of_the_instance(ec2: Any, user: User) -> None:
    """Service authorization reference: aws:ResourceTag is a condition key of StopInstances."""
    condition = {"StringEquals": {"aws:ResourceTag/Project": "Beta"}, "Null": {"aws:ResourceTag/Exempt": "true"}}
    own = user(allow("ec2:StopInstances", resource=f"{EC2}:instance/*", **condition)).client("ec2")
    tagged, untagged, exempt = run(ec2, BETA), run(ec2), run(ec2, BETA, {"Key": "Exempt", "Value": ""})
    for name in (untagged, exempt):
        with refusal("UnauthorizedOperation", f"ec2:StopInstances on resource: {EC2}:instance/{name}"):
            own.stop_instances(InstanceIds=[tagged, name])
    own.stop_instances(InstanceIds=[tagged])
    wait_for(ec2, "stopped", tagged)


@pytest.mark.parametrize(
    ("missing", "resource"),
    [
        ("image", "arn:aws:ec2:us-east-1::image/ami-12345678"),
        ("instance", f"{EC2}:instance/*"),
        ("network-interface", f"{EC2}:network-interface/*"),
        ("security-group", f"{EC2}:security-group/"),
        ("subnet", f"{EC2}:subnet/"),
        ("volume", f"{EC2}:volume/*"),
    ],
)
def test_launch_requires_permission_for_each_resource(user: User, missing: str, resource: str) -> None:
    kinds = ("instance", "network-interface", "security-group", "subnet", "volume")
    arns = {kind: f"{EC2}:{kind}/*" for kind in kinds} | {"image": "arn:aws:ec2:us-east-1::image/ami-12345678"}
    permitted = user(allow("ec2:RunInstances", resource=list(arns.values()))).client("ec2")
    assert run(permitted, ImageId="ami-12345678").startswith("i-")
    del arns[missing]
    client = user(allow("ec2:RunInstances", resource=list(arns.values()))).client("ec2")
    with refusal("UnauthorizedOperation", rf"ec2:RunInstances on resource: {resource}".replace("*", r"\*")):
        run(client, ImageId="ami-12345678")


def test_launch_with_tags_requires_permission_to_tag(user: User) -> None:
    condition = {"StringEquals": {"aws:RequestTag/Project": "Beta", "ec2:CreateAction": "RunInstances"}}
    tagging = allow("ec2:CreateTags", resource=f"{EC2}:instance/*", **condition)
    client = user(allow("ec2:RunInstances"), tagging).client("ec2")
    run(client, BETA, ImageId="ami-12345678")
    with refusal("UnauthorizedOperation", "ec2:CreateTags on resource"):
        run(client, {"Key": "Project", "Value": "Alpha"}, ImageId="ami-12345678")


def test_launch_can_require_a_tag(user: User) -> None:
    tagged = {"StringEquals": {"aws:RequestTag/Project": "Beta"}}
    others = [
        "arn:aws:ec2:*::image/*",
        *(f"{EC2}:{kind}/*" for kind in ("network-interface", "volume", "sub*", "sec*")),
    ]
    statements = (
        allow("ec2:RunInstances", resource=f"{EC2}:instance/*", **tagged),
        allow("ec2:RunInstances", resource=others),
        allow("ec2:CreateTags"),
    )
    client = user(*statements).client("ec2")
    run(client, BETA, ImageId="ami-12345678")
    with refusal("UnauthorizedOperation", "ec2:RunInstances on resource"):
        run(client, ImageId="ami-12345678")


def test_launch_with_a_profile_requires_permission_to_pass_its_role(sandbox: Sandbox, user: User) -> None:
    iam, name = session(sandbox).client("iam"), unique("host")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]["Arn"]
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    options = {"ImageId": "ami-12345678", "IamInstanceProfile": {"Name": name}}
    with refusal("UnauthorizedOperation", f"iam:PassRole on resource: {role}"):
        run(user(allow("ec2:*")).client("ec2"), **options)
    run(user(allow("ec2:*"), allow("iam:PassRole", resource=role)).client("ec2"), **options)


def create_group(autoscaling: Any, project: str = "Beta", **options: Any) -> str:
    name = unique("group")
    launch = {"ImageId": "ami-12345678", "InstanceType": "t3.micro"}
    autoscaling.create_launch_configuration(LaunchConfigurationName=name, **launch)
    values = {"LaunchConfigurationName": name, "MinSize": 1, "MaxSize": 3, "AvailabilityZones": ["us-east-1a"]}
    tags = [
        {"Key": "Project", "Value": project, "PropagateAtLaunch": True},
        {"Key": "Owner", "Value": name, "PropagateAtLaunch": False},
    ]
    autoscaling.create_auto_scaling_group(AutoScalingGroupName=name, Tags=tags, **values | options)
    return name


def group_of(autoscaling: Any, name: str) -> dict[str, Any]:
    (group,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return dict(group)


def sizes(group: dict[str, Any]) -> tuple[int, ...]:
    return group["MinSize"], group["MaxSize"], group["DesiredCapacity"], len(group["Instances"])


def test_group_has_instances_with_its_tags(ec2: Any, autoscaling: Any) -> None:
    name = create_group(autoscaling, DesiredCapacity=2)
    instances = [member["InstanceId"] for member in group_of(autoscaling, name)["Instances"]]
    found = states(ec2, Filters=[{"Name": "tag:aws:autoscaling:groupName", "Values": [name]}])
    assert found == dict.fromkeys(instances, "running")
    (reservation, _) = ec2.describe_instances(InstanceIds=instances)["Reservations"]
    tags = {tag["Key"]: tag["Value"] for tag in reservation["Instances"][0]["Tags"]}
    assert tags == {"aws:autoscaling:groupName": name, "Project": "Beta"}


def test_group_replaces_a_stopped_instance(ec2: Any, autoscaling: Any) -> None:
    name = create_group(autoscaling)
    (member,) = group_of(autoscaling, name)["Instances"]
    ec2.stop_instances(InstanceIds=[member["InstanceId"]])
    wait_for(ec2, "terminated", member["InstanceId"])
    (new,) = group_of(autoscaling, name)["Instances"]
    assert states(ec2, InstanceIds=[new["InstanceId"]]) == {new["InstanceId"]: "running"}


def test_capacity_moves_within_new_bounds(ec2: Any, autoscaling: Any) -> None:
    """API reference, UpdateAutoScalingGroup: a MaxSize below the current size sets the desired capacity."""
    name = create_group(autoscaling, DesiredCapacity=2)
    instances = [member["InstanceId"] for member in group_of(autoscaling, name)["Instances"]]
    autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, MaxSize=0)
    assert sizes(group_of(autoscaling, name)) == (0, 0, 0, 0)
    assert set(states(ec2, InstanceIds=instances).values()) == {"terminated"}
    autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=1, MaxSize=3, DesiredCapacity=2)
    assert sizes(group_of(autoscaling, name)) == (1, 3, 2, 2)
    with refusal("ValidationError", "Desired capacity:4 must be between the specified min size:1 and max size:3"):
        autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, DesiredCapacity=4)


def test_groups_are_found_by_tag(autoscaling: Any) -> None:
    name = create_group(autoscaling)
    create_group(autoscaling)

    def found(*filters: tuple[str, str]) -> list[str]:
        requested = [{"Name": key, "Values": [value]} for key, value in filters]
        pages = autoscaling.get_paginator("describe_auto_scaling_groups").paginate(Filters=requested)
        return [group["AutoScalingGroupName"] for page in pages for group in page["AutoScalingGroups"]]

    assert found(("tag:Owner", name)) == [name]
    assert found(("tag:Owner", name), ("tag:Project", "Beta")) == [name]
    assert name in found(("tag-key", "Owner"))
    assert found(("tag:Project", name)) == []


def test_group_with_instances_is_deleted_only_by_force(ec2: Any, autoscaling: Any) -> None:
    name = create_group(autoscaling)
    (member,) = group_of(autoscaling, name)["Instances"]
    with refusal("ResourceInUse"):
        autoscaling.delete_auto_scaling_group(AutoScalingGroupName=name)
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
    assert states(ec2, InstanceIds=[member["InstanceId"]]) == {member["InstanceId"]: "terminated"}


def test_group_update_is_permitted_by_its_tags(autoscaling: Any, user: User) -> None:
    name, other = create_group(autoscaling), create_group(autoscaling, "Alpha")
    condition = {"StringEquals": {"aws:ResourceTag/Project": "Beta"}}
    own = user(allow("autoscaling:UpdateAutoScalingGroup", **condition)).client("autoscaling")
    own.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0)
    arn = group_of(autoscaling, other)["AutoScalingGroupARN"]
    with refusal("AccessDenied", f"autoscaling:UpdateAutoScalingGroup on resource: {arn}"):
        own.update_auto_scaling_group(AutoScalingGroupName=other, MinSize=0)


def test_group_with_a_launch_template_requires_permission_to_launch(ec2: Any, user: User) -> None:
    """Auto Scaling user guide: the caller needs ec2:RunInstances to use a launch template."""
    name = unique("template")
    data = {"ImageId": "ami-12345678", "InstanceType": "t3.micro"}
    template = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]
    launch = {"LaunchTemplateId": template["LaunchTemplateId"], "Version": "$Latest"}
    options = {"AutoScalingGroupName": name, "LaunchTemplate": launch, "AvailabilityZones": ["us-east-1a"]}
    with refusal("AccessDenied", "ec2:RunInstances"):
        user(allow("autoscaling:*")).client("autoscaling").create_auto_scaling_group(MinSize=0, MaxSize=1, **options)
    permitted = user(allow("autoscaling:*", "ec2:RunInstances")).client("autoscaling")
    permitted.create_auto_scaling_group(MinSize=1, MaxSize=1, **options)
    assert sizes(group_of(permitted, name)) == (1, 1, 1, 1)


def test_stack_creates_group_with_instances(sandbox: Sandbox, ec2: Any, autoscaling: Any) -> None:
    data = {"ImageId": "ami-12345678", "InstanceType": "t3.micro"}
    template = {"LaunchTemplateId": {"Ref": "Template"}, "Version": {"Fn::GetAtt": ["Template", "LatestVersionNumber"]}}
    group = {"MinSize": "1", "MaxSize": "2", "AvailabilityZones": ["us-east-1a"], "LaunchTemplate": template}
    resources = {
        "Template": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": data}},
        "Group": {"Type": "AWS::AutoScaling::AutoScalingGroup", "Properties": group},
    }
    stacks = Stacks(sandbox)
    name = stacks.name()
    stacks.create(name, Resources=resources)
    (member,) = group_of(autoscaling, stacks.physical_ids(name)["Group"])["Instances"]
    stacks.cloudformation.delete_stack(StackName=name)
    stacks.cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert states(ec2, InstanceIds=[member["InstanceId"]]) == {member["InstanceId"]: "terminated"}
