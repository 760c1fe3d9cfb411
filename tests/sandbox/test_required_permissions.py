"""The permissions that operations require, according to the service authorization reference."""

import pytest

from sandbox.iam.actions import UnknownOperationError, required_permissions
from sandbox.iam.operations import Operation, parse
from sandbox.process import ACCOUNT


def signed(
    service: str, method: str, path: str, query: str = "", *, body: bytes = b"", header: tuple[str, str] = ("", "")
) -> Operation:
    return parse(service, "us-east-1", method, path, query, dict([header]), body)


@pytest.mark.parametrize(
    ("operation", "permissions"),
    [
        (signed("s3", "GET", "/b/k", "versionId=1"), {("s3:GetObjectVersion", "arn:aws:s3:::b/k")}),
        (signed("s3", "POST", "/b/k", "uploads"), {("s3:PutObject", "arn:aws:s3:::b/k")}),
        (
            signed("s3", "PUT", "/b/k", header=("x-amz-copy-source", "/from/a%20b")),
            {("s3:PutObject", "arn:aws:s3:::b/k"), ("s3:GetObject", "arn:aws:s3:::from/a b")},
        ),
        (
            signed("s3", "POST", "/b", "delete", body=b"<Delete><Object><Key>a</Key></Object></Delete>"),
            {("s3:DeleteObject", "arn:aws:s3:::b/a")},
        ),
        (
            signed("route53", "GET", "/2013-04-01/hostedzone/Z1"),
            {("route53:GetHostedZone", "arn:aws:route53:::hostedzone/Z1")},
        ),
        (
            signed("lambda", "POST", "/2015-03-31/functions/f%3Alive/invocations"),
            {("lambda:InvokeFunction", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f:live")},
        ),
        (
            signed("lambda", "PUT", "/2015-03-31/functions/f/aliases/live", body=b'{"FunctionVersion":"2"}'),
            {("lambda:UpdateAlias", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f")},
        ),
        (
            signed("lambda", "GET", "/2015-03-31/functions/f/configuration", "Qualifier=2"),
            {("lambda:GetFunctionConfiguration", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f:2")},
        ),
        (
            signed("lambda", "POST", "/2015-03-31/functions/f/versions", body=b"{}"),
            {("lambda:PublishVersion", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f")},
        ),
        (
            signed("monitoring", "POST", "/", header=("x-amz-target", "GraniteServiceVersion20100801.GetMetricData")),
            {("cloudwatch:GetMetricData", "*")},
        ),
        (signed("apigateway", "GET", "/restapis/a"), {("apigateway:GET", "arn:aws:apigateway:us-east-1::/restapis/a")}),
        (
            signed("ec2", "POST", "/", body=b"Action=StopInstances&InstanceId.1=i-1&InstanceId.2=i-2"),
            {("ec2:StopInstances", f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{i}") for i in ("i-1", "i-2")},
        ),
        (
            signed(
                "glue",
                "POST",
                "/",
                body=b'{"DatabaseName":"d","Name":"t"}',
                header=("x-amz-target", "AWSGlue.GetTable"),
            ),
            {
                ("glue:GetTable", f"arn:aws:glue:us-east-1:{ACCOUNT}:{name}")
                for name in ("catalog", "database/d", "table/d/t")
            },
        ),
        (
            signed(
                "logs",
                "POST",
                "/",
                body=b'{"logGroupName":"/g"}',
                header=("x-amz-target", "Logs_20140328.FilterLogEvents"),
            ),
            {("logs:FilterLogEvents", f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/g:*")},
        ),
        (
            signed(
                "events",
                "POST",
                "/",
                body=b'{"Entries":[{"Source":"a"},{"Source":"b","EventBusName":"custom"}]}',
                header=("x-amz-target", "AWSEvents.PutEvents"),
            ),
            {
                ("events:PutEvents", f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/{name}")
                for name in ("custom", "default")
            },
        ),
        (signed("sts", "POST", "/", body=b"Action=GetCallerIdentity"), set()),
    ],
    ids=lambda value: f"{value.service}-{value.name}" if isinstance(value, Operation) else "",
)
def test_operation_requires_permissions(operation: Operation, permissions: set[tuple[str, str]]) -> None:
    required = {(p.action, p.resource) for p in required_permissions(operation)}
    assert permissions == required - {("s3:ListBucket", "arn:aws:s3:::b")}


def test_operation_that_the_reference_lacks_is_an_error() -> None:
    with pytest.raises(UnknownOperationError, match="iam:FlyToTheMoon"):
        list(required_permissions(Operation("iam", "FlyToTheMoon", "us-east-1")))
