"""Creation policies: resources that wait for SignalResource.

MiniStack creates the resources of a stack one after the other, on its event loop. `SIGNALED_TYPES` are created in a
thread, so that they can wait for a signal through the API. CloudFormation creates them in parallel, and hosts of a
cluster wait for each other, so the last one waits for all. If another one fails, the last one's event has the reason.
Not implemented: signals of updates.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from ..ministack import cloudformation

SIGNALED_TYPES = ("AWS::EC2::Instance",)


class Signals:
    """The signals that one resource has received."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._statuses: dict[str, str] = {}

    def add(self, unique_id: str, status: str) -> None:
        with self._changed:
            self._statuses[unique_id] = status
            self._changed.notify_all()

    def wait(self, count: int, seconds: float) -> None:
        """Wait for `count` success signals.

        Raises:
            RuntimeError: on a failure signal, or after `seconds`.
        """
        with self._changed:
            is_complete = self._changed.wait_for(
                lambda: "FAILURE" in self._statuses.values() or len(self._statuses) >= count, seconds
            )
            failed = [unique_id for unique_id, status in self._statuses.items() if status == "FAILURE"]
            if failed:
                raise RuntimeError(f"Received FAILURE signal with UniqueId {failed[0]}")
            if not is_complete:
                raise RuntimeError(f"Failed to receive {count} resource signal(s) within the specified duration")


_signals: dict[tuple[str, str], Signals] = {}
_waits: dict[str, list[Callable[[], None]]] = {}  # of the resources of a stack that have not waited yet, by its id


def install() -> None:
    """Deliver signals to resources that wait, which are created in a thread."""
    in_thread = cloudformation.runs_on_worker_thread
    in_thread.replace(lambda resource_type: resource_type in SIGNALED_TYPES or in_thread.original(resource_type))
    cloudformation.operations["SignalResource"] = partial(_signal, cloudformation.operations["SignalResource"])


def _signal(signal_resource: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    name, logical_id, unique_id, status = (
        cloudformation.parameter(parameters, key) for key in ("StackName", "LogicalResourceId", "UniqueId", "Status")
    )
    stack = cloudformation.find_stack(name) or {}
    signals = _signals.get((stack.get("StackName", ""), logical_id))
    if signals is None:
        return signal_resource(parameters)
    signals.add(unique_id, status)
    return cloudformation.xml_response(200, "SignalResourceResponse", "<SignalResourceResult/>")


def signals_of(stack_name: str, logical_id: str) -> Signals:
    """Return the signals of a resource that is being created; earlier signals are discarded."""
    _signals[stack_name, logical_id] = signals = Signals()
    return signals


def wait_in_parallel(stack_name: str, logical_id: str, wait: Callable[[], None]) -> None:
    """Wait for the signals of a resource and of those before it, unless another such resource is to be created."""
    stack = cloudformation.stacks[stack_name]
    waits = _waits.setdefault(stack["StackId"], [])
    waits.append(wait)
    resources = cloudformation.parse_template(stack["_template_body"])["Resources"]
    following = [resources[name] for name in resources.keys() - stack["_resources"].keys() - {logical_id}]
    if any(r["Type"] in SIGNALED_TYPES and r.get("CreationPolicy") and not r.get("Condition") for r in following):
        return
    for wait_for_signals in _waits.pop(stack["StackId"]):
        wait_for_signals()


def creation_policy(stack_name: str, logical_id: str) -> dict[str, Any]:
    """Return the creation policy of a resource."""
    template = cloudformation.parse_template(cloudformation.stacks[stack_name]["_template_body"])
    policy: dict[str, Any] = template["Resources"][logical_id].get("CreationPolicy", {})
    return policy
