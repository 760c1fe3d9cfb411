"""Services that MiniStack lacks and that speak JSON: how their operations are reached."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from ministack import app
from ministack.core import router
from ministack.core.responses import error_response_json, json_response

Operation = Callable[[dict[str, Any]], Any]


class RefusedError(Exception):
    """An operation's error, by the code that AWS gives."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def serve(service: str, target: str, operations: Mapping[str, Operation]) -> None:
    """Answer calls whose X-Amz-Target begins with `target`, by the operation's name."""

    async def handle_request(_method: str, _path: str, headers: Any, body: bytes, _query: Any) -> Any:
        name = headers.get("x-amz-target", "").rpartition(".")[2]
        operation = operations.get(name)
        if operation is None:
            return error_response_json("UnknownOperationException", f"the sandbox has no {service}:{name}")
        try:
            return json_response(operation(json.loads(body or "{}")) or {})
        except RefusedError as error:
            return error_response_json(error.code, str(error))

    app.SERVICE_HANDLERS[service] = handle_request
    router.SERVICE_PATTERNS[service] = {"target_prefixes": [target]}
