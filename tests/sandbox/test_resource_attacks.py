"""Attacks of a principal with few permissions: resources and roles that authorization could miss."""

import json

import pytest

from sandbox.process import ACCOUNT

from .attacker import ADMIN, FORM, JSON, ROLE, Attacker

pytestmark = pytest.mark.enable_socket
FUNCTION = {"FunctionName": "own", "Runtime": "python3.14", "Handler": "a.b", "Role": ADMIN, "Code": {"ZipFile": ""}}
QUEUE = f"http%3A%2F%2F127.0.0.1%2F{ACCOUNT}%2Fvictim"
BATCH = JSON | {"X-Amz-Target": "DynamoDB_20120810.BatchGetItem"}
NAMES = {"TableName": "own"}
KEYS = [{"id": {"S": "1"}}]
CODE, OWN_CODE = {"S3Bucket": "bucket", "S3Key": "key"}, {"S3Bucket": "bucket", "S3Key": "own"}
ALARMS = "GraniteServiceVersion20100801.DeleteAlarms"
OWN_MACHINE = f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:own"
EXECUTION = f"arn:aws:states:us-east-1:{ACCOUNT}:execution:victim:run"


@pytest.mark.parametrize(
    ("service", "headers", "body", "path"),
    [
        ("dynamodb", BATCH, {"RequestItems": {"victim": {"Keys": KEYS}}, "TableName": "own"}, "/"),
        ("monitoring", JSON | {"X-Amz-Target": ALARMS}, {"AlarmName": "own", "AlarmNames": ["victim"]}, "/"),
        ("monitoring", FORM, "Action=DeleteAlarms&AlarmNames=own&AlarmNames.member.1=victim", "/"),
        ("monitoring", FORM, "Action=DeleteAlarms&AlarmName=own&AlarmNames.member.1=victim", "/"),
        ("monitoring", JSON, {"AlarmNames": ["victim"]}, "/?Action=DeleteAlarms&AlarmNames.member.1=own"),
        (
            "states",
            JSON | {"X-Amz-Target": "AWSStepFunctions.StopExecution"},
            {"executionArn": EXECUTION, "stateMachineArn": OWN_MACHINE},
            "/",
        ),
        ("monitoring", FORM, "Action=DeleteAlarms&AlarmNames.AlarmName=own&AlarmNames.member.1=victim", "/"),
        ("dynamodb", BATCH, {"RequestItems": {"victim": {"Keys": KEYS, "TableName": "own"}}}, "/"),
        ("dynamodb", BATCH, {"RequestItems": {"victim": {"Keys": KEYS}}, "RequestItems.TableName": "own"}, "/"),
        ("dynamodb", BATCH, {"RequestItems": {"victim": {"Keys": KEYS, "ExpressionAttributeNames": NAMES}}}, "/"),
        ("lambda", {}, FUNCTION | {"Role": ROLE, "Code": CODE} | OWN_CODE, "/2015-03-31/functions"),
        ("sqs", JSON, {"QueueUrl": "own"}, f"/?Action=PurgeQueue&QueueUrl={QUEUE}"),
    ],
    ids=[
        "table",
        "alarm",
        "list",
        "form",
        "JSON after form",
        "state machine",
        "member of a list",
        "member of a table",
        "member in a name",
        "name of an attribute",
        "code",
        "queue",
    ],
)
def test_unknown_parameter_does_not_select_the_resource(
    attacker: Attacker, service: str, headers: dict[str, str], body: str | dict[str, object], path: str
) -> None:
    """Authorization would find the permission for it, and MiniStack would ignore it."""
    status, text = attacker.send(service, headers, body if isinstance(body, str) else json.dumps(body), path)
    assert status in (400, 403), text
    assert "does not know the permissions" in text or "is not authorized to perform" in text


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/bucket/copy?X-Amz-Copy-Source=%2Fbucket%2Fkey", {}),
        ("/bucket/copy?X-Amz-Acl=public-read", {}),
        ("/bucket/copy", {"X-Amz-Copy-Source": "/bucket/own%3Fx"}),
        ("/bucket/copy", {"X-Amz-Copy-Source": "/bucket/versioned?versionId=null"}),
    ],
    ids=["query", "ACL in the query", "question mark", "version"],
)
def test_source_of_copy_needs_permission(attacker: Attacker, path: str, headers: dict[str, str]) -> None:
    """MiniStack reads `x-amz-` parameters of the query as headers."""
    assert attacker.send("s3", {}, "value", "/bucket/copy", "PUT")[0] == 200
    status, text = attacker.send("s3", headers, "", path, "PUT")
    assert status == 403, text


TARGETS = {"Rule": "own", "Targets": [{"Id": "1", "Arn": OWN_MACHINE, "RoleArn": ADMIN}]}
PASS = f"iam:PassRole on resource: {ADMIN}"
ASSUME = "Action=AssumeRole&Version=2011-06-15&RoleSessionName=attack"
OTHER_PATH = f"arn:aws:iam::{ACCOUNT}:role/path/Admin"  # of which MiniStack reads the last part
FUNCTIONS = "/2015-03-31/functions"
METHOD = "/restapis/own/resources/own/methods/GET"
PATCH = {"op": "replace", "path": "/credentials", "value": ADMIN}
ASSOCIATION = "AssociationId=iip-assoc-1&IamInstanceProfile.Name=profile"
PROFILE = "InstanceId=i-1&IamInstanceProfile.Name=profile"


@pytest.mark.parametrize(
    ("service", "headers", "body", "path", "method", "action"),
    [
        ("events", JSON | {"X-Amz-Target": "AWSEvents.PutTargets"}, json.dumps(TARGETS), "/", "POST", "iam:PassRole"),
        ("ec2", FORM, f"Action=AssociateIamInstanceProfile&{PROFILE}", "/", "POST", "iam:PassRole"),
        (
            "iam",
            FORM,
            "Action=AddRoleToInstanceProfile&RoleName=Admin&InstanceProfileName=profile",
            "/",
            "POST",
            "iam:PassRole",
        ),
        ("ec2", FORM, f"Action=ReplaceIamInstanceProfileAssociation&{ASSOCIATION}", "/", "POST", "iam:PassRole"),
        ("ec2", FORM, f"Action=CreateFlowLogs&ResourceId.1=vpc-1&DeliverLogsPermissionArn={ADMIN}", "/", "POST", PASS),
        (
            "scheduler",
            {},
            json.dumps({"Target": {"Arn": OWN_MACHINE, "RoleArn": ADMIN}}),
            "/schedules/own",
            "POST",
            "iam:PassRole",
        ),
        ("apigateway", {}, json.dumps({"credentials": ADMIN}), f"{METHOD}/integration", "PUT", "iam:PassRole"),
        ("apigateway", {}, json.dumps({"patchOperations": [PATCH]}), f"{METHOD}/integration", "PATCH", "iam:PassRole"),
        ("lambda", {}, json.dumps(FUNCTION | {"Role": "Admin"}), FUNCTIONS, "POST", PASS),
        ("lambda", {}, json.dumps(FUNCTION | {"Role": f"a:b:c:d:{ACCOUNT}:role/Admin"}), FUNCTIONS, "POST", PASS),
        ("lambda", {}, json.dumps(FUNCTION | {"Role": OTHER_PATH}), FUNCTIONS, "POST", PASS),
        ("sts", FORM, f"{ASSUME}&RoleArn={OTHER_PATH}", "/", "POST", f"sts:AssumeRole on resource: {ADMIN}"),
        ("lambda", {}, json.dumps(CODE), "/2015-03-31/functions/own/code", "PUT", "s3:GetObject"),
        ("lambda", {}, json.dumps({"S3Key": "own"}), "/2015-03-31/functions/own/code", "PUT", "s3:GetObject"),
    ],
    ids=[
        "target",
        "instance",
        "instance profile",
        "association",
        "flow log",
        "schedule",
        "integration",
        "change of an integration",
        "name of a role",
        "prefix of a role",
        "path of a role",
        "path of an assumed role",
        "code",
        "key of code",
    ],
)
def test_implied_permission_is_required(
    attacker: Attacker, service: str, headers: dict[str, str], body: str, path: str, method: str, action: str
) -> None:
    status, text = attacker.send(service, headers, body, path, method)
    assert status in (400, 403), text
    assert f"is not authorized to perform: {action}" in text


@pytest.mark.parametrize("form", ["ChangeSetName={arn}&StackName=own", "ChangeSetName={arn}", "ChangeSetName=victim"])
def test_change_set_of_other_stack_needs_permission(attacker: Attacker, form: str) -> None:
    """CloudFormation finds a change set by its ARN, whatever the name of the stack is."""
    status, text = attacker.send(
        "cloudformation", FORM, f"Action=ExecuteChangeSet&{form.format(arn=attacker.change_set)}"
    )
    assert status == 403, text


OTHER, OWN = {"a": {"S": "own"}, "id": {"S": "other"}}, {"a": {"S": "other"}, "id": {"S": "own"}}
QUERY = {"KeyConditionExpression": "id = :id", "ExpressionAttributeValues": {":id": {"S": "other"}}}


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("PutItem", {"Item": OWN}, 200),
        ("GetItem", {"Key": OWN}, 200),
        ("PutItem", {"Item": OTHER}, 400),
        ("GetItem", {"Key": OTHER}, 400),
        ("Query", QUERY, 400),
    ],
)
def test_condition_for_items_applies_to_partition_key(
    attacker: Attacker, name: str, parameters: dict[str, object], expected: int
) -> None:
    body = json.dumps({"TableName": "shared"} | parameters)
    status, text = attacker.send("dynamodb", JSON | {"X-Amz-Target": f"DynamoDB_20120810.{name}"}, body)
    assert status == expected, text
    assert expected == 200 or "is not authorized to perform" in text


SEND = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.SendMessage"}
OWN_QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:own"
STREAM = {"logGroupName": "own", "logStreamName": "victim"}
TAG = "Tag.{0}.Key=team&Tag.{0}.Value={1}"
NAMED_QUERIES = JSON | {"X-Amz-Target": "AmazonAthena.BatchGetNamedQuery"}
SECRETS = JSON | {"X-Amz-Target": "secretsmanager.BatchGetSecretValue"}
START_QUERY = JSON | {"X-Amz-Target": "Logs_20140328.StartQuery"}
LOGS_QUERY = {
    "logGroupName": "own",
    "logGroupNames": ["victim"],
    "startTime": 0,
    "endTime": 1,
    "queryString": "limit 1",
}


@pytest.mark.parametrize(
    ("service", "headers", "body", "path", "method"),
    [
        ("secretsmanager", SECRETS, json.dumps({"SecretIdList": ["secret"]}), "/", "POST"),
        ("secretsmanager", SECRETS, json.dumps({"Filters": [{"Key": "name", "Values": ["s"]}]}), "/", "POST"),
        ("logs", START_QUERY, json.dumps(LOGS_QUERY), "/", "POST"),
        ("iam", FORM, "Action=DeleteAccessKey&UserName=low&AccessKeyId=AKIAVICTIM", "/", "POST"),
        ("lambda", {}, "", "/2015-03-31/functions/%2576ictim", "GET"),
        ("apigateway", {}, "", "/restapis/%76ictim", "GET"),
        ("s3", {}, "", "/bucket/own?attributes", "GET"),
        ("sqs", SEND, json.dumps({"QueueUrl": "own/victim", "MessageBody": ""}), "/", "POST"),
        ("sqs", SEND, json.dumps({"QueueUrl": f"{OWN_QUEUE}/victim", "MessageBody": ""}), "/", "POST"),
        ("glue", JSON | {"X-Amz-Target": "AWSGlue.StartJobRun"}, '{"JobName": "victim"}', "/", "POST"),
        (
            "glue",
            JSON | {"X-Amz-Target": "AWSGlue.CreateDatabase"},
            '{"DatabaseInput": {"Name": "other"}}',
            "/",
            "POST",
        ),
        ("logs", JSON | {"X-Amz-Target": "Logs_20140328.GetLogEvents"}, json.dumps(STREAM), "/", "POST"),
        ("iam", FORM, "Action=CreateRole&RoleName=own&Path=%2Fadmin%2F&AssumeRolePolicyDocument=%7B%7D", "/", "POST"),
        ("monitoring", FORM, "Action=DescribeAlarms&AlarmNames.1=own", "/", "POST"),
        ("monitoring", FORM, "Action=DescribeAlarms&AlarmNames.member.2=own", "/", "POST"),
        ("monitoring", FORM, "Action=DescribeAlarms&AlarmNames.member.01=own", "/", "POST"),
        ("monitoring", FORM, "Action=DescribeAlarms&AlarmNames.member.%D9%A1=own", "/", "POST"),
        (
            "ec2",
            FORM,
            f"{TAG.format(2, 'other')}&{TAG.format(1, 'own')}&Action=CreateTags&ResourceId.1=vpc-1",
            "/",
            "POST",
        ),
        ("ec2", FORM, f"{TAG.format(3, 'own')}&Action=CreateTags&ResourceId.1=vpc-1", "/", "POST"),
    ],
    ids=[
        "secrets",
        "all secrets",
        "log groups",
        "access key",
        "encoded twice",
        "encoded path",
        "subresource",
        "path of a queue",
        "ARN of a queue",
        "job",
        "database",
        "log stream",
        "path of a role",
        "list",
        "gap in a list",
        "zero in a list",
        "digit in a list",
        "two tags",
        "gap in tags",
    ],
)
def test_each_resource_needs_permission(
    attacker: Attacker, service: str, headers: dict[str, str], body: str, path: str, method: str
) -> None:
    status, text = attacker.send(service, headers, body, path, method)
    assert status in (400, 403), text
    assert "does not know the permissions" in text or "is not authorized to perform" in text


def test_each_named_query_needs_permission(attacker: Attacker) -> None:
    own, other = attacker.queries
    for ids, expected in (([own], 200), ([other], 400), ([own, other], 400)):
        status, text = attacker.send("athena", NAMED_QUERIES, json.dumps({"NamedQueryIds": ids}))
        assert status == expected, text
