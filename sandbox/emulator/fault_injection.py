"""Fault injection for tests: a call to CloudFormation or EC2 fails, or another call is executed before it.

A POST with ``X-Amz-Target: Sandbox.Inject`` and ``{"faults": [...]}`` replaces the list of faults and returns the
previous one, with the remaining ``times`` of each fault. A fault has:

- ``action``: the operation, such as ``DescribeStacks``
- ``skip``: number of calls that succeed first (default: 0)
- ``times``: number of calls affected (default: 1)
- ``code`` and ``message`` of an error, or ``before``: parameters of another call to the same API

Walkthroughs do not use it, because AWS has no equivalent.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from ..ministack import cloudformation, ec2
from ..ministack.requests import service_handlers
from .json_protocol import register

FAULTS: list[dict[str, Any]] = []


def install() -> None:
    """Accept faults, and apply them to CloudFormation and EC2."""
    register("sandbox-faults", "Sandbox.", {"Inject": _inject})
    _wrap("cloudformation", cloudformation.error_response)
    _wrap("ec2", lambda code, message: ec2.error_response(code, message, 400))


def _wrap(service: str, error_response: Callable[[str, str], Any]) -> None:
    handler = service_handlers[service]

    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        action = parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
        fault = _next_fault(action)
        if fault and "code" in fault:
            return error_response(fault["code"], fault.get("message", ""))
        if fault:
            parameters = {name: [value] for name, value in fault["before"].items()}
            await handler("POST", "/", headers, b"", parameters)
            await asyncio.sleep(0.1)  # until the call has taken effect
        return await handler(method, path, headers, body, query)

    service_handlers[service] = handle_request


def _inject(request: dict[str, Any]) -> dict[str, Any]:
    replaced = list(FAULTS)
    FAULTS[:] = request["faults"]
    return {"replaced": replaced}


def _next_fault(action: str) -> dict[str, Any] | None:
    for fault in FAULTS:
        if fault["action"] != action:
            continue
        if fault.get("skip", 0):
            fault["skip"] -= 1
            continue
        fault["times"] = fault.get("times", 1) - 1
        if not fault["times"]:
            FAULTS.remove(fault)
        return fault
    return None
