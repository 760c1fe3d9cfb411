"""Attacks of a principal with few permissions: requests that MiniStack would read in another way than authorization."""

import gzip
import json

import pytest
import urllib3
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest

from sandbox.process import ACCOUNT

from .attacker import ADMIN, ALLOWED, ASSUME, FORM, JSON, Attacker

pytestmark = pytest.mark.enable_socket


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
