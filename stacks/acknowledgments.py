"""Answers to cdk-nag: a finding that stays, and why."""

from aws_cdk import Acknowledgment, Validations
from constructs import Construct


def acknowledge(construct: Construct, reasons: dict[str, str]) -> None:
    """Let findings at and below `construct` stay: rule, such as ``AwsSolutions-L1``, to reason."""
    for finding, reason in reasons.items():
        Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))
