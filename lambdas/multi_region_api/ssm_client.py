"""The client that reads and writes the list of drained Regions. A separate module, because stacks import `drains`."""

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from .drains import TIMEOUT_SECONDS

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient


def ssm_client() -> "SSMClient":
    """Create a client that fails before a health checker stops waiting."""
    client: SSMClient = boto3.client(
        "ssm",
        config=Config(connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, retries={"total_max_attempts": 1}),
    )
    return client
