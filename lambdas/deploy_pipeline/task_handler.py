"""Entry points of the state machine's functions, and of the function that cleans up after an execution.

`check_stack`, `publish_assets`, `change_set` and `first_failure` receive the payload in the state machine's definition;
`clean_up` receives a "Step Functions Execution Status Change" event.
"""

import json
import logging
import os
from functools import partial

import boto3
from botocore.config import Config

from .approved_changes import NOT_APPROVED, approved_changes
from .assets import publish
from .change_set import CreationStatus, Inspection, creation_status, delete_leftover, inspect
from .errors import InvalidInputError
from .events import ChangeSetEvent, CheckStackEvent, ExecutionStatusEvent, FirstFailureEvent, PublishAssetsEvent
from .failure import explain
from .fields import shorten
from .inspection import Policy
from .metrics import put_edited_input
from .report import put_report
from .request import (
    EXECUTION_NAME,
    DeploymentRequest,
    fingerprint,
    parse_request,
    refuse_other_bucket,
    refuse_other_stack,
)
from .source import AssetTarget
from .stack import Plan, plan

# Throttled calls are retried here, with jitter, because that needs no state transitions.
RETRIES = Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=3, read_timeout=20)
CLOUDFORMATION = boto3.client("cloudformation", config=RETRIES)
S3 = boto3.client("s3", config=RETRIES)
STEP_FUNCTIONS = boto3.client("stepfunctions", config=RETRIES)
logger = logging.getLogger(__name__)
logging.getLogger(__package__).setLevel(os.environ.get("LOG_LEVEL", "INFO"))


def check_stack(event: CheckStackEvent, _context: object) -> Plan:
    """Validate the input and return the plan of the deployment."""
    _refuse_other_names(event["execution"])
    request = _accepted_request(event["input"])
    request.rollout.refuse_other(json.loads(os.environ["ROLLOUT"]))
    if fingerprint(event["input"]) != os.environ["DEPLOYED_INPUT"]:
        logger.warning("The input is not the deployed one", extra={"execution": event["execution"]})
        put_edited_input(event["execution"])
    is_inspected = request.inspection and request.on_unsafe == "ask"
    deployment = plan(
        S3,
        CLOUDFORMATION,
        request,
        execution_name=event["execution"],
        bucket=os.environ["BUCKET"],
        url=os.environ["BUCKET_URL"],
        assets=AssetTarget(os.environ["ASSET_BUCKET"], os.environ["ENVIRONMENT"]),
        approved=approved_changes(STEP_FUNCTIONS, event) if is_inspected else NOT_APPROVED,
    )
    logger.info(
        "Planned the deployment",
        extra={
            "execution": event["execution"],
            "stack_name": deployment["stackName"],
            "action": deployment["action"],
        },
    )
    return deployment


def _refuse_other_names(execution: str) -> None:
    """Accept only names that are no link and end no quoted text: requests for approval contain the name in commands."""
    if not EXECUTION_NAME.fullmatch(execution):
        raise InvalidInputError(
            f"The name of the execution: given {shorten(execution)}; accepted: 1 to 80 letters, digits, hyphens and"
            " underscores."
        )


def _accepted_request(value: object) -> DeploymentRequest:
    """Validate the input, and accept only this pipeline's stack and artifacts."""
    request = parse_request(value)
    refuse_other_stack(request, os.environ["STACK_NAMES"])
    refuse_other_bucket(request, os.environ["ARTIFACT_BUCKET"])
    return request


def publish_assets(event: PublishAssetsEvent, _context: object) -> dict[str, int]:
    """Publish the file assets of the stack's cloud assembly."""
    request = _accepted_request(event["input"])
    published = publish(S3, request, os.environ["ASSET_BUCKET"], os.environ["ENVIRONMENT"])
    logger.info(
        "Published the assets",
        extra={"stack_name": request.stack_name, "assets": published.assets, "uploaded": published.uploaded},
    )
    return {"assets": published.assets, "uploaded": published.uploaded}


def change_set(event: ChangeSetEvent, _context: object) -> CreationStatus | Inspection:
    """Return the creation status of a change set or, with a `policy`, its unsafe changes."""
    keys = {"stack_name": event["stackName"], "change_set_id": event["changeSetId"]}
    if "policy" not in event:
        created = creation_status(CLOUDFORMATION, event["changeSetId"], event["stackName"])
        logger.info("Read the status of the change set", extra=keys | {"status": created["status"]})
        return created
    policy = Policy.from_json(event["policy"])
    store = partial(put_report, S3, os.environ["BUCKET"], event["changeSetId"])
    inspection = inspect(CLOUDFORMATION, event["changeSetId"], event["stackName"], policy, store)
    logger.info("Inspected the change set", extra=keys | {"unsafe_change_count": inspection["count"]})
    return inspection


def first_failure(event: FirstFailureEvent, _context: object) -> dict[str, str]:
    """Return why an operation on a stack failed."""
    cause = explain(CLOUDFORMATION, event["stackId"], event["stackName"], event["status"], event["statusReason"])
    logger.warning(
        "The stack operation failed",
        extra={"stack_name": event["stackName"], "status": event["status"], "reason": cause},
    )
    return {"cause": cause}


def clean_up(event: ExecutionStatusEvent, _context: object) -> None:
    """Delete the change set that an aborted, timed out or failed execution left behind, if any."""
    detail = event["detail"]
    try:
        _refuse_other_names(detail["name"])
        request = _accepted_request(json.loads(detail["input"]))
    except (InvalidInputError, RecursionError, ValueError):  # ValueError: a number with too many digits
        return  # with an invalid name or input, the execution created nothing
    result = delete_leftover(CLOUDFORMATION, detail["name"], request.stack_name)
    logger.info(
        "Cleaned up after the execution",
        extra={"execution": detail["name"], "status": detail["status"], "change_set": result},
    )
