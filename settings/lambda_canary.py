"""Settings of `LambdaCanary`, and the model of a function that it may deploy."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lambdas.lambda_canary.comparison import Criteria, needed_calls
from lambdas.lambda_canary.config import max_evaluations
from lambdas.lambda_canary.smoke_test import unsupported_keywords
from lambdas.lambda_canary.weights import MAX_STEPS, weights

from .types import Conflict, Email, SettingsModel, conflicting_fields_error, matches, number, whole_number

# The functions' roles list each of them, in one inline policy.
MAX_FUNCTIONS = 10
MAX_ALARMS = 10  # of all functions
MAX_EVALUATIONS = 2000  # of a rollout: each takes about ten of the 25,000 events that an execution can have
FunctionArn = Annotated[
    str,
    matches(
        r"arn:aws(-cn|-us-gov)?:lambda:[a-z]{2}(-gov)?-[a-z]+-\d:\d{12}:function:[a-zA-Z0-9_-]{1,64}",
        "the ARN of a function without a version, such as arn:aws:lambda:us-east-1:111111111111:function:shop",
    ),
]
AliasName = Annotated[
    str,
    matches(
        r"(?!\d+\Z)[a-zA-Z0-9_-]+",
        "up to 128 letters, digits, - and _, not only digits",
        max_length=128,
    ),
]
AlarmName = Annotated[
    str,
    matches(
        r"[ !-#%-)+-9;->@-~]+",
        "the name of a metric alarm, of ASCII characters except *, ?, $ and :",
        max_length=255,
    ),
]


class CanaryFunction(SettingsModel):
    """A function that rollouts may deploy, and how to test a version of it.

    The response to `payload` must equal `expected_response` or match `response_schema`, if one of them is set.
    """

    arn: FunctionArn
    alias: AliasName = "live"
    payload: Any = Field({})
    expected_response: Any = None
    response_schema: dict[str, Any] | None = None
    alarms: tuple[AlarmName, ...] = ()

    @model_validator(mode="after")
    def _check_response(self) -> Self:
        if self.response_schema is not None:
            if "expected_response" in self.model_fields_set:
                raise conflicting_fields_error("has both expected_response and response_schema")
            if problem := next(unsupported_keywords(self.response_schema), None):
                raise conflicting_fields_error(f"response_schema: {problem} is not supported")
        return self

    def test(self) -> dict[str, Any]:
        """Return the smoke test, as the functions read it."""
        test: dict[str, Any] = {"payload": self.payload}
        if "expected_response" in self.model_fields_set:
            test["expected"] = self.expected_response
        if self.response_schema is not None:
            test["schema"] = self.response_schema
        return test


class LambdaCanarySettings(SettingsModel):
    """Settings of `LambdaCanary`."""

    sample_function: bool = Field(True, description="Create a sample function with the alias `live`.")
    functions: Annotated[tuple[CanaryFunction, ...], Field(max_length=MAX_FUNCTIONS)] = Field(
        (), description="Existing functions that rollouts may deploy."
    )
    type: Literal["linear", "exponential", "canary", "all_at_once"] = Field(
        "linear", description="How the share of the new version grows."
    )
    steps: Annotated[int, whole_number(2, MAX_STEPS)] = Field(10, description="Steps of `linear` and `exponential`.")
    first_weight: Annotated[float, number(0.01, 0.5)] = Field(
        0.05, description="First share of the new version with `exponential` and `canary`."
    )
    interval: Annotated[int, whole_number(60, 3600)] = Field(
        120, description="Seconds before each evaluation of a step."
    )
    max_wait: Annotated[int, whole_number(0, 21_600)] = Field(
        1800, description="Maximum seconds to wait for more calls after the first evaluation of a step."
    )
    minimum_calls: Annotated[int, whole_number(1, 1_000_000)] = Field(
        50, description="Minimum calls of the new version in a step."
    )
    error_margin: Annotated[float, number(0.001, 0.5)] = Field(0.02, description="Maximum increase of the error rate.")
    duration_ratio: Annotated[float, number(1, 100)] = Field(
        2.0, description="Maximum ratio of the 95th percentiles of the durations, new to old."
    )
    synthetic_calls: Annotated[int, whole_number(0, 5000)] = Field(
        0, description="Synthetic invocations of each version if there are too few calls; 0 rolls back."
    )
    alarm_at_start: Literal["ignore", "refuse"] = Field(
        "ignore", description="How to treat an alarm that is in ALARM before the rollout."
    )
    start_on_publish: bool = Field(False, description="Start a rollout when a version is published.")
    email: Email | None = Field(None, description="Recipient of the notifications, who must confirm the subscription.")
    log_level: Literal["INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level of the functions' log messages."
    )

    @property
    def evaluations(self) -> int:
        """Maximum number of evaluations of a step."""
        return max_evaluations(self.interval, self.max_wait, self.synthetic_calls)

    @property
    def evaluated_steps(self) -> int:
        """Steps in which both versions have traffic."""
        return len(weights(self.type, self.steps, Decimal(str(self.first_weight)))) - 1

    @property
    def criteria(self) -> Criteria:
        """Limits of a comparison."""
        return Criteria(
            self.minimum_calls, self.error_margin, self.duration_ratio, self.evaluations, max(1, self.evaluated_steps)
        )

    @property
    def needed_calls(self) -> int:
        """Calls without a failure with which a step passes."""
        return needed_calls(self.criteria)

    def conflicts(self) -> Iterator[Conflict]:
        """Yield conflicts between the functions and the settings of a rollout."""
        arns = [function.arn for function in self.functions]
        if repeated := sorted({arn for arn in arns if arns.count(arn) > 1}):
            yield Conflict("functions", f"has {', '.join(repeated)} more than once")
        if len({arn.rpartition(":")[0] for arn in arns}) > 1:
            yield Conflict("functions", "has functions in several Regions or accounts")
        alarms = {alarm for function in self.functions for alarm in function.alarms}
        if len(alarms) > MAX_ALARMS:
            yield Conflict("functions", f"has {len(alarms)} alarms (valid: at most {MAX_ALARMS} in all functions)")
        if not self.functions and not self.sample_function:
            yield Conflict("sample_function", "needs at least one function in {functions}")
        for name, types in (("steps", ("linear", "exponential")), ("first_weight", ("exponential", "canary"))):
            if name in self.model_fields_set and self.type not in types:
                yield Conflict(name, "has no effect with {type}")
        if (total := self.evaluations * self.evaluated_steps) > MAX_EVALUATIONS:
            yield Conflict(
                "max_wait",
                f"with {{interval}} and {{steps}}: {total} evaluations (valid: at most {MAX_EVALUATIONS})",
            )
        if 0 < self.synthetic_calls < self.needed_calls and self.evaluated_steps:
            yield Conflict(
                "synthetic_calls",
                f"cannot decide with {{error_margin}}: a step needs {self.needed_calls} calls without a failure",
            )

    def rollout(self) -> dict[str, Any]:
        """Return what the functions need, without the functions to deploy."""
        names = ("steps", "interval", "max_wait", "minimum_calls", "error_margin", "duration_ratio")
        shared = {name: getattr(self, name) for name in (*names, "synthetic_calls", "alarm_at_start")}
        return shared | {"rollout_type": self.type, "first_weight": json.dumps(self.first_weight)}
