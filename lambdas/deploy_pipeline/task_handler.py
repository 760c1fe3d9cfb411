"""Entry points of the state machine's functions, and of the function that cleans up after an execution.

`check_stack`, `change_set` and `first_failure` receive the payload in the state machine's definition;
`clean_up` receives a "Step Functions Execution Status Change" event.
"""

import json
import os
from typing import Any

import boto3
from botocore.config import Config

from .change_set import creation_status, delete_leftover, inspect
from .errors import InvalidInputError
from .failure import explain
from .inspection import Policy
from .metrics import edited_input_record
from .request import fingerprint, parse_request, refuse_other_stack
from .stack import plan

# Throttled calls are retried here, with jitter, because that needs no state transitions.
RETRIES = Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=3, read_timeout=20)
CLOUDFORMATION = boto3.client("cloudformation", config=RETRIES)
S3 = boto3.client("s3", config=RETRIES)


def check_stack(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Validate the input and return the plan of the deployment."""
    request = parse_request(event["input"])
    refuse_other_stack(request, os.environ["STACK_NAME"])
    if fingerprint(event["input"]) != os.environ["DEPLOYED_INPUT"]:
        print(json.dumps(edited_input_record(event["execution"])))
    return plan(
        S3,
        CLOUDFORMATION,
        request,
        execution_name=event["execution"],
        bucket=os.environ["BUCKET"],
        url=os.environ["BUCKET_URL"],
    )


def change_set(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Return the creation status of a change set or, with a `policy`, its unsafe changes."""
    if "policy" not in event:
        return dict(creation_status(CLOUDFORMATION, event["changeSetId"], event["stackName"]))
    policy = Policy.from_json(event["policy"])
    return inspect(CLOUDFORMATION, event["changeSetId"], event["stackName"], policy)


def first_failure(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Return why an operation on a stack failed."""
    names = ("stackId", "stackName", "status", "statusReason")
    return {"cause": explain(CLOUDFORMATION, *(event[name] for name in names))}


def clean_up(event: dict[str, Any], _context: Any) -> None:
    """Delete the change set that an aborted, timed out or failed execution left behind, if any."""
    detail = event["detail"]
    try:
        request = parse_request(json.loads(detail["input"]))
    except (InvalidInputError, RecursionError):
        return  # with an invalid input, the execution created nothing
    result = delete_leftover(CLOUDFORMATION, detail["name"], request.stack_name)
    print(json.dumps({"execution": detail["name"], "status": detail["status"], "change_set": result}))
