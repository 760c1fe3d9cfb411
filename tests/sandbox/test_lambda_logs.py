"""Logs of functions in the sandbox."""

import json
import select
import subprocess
import sys
import textwrap
from threading import Timer
from typing import Any

import pytest

from sandbox.awslambda import Responses

from .functions import Functions, archive
from .stacks import Stacks

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("ministack")]
SOURCE = """
import logging
logger = logging.getLogger("worker")

def handler(event, context):
    logger.debug("hidden")
    logger.info("%d orders", event, extra={"region": "here"})
    try:
        1 / 0
    except ZeroDivisionError:
        logger.exception("not divided")
    for number in range(event):
        print("line", number)
    return context.aws_request_id
"""


@pytest.fixture(scope="module")
def functions(stacks: Stacks) -> Functions:
    return Functions(stacks.sandbox)


def run(functions: Functions, argument: int, **options: Any) -> tuple[str, list[str]]:
    """Invoke a new function, and return the request ID and the lines of its log."""
    name = functions.create(**options)
    functions.lambda_.update_function_code(FunctionName=name, ZipFile=archive(textwrap.dedent(SOURCE)))
    functions.wait(name)
    payload = functions.lambda_.invoke(FunctionName=name, Payload=str(argument))["Payload"].read()
    events = functions.logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    return json.loads(payload), [event["message"] for event in events]


def test_json_logs_have_the_request_id(functions: Functions) -> None:
    request_id, lines = run(functions, 7, LoggingConfig={"LogFormat": "JSON"})
    info, error = [json.loads(line) for line in lines if line.startswith("{")]
    assert info.pop("timestamp").endswith("Z")
    assert info == {
        "level": "INFO",
        "message": "7 orders",
        "logger": "worker",
        "region": "here",
        "requestId": request_id,
    }
    assert (error["level"], error["errorType"], error["requestId"]) == ("ERROR", "ZeroDivisionError", request_id)
    assert "1 / 0" in error["stackTrace"][-1]


def test_application_log_level_applies(functions: Functions) -> None:
    _, lines = run(functions, 1, LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "ERROR"})
    assert [json.loads(line)["level"] for line in lines if line.startswith("{")] == ["ERROR"]


def test_output_of_many_lines_is_logged(functions: Functions) -> None:
    _, lines = run(functions, 1000)
    assert [line for line in lines if line.startswith("line ")] == [f"line {number}" for number in range(1000)]


def test_response_waits_until_the_log_is_read() -> None:
    code = "import sys; print('line', file=sys.stderr, flush=True); print('response', flush=True); sys.stdin.read()"
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stderr
        Timer(0.3, process.stderr.readline).start()
        assert Responses(process).readline() == "response\n"
        assert select.select([process.stderr], [], [], 0)[0] == [], "there is nothing to read"
        process.communicate()
