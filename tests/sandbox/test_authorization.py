"""Policies decide requests and calls of services; denied ones get AWS's message."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox import Sandbox
from sandbox.iam.authorization import AUTHORIZATION_LOG
from sandbox.process import ACCOUNT
from sandbox.target import SandboxSession, session

pytestmark = pytest.mark.enable_socket
QUEUES = f"arn:aws:sqs:us-east-1:{ACCOUNT}"
ACCOUNT_MAY_ASSUME = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=60) as running:
        yield running


@pytest.fixture(scope="module")
def admin(sandbox: Sandbox) -> boto3.Session:
    return session(sandbox)


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return allow(action, resource, **more) | {"Effect": "Deny"}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def create_role(
    admin: boto3.Session, *statements: dict[str, Any], trust: dict[str, Any] = ACCOUNT_MAY_ASSUME, **options: str
) -> str:
    """Create a role with an inline policy and return its ARN."""
    iam, name = admin.client("iam"), f"Role-{uuid.uuid4().hex[:8]}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust), **options)["Role"]
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="Policy", PolicyDocument=document(*statements))
    return str(role["Arn"])


Role = Callable[..., boto3.Session]


@pytest.fixture(scope="module")
def role(sandbox: Sandbox, admin: boto3.Session) -> Role:
    """Return a function that creates a role with statements, and returns a session of it."""

    def session_of(*statements: dict[str, Any], **options: Any) -> boto3.Session:
        arn = create_role(admin, *statements, **options)
        issued = admin.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        values = (issued[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
        return SandboxSession(sandbox, dict(zip(names, values, strict=True)))

    return session_of


def create_queue(admin: boto3.Session, policy: str = "") -> tuple[str, str]:
    """Return URL and ARN of a queue."""
    name = f"queue-{uuid.uuid4().hex[:8]}"
    attributes = {"Policy": policy} if policy else {}
    return admin.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"], f"{QUEUES}:{name}"


def messages(admin: boto3.Session, url: str, seconds: float = 60) -> list[str]:
    """Return the messages of a queue, as soon as there are some."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        received = admin.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        if received:
            return [message["Body"] for message in received]
        time.sleep(0.1)
    return []


def test_identity_policy_allows_only_its_actions_and_resources(role: Role, admin: boto3.Session) -> None:
    url, arn = create_queue(admin)
    other, _ = create_queue(admin)
    sqs = role(allow("sqs:SendMessage", arn)).client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="allowed")
    for call, queue in ((sqs.receive_message, url), (sqs.purge_queue, url)):
        with pytest.raises(ClientError, match="because no identity-based policy allows the sqs:"):
            call(QueueUrl=queue)
    with pytest.raises(ClientError, match="is not authorized to perform: sqs:SendMessage on resource: arn:aws:sqs"):
        sqs.send_message(QueueUrl=other, MessageBody="another queue")


def test_explicit_deny_of_identity_policy_is_named(role: Role, admin: boto3.Session) -> None:
    url, _ = create_queue(admin)
    sqs = role(allow("sqs:*"), deny("sqs:PurgeQueue")).client("sqs")
    with pytest.raises(ClientError, match="with an explicit deny in an identity-based policy"):
        sqs.purge_queue(QueueUrl=url)


def test_resource_policy_allows_and_denies(role: Role, admin: boto3.Session) -> None:
    s3 = admin.client("s3")
    s3.create_bucket(Bucket="records")
    s3.put_object(Bucket="records", Key="open", Body=b"1")
    s3.put_object(Bucket="records", Key="closed", Body=b"1")
    statements = (
        allow("s3:GetObject", "arn:aws:s3:::records/open", Principal={"AWS": "*"}),
        deny("s3:GetObject", "arn:aws:s3:::records/closed", Principal="*"),
    )
    s3.put_bucket_policy(Bucket="records", Policy=document(*statements))
    assert role().client("s3").get_object(Bucket="records", Key="open")["Body"].read() == b"1"
    for reader in (role(allow("s3:*")), admin):
        with pytest.raises(ClientError, match="with an explicit deny in a resource-based policy"):
            reader.client("s3").get_object(Bucket="records", Key="closed")


def test_trust_policy_can_name_a_session(role: Role, admin: boto3.Session) -> None:
    named, other = role(), role()
    session = named.client("sts").get_caller_identity()["Arn"]
    arn = create_role(admin, trust=ACCOUNT_MAY_ASSUME | {"Principal": {"AWS": session}})
    named.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")
    with pytest.raises(ClientError, match="is not authorized to perform: sts:AssumeRole"):
        other.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")


def test_missing_object_is_denied_without_list_permission(role: Role, admin: boto3.Session) -> None:
    admin.client("s3").create_bucket(Bucket="lists")
    with pytest.raises(ClientError, match="not authorized to perform: s3:ListBucket") as error:
        role(allow("s3:GetObject", "arn:aws:s3:::lists/*")).client("s3").get_object(Bucket="lists", Key="none")
    assert error.value.response["Error"]["Code"] == "AccessDenied"
    reader = role(allow("s3:GetObject", "arn:aws:s3:::lists/*"), allow("s3:ListBucket", "arn:aws:s3:::lists"))
    with pytest.raises(ClientError) as missing:
        reader.client("s3").get_object(Bucket="lists", Key="none")
    assert missing.value.response["Error"]["Code"] == "NoSuchKey"


def test_permissions_boundary_limits_identity_policy(role: Role, admin: boto3.Session) -> None:
    policy = document(allow("sqs:SendMessage"))
    arn = admin.client("iam").create_policy(PolicyName="Boundary", PolicyDocument=policy)["Policy"]["Arn"]
    url, _ = create_queue(admin)
    sqs = role(allow("sqs:*"), PermissionsBoundary=arn).client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="within the boundary")
    with pytest.raises(ClientError, match="because no permissions boundary allows the sqs:PurgeQueue action"):
        sqs.purge_queue(QueueUrl=url)


def test_condition_is_evaluated_with_the_request(role: Role, admin: boto3.Session) -> None:
    admin.client("s3").create_bucket(Bucket="shared")
    prefix = {"StringEquals": {"s3:prefix": "mine/"}}
    s3 = role(allow("s3:ListBucket", "arn:aws:s3:::shared", Condition=prefix)).client("s3")
    s3.list_objects_v2(Bucket="shared", Prefix="mine/")
    with pytest.raises(ClientError, match="not authorized to perform: s3:ListBucket"):
        s3.list_objects_v2(Bucket="shared", Prefix="yours/")


def test_encrypted_topic_requires_its_key(role: Role, stack: Callable[..., Any]) -> None:
    outputs = stack(
        Key={"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": json.loads(KEY_POLICY)}},
        Topic={"Type": "AWS::SNS::Topic", "Properties": {"KmsMasterKeyId": {"Ref": "Key"}}},
    )
    topic = outputs["Topic"]
    with pytest.raises(ClientError, match="not authorized to perform: kms:") as error:
        role(allow("sns:Publish", topic)).client("sns").publish(TopicArn=topic, Message="secret")
    assert error.value.response["Error"]["Code"] == "KMSAccessDenied"
    key = allow(["kms:Decrypt", "kms:GenerateDataKey"], "arn:aws:kms:*:*:key/*")
    role(allow("sns:Publish", topic), key).client("sns").publish(TopicArn=topic, Message="secret")


KEY_POLICY = document(allow("kms:*", "*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}))


def test_encrypted_bucket_requires_its_key(role: Role, stack: Callable[..., Any]) -> None:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Fn::GetAtt": ["Key", "Arn"]}}
    encryption = {"ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": default}]}
    outputs = stack(
        Key={"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": json.loads(KEY_POLICY)}},
        Bucket={"Type": "AWS::S3::Bucket", "Properties": {"BucketEncryption": encryption}},
    )
    bucket, objects = outputs["Bucket"], allow("s3:*Object", f"arn:aws:s3:::{outputs['Bucket']}/*")
    with pytest.raises(ClientError, match="not authorized to perform: kms:GenerateDataKey"):
        role(objects).client("s3").put_object(Bucket=bucket, Key="a", Body=b"1")
    writer = role(objects, allow("kms:GenerateDataKey", "arn:aws:kms:*:*:key/*")).client("s3")
    writer.put_object(Bucket=bucket, Key="a", Body=b"1")
    with pytest.raises(ClientError, match="not authorized to perform: kms:Decrypt"):
        writer.get_object(Bucket=bucket, Key="a")


@pytest.fixture(scope="module")
def stack(admin: boto3.Session) -> Callable[..., dict[str, str]]:
    """Return a function that creates a stack, and returns the physical ids of its resources."""

    def create(**resources: Any) -> dict[str, str]:
        cloudformation, name = admin.client("cloudformation"), f"stack-{uuid.uuid4().hex[:8]}"
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
        summaries = cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
        return {summary["LogicalResourceId"]: summary["PhysicalResourceId"] for summary in summaries}

    return create


def test_service_role_needs_pass_role_and_permissions(role: Role, admin: boto3.Session) -> None:
    template = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    trust = ACCOUNT_MAY_ASSUME | {"Principal": {"Service": "cloudformation.amazonaws.com"}}
    service_role = create_role(admin, allow("sns:*"), trust=trust)
    create = allow("cloudformation:*")
    with pytest.raises(ClientError, match=f"not authorized to perform: iam:PassRole on resource: {service_role}"):
        role(create).client("cloudformation").create_stack(
            StackName="passed", TemplateBody=template, RoleARN=service_role
        )
    cloudformation = role(create, allow("iam:PassRole", service_role)).client("cloudformation")
    cloudformation.create_stack(StackName="passed", TemplateBody=template, RoleARN=service_role)
    with pytest.raises(Exception, match="ROLLBACK"):
        cloudformation.get_waiter("stack_create_complete").wait(StackName="passed", WaiterConfig={"Delay": 1})
    events = cloudformation.describe_stack_events(StackName="passed")["StackEvents"]
    reasons = " ".join(event.get("ResourceStatusReason", "") for event in events)
    assert f"{service_role} is not authorized to perform: sqs:CreateQueue" in reasons


def test_template_by_url_is_read_by_the_caller(role: Role, admin: boto3.Session) -> None:
    s3 = admin.client("s3")
    s3.create_bucket(Bucket="templates")
    s3.put_object(Bucket="templates", Key="queue.json", Body=json.dumps({"Resources": {}}).encode())
    url = "https://templates.s3.us-east-1.amazonaws.com/queue.json"
    with pytest.raises(ClientError, match=r"s3:GetObject on resource: arn:aws:s3:::templates/queue\.json"):
        role(allow("cloudformation:*")).client("cloudformation").get_template_summary(TemplateURL=url)


def test_stored_parameter_of_template_is_read_by_the_caller(role: Role, admin: boto3.Session) -> None:
    admin.client("ssm").put_parameter(Name="/release/version", Value="7", Type="String")
    stored = {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/release/version"}
    queue = {"Type": "AWS::SQS::Queue"}
    template = json.dumps({"Parameters": {"Version": stored}, "Resources": {"Queue": queue}})
    arn = f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/release/version"
    create = allow(["cloudformation:*", "sqs:*"])
    with pytest.raises(ClientError, match=f"not authorized to perform: ssm:GetParameters on resource: {arn}"):
        role(create).client("cloudformation").create_stack(StackName="release", TemplateBody=template)
    cloudformation = role(create, allow("ssm:GetParameters", arn)).client("cloudformation")
    cloudformation.create_stack(StackName="release", TemplateBody=template)
    cloudformation.get_waiter("stack_create_complete").wait(StackName="release", WaiterConfig={"Delay": 1})


def test_function_with_role_that_lambda_cannot_assume_fails(admin: boto3.Session) -> None:
    arn = create_role(admin)
    cloudformation = admin.client("cloudformation")
    function = {"Role": arn, "Handler": "index.handler", "Runtime": "python3.13", "Code": {"ZipFile": "pass"}}
    template = {"Resources": {"Function": {"Type": "AWS::Lambda::Function", "Properties": function}}}
    cloudformation.create_stack(StackName="function", TemplateBody=json.dumps(template))
    with pytest.raises(Exception, match="ROLLBACK"):
        cloudformation.get_waiter("stack_create_complete").wait(StackName="function", WaiterConfig={"Delay": 1})


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code"),
    [
        ("iam", "list_roles", {}, "AccessDenied"),
        ("sns", "list_topics", {}, "AuthorizationError"),
        ("ec2", "describe_instances", {}, "UnauthorizedOperation"),
        ("sqs", "list_queues", {}, "AccessDenied"),
        ("dynamodb", "list_tables", {}, "AccessDeniedException"),
        ("lambda", "list_functions", {}, "AccessDeniedException"),
        ("s3", "list_buckets", {}, "AccessDenied"),
        ("route53", "list_hosted_zones", {}, "AccessDenied"),
    ],
)
def test_denial_has_code_of_the_service(
    role: Role, service: str, operation: str, parameters: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError, match="is not authorized to perform") as error:
        getattr(role().client(service), operation)(**parameters)
    assert error.value.response["Error"]["Code"] == code
    assert ":assumed-role/Role-" in error.value.response["Error"]["Message"]


def test_unknown_operation_is_refused_and_named(admin: boto3.Session) -> None:
    with pytest.raises(ClientError, match="does not know the permissions of the operation s3:SelectObjectContent"):
        admin.client("s3").select_object_content(
            Bucket="b",
            Key="k",
            Expression="SELECT 1",
            ExpressionType="SQL",
            InputSerialization={"JSON": {}},
            OutputSerialization={"JSON": {}},
        )


def test_denial_is_logged_and_recorded(role: Role, sandbox: Sandbox) -> None:
    with pytest.raises(ClientError):
        role().client("ssm").get_parameter(Name="/hidden")
    assert f"ssm:GetParameter on resource: arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/hidden" in sandbox.log.read_text()
    record = [json.loads(line) for line in (sandbox.directory / AUTHORIZATION_LOG).read_text().splitlines()]
    assert any(entry["action"] == "ssm:GetParameter" and entry["decision"] == "IMPLICITLY_DENIED" for entry in record)


def service_may_send(service: str, **condition: str) -> str:
    limits = {"Condition": {"ArnEquals": condition}} if condition else {}
    return document(allow("sqs:SendMessage", Principal={"Service": service}, **limits))


def test_rule_denied_by_queue_policy_sends_to_dead_letter_queue(admin: boto3.Session) -> None:
    events = admin.client("events")
    rule = events.put_rule(Name="orders", EventPattern=json.dumps({"source": ["shop"]}))["RuleArn"]
    permitted, permitted_arn = create_queue(admin, service_may_send("events.amazonaws.com", **{"aws:SourceArn": rule}))
    closed, closed_arn = create_queue(admin)
    letters, letters_arn = create_queue(admin, service_may_send("events.amazonaws.com"))
    targets = [
        {"Id": "1", "Arn": permitted_arn},
        {"Id": "2", "Arn": closed_arn, "DeadLetterConfig": {"Arn": letters_arn}},
    ]
    events.put_targets(Rule="orders", Targets=targets)
    events.put_events(Entries=[{"Source": "shop", "DetailType": "order", "Detail": json.dumps({"number": 7})}])
    assert len(messages(admin, permitted)) == 1
    assert len(messages(admin, letters)) == 1
    assert not messages(admin, closed, seconds=0.3)


def test_topic_delivers_to_queue_only_with_its_policy(admin: boto3.Session) -> None:
    sns = admin.client("sns")
    topic = sns.create_topic(Name="news")["TopicArn"]
    permitted, permitted_arn = create_queue(admin, service_may_send("sns.amazonaws.com", **{"aws:SourceArn": topic}))
    closed, closed_arn = create_queue(admin)
    for arn in (permitted_arn, closed_arn):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sns.publish(TopicArn=topic, Message="hello")
    assert len(messages(admin, permitted)) == 1
    assert not messages(admin, closed, seconds=0.3)


def test_alarm_publishes_only_with_the_topics_policy(admin: boto3.Session) -> None:
    sns, cloudwatch = admin.client("sns"), admin.client("cloudwatch")
    queues = {}
    for name in ("default", "closed"):
        topic = sns.create_topic(Name=f"alarms-{name}")["TopicArn"]
        queues[name], arn = create_queue(admin, service_may_send("sns.amazonaws.com"))
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        if name == "closed":
            policy = document(allow("sns:Publish", topic, Principal={"Service": "events.amazonaws.com"}))
            sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            AlarmActions=[topic],
            MetricName="Errors",
            Namespace="Test",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
        )
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    assert len(messages(admin, queues["default"])) == 1
    assert not messages(admin, queues["closed"], seconds=0.3)
