"""Settings of rollouts for tests."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from lambdas.lambda_canary.config import Config, Target

from .fake_aws import ARN

TARGET = Target(ARN, "live", {"payload": {}, "expected": {"ok": True}}, ())
CONFIG = Config(
    targets=(TARGET,),
    rollout_type="linear",
    steps=4,
    first_weight=Decimal("0.05"),
    interval=120,
    max_wait=240,
    minimum_calls=50,
    error_margin=0.05,
    duration_ratio=2.0,
    synthetic_calls=0,
    alarm_at_start="ignore",
)


def config(*alarms: str, **changes: Any) -> Config:
    return replace(CONFIG, **{"targets": (replace(TARGET, alarms=alarms),)} | changes)
