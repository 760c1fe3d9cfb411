"""Unique physical names."""

from aws_cdk import Fn, Stack
from constructs import Construct


def unique_name(scope: Construct, prefix: str) -> str:
    """Append a part of the stack's id to `prefix`, so that a retained resource of an earlier stack has another name."""
    stack = Stack.of(scope)
    unique_id = Fn.select(2, Fn.split("/", stack.stack_id))
    return f"{prefix}-{Fn.select(0, Fn.split('-', unique_id))}"
