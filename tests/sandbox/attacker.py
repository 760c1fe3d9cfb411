"""A principal with few permissions that attacks the sandbox."""

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

from ..conftest import need

ROLE = f"arn:aws:iam::{ACCOUNT}:role/Own"
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/Admin"
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
JSON = {"Content-Type": "application/x-amz-json-1.1"}
TEMPLATE = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
CSV = {"SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde"}
COLUMNS = [{"Name": "column", "Type": "string"}]
TABLE = {
    "Name": "victim",
    "Parameters": {},
    "StorageDescriptor": {"Columns": COLUMNS, "Location": "s3://bucket/table/", "SerdeInfo": CSV},
}
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
    need("ministack")
    from sandbox.target import session

    with Sandbox() as sandbox:
        iam = session(sandbox).client("iam")
        statement = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
        iam.create_role(RoleName="Admin", AssumeRolePolicyDocument=json.dumps({"Statement": [statement]}))
        session(sandbox).client("secretsmanager").create_secret(Name="secret", SecretString="value")
        iam.create_user(UserName="low")
        s3 = session(sandbox).client("s3")
        for bucket in ("bucket", "results"):
            s3.create_bucket(Bucket=bucket)
        session(sandbox).client("glue").create_database(DatabaseInput={"Name": "victim"})
        session(sandbox).client("glue").create_table(DatabaseName="victim", TableInput=TABLE)
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
        s3.put_object(Bucket="bucket", Key="own", Body=json.dumps(TEMPLATE).encode())
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
            {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:aws:sqs:*:*:own*"},
            {
                "Effect": "Allow",
                "Action": "glue:*",
                "Resource": ["arn:aws:glue:*:*:catalog", "arn:aws:glue:*:*:*/own*"],
            },
            {"Effect": "Allow", "Action": "cloudwatch:DescribeAlarms", "Resource": alarm},
            {"Effect": "Allow", "Action": "iam:CreateRole", "Resource": "arn:aws:iam::*:role/own*"},
            {
                "Effect": "Allow",
                "Action": "ec2:CreateTags",
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:RequestTag/team": "own"}},
            },
            {"Effect": "Allow", "Action": "logs:GetLogEvents", "Resource": "*"},
            {"Effect": "Deny", "Action": "logs:GetLogEvents", "Resource": "arn:aws:logs:*:*:*:log-stream:victim"},
            {"Effect": "Allow", "Action": "logs:StartQuery", "Resource": "arn:aws:logs:*:*:log-group:own:*"},
            {"Effect": "Allow", "Action": "athena:BatchGet*", "Resource": "arn:aws:athena:*:*:workgroup/primary"},
            {
                "Effect": "Allow",
                "Action": ["athena:StartQueryExecution", "athena:GetQueryExecution"],
                "Resource": "arn:aws:athena:*:*:workgroup/primary",
            },
            {"Effect": "Allow", "Action": "glue:GetDatabase", "Resource": "*"},
            {"Effect": "Allow", "Action": "s3:*", "Resource": ["arn:aws:s3:::results", "arn:aws:s3:::results/*"]},
            {"Effect": "Allow", "Action": "sqs:AddPermission", "Resource": "arn:aws:sqs:*:*:own"},
            {"Effect": "Allow", "Action": "states:*", "Resource": "arn:aws:states:*:*:stateMachine:own"},
            {"Effect": "Allow", "Action": ["events:*", "codepipeline:*"], "Resource": "arn:aws:*:*:*:*own"},
            {"Effect": "Allow", "Action": "cloudformation:*", "Resource": "arn:aws:cloudformation:*:*:stack/own*/*"},
            {
                "Effect": "Allow",
                "Action": "cloudformation:*",
                "Resource": "arn:aws:cloudformation:*:*:stack/own-nested*",
            },
            {
                "Effect": "Allow",
                "Action": "cloudformation:*",
                "Resource": "arn:aws:cloudformation:*:*:stack/own-template*",
            },
            {"Effect": "Allow", "Action": "logs:*MetricFilter*", "Resource": "arn:aws:logs:*:*:log-group:own*"},
            {"Effect": "Allow", "Action": "lambda:PublishLayerVersion", "Resource": "*"},
            {"Effect": "Allow", "Action": "iam:*InstanceProfile", "Resource": "*"},
            {"Effect": "Allow", "Action": "ec2:AssociateIamInstanceProfile", "Resource": "*"},
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/versioned"},
            {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::bucket/own"},
            {"Effect": "Allow", "Action": "s3:PutBucketCORS", "Resource": "arn:aws:s3:::bucket"},
            {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::bucket/copy"},
            {"Effect": "Allow", "Action": "s3:PutBucketPolicy", "Resource": "arn:aws:s3:::own"},
            {"Effect": "Allow", "Action": ["lambda:CreateFunction", "pipes:*"], "Resource": "*"},
            {
                "Effect": "Allow",
                "Action": "lambda:UpdateEventSourceMapping",
                "Resource": "arn:aws:lambda:*:*:function:own",
            },
            {"Effect": "Allow", "Action": "iam:PassRole", "Resource": [ROLE, "arn:aws:iam::*:role/path/*"]},
            {"Effect": "Allow", "Action": "sts:AssumeRole*", "Resource": "arn:aws:iam::*:role/path/*"},
            {
                "Effect": "Allow",
                "Action": ["scheduler:CreateSchedule", "ec2:CreateFlowLogs", "ec2:Replace*", "apigateway:P*"],
                "Resource": "*",
            },
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
