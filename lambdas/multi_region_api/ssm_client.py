"""The client that reads and writes the list of drained Regions. A separate module, because stacks import `drains`."""

from typing import Any

import boto3
from botocore.config import Config

from .drains import TIMEOUT_SECONDS


def ssm_client() -> Any:
    """Create a client that fails before a health checker stops waiting."""
    return boto3.client(
        "ssm",
        config=Config(connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, retries={"total_max_attempts": 1}),
    )
