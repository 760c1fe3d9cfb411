"""Stack outputs with descriptions."""

from aws_cdk import CfnOutput, Stack

Outputs = dict[str, tuple[str, str]]  # name: value, description


def add_outputs(stack: Stack, outputs: Outputs) -> None:
    """Add `outputs` to `stack`."""
    for name, (value, description) in outputs.items():
        CfnOutput(stack, name, value=value, description=description)
