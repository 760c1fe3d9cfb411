"""AWS JSON protocol: registers operations of services that MiniStack lacks."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..ministack.requests import json_error, json_response, service_handlers, service_patterns

Operation = Callable[[dict[str, Any]], Any]


class ServiceError(Exception):
    """An error response of an operation, with AWS's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def register(service: str, target_prefix: str, operations: Mapping[str, Operation]) -> None:
    """Route requests whose X-Amz-Target starts with `target_prefix` to `operations`, by operation name."""

    async def handle_request(_method: str, _path: str, headers: Any, body: bytes, _query: Any) -> Any:
        name = headers.get("x-amz-target", "").rpartition(".")[2]
        operation = operations.get(name)
        if operation is None:
            return json_error("UnknownOperationException", f"the sandbox does not implement {service}:{name}")
        try:
            return json_response(operation(json.loads(body or "{}")) or {})
        except ServiceError as error:
            return json_error(error.code, str(error))

    service_handlers[service] = handle_request
    service_patterns[service] = {"target_prefixes": [target_prefix]}


def content(response: tuple[int, Any, bytes]) -> dict[str, Any]:
    """Return the content of a response.

    Raises:
        ValueError: with the code and the message of an error.
    """
    status, _, body = response
    parsed: dict[str, Any] = json.loads(body or "{}")
    if status >= 300:
        raise ValueError(f"{parsed['__type']}: {parsed['message']}")
    return parsed
