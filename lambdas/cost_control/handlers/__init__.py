"""Entry points of the functions, one module each.

A module creates its clients at import, and only those that its function uses: EC2's takes longer and needs more memory
than all others together.
"""

import logging
from typing import Protocol

from botocore.config import Config

RETRIES = Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=3, read_timeout=20)
BUDGETS_REGION = "us-east-1"  # Budgets is global, with one endpoint
logging.getLogger(__name__.removesuffix(".handlers")).setLevel("INFO")


class Context(Protocol):
    """The attributes of Lambda's context object that the handlers use."""

    invoked_function_arn: str


def account_of(context: Context) -> str:
    return context.invoked_function_arn.split(":")[4]
