"""Faults on demand, for tests: a call that fails, or before which somebody else acts.

A POST with ``X-Amz-Target: Sandbox.Inject`` and a list of faults replaces the one before, and
returns that with the `times` that are left. A fault has ``action`` (such as ``DescribeStacks``, of
CloudFormation's or EC2's API), and perhaps ``skip`` (calls that go well before it) and ``times``
(1; then it is over), and either ``code`` and ``message`` of an error or, as ``before``, the
parameters of another call of the same API that is made first. No walkthrough uses it: on AWS there is nothing like it.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from ministack import app
from ministack.services import ec2
from ministack.services.cloudformation import helpers as cloudformation

from .json_api import serve

FAULTS: list[dict[str, Any]] = []


def install() -> None:
    """Take orders, and put them before CloudFormation and EC2."""
    serve("sandbox-faults", "Sandbox.", {"Inject": _inject})
    _before("cloudformation", cloudformation._error)
    _before("ec2", lambda code, message: ec2._error(code, message, 400))


def _before(service: str, refusal: Callable[[str, str], Any]) -> None:
    answer = app.SERVICE_HANDLERS[service]

    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        action = parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
        fault = _due(action)
        if fault and "code" in fault:
            return refusal(fault["code"], fault.get("message", ""))
        if fault:
            other = {name: [value] for name, value in fault["before"].items()}
            await answer("POST", "/", headers, b"", other)
            await asyncio.sleep(0.1)  # until it has been carried out
        return await answer(method, path, headers, body, query)

    app.SERVICE_HANDLERS[service] = handle_request


def _inject(request: dict[str, Any]) -> dict[str, Any]:
    replaced = list(FAULTS)
    FAULTS[:] = request["faults"]
    return {"replaced": replaced}


def _due(action: str) -> dict[str, Any] | None:
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
