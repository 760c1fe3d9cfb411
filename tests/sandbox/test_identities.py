"""Users and groups: their policies decide requests, and IAM's quotas and conflicts apply."""

import json
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox import Sandbox
from sandbox.process import ACCOUNT
from sandbox.target import SandboxSession, session

from .stacks import Stacks

pytestmark = pytest.mark.enable_socket
ROOT = f"arn:aws:iam::{ACCOUNT}"
CAPABILITIES = ["CAPABILITY_NAMED_IAM"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def iam(sandbox: Sandbox) -> Any:
    return session(sandbox).client("iam")


@pytest.fixture(scope="module")
def stacks(sandbox: Sandbox) -> Stacks:
    return Stacks(sandbox)


def document(effect: str, *actions: str, **more: Any) -> str:
    return json.dumps({"Statement": [{"Effect": effect, "Action": actions, "Resource": "*", **more}]})


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def create_policy(iam: Any, text: str) -> str:
    return str(iam.create_policy(PolicyName=unique("policy"), PolicyDocument=text)["Policy"]["Arn"])


def create_group(iam: Any) -> str:
    return str(iam.create_group(GroupName=unique("group"))["Group"]["GroupName"])


def create_user(iam: Any, *groups: str) -> str:
    name = str(iam.create_user(UserName=unique("user"))["User"]["UserName"])
    for group in groups:
        iam.add_user_to_group(GroupName=group, UserName=name)
    return name


def session_of(sandbox: Sandbox, iam: Any, user: str) -> boto3.Session:
    key = iam.create_access_key(UserName=user)["AccessKey"]
    names = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    return SandboxSession(sandbox, names)


def refusal(code: str, message: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{message}")


def test_user_without_policies_is_denied(sandbox: Sandbox, iam: Any) -> None:
    user = create_user(iam)
    client = session_of(sandbox, iam, user)
    assert client.client("sts").get_caller_identity()["Arn"] == f"{ROOT}:user/{user}"
    with pytest.raises(ClientError, match=f"User: {ROOT}:user/{user} is not authorized .* because no identity-based"):
        client.client("sqs").list_queues()


def test_policies_of_user_and_group_allow(sandbox: Sandbox, iam: Any) -> None:
    group = create_group(iam)
    user = create_user(iam, group)
    client = session_of(sandbox, iam, user)
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=document("Allow", "sqs:ListQueues"))
    client.client("sqs").list_queues()
    iam.put_group_policy(GroupName=group, PolicyName="shared", PolicyDocument=document("Allow", "sns:ListTopics"))
    client.client("sns").list_topics()
    iam.attach_group_policy(GroupName=group, PolicyArn=create_policy(iam, document("Allow", "ssm:DescribeParameters")))
    client.client("ssm").describe_parameters()


def test_policy_with_variable_applies_to_its_user(sandbox: Sandbox, iam: Any) -> None:
    user = create_user(iam)
    sqs = session_of(sandbox, iam, user).client("sqs")
    text = document("Allow", "sqs:CreateQueue").replace('"*"', f'"arn:aws:sqs:us-east-1:{ACCOUNT}:${{aws:username}}"')
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=text)
    sqs.create_queue(QueueName=user)
    with refusal("AccessDenied", "sqs:CreateQueue"):
        sqs.create_queue(QueueName="other")


def test_deny_attached_to_group_takes_effect_until_it_is_detached(sandbox: Sandbox, iam: Any) -> None:
    group = create_group(iam)
    ec2 = session_of(sandbox, iam, create_user(iam, group)).client("ec2")
    iam.put_group_policy(GroupName=group, PolicyName="work", PolicyDocument=document("Allow", "ec2:*"))
    ec2.describe_instances()
    denying = create_policy(iam, document("Deny", "ec2:*"))
    iam.attach_group_policy(GroupName=group, PolicyArn=denying)
    with refusal("UnauthorizedOperation", "with an explicit deny in an identity-based policy"):
        ec2.describe_instances()
    iam.detach_group_policy(GroupName=group, PolicyArn=denying)
    ec2.describe_instances()


def test_boundary_limits_user(sandbox: Sandbox, iam: Any) -> None:
    user = create_user(iam)
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=document("Allow", "*"))
    boundary = create_policy(iam, document("Allow", "sns:*"))
    iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=boundary)
    with refusal("AccessDenied", "because no permissions boundary allows"):
        session_of(sandbox, iam, user).client("sqs").list_queues()


def test_inactive_and_deleted_keys_are_rejected(sandbox: Sandbox, iam: Any) -> None:
    user = create_user(iam)
    sts = session_of(sandbox, iam, user).client("sts")
    (key,) = (key["AccessKeyId"] for key in iam.list_access_keys(UserName=user)["AccessKeyMetadata"])
    own = {"UserName": user, "AccessKeyId": key}
    for change in (partial(iam.update_access_key, **own, Status="Inactive"), partial(iam.delete_access_key, **own)):
        sts.get_caller_identity()
        change()
        with refusal("InvalidClientTokenId", ""):
            sts.get_caller_identity()
        if iam.list_access_keys(UserName=user)["AccessKeyMetadata"]:
            iam.update_access_key(UserName=user, AccessKeyId=key, Status="Active")


def test_attach_permission_can_require_the_policy(sandbox: Sandbox, iam: Any) -> None:
    """Service authorization reference: iam:PolicyARN is a condition key of AttachGroupPolicy."""
    group, user = create_group(iam), create_user(iam)
    permitted, other = (create_policy(iam, document("Deny", "ec2:*")) for _ in range(2))
    condition = {"ArnEquals": {"iam:PolicyARN": permitted}}
    attach = document("Allow", "iam:AttachGroupPolicy", Condition=condition, Resource=f"{ROOT}:group/{group}")
    iam.put_user_policy(UserName=user, PolicyName="attach", PolicyDocument=attach)
    own = session_of(sandbox, iam, user).client("iam")
    own.attach_group_policy(GroupName=group, PolicyArn=permitted)
    with refusal("AccessDenied", f"iam:AttachGroupPolicy on resource: {ROOT}:group/{group} because"):
        own.attach_group_policy(GroupName=group, PolicyArn=other)
    with refusal("AccessDenied", "because no identity-based policy allows"):
        own.attach_group_policy(GroupName=create_group(iam), PolicyArn=permitted)


def test_resource_of_a_group_with_a_path_has_the_path(sandbox: Sandbox, iam: Any) -> None:
    group = unique("group")
    iam.create_group(GroupName=group, Path="/teams/")
    with refusal("AccessDenied", f"resource: {ROOT}:group/teams/{group} "):
        session_of(sandbox, iam, create_user(iam)).client("iam").list_attached_group_policies(GroupName=group)


def test_eleventh_managed_policy_is_refused(iam: Any) -> None:
    """IAM user guide, IAM and AWS STS quotas."""
    trust = document("Allow", "sts:AssumeRole", Principal={"AWS": ACCOUNT}).replace('"Resource": "*", ', "")
    names = {"Group": create_group(iam), "User": create_user(iam), "Role": unique("role")}
    iam.create_role(RoleName=names["Role"], AssumeRolePolicyDocument=trust)
    policies = [create_policy(iam, document("Deny", "ec2:*")) for _ in range(11)]
    for kind, name in names.items():
        attach = getattr(iam, f"attach_{kind.lower()}_policy")
        for policy in [*policies[:10], policies[0]]:  # attaching one again changes nothing
            attach(**{f"{kind}Name": name}, PolicyArn=policy)
        with refusal("LimitExceeded", f"Cannot exceed quota for PoliciesPer{kind}: 10"):
            attach(**{f"{kind}Name": name}, PolicyArn=policies[10])


def test_unknown_policy_is_not_attached(iam: Any) -> None:
    with refusal("NoSuchEntity", "does not exist or is not attachable"):
        iam.attach_group_policy(GroupName=create_group(iam), PolicyArn=f"{ROOT}:policy/none")


def test_third_access_key_is_refused(iam: Any) -> None:
    user = create_user(iam)
    for _ in range(2):
        iam.create_access_key(UserName=user)
    with refusal("LimitExceeded", "AccessKeysPerUser: 2"):
        iam.create_access_key(UserName=user)


def test_entities_in_use_are_not_deleted(iam: Any) -> None:
    group = create_group(iam)
    user = create_user(iam, group)
    policy = create_policy(iam, document("Deny", "ec2:*"))
    iam.attach_group_policy(GroupName=group, PolicyArn=policy)
    for delete in (partial(iam.delete_group, GroupName=group), partial(iam.delete_user, UserName=user)):
        with refusal("DeleteConflict", "must remove users from group first"):
            delete()
    iam.remove_user_from_group(GroupName=group, UserName=user)
    with refusal("DeleteConflict", "must detach all policies first"):
        iam.delete_group(GroupName=group)
    with refusal("DeleteConflict", "Cannot delete a policy attached to entities"):
        iam.delete_policy(PolicyArn=policy)
    iam.detach_group_policy(GroupName=group, PolicyArn=policy)
    iam.delete_group(GroupName=group)


def managed(*groups: Any) -> dict[str, Any]:
    text = json.loads(document("Deny", "ec2:*"))
    return {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": text, "Groups": list(groups)}}


def test_stack_with_policy_of_unknown_group_fails(stacks: Stacks) -> None:
    name = stacks.name()
    stack = stacks.create(name, Resources={"Policy": managed("none")}, Capabilities=CAPABILITIES)
    assert stack["StackStatus"].startswith("ROLLBACK")
    assert "The group with name none cannot be found." in str(stacks.events(name))


def test_stack_whose_policy_is_attached_elsewhere_is_not_deleted(stacks: Stacks, iam: Any) -> None:
    name, outside = stacks.name(), create_group(iam)
    stacks.create(name, Resources={"Policy": managed()}, Capabilities=CAPABILITIES)
    arn = stacks.physical_ids(name)["Policy"]
    iam.attach_group_policy(GroupName=outside, PolicyArn=arn)
    stacks.cloudformation.delete_stack(StackName=name)
    assert stacks.wait(name)["StackStatus"] == "DELETE_FAILED"
    assert "Cannot delete a policy attached to entities." in str(stacks.events(name))
    entities = iam.list_entities_for_policy(PolicyArn=arn)["PolicyGroups"]
    assert [entity["GroupName"] for entity in entities] == [outside]


def test_stack_with_role_of_eleven_policies_fails(stacks: Stacks, iam: Any) -> None:
    policies = [create_policy(iam, document("Deny", "ec2:*")) for _ in range(11)]
    trust = json.loads(document("Allow", "sts:AssumeRole", Principal={"AWS": ACCOUNT}).replace('"Resource": "*", ', ""))
    properties = {"AssumeRolePolicyDocument": trust, "ManagedPolicyArns": policies}
    name, role = stacks.name(), {"Type": "AWS::IAM::Role", "Properties": properties}
    stack = stacks.create(name, Resources={"Role": role}, Capabilities=CAPABILITIES)
    assert stack["StackStatus"].startswith("ROLLBACK")
    assert "Cannot exceed quota for PoliciesPerRole: 10" in str(stacks.events(name))
