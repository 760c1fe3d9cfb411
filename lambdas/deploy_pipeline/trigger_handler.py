"""Entry point: a job of CodePipeline's invoke action."""

import logging
import os

import boto3
from botocore.config import Config

from .errors import InvalidInputError
from .events import CodePipelineEvent
from .trigger import Trigger

RETRIES = Config(retries={"mode": "standard", "max_attempts": 6}, connect_timeout=3, read_timeout=10)
CODEPIPELINE = boto3.client("codepipeline", config=RETRIES)
S3 = boto3.client("s3", config=RETRIES)
STEP_FUNCTIONS = boto3.client("stepfunctions", config=RETRIES)
logging.getLogger(__package__).setLevel(os.environ.get("LOG_LEVEL", "INFO"))


def handler(event: CodePipelineEvent, _context: object) -> None:
    """Start the state machine for the job, or report the status of its execution."""
    job = event.get("CodePipeline.job")
    if not isinstance(job, dict) or not job.get("id"):
        raise InvalidInputError(
            "The event has no CodePipeline.job with an id: only CodePipeline invokes this function."
        )
    Trigger(CODEPIPELINE, S3, STEP_FUNCTIONS, os.environ["STATE_MACHINE_ARN"]).handle_job(job)
