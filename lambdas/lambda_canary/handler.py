"""Entry points of the state machine's functions, and of the function that runs when an execution has ended."""

import json
import logging
import os
import time
from decimal import Decimal
from typing import TypedDict

import boto3
from botocore.config import Config as ClientConfig

from . import alias, smoke_test
from .check import Plan, plan, step_alias
from .config import Config, Target
from .errors import InvalidInputError
from .evaluation import Evaluation, EvaluationEvent, evaluate_step
from .history import evaluation_lines
from .notification import ExecutionDetail, message, subject

# Throttled calls are retried here, with jitter, because that needs no state transitions.
RETRIES = ClientConfig(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=2, read_timeout=5)
# Not retried after a timeout: the version would be invoked again.
INVOCATIONS = ClientConfig(
    retries={"mode": "standard", "max_attempts": 1}, connect_timeout=5, read_timeout=600, max_pool_connections=16
)
IN_FLIGHT_SECONDS = float(os.environ.get("IN_FLIGHT_SECONDS", "0"))
LAMBDA = boto3.client("lambda", config=RETRIES)
INVOKER = boto3.client("lambda", config=INVOCATIONS)
CLOUDWATCH = boto3.client("cloudwatch", config=RETRIES)
SNS = boto3.client("sns", config=RETRIES)
STEP_FUNCTIONS = boto3.client("stepfunctions", config=RETRIES)
logger = logging.getLogger(__name__)
logging.getLogger(__package__).setLevel(os.environ.get("LOG_LEVEL", "INFO"))


class CheckEvent(TypedDict):
    """The input of an execution, and its name."""

    input: object
    execution: str


class ShiftEvent(TypedDict):
    """The weight to set, on an alias that has `revision`."""

    plan: Plan
    weight: float
    revision: str
    execution: str


class StatusChangeEvent(TypedDict):
    """An "Execution Status Change" event of Step Functions."""

    detail: ExecutionDetail


class EndEvent(TypedDict):
    """A rollout that ends before its last step."""

    plan: Plan
    execution: str


class SmokeTestEvent(TypedDict):
    """A rollout whose new version is tested; with `synthetic`, both versions are called to get figures."""

    plan: Plan
    synthetic: bool


def check(event: CheckEvent, _context: object) -> Plan:
    """Return the plan of the rollout."""
    rollout = plan(LAMBDA, CLOUDWATCH, Config.load(os.environ), event["input"], event["execution"])
    logger.info("Planned the rollout", extra={"execution": event["execution"], "plan": rollout})
    return rollout


def call_version(event: SmokeTestEvent, _context: object) -> dict[str, dict[str, int]]:
    """Run the smoke test, or the synthetic calls of both versions; return the figures of these calls by version."""
    config, rollout = Config.load(os.environ), event["plan"]
    target = config.named(rollout["function"])
    if not event["synthetic"]:
        smoke_test.smoke_test(INVOKER, target.arn, rollout["new"], target.test)
        return {}
    return {
        version: smoke_test.synthetic_calls(INVOKER, target.arn, version, target.test, config.synthetic_calls)
        for version in (rollout["old"], rollout["new"])
    }


def shift(event: ShiftEvent, _context: object) -> dict[str, str | float]:
    """Set the weight of the new version, and return the alias's new revision."""
    rollout, weight = event["plan"], Decimal(str(event["weight"]))
    desired = alias.shifted(step_alias(rollout), rollout["new"], weight, event["execution"])
    revision = alias.update(LAMBDA, desired, event["revision"])
    logger.info("Shifted", extra={"execution": event["execution"], "weight": event["weight"], "alias": str(desired)})
    return {"revision": revision, "shiftedAt": time.time()}


def evaluate(event: EvaluationEvent, _context: object) -> Evaluation:
    """Decide whether the new version is worse than the old one."""
    evaluation = evaluate_step(LAMBDA, CLOUDWATCH, Config.load(os.environ), event, time.time())
    logger.info("Evaluated", extra={"decision": evaluation["decision"], "reason": evaluation["line"]})
    return evaluation


def roll_back(event: EndEvent, _context: object) -> dict[str, str]:
    """Route all calls to the old version."""
    rollout = event["plan"]
    result, current = alias.roll_back(LAMBDA, rollout["function"], rollout["alias"], event["execution"])
    logger.warning("Rolled back", extra={"execution": event["execution"], "status": result, "alias": str(current)})
    return {"result": result, "alias": str(current)}


def ended(event: StatusChangeEvent, _context: object) -> None:
    """Remove weights that an execution left behind, and notify about its result."""
    detail = event["detail"]
    rollback = None if detail["status"] == "SUCCEEDED" else _clean_up(detail)
    name = alias.function_name(rollback[1].function) if rollback else _name_in(detail)
    has_figures = detail["status"] in ("SUCCEEDED", "FAILED")
    figures = [] if has_figures else evaluation_lines(STEP_FUNCTIONS, detail["executionArn"])
    text = message(detail, rollback, figures)
    SNS.publish(TopicArn=os.environ["TOPIC_ARN"], Subject=subject(detail, name), Message=text)
    status = rollback[0] if rollback else "none"
    logger.info("Execution ended", extra={"execution": detail["name"], "status": detail["status"], "rollback": status})


def _clean_up(detail: ExecutionDetail) -> tuple[alias.RollbackResult, alias.Alias] | None:
    """Roll back, if needed. With an invalid input, the execution changed nothing.

    A shift can be on its way when an execution is stopped; its function ends within `IN_FLIGHT_SECONDS`.
    """
    target = _target(detail)
    if not target:
        return None
    try:
        result = alias.roll_back(LAMBDA, target.arn, target.alias, detail["name"])
        if result[0] == "not shifted" and detail["status"] != "FAILED":
            time.sleep(IN_FLIGHT_SECONDS)
            result = alias.roll_back(LAMBDA, target.arn, target.alias, detail["name"])
    except InvalidInputError:  # the alias does not exist
        return None
    return result


def _name_in(detail: ExecutionDetail) -> str:
    target = _target(detail)
    return alias.function_name(target.arn) if target else "unknown function"


def _target(detail: ExecutionDetail) -> Target | None:
    """Return the function in the input of an execution; None if the input is invalid or missing."""
    try:
        target, _ = Config.load(os.environ).target(json.loads(detail["input"] or ""))
    except (InvalidInputError, KeyError, TypeError, ValueError, RecursionError):
        return None
    return target
