"""S3: a request that nobody has signed is refused.

MiniStack answers it. Left out: bucket policies and access control lists that let everyone in;
no bucket of the systems has one.
"""

from typing import Any

from ministack.services import s3

REFUSAL = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def install() -> None:
    """Refuse requests without a signature."""
    answer = s3.handle_request

    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if "authorization" in headers or "X-Amz-Signature" in query or "Signature" in query:
            return await answer(method, path, headers, body, query)
        return 403, {"Content-Type": "application/xml"}, REFUSAL

    s3.handle_request = handle_request
