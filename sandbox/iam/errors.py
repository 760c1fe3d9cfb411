"""Denied requests, as each service and protocol reports them."""

import json
from typing import Any
from xml.sax.saxutils import escape

from .operations import QUERY_SERVICES, Operation, model

# Codes that differ from AccessDenied in XML and AccessDeniedException in JSON.
CODES = {"ec2": "UnauthorizedOperation", "sns": "AuthorizationError", "sqs": "AccessDenied"}


async def send(send_message: Any, method: str, operation: Operation, error: Any) -> None:
    """Send the error of a denied operation."""
    status, headers, text = response(operation, error)
    body = b"" if method == "HEAD" else text.encode()
    pairs = {**headers, "content-length": str(len(body)), "x-amzn-requestid": "sandbox"}
    encoded = [(name.encode(), value.encode()) for name, value in pairs.items()]
    await send_message({"type": "http.response.start", "status": status, "headers": encoded})
    await send_message({"type": "http.response.body", "body": body})


def response(operation: Operation, error: Any) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body of a denied operation.

    error: an `AccessDeniedError`.
    """
    service, message = operation.service, escape(str(error))
    if operation.is_json:
        code = CODES.get(service, "AccessDeniedException")
        headers = {"content-type": "application/x-amz-json-1.1"}
        headers |= {"x-amzn-query-error": f"{code};Sender"} if service == "sqs" else {}
        return 400, headers, json.dumps({"__type": code, "message": str(error)})
    xml = {"content-type": "text/xml"}
    if service == "ec2":
        text = f"You are not authorized to perform this operation. {message}"
        inner = f"<Error><Code>UnauthorizedOperation</Code><Message>{text}</Message></Error>"
        return 403, xml, f"<Response><Errors>{inner}</Errors><RequestID>sandbox</RequestID></Response>"
    if service == "s3":
        return 403, xml, f"<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>"
    found = model(service)
    if service in QUERY_SERVICES or (found and found.metadata["protocol"] == "rest-xml"):
        code = CODES.get(service, "AccessDenied")
        if service == "sns" and error.permission and error.permission.action.startswith("kms:"):
            code = "KMSAccessDenied"
        inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        return 403, xml, f"<ErrorResponse>{inner}<RequestId>sandbox</RequestId></ErrorResponse>"
    headers = {"content-type": "application/json", "x-amzn-errortype": "AccessDeniedException"}
    return 403, headers, json.dumps({"Message" if service == "lambda" else "message": str(error)})
