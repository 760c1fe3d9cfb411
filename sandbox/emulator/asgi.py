"""Requests and responses of the ASGI applications."""

from collections.abc import Mapping
from typing import Any


class RejectedRequestError(Exception):
    """A request that is rejected before a service gets it, with the status of the response and AWS's error code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


async def read_body(receive: Any, limit: float) -> bytes:
    """Return the body. The limit is also that of memory, because a body can have no declared length."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RejectedRequestError(400, "IncompleteBody", "Incomplete body")
        body += message.get("body", b"")
        if len(body) > limit:
            raise RejectedRequestError(413, "RequestTooLong", "Request Too Long")
        if not message.get("more_body"):
            return bytes(body)


async def send_response(send: Any, method: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Send a response; to a HEAD request, without the body."""
    if method != "HEAD":
        headers = {**headers, "content-length": str(len(body))}
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


async def close_websocket(receive: Any, send: Any) -> None:
    """Refuse a WebSocket."""
    await receive()
    await send({"type": "websocket.close", "code": 1008})
