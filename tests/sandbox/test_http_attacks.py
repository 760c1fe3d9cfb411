"""Attacks on the sandbox's ports with unusual HTTP: large, endless and incomplete bodies, repeated headers, HTTP/2."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import boto3
import h2.config
import h2.connection
import h2.events
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from sandbox import Sandbox
from sandbox.emulator.authentication import MAX_CUSTOM_RESOURCE_BYTES
from sandbox.emulator.web import MAX_BODY_BYTES

pytestmark = pytest.mark.enable_socket
LIST_TOPICS = "/?Action=ListTopics&Version=2010-03-31"
CHUNK = 1 << 20
CUSTOM_RESOURCE = f"PUT /_ministack/cfn-response/{'a' * 24} HTTP/1.1"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def send(port: int, head: list[str], body: bytes = b"") -> str:
    """Send a request and return the start of the response. The connection is not closed for writing."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        try:
            for start in range(0, len(body), CHUNK):
                connection.sendall(body[start : start + CHUNK])
        except ConnectionError:
            pass  # the response was sent before the end of the body
        return connection.recv(4096).decode()


def status(response: str) -> int:
    return int(response.split()[1])


def host(sandbox: Sandbox) -> str:
    return urlsplit(sandbox.url).netloc


def signed(sandbox: Sandbox) -> dict[str, str]:
    """Return the headers of a signed ListTopics call."""
    request = AWSRequest("GET", sandbox.url + LIST_TOPICS)
    environment = sandbox.environment
    credentials = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(credentials, "sns", "us-east-1").add_auth(request)
    return {"Host": host(sandbox)} | dict(request.headers.items())


def lines(headers: dict[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in headers.items()]


def chunked(body: bytes) -> bytes:
    """Return chunks without the last, empty one."""
    parts = (body[start : start + CHUNK] for start in range(0, len(body), CHUNK))
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts)


WEB_REQUEST = ["POST / HTTP/1.1", "Host: www.example.com"]


def test_endless_chunked_body_of_viewer_is_rejected(sandbox: Sandbox) -> None:
    body = chunked(bytes(MAX_BODY_BYTES + 1))
    assert status(send(sandbox.ports["http"], [*WEB_REQUEST, "Transfer-Encoding: chunked"], body)) == 413


def test_long_body_of_viewer_is_rejected_before_its_end(sandbox: Sandbox) -> None:
    head = [*WEB_REQUEST, "Content-Length: 1000000000"]
    assert status(send(sandbox.ports["http"], head, bytes(MAX_BODY_BYTES + 1))) == 413


@pytest.mark.parametrize("is_chunked", [False, True])
def test_longest_body_of_viewer_is_accepted(sandbox: Sandbox, is_chunked: bool) -> None:
    body = bytes(MAX_BODY_BYTES)
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(body)}"
    response = send(sandbox.ports["http"], [*WEB_REQUEST, length], chunked(body) + b"0\r\n\r\n" if is_chunked else body)
    assert status(response) == 403, "no deployed resource has this host name"


def test_body_without_length_is_empty(sandbox: Sandbox) -> None:
    assert status(send(sandbox.ports["http"], WEB_REQUEST)) == 403, "no deployed resource has this host name"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (["GET / HTTP/1.0"], 403),
        (["GET / HTTP/1.1"], 400),
        (["GET / HTTP/1.1", "Host: www.example.com", "Host: example.com"], 400),
        (["GET http://www.example.com/ HTTP/1.1", "Host: www.example.com"], 400),
        (["OPTIONS * HTTP/1.1", "Host: www.example.com"], 400),
        (["POST / HTTP/1.1", "Host: www.example.com", "Content-Length: -1"], 400),
        (["POST / HTTP/1.1", "Host: www.example.com", "Content-Length: 1", "Content-Length: 2"], 400),
        (["POST / HTTP/1.1", "Host: www.example.com", "Transfer-Encoding: gzip, chunked"], 501),
        (
            ["GET / HTTP/1.1", "Host: www.example.com", "Connection: upgrade", "Upgrade: websocket",
             "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="],
            403,
        ),
    ],
    ids=str,
)  # fmt: skip
def test_unusual_request_of_viewer_is_rejected(sandbox: Sandbox, head: list[str], expected: int) -> None:
    assert status(send(sandbox.ports["http"], head)) == expected


@pytest.mark.parametrize(
    ("request_line", "headers", "expected"),
    [
        (f"GET {LIST_TOPICS} HTTP/1.1", [], 200),
        (f"GET {LIST_TOPICS} HTTP/1.1", ["Host: evil.example"], 400),
        (f"GET {LIST_TOPICS} HTTP/1.1", ["Origin: https://evil.example", "Origin: http://{host}"], 403),
        (f"GET {LIST_TOPICS} HTTP/1.1", ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: none"], 403),
        (f"GET http://{{host}}{LIST_TOPICS} HTTP/1.1", [], 403),
        (f"GET http://evil.example{LIST_TOPICS} HTTP/1.1", [], 403),
        (f"GET http://[::{LIST_TOPICS} HTTP/1.1", [], 403),
    ],
)
def test_unusual_signed_request_is_rejected(
    sandbox: Sandbox, request_line: str, headers: list[str], expected: int
) -> None:
    added = [header.format(host=host(sandbox)) for header in headers]
    head = [request_line.format(host=host(sandbox)), *lines(signed(sandbox)), *added]
    assert status(send(sandbox.ports["aws"], head)) == expected


def test_signed_request_without_host_is_rejected(sandbox: Sandbox) -> None:
    head = [header for header in lines(signed(sandbox)) if not header.startswith("Host:")]
    assert status(send(sandbox.ports["aws"], [f"GET {LIST_TOPICS} HTTP/1.0", *head])) == 403


@pytest.mark.parametrize("authorization", ["none", "unknown key"])
def test_body_without_known_key_is_not_read(sandbox: Sandbox, authorization: str) -> None:
    head = ["POST / HTTP/1.1", f"Host: {host(sandbox)}", "Content-Length: 1000000000"]
    if authorization == "unknown key":
        scope = "AKIAIOSFODNN7EXAMPLE/20300101/us-east-1/sqs/aws4_request"
        head.append(f"Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={'0' * 64}")
    assert status(send(sandbox.ports["aws"], head)) == 403


def test_unsigned_response_of_custom_resource_has_limited_size(sandbox: Sandbox) -> None:
    head = [CUSTOM_RESOURCE, f"Host: {host(sandbox)}", "Content-Length: 1000000000"]
    assert status(send(sandbox.ports["aws"], head, b"[" * (MAX_CUSTOM_RESOURCE_BYTES + 1))) == 403


def test_incomplete_upload_is_not_stored(sandbox: Sandbox) -> None:
    """A presigned URL does not sign the body."""
    environment = sandbox.environment
    s3 = boto3.client(
        "s3", endpoint_url=sandbox.url, region_name="us-east-1", aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )  # fmt: skip
    s3.create_bucket(Bucket="incomplete")
    for key, body in (("part", b"start"), ("whole", b"x" * 100)):
        url = s3.generate_presigned_url("put_object", Params={"Bucket": "incomplete", "Key": key})
        path = url.removeprefix(sandbox.url)
        with socket.create_connection(("127.0.0.1", sandbox.ports["aws"]), timeout=60) as connection:
            head = f"PUT {path} HTTP/1.1\r\nHost: {host(sandbox)}\r\nContent-Length: 100\r\n\r\n"
            connection.sendall(head.encode() + body)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(4096)
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="incomplete")["Contents"]] == ["whole"]


def send_http2(port: int, headers: list[tuple[str, str]], body: bytes = b"") -> int:
    """Send a request in HTTP/2 with prior knowledge, and return the status; 0 if the connection is closed."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
    client.initiate_connection()
    client.send_headers(1, headers, end_stream=not body)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        while True:
            while body and (room := min(client.local_flow_control_window(1), client.max_outbound_frame_size)):
                client.send_data(1, body[:room], end_stream=len(body) <= room)
                body = body[room:]
            try:
                connection.sendall(client.data_to_send())
                received = connection.recv(65536)
            except ConnectionError:  # closed before all was sent
                return 0
            if not received:
                return 0
            for event in client.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived):
                    return int(dict(event.headers)[b":status"])
                assert not isinstance(event, h2.events.StreamReset), event


@pytest.mark.parametrize(
    ("authority", "headers", "expected"),
    [
        ("{host}", {}, 200),
        ("evil.example", {}, 403),
        ("evil.example", {"host": "{host}"}, 0),
        ("", {}, 403),
        ("{host}", {"origin": "https://evil.example"}, 403),
        ("{host}", {"sec-fetch-site": "cross-site"}, 403),
        ("{host}", {"authorization": "none"}, 403),
    ],
)
def test_http2_request_of_web_page_or_without_key_is_rejected(
    sandbox: Sandbox, authority: str, headers: dict[str, str], expected: int
) -> None:
    values = {name.lower(): value for name, value in signed(sandbox).items() if name != "Host"} | headers
    pseudo = {":method": "GET", ":path": LIST_TOPICS, ":scheme": "http", ":authority": authority}
    request = [(name, value.format(host=host(sandbox))) for name, value in (pseudo | values).items()]
    assert send_http2(sandbox.ports["aws"], request) == expected


def test_endless_http2_body_of_viewer_is_rejected(sandbox: Sandbox) -> None:
    pseudo = [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "www.example.com")]
    assert send_http2(sandbox.ports["http"], pseudo, bytes(MAX_BODY_BYTES + CHUNK)) == 413
