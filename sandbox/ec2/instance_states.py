"""EC2: stopping and starting instances, and the protection against stopping and terminating them.

An instance is stopping or pending for half a second. EC2 API reference; EC2 user guide, "Enable stop protection". Not
implemented: other attributes of ModifyInstanceAttribute, hibernation, and the processes of stopped instances.
"""

import contextvars
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..ministack import ec2
from .ec2_protocol import to_xml
from .rules import ApiError

SECONDS = 0.5  # of a transition
STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
PROTECTIONS = {"disableApiStop": "stopped", "disableApiTermination": "terminated"}
Request = dict[str, Any]
Handler = Callable[[Request], Any]
WHEN_STOPPED: list[Callable[[str], None]] = []  # called with the ID of an instance that has stopped


@dataclass(frozen=True)
class Transition:
    """A change of state. accepted: the states in which a call succeeds."""

    accepted: tuple[str, ...]
    intermediate: str
    final: str
    participle: str


TRANSITIONS = {
    "StopInstances": Transition(("running", "stopping", "stopped"), "stopping", "stopped", "stopped"),
    "StartInstances": Transition(("stopped", "pending", "running"), "pending", "running", "started"),
}


def install() -> None:
    """Replace and extend MiniStack's operations."""
    for name, transition in TRANSITIONS.items():
        ec2.operations[name] = _reporting_errors(partial(_change, name, transition))
    ec2.operations["ModifyInstanceAttribute"] = _reporting_errors(_modify_attribute)
    describe, terminate, run = (
        ec2.operations[name] for name in ("DescribeInstanceAttribute", "TerminateInstances", "RunInstances")
    )
    ec2.operations["DescribeInstanceAttribute"] = _reporting_errors(partial(_describe_attribute, describe))
    ec2.operations["TerminateInstances"] = _reporting_errors(partial(_terminate, terminate))
    ec2.operations["RunInstances"] = partial(_run, run)


def _reporting_errors(handler: Handler) -> Handler:
    def handle(request: Request) -> Any:
        try:
            if _value(request, "DryRun") == "true":
                raise ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
            return handler(request)
        except ApiError as error:
            return ec2.error_response(error.code, str(error), error.status)

    return handle


def _value(request: Request, name: str) -> str:
    value = request.get(name, "")
    return str(value[0] if isinstance(value, list) else value)


def _instances(request: Request) -> Iterator[dict[str, Any]]:
    names = [_value(request, name) for name in request if name.split(".")[0] == "InstanceId"]
    for name in names:
        if name not in ec2.instances:
            raise ApiError("InvalidInstanceID.NotFound", f"The instance ID '{name}' does not exist")
        yield ec2.instances[name]


def _change(name: str, transition: Transition, request: Request) -> Any:
    """Change the state of all instances, or of none if one of them does not allow it."""
    instances = list(_instances(request))
    for instance in instances:
        if name == "StopInstances":
            _check_protection(instance, "disableApiStop")
        if instance["State"]["Name"] not in transition.accepted:
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
    return ec2.xml_response(200, f"{name}Response", to_xml("instancesSet", changes))


def _complete(instance: dict[str, Any], transition: Transition) -> None:
    if instance["State"]["Name"] == transition.intermediate:
        instance["State"] = _state(transition.final)
        for listener in WHEN_STOPPED if transition.final == "stopped" else ():
            listener(instance["InstanceId"])


def _state(name: str) -> dict[str, Any]:
    return {"Code": STATES[name], "Name": name}


def _check_protection(instance: dict[str, Any], attribute: str) -> None:
    if instance.get(attribute):
        message = f"The instance '{instance['InstanceId']}' may not be {PROTECTIONS[attribute]}. "
        raise ApiError("OperationNotPermitted", f"{message}Modify its '{attribute}' instance attribute and try again.")


def _terminate(terminate: Handler, request: Request) -> Any:
    for instance in _instances(request):
        _check_protection(instance, "disableApiTermination")
    return terminate(request)


def _run(run: Handler, request: Request) -> Any:
    """Launch as many instances as possible, with the protection of the request."""
    if int(_value(request, "MinCount")) < int(_value(request, "MaxCount")):
        request = request | {"MinCount": request["MaxCount"]}
    response = run(request)
    for name in re.findall(rb"<instanceId>(i-\w+)</instanceId>", response[2]):
        for attribute in PROTECTIONS:
            parameter = attribute[0].upper() + attribute[1:]
            ec2.instances[name.decode()][attribute] = _value(request, parameter) == "true"
    return response


def _modify_attribute(request: Request) -> Any:
    (instance,) = _instances(request)
    requested = {_value(request, "Attribute"): _value(request, "Value")} if "Attribute" in request else {}
    for attribute in PROTECTIONS:
        parameter = f"{attribute[0].upper()}{attribute[1:]}.Value"
        requested |= {attribute: _value(request, parameter)} if parameter in request else {}
    if not requested or requested.keys() - PROTECTIONS.keys():
        raise ApiError("UnsupportedOperation", f"the sandbox implements only the attributes {', '.join(PROTECTIONS)}")
    instance |= {attribute: value == "true" for attribute, value in requested.items()}
    return ec2.xml_response(200, "ModifyInstanceAttributeResponse", to_xml("return", True))


def _describe_attribute(describe: Handler, request: Request) -> Any:
    attribute = _value(request, "Attribute")
    if attribute not in PROTECTIONS:
        return describe(request)
    (instance,) = _instances(request)
    value = to_xml(attribute, {"value": bool(instance.get(attribute))})
    inner = f"{to_xml('instanceId', instance['InstanceId'])}{value}"
    return ec2.xml_response(200, "DescribeInstanceAttributeResponse", inner)
