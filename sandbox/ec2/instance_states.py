"""EC2: stopping and starting instances, and the protection against stopping and terminating them.

An instance is stopping or pending for half a second. EC2 API reference; EC2 user guide, "Enable stop protection". Not
implemented: other attributes of ModifyInstanceAttribute, hibernation, and the processes of stopped instances.
"""

import contextvars
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from ..ministack import ec2
from .ec2_protocol import ApiError, Request, implement, lower_first

SECONDS = 0.5  # of a transition
STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
PROTECTIONS = {"DisableApiStop": "stopped", "DisableApiTermination": "terminated"}
WHEN_STOPPED: list[Callable[[str], None]] = []  # called with the ID of an instance that has stopped


class Transition(NamedTuple):
    """A change of state. A call succeeds in each of the three states, unless the instance has the protection."""

    initial: str
    intermediate: str
    final: str
    participle: str
    protection: str = ""


TRANSITIONS = {
    "StopInstances": Transition("running", "stopping", "stopped", "stopped", "DisableApiStop"),
    "StartInstances": Transition("stopped", "pending", "running", "started"),
}


def install() -> None:
    """Replace and extend MiniStack's operations."""
    for name, transition in TRANSITIONS.items():
        implement(name, partial(_change, transition))
    implement("ModifyInstanceAttribute", _modify_attribute)
    implement("DescribeInstanceAttribute", _describe_attribute)
    implement("TerminateInstances", _check_termination)
    ec2.operations["RunInstances"] = partial(_run, ec2.operations["RunInstances"])


def _instances(request: Request) -> Iterator[dict[str, Any]]:
    names = request["InstanceId"]
    for name in names if isinstance(names, list) else [names]:
        if name not in ec2.instances:
            raise ApiError("InvalidInstanceID.NotFound", f"The instance ID '{name}' does not exist")
        yield ec2.instances[name]


def _change(transition: Transition, request: Request) -> dict[str, Any]:
    """Change the state of all instances, or of none if one of them does not allow it."""
    instances = list(_instances(request))
    for instance in instances:
        _check_protection(instance, transition.protection)
        if instance["State"]["Name"] not in transition[:3]:
            message = f"is not in a state from which it can be {transition.participle}."
            raise ApiError("IncorrectInstanceState", f"This instance '{instance['InstanceId']}' {message}")
    changes = []
    for instance in instances:
        previous = instance["State"]
        if previous["Name"] not in (transition.intermediate, transition.final):
            instance["State"] = _state(transition.intermediate)
            context = contextvars.copy_context()  # with the account and Region of the request
            timer = threading.Timer(SECONDS, context.run, (_complete, instance, transition))
            timer.daemon = True
            timer.start()
        change = {"instanceId": instance["InstanceId"], "previousState": previous, "currentState": instance["State"]}
        changes.append(change)
    return {"instancesSet": changes}


def _complete(instance: dict[str, Any], transition: Transition) -> None:
    if instance["State"]["Name"] == transition.intermediate:
        instance["State"] = _state(transition.final)
        for listener in WHEN_STOPPED if transition.final == "stopped" else ():
            listener(instance["InstanceId"])


def _state(name: str) -> dict[str, Any]:
    return {"Code": STATES[name], "Name": name}


def _check_protection(instance: dict[str, Any], protection: str) -> None:
    if instance.get(protection):
        message = f"The instance '{instance['InstanceId']}' may not be {PROTECTIONS[protection]}. "
        attribute = lower_first(protection)
        raise ApiError("OperationNotPermitted", f"{message}Modify its '{attribute}' instance attribute and try again.")


def _check_termination(request: Request) -> None:
    for instance in _instances(request):
        _check_protection(instance, "DisableApiTermination")


def _run(run: Callable[[Request], Any], parameters: Request) -> Any:
    """Launch as many instances as possible, with the protection of the request."""
    minimum, maximum = (int(parameters[name][0]) for name in ("MinCount", "MaxCount"))
    if minimum < maximum:
        parameters = parameters | {"MinCount": parameters["MaxCount"]}
    response = run(parameters)
    for name in re.findall(rb"<instanceId>(i-\w+)</instanceId>", response[2]):
        for protection in PROTECTIONS:
            ec2.instances[name.decode()][protection] = parameters.get(protection) == ["true"]
    return response


def _modify_attribute(request: Request) -> dict[str, Any]:
    (instance,) = _instances(request)
    changes = {name: request[name]["Value"] == "true" for name in PROTECTIONS if name in request}
    if not changes:
        raise ApiError("UnsupportedOperation", f"the sandbox implements only the attributes {', '.join(PROTECTIONS)}")
    instance |= changes
    return {"return": True}


def _describe_attribute(request: Request) -> dict[str, Any] | None:
    protection = next((name for name in PROTECTIONS if lower_first(name) == request["Attribute"]), None)
    if not protection:
        return None
    (instance,) = _instances(request)
    return {"instanceId": instance["InstanceId"], request["Attribute"]: {"value": bool(instance.get(protection))}}
