"""Fault injection for tests: a call to CloudFormation or EC2 fails, or another call is executed before it.

EventBridge's attempts to invoke the target of a rule fail, too, with the action `InvokeTarget`.

A POST with ``X-Amz-Target: Sandbox.Inject`` and ``{"faults": [...]}`` replaces the list of faults and returns the
previous one, with the remaining ``times`` of each fault. A fault has:

- ``action``: the operation, such as ``DescribeStacks``
- ``skip``: number of calls that succeed first (default: 0)
- ``times``: number of calls affected (default: 1)
- ``code`` and ``message`` of an error, or ``before``: parameters of another call to the same API

With ``{"stale_seconds": 2}``, EC2 is eventually consistent: it lists the security group rules of two seconds ago.

With ``{"impaired_regions": [...]}``, all AWS API calls in these Regions fail with status 503, also those of functions.
Deployed APIs still respond, and global services are not impaired.

`Sandbox.SetCost` sets the cost of a budget: see `budgets`.

Only the sandbox's own user can call these operations.

AWS has no equivalents, so on AWS, walkthroughs run without faults and with the account's costs.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from .. import budgets
from ..ec2 import rules
from ..ministack import cloudformation, ec2
from ..ministack.requests import get_region, service_handlers
from .json_protocol import register

Handler = Callable[..., Any]
FAULTS: list[dict[str, Any]] = []
IMPAIRED_REGIONS: set[str] = set()
THROTTLED = "RequestLimitExceeded"
GLOBAL_SERVICES = {"budgets", "cloudfront", "iam", "route53", "sandbox-faults"}


def install() -> None:
    """Accept faults, and apply them to CloudFormation and EC2, and impaired Regions to all services."""
    register("sandbox-faults", "Sandbox.", {"Inject": _inject, "SetCost": budgets.set_cost})
    _apply("cloudformation", _apply_fault, cloudformation.error_response)
    _apply("ec2", _apply_fault, lambda code, text: ec2.error_response(code, text, 503 if code == THROTTLED else 400))
    for service in service_handlers.keys() - GLOBAL_SERVICES:
        _apply(service, _reject_in_impaired_regions)


def _apply(service: str, function: Callable[..., Any], *arguments: Any) -> None:
    service_handlers[service] = partial(function, service_handlers[service], *arguments)


async def _reject_in_impaired_regions(handler: Handler, *request: Any) -> Any:
    if get_region() in IMPAIRED_REGIONS:
        return 503, {"Content-Type": "text/plain"}, b""
    return await handler(*request)


async def _apply_fault(
    handler: Handler, error_response: Handler, method: str, path: str, headers: Any, body: bytes, query: Any
) -> Any:
    fault = next_fault(parse_qs(body.decode(errors="replace")).get("Action", [""])[0])
    if fault and "code" in fault:
        return error_response(fault["code"], fault.get("message", ""))
    if fault:
        parameters = {name: [value] for name, value in fault["before"].items()}
        await handler("POST", "/", headers, b"", parameters)
        await asyncio.sleep(0.1)  # until the call has taken effect
    return await handler(method, path, headers, body, query)


def _inject(request: dict[str, Any]) -> dict[str, Any]:
    replaced = list(FAULTS)
    FAULTS[:] = request.get("faults", FAULTS)
    rules.visibility["delay"] = request.get("stale_seconds", rules.visibility["delay"])
    if "impaired_regions" in request:
        IMPAIRED_REGIONS.clear()
        IMPAIRED_REGIONS.update(request["impaired_regions"])
    return {"replaced": replaced}


def next_fault(action: str) -> dict[str, Any] | None:
    """Return the fault that applies to a call of `action`, or None."""
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
