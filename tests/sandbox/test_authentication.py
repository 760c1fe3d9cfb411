"""Attacks on the API port: from web pages, through DNS rebinding, and without a key of this sandbox."""

import base64
import io
import json
import shutil
import socket
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlencode, urlsplit

import boto3
import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from selenium.webdriver.support.wait import WebDriverWait

from sandbox import Sandbox
from walkthroughs.browser import browser
from walkthroughs.walkthrough import Target

pytestmark = pytest.mark.enable_socket
GUESS = "guess"
CREATE_TOPIC = urlencode({"Action": "CreateTopic", "Name": "attack", "Version": "2010-03-31"})
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def client(sandbox: Sandbox, service: str, **changes: str) -> Any:
    environment = sandbox.environment
    options: dict[str, Any] = {
        "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
    }
    version = "s3v4" if service == "s3" else None
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, signature_version=version)
    return boto3.client(
        service, endpoint_url=sandbox.url, region_name="us-east-1", config=config, **(options | changes)
    )


def signed_headers(sandbox: Sandbox, body: str, **headers: str) -> dict[str, str]:
    """Return the headers of a signed CreateTopic call, with `headers` added after signing."""
    request = AWSRequest("POST", f"{sandbox.url}/", data=body, headers=FORM)
    environment = sandbox.environment
    credentials = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(credentials, "sns", "us-east-1").add_auth(request)
    return dict(request.headers.items()) | headers


def send(
    sandbox: Sandbox, headers: dict[str, str], body: str = CREATE_TOPIC, path: str = "/", method: str = "POST"
) -> int:
    response = urllib3.PoolManager().request(method, sandbox.url + path, headers=headers, body=body, retries=False)
    assert "access-control-allow-origin" not in response.headers
    return response.status


def topics(sandbox: Sandbox) -> list[str]:
    return [topic["TopicArn"] for topic in client(sandbox, "sns").list_topics()["Topics"]]


def test_signed_request_succeeds_without_cors_headers(sandbox: Sandbox) -> None:
    body = CREATE_TOPIC.replace("attack", "mine")
    assert send(sandbox, signed_headers(sandbox, body), body) == 200
    assert [arn.rsplit(":", 1)[-1] for arn in topics(sandbox)] == ["mine"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
    ],
)
def test_signed_request_of_web_page_is_rejected(sandbox: Sandbox, headers: dict[str, str]) -> None:
    assert send(sandbox, signed_headers(sandbox, CREATE_TOPIC, **headers)) == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("OPTIONS", "/"),
        ("GET", "/?Action=ListQueues&Version=2012-11-05"),
        ("PUT", "/bucket"),
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/lambda-code/function"),
        ("PUT", "/_ministack/cfn-response/guess"),
        ("POST", "/2015-03-31/functions"),
        ("GET", "/health"),
    ],
)
def test_unsigned_request_is_rejected(sandbox: Sandbox, method: str, path: str) -> None:
    assert send(sandbox, FORM, path=path, method=method) == 403


def test_changed_body_is_rejected(sandbox: Sandbox) -> None:
    assert send(sandbox, signed_headers(sandbox, CREATE_TOPIC), CREATE_TOPIC.replace("attack", "attack2")) == 403


def test_changed_body_with_signed_hash_is_rejected(sandbox: Sandbox) -> None:
    client(sandbox, "s3").create_bucket(Bucket="bucket")
    s3 = client(sandbox, "s3")
    s3.meta.events.register("before-send.s3.PutObject", lambda request, **_: setattr(request, "body", b"changed"))
    with pytest.raises(ClientError, match="XAmzContentSHA256Mismatch"):
        s3.put_object(Bucket="bucket", Key="key", Body=b"content")


@pytest.mark.parametrize("service", ["sqs", "s3", "lambda", "ec2"])
def test_wrong_secret_and_unknown_key_are_rejected(sandbox: Sandbox, service: str) -> None:
    operation = {"sqs": "list_queues", "s3": "list_buckets", "lambda": "list_functions", "ec2": "describe_vpcs"}[
        service
    ]
    getattr(client(sandbox, service), operation)()
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        getattr(client(sandbox, service, aws_secret_access_key=GUESS), operation)()
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        getattr(client(sandbox, service, aws_access_key_id="AKIAIOSFODNN7EXAMPLE"), operation)()


def test_presigned_url_of_unknown_key_is_rejected(sandbox: Sandbox) -> None:
    client(sandbox, "s3").create_bucket(Bucket="presigned")
    client(sandbox, "s3").put_object(Bucket="presigned", Key="a b+c", Body=b"content")

    def status(**changes: str) -> int:
        url = client(sandbox, "s3", **changes).generate_presigned_url(
            "get_object", Params={"Bucket": "presigned", "Key": "a b+c"}
        )
        return urllib3.PoolManager().request("GET", url, retries=False).status

    assert status() == 200
    assert status(aws_access_key_id="AKIAIOSFODNN7EXAMPLE") == 403
    assert status(aws_secret_access_key=GUESS) == 403


@pytest.mark.parametrize("service", ["s3", "lambda"])
def test_forged_presigned_request_is_rejected(sandbox: Sandbox, service: str) -> None:
    """Access key IDs appear in presigned URLs and logs, so knowing one must not be sufficient."""
    scope = f"{sandbox.environment['AWS_ACCESS_KEY_ID']}/20300101/us-east-1/{service}/aws4_request"
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": scope, "X-Amz-Date": "20300101T000000Z",
        "X-Amz-Expires": "3600", "X-Amz-SignedHeaders": "host", "X-Amz-Signature": "0" * 64,
    }  # fmt: skip
    assert send(sandbox, FORM, path=f"/?{urlencode(query)}") == 403
    assert send(sandbox, {}, path=f"/2015-03-31/functions?{urlencode(query)}", method="GET") == 403


def test_presigned_url_is_valid_for_its_request_only(sandbox: Sandbox) -> None:
    client(sandbox, "s3").create_bucket(Bucket="signed")
    client(sandbox, "s3").put_object(Bucket="signed", Key="key", Body=b"content")
    url = client(sandbox, "s3").generate_presigned_url("get_object", Params={"Bucket": "signed", "Key": "key"})

    def status(url: str, method: str = "GET") -> int:
        return urllib3.PoolManager().request(method, url, retries=False).status

    assert status(url) == 200
    assert status(url, "DELETE") == 403
    assert status(url.replace("/signed/key", "/2015-03-31/functions")) == 403
    assert status(f"{url}&Action=ListQueues") == 403


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"X-Amz-Target": "DynamoDB_20120810.ListTables"}, "{}"),
        ({"Authorization": "AWS4-HMAC-SHA256 Credential=A/20300101/us-east-1/lambda/aws4_request"}, "{}"),
        (FORM, urlencode({"Action": "ListStacks", "Version": "2010-05-15"})),
    ],
)
def test_presigned_s3_url_is_rejected_by_other_services(sandbox: Sandbox, headers: dict[str, str], body: str) -> None:
    """Its headers and body are not signed, but MiniStack selects the service by them."""
    client(sandbox, "s3").create_bucket(Bucket="upload")
    url = client(sandbox, "s3").generate_presigned_url("put_object", Params={"Bucket": "upload", "Key": "key"})
    assert urllib3.PoolManager().request("PUT", url, headers=headers, body=body, retries=False).status == 403
    assert urllib3.PoolManager().request("PUT", url, body="content", retries=False).status == 200


@pytest.mark.parametrize("header", ["X-Amz-Copy-Source", "X-Amz-Website-Redirect-Location", "X-Amz-Tagging"])
def test_presigned_url_is_rejected_with_unsigned_aws_header(sandbox: Sandbox, header: str) -> None:
    """With such a header, an upload could copy any object that the signer can read."""
    s3 = client(sandbox, "s3")
    for bucket in ("source", "target"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="source", Key="secret", Body=b"secret")
    url = s3.generate_presigned_url("put_object", Params={"Bucket": "target", "Key": "key"})
    response = urllib3.PoolManager().request("PUT", url, headers={header: "/source/secret"}, retries=False)
    assert response.status == 403
    assert b"headers present in the request which were not signed" in response.data
    assert "Contents" not in s3.list_objects_v2(Bucket="target")


def test_presigned_url_is_accepted_with_signed_aws_header(sandbox: Sandbox) -> None:
    s3 = client(sandbox, "s3")
    s3.create_bucket(Bucket="metadata")
    url = s3.generate_presigned_url("put_object", Params={"Bucket": "metadata", "Key": "key", "Metadata": {"a": "b"}})
    headers = {"X-Amz-Meta-A": "b"}
    assert urllib3.PoolManager().request("PUT", url, headers=headers, body="content", retries=False).status == 200
    assert s3.head_object(Bucket="metadata", Key="key")["Metadata"] == {"a": "b"}


def test_web_page_is_rejected_before_its_body_is_read(sandbox: Sandbox) -> None:
    host = urlsplit(sandbox.url)
    head = (
        f"POST / HTTP/1.1\r\nHost: {host.netloc}\r\nOrigin: https://evil.example\r\nContent-Length: 1000000000\r\n\r\n"
    )
    with socket.create_connection((host.hostname, host.port), timeout=60) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 403")


def test_keys_of_two_sandboxes_differ(sandbox: Sandbox) -> None:
    other = Sandbox()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        other.ports = {"aws": 1}
        assert other.environment[name] != sandbox.environment[name]


@pytest.mark.skipif(not shutil.which("chromedriver"), reason="needs Chromium and chromedriver")
def test_web_page_in_chromium_cannot_create_function(sandbox: Sandbox) -> None:
    code = base64.b64encode(zip_of("attack.py", "def handler(event, context): pass")).decode()
    function = {
        "FunctionName": "attack",
        "Runtime": "python3.14",
        "Handler": "attack.handler",
        "Role": "arn:aws:iam::111111111111:role/attack",
        "Code": {"ZipFile": code},
    }
    request = {"method": "POST", "mode": "no-cors", "body": json.dumps(function)}  # sent as text/plain
    script = (
        f"fetch('{sandbox.url}/2015-03-31/functions', {json.dumps(request)}).finally(() => document.title = 'sent')"
    )

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f"<script>{script}</script>".encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with browser(Target(boto3.Session(), 1, 1)) as driver:
            driver.get(f"http://127.0.0.1:{server.server_port}/")
            WebDriverWait(driver, 120).until(lambda page: page.title == "sent")
    finally:
        server.shutdown()
        server.server_close()
    assert client(sandbox, "lambda").list_functions()["Functions"] == []


def zip_of(name: str, text: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        package.writestr(name, text)
    return file.getvalue()
