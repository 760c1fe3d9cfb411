"""Names of resources that something outside the stack needs."""

from aws_cdk import Fn, Stack
from constructs import Construct


def unique_name(scope: Construct, prefix: str) -> str:
    """Add a part of the stack's id to `prefix`: a resource retained from an earlier stack of this name differs."""
    stack = Stack.of(scope)
    unique_id = Fn.select(2, Fn.split("/", stack.stack_id))
    return f"{prefix}-{Fn.select(0, Fn.split('-', unique_id))}"
