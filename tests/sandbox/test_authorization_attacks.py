"""Attacks of a principal with few permissions: requests that MiniStack would read in another way than authorization."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import urllib3
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sandbox import Sandbox
from sandbox.process import ACCOUNT
from sandbox.target import session

pytestmark = pytest.mark.enable_socket
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Own"
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/Admin"
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
JSON = {"Content-Type": "application/x-amz-json-1.1"}
TEMPLATE = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
ALLOWED = "Action=GetCallerIdentity&Version=2011-06-15"  # everyone may call it
ASSUME = f"Action=AssumeRole&Version=2011-06-15&RoleSessionName=attack&RoleArn={ADMIN}"


@dataclass(frozen=True)
class Attacker:
    """A user with few permissions, and none to pass a role."""

    url: str
    credentials: Credentials
    change_set: str  # ARN of one of the stack `victim`
    queries: tuple[str, str]  # IDs of one in the workgroup `primary`, and one in another

    def send(
        self, service: str, headers: dict[str, str], body: str | bytes = "", path: str = "/", method: str = "POST"
    ) -> tuple[int, str]:
        """Send a request that is signed for `service`; return the status and the body of the response."""
        body = body.encode() if isinstance(body, str) else body
        request = AWSRequest(method, f"{self.url}{path}", data=body, headers=headers)
        signer = S3SigV4Auth if service == "s3" else SigV4Auth
        signer(self.credentials, service, "us-east-1").add_auth(request)
        signed = dict(request.headers.items())
        response = urllib3.PoolManager().request(method, f"{self.url}{path}", body=body, headers=signed, retries=False)
        return response.status, response.data.decode()


@pytest.fixture(scope="module")
def attacker() -> Iterator[Attacker]:
    with Sandbox() as sandbox:
        iam = session(sandbox).client("iam")
        statement = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
        iam.create_role(RoleName="Admin", AssumeRolePolicyDocument=json.dumps({"Statement": [statement]}))
        session(sandbox).client("secretsmanager").create_secret(Name="secret", SecretString="value")
        iam.create_user(UserName="low")
        s3 = session(sandbox).client("s3")
        s3.create_bucket(Bucket="bucket")
        session(sandbox).client("dynamodb").create_table(
            TableName="shared",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "a", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "a")],
            BillingMode="PAY_PER_REQUEST",
        )
        athena = session(sandbox).client("athena")
        athena.create_work_group(Name="other")
        query = {"Name": "query", "Database": "default", "QueryString": "SELECT 1"}
        queries = tuple(
            athena.create_named_query(**query, WorkGroup=group)["NamedQueryId"] for group in ("primary", "other")
        )
        iam.create_instance_profile(InstanceProfileName="profile")
        iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName="Admin")
        change_set = (
            session(sandbox)
            .client("cloudformation")
            .create_change_set(
                StackName="victim", ChangeSetName="victim", ChangeSetType="CREATE", TemplateBody=json.dumps(TEMPLATE)
            )
        )
        for name in ("key", "versioned", "own?x", "a, b", "k\u00e9"):
            s3.put_object(Bucket="bucket", Key=name, Body=b"value")
        allowed = {"Effect": "Allow", "Action": ["logs:TagResource", "s3:ListBucket"], "Resource": "*"}
        alarm = f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:own"
        statements = [
            allowed,
            {"Effect": "Allow", "Action": "cloudwatch:DeleteAlarms", "Resource": alarm},
            {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "arn:aws:dynamodb:*:*:table/own"},
            {
                "Effect": "Allow",
                "Action": "dynamodb:*",
                "Resource": "arn:aws:dynamodb:*:*:table/shared",
                "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["own"]}},
            },
            {"Effect": "Allow", "Action": ["lambda:GetFunction", "apigateway:GET"], "Resource": "*"},
            {"Effect": "Deny", "Action": "lambda:GetFunction", "Resource": "arn:aws:lambda:*:*:function:victim"},
            {"Effect": "Deny", "Action": "apigateway:GET", "Resource": "arn:aws:apigateway:*::/restapis/victim"},
            {"Effect": "Allow", "Action": "secretsmanager:BatchGetSecretValue", "Resource": "*"},
            {"Effect": "Allow", "Action": "iam:DeleteAccessKey", "Resource": "arn:aws:iam::*:user/${aws:username}"},
            {"Effect": "Allow", "Action": "logs:StartQuery", "Resource": "arn:aws:logs:*:*:log-group:own:*"},
            {"Effect": "Allow", "Action": "athena:BatchGet*", "Resource": "arn:aws:athena:*:*:workgroup/primary"},
            {"Effect": "Allow", "Action": "sqs:AddPermission", "Resource": "arn:aws:sqs:*:*:own"},
            {"Effect": "Allow", "Action": "states:*", "Resource": "arn:aws:states:*:*:stateMachine:own"},
            {"Effect": "Allow", "Action": ["events:*", "codepipeline:*"], "Resource": "arn:aws:*:*:*:*own"},
            {"Effect": "Allow", "Action": "cloudformation:*", "Resource": "arn:aws:cloudformation:*:*:stack/own/*"},
            {"Effect": "Allow", "Action": "iam:AddRoleToInstanceProfile", "Resource": "*"},
            {"Effect": "Allow", "Action": "ec2:AssociateIamInstanceProfile", "Resource": "*"},
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/versioned"},
            {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::bucket/own"},
            {"Effect": "Allow", "Action": "s3:PutBucketCORS", "Resource": "arn:aws:s3:::bucket"},
            {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::bucket/copy"},
            {"Effect": "Allow", "Action": "s3:PutBucketPolicy", "Resource": "arn:aws:s3:::own"},
            {"Effect": "Allow", "Action": "lambda:CreateFunction", "Resource": "*"},
            {"Effect": "Allow", "Action": "iam:PassRole", "Resource": ROLE},
            {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "arn:aws:lambda:*:*:function:own:live"},
            {"Effect": "Allow", "Action": "lambda:UpdateFunctionCode", "Resource": "arn:aws:lambda:*:*:function:own"},
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": ["arn:aws:s3:::iceberg/*", "arn:aws:s3:::v2*"]},
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/own"},
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/a,b"},
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/k\u00c3\u00a9"},
        ]
        iam.put_user_policy(UserName="low", PolicyName="own", PolicyDocument=json.dumps({"Statement": statements}))
        key = iam.create_access_key(UserName="low")["AccessKey"]
        yield Attacker(sandbox.url, Credentials(key["AccessKeyId"], key["SecretAccessKey"]), change_set["Id"], queries)


def test_allowed_request_succeeds(attacker: Attacker) -> None:
    assert attacker.send("sts", FORM, ALLOWED)[0] == 200
    status, text = attacker.send("sts", FORM, ASSUME)
    assert status == 403, text


@pytest.mark.parametrize(
    ("service", "headers", "body", "path"),
    [
        ("sts", FORM, f"{ASSUME}&{ALLOWED}", "/"),
        ("sts", FORM, f"{ASSUME}&Action=GetCallerIdentity", "/"),
        ("sts", FORM, ASSUME, f"/?{ALLOWED}"),
        ("sts", FORM | {"X-Amz-Target": "AWSSecurityTokenService.GetCallerIdentity"}, ASSUME, "/"),
        ("sts", FORM | {"X-Amz-Target": "Unknown.GetCallerIdentity"}, ASSUME, "/"),
        (
            "logs",
            JSON | {"X-Amz-Target": "secretsmanager.TagResource"},
            '{"SecretId": "secret", "resourceArn": "*", "Tags": []}',
            "/",
        ),
        ("sts", JSON, "{}", f"/_ministack/config?{ALLOWED}"),
        ("sts", JSON, "{}", f"/%5Fministack/config?{ALLOWED}"),
        ("s3", JSON | {"X-Amz-Target": "Sandbox.Inject"}, "{}", "/_ministack/config"),
    ],
    ids=["two forms", "two actions", "query", "target", "unknown target", "service", "control", "escaped", "sandbox"],
)
def test_ambiguous_request_is_denied(
    attacker: Attacker, service: str, headers: dict[str, str], body: str, path: str
) -> None:
    status, text = attacker.send(service, headers, body, path)
    assert status in (400, 403), text
    assert "does not know the permissions" in text


def test_operation_of_the_sandbox_needs_its_own_key(attacker: Attacker) -> None:
    status, text = attacker.send("sandbox", JSON | {"X-Amz-Target": "Sandbox.Inject"}, "{}")
    assert status == 403, text


GZIP = gzip.compress(ASSUME.encode(), mtime=0)  # without the time, so that all workers collect the same tests
CHUNKED = f"{len(ASSUME):x}\r\n{ASSUME}\r\n0\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Encoding": "gzip"}, GZIP),
        ({"Content-Encoding": "X-GZIP"}, GZIP),
        ({"Content-Encoding": "aws-chunked"}, CHUNKED),
        ({"X-Amz-Decoded-Content-Length": str(len(ASSUME))}, CHUNKED),
        ({"X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, CHUNKED),
    ],
    ids=["gzip", "x-gzip", "aws-chunked", "decoded length", "streaming"],
)
def test_encoded_body_cannot_hide_another_operation(attacker: Attacker, headers: dict[str, str], body: bytes) -> None:
    """MiniStack decodes the body after authorization."""
    status, text = attacker.send("sts", FORM | headers, body, "/?Action=GetCallerIdentity")
    assert status == 403, text
    assert "does not know the permissions" in text


@pytest.mark.parametrize(
    ("service", "method", "path", "header", "values"),
    [
        ("logs", "POST", "/", "X-Amz-Target", ["secretsmanager.TagResource", "Logs_20140328.TagResource"]),
        ("s3", "PUT", "/bucket/copy", "X-Amz-Copy-Source", ["/bucket/a", "b"]),
        ("s3", "PUT", "/bucket/copy", "X-Amz-Copy-Source", ["/bucket/k\u00c3\u00a9"]),
    ],
    ids=["targets", "copy sources", "UTF-8"],
)
def test_header_that_can_be_read_in_two_ways_is_denied(
    attacker: Attacker, service: str, method: str, path: str, header: str, values: list[str]
) -> None:
    """MiniStack joins repeated headers with a space, the signature without, and MiniStack decodes UTF-8."""
    body = b'{"SecretId": "secret", "resourceArn": "*", "Tags": []}' if service == "logs" else b""
    request = AWSRequest(method, attacker.url + path, data=body, headers=JSON | {header: ",".join(values)})
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(attacker.credentials, service, "us-east-1").add_auth(request)
    headers = urllib3.HTTPHeaderDict((name, value) for name, value in request.headers.items() if name != header)
    for value in values:
        headers.add(header, value)  # urllib3 encodes it as Latin-1
    response = urllib3.PoolManager().request(method, attacker.url + path, body=body, headers=headers, retries=False)
    assert response.status == 403, response.data
    assert b"can be read in two ways" in response.data


@pytest.mark.parametrize("path", ["/bucket%2Fkey", "/bucket%2fkey", "/bucket/key"])
def test_encoded_slash_does_not_hide_the_key(attacker: Attacker, path: str) -> None:
    assert attacker.send("s3", {}, path="/bucket", method="GET")[0] == 200
    status, text = attacker.send("s3", {}, path=path, method="GET")
    assert status == 403, text


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("<Object><Key>own</Key></Object>", 200),
        ("<Object><Key>key</Key></Object>", 403),
        ('<Object x=""><Key>key</Key></Object>', 403),
        ("<Object><Key >key</Key></Object>", 403),
        ("<Object><Key>own</Key></Object><Object><Key>key</Key></Object>", 403),
        ("<Object>", 403),
    ],
)
def test_each_deleted_object_needs_permission(attacker: Attacker, entry: str, expected: int) -> None:
    for namespace in ("", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'):
        status, text = attacker.send("s3", {}, f"<Delete{namespace}>{entry}</Delete>", "/bucket?delete")
        assert status == expected, text


@pytest.mark.parametrize("query", ["cors&policy", "policy&cors"])
def test_request_with_two_subresources_is_denied(attacker: Attacker, query: str) -> None:
    status, text = attacker.send("s3", {}, '{"Statement": []}', f"/bucket?{query}", "PUT")
    assert status == 403, text


def test_each_alarm_of_a_list_needs_permission(attacker: Attacker) -> None:
    target = JSON | {"X-Amz-Target": "GraniteServiceVersion20100801.DeleteAlarms"}
    for names, expected in ((["own"], 200), (["own", "other"], 400)):
        status, text = attacker.send("monitoring", target, json.dumps({"AlarmNames": names}))
        assert status == expected, text


@pytest.mark.parametrize(
    "path",
    [
        f"/iceberg/v1/catalogs/{ACCOUNT}/namespaces",  # Glue
        f"/%69ceberg/v1/catalogs/{ACCOUNT}/namespaces",
        "/v20180820/tags/resource",  # S3 Control
        "/v2/_catalog",  # ECR
        "/v2/email/identities",  # SES
    ],
)
def test_permission_for_objects_is_none_for_other_services(attacker: Attacker, path: str) -> None:
    """MiniStack selects these services by the path, although the request is signed for S3."""
    status, text = attacker.send("s3", {}, path=path, method="GET")
    assert status == 403, text
    assert "does not know the permissions" in text


FUNCTION = {"FunctionName": "own", "Runtime": "python3.14", "Handler": "a.b", "Role": ADMIN, "Code": {"ZipFile": ""}}


@pytest.mark.parametrize(
    ("service", "method", "path", "body"),
    [
        ("lambda", "POST", "/2015-03-31/functions", json.dumps(FUNCTION)),
        ("lambda", "POST", "/2015-03-31/functions", f" {json.dumps(FUNCTION)}"),
        ("lambda", "POST", "/2015-03-31/functions", json.dumps(FUNCTION).encode("utf-16")),
        ("lambda", "PUT", "/2015-03-31/functions/other/code", '{"FunctionName": "own", "ZipFile": ""}'),
        ("lambda", "POST", "/2015-03-31/functions/own/invocations", '{"Qualifier": "live"}'),
        ("s3", "PUT", "/bucket?policy", '{"Bucket": "own", "Statement": []}'),
    ],
    ids=[
        "role",
        "role after a space",
        "role in UTF-16",
        "function in the path",
        "alias in the payload",
        "bucket in the path",
    ],
)
def test_form_of_json_body_does_not_matter(
    attacker: Attacker, service: str, method: str, path: str, body: str | bytes
) -> None:
    status, text = attacker.send(service, {}, body, path, method)
    assert status == 403, text
    assert "is not authorized to perform" in text


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
        ("lambda", {}, json.dumps(CODE), "/2015-03-31/functions/own/code", "PUT", "s3:GetObject"),
    ],
    ids=["target", "instance", "instance profile", "code"],
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
    ],
    ids=["secrets", "all secrets", "log groups", "access key", "encoded twice", "encoded path", "subresource"],
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
