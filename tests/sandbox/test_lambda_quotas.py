"""Lambda's quotas of payloads, environment variables and concurrency in the sandbox."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox import Sandbox
from sandbox.target import target_of

from .functions import Functions, archive
from .stacks import Stacks

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("ministack")]
REPEAT = "def handler(event, context):\n    return 'x' * event if isinstance(event, int) else len(event)\n"
MEGABYTE = 1024**2


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=60) as running:
        yield running


@pytest.fixture(scope="module")
def functions(stacks: Stacks) -> Functions:
    return Functions(stacks.sandbox)


@pytest.fixture(scope="module")
def repeater(functions: Functions) -> str:
    """A function that returns the length of a text, or a text of a length."""
    name = functions.create()
    functions.lambda_.update_function_code(FunctionName=name, ZipFile=archive(REPEAT))
    functions.wait(name)
    return name


def refusal(call: Any, **parameters: Any) -> tuple[int, str, str]:
    """Return status, code and message of the error with which a call fails."""
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    response = refused.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


@pytest.mark.parametrize(("kind", "limit"), [("RequestResponse", 6 * MEGABYTE), ("Event", MEGABYTE)])
def test_request_payload_up_to_the_quota_is_accepted(
    functions: Functions, repeater: str, kind: str, limit: int
) -> None:
    options = {"FunctionName": repeater, "InvocationType": kind}
    accepted = functions.lambda_.invoke(Payload=json.dumps("x" * (limit - 2)), **options)
    assert accepted["Payload"].read() == (b"" if kind == "Event" else str(limit - 2).encode())
    message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
    code = "RequestEntityTooLargeException"
    assert refusal(functions.lambda_.invoke, Payload=json.dumps("x" * limit), **options) == (413, code, message)


def test_response_payload_above_the_quota_is_an_error_of_the_function(functions: Functions, repeater: str) -> None:
    limit = 6 * MEGABYTE + 100
    accepted = functions.lambda_.invoke(FunctionName=repeater, Payload=str(limit - 2))
    assert len(accepted["Payload"].read()) == limit
    response = functions.lambda_.invoke(FunctionName=repeater, Payload=str(limit + 1))
    assert (response["StatusCode"], response["FunctionError"]) == (200, "Unhandled")
    assert json.loads(response["Payload"].read()) == {
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    }


def test_environment_above_four_kilobytes_is_refused(stacks: Stacks, functions: Functions) -> None:
    name, message = functions.create(), "environment variables you have provided exceeded the 4KB limit"
    update = functions.lambda_.update_function_configuration
    too_long = {"Variables": {"TEXT": "x" * 4096}}
    status, code, text = refusal(update, FunctionName=name, Environment=too_long)
    assert (status, code) == (400, "InvalidParameterValueException")
    assert message in text
    update(FunctionName=name, Environment={"Variables": {"TEXT": "x" * (4096 - len('{"TEXT":""}'))}})
    properties = {"Runtime": "python3.13", "Handler": "index.handler", "Code": {"ZipFile": REPEAT}}
    properties |= {"Role": functions.role(), "Environment": too_long}
    stack = stacks.name()
    created = stacks.create(stack, Resources={"F": {"Type": "AWS::Lambda::Function", "Properties": properties}})
    assert created["StackStatus"] == "ROLLBACK_COMPLETE"
    assert [event for event in stacks.events(stack) if event[1] == "CREATE_FAILED" and message in event[2]]


def test_throttled_events_wait_for_concurrency(sandbox: Sandbox) -> None:
    """Throttles are no errors of the function, so they do not count as retries."""
    functions = Functions(sandbox)
    name = functions.create()
    source = "import time\ndef handler(event, context):\n    time.sleep(0.5)\n    print('event', event)\n"
    functions.lambda_.update_function_code(FunctionName=name, ZipFile=archive(source))
    functions.wait(name)
    functions.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    functions.lambda_.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    for number in range(3):
        functions.lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=str(number))

    functions.logs.create_log_group(logGroupName=f"/aws/lambda/{name}")

    def handled() -> bool:
        events = functions.logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        return {e["message"] for e in events} >= {"event 0", "event 1", "event 2"}

    target_of(sandbox).wait_until(handled, "the three events are handled", seconds=60)


def test_reserved_concurrency_leaves_a_hundred_unreserved(functions: Functions) -> None:
    name, reserve = functions.create(), functions.lambda_.put_function_concurrency
    message = "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
    message += "below its minimum value of [100]."
    expected = (400, "InvalidParameterValueException", message)
    assert refusal(reserve, FunctionName=name, ReservedConcurrentExecutions=901) == expected
    reserve(FunctionName=name, ReservedConcurrentExecutions=900)
    other = functions.create()
    assert refusal(reserve, FunctionName=other, ReservedConcurrentExecutions=1) == expected
    reserve(FunctionName=name, ReservedConcurrentExecutions=0)
    code = "TooManyRequestsException"
    assert refusal(functions.lambda_.invoke, FunctionName=name) == (429, code, "Rate Exceeded.")
