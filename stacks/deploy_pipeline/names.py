"""Names that something outside the stack needs, each of this one stack only."""

from aws_cdk import Fn, Stack
from constructs import Construct


def unique_name(scope: Construct, prefix: str) -> str:
    """Name a resource after the stack's id, unlike one that is kept from an earlier stack of the same name."""
    stack = Stack.of(scope)
    unique_id = Fn.select(2, Fn.split("/", stack.stack_id))
    return f"{prefix}-{Fn.select(0, Fn.split('-', unique_id))}"
