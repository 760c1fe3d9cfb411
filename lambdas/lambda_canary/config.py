"""The settings of rollouts, as the stack puts them into the package, and the functions that may be deployed."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from .alias import function_name
from .comparison import Criteria
from .errors import InvalidInputError
from .weights import RolloutType, weights

if TYPE_CHECKING:
    from .smoke_test import SmokeTest

MAX_SHOWN_CHARACTERS = 100  # of a value, in messages
FILE = Path(__file__).with_name("rollout.json")
INPUT_FIELDS = {"function", "version", "started_by"}
VERSION = re.compile(r"[1-9][0-9]{0,18}")
MAX_INPUT_CHARACTERS = 4096  # "Execution Status Change" events leave out input above 248 KiB
# The trigger of deploy_pipeline adds the location of its artifact, which a version does not need.
IGNORED_FIELDS = {"revisionS3Bucket", "revisionS3Key"}


@dataclass(frozen=True)
class Target:
    """A function that may be deployed. test: the payload of its smoke test, and the expected response."""

    arn: str
    alias: str
    test: "SmokeTest"
    alarms: tuple[str, ...]


@dataclass(frozen=True)
class Config:
    """Settings of all rollouts. seconds: `interval` and `max_wait`."""

    targets: tuple[Target, ...]
    rollout_type: RolloutType
    steps: int
    first_weight: Decimal
    interval: int
    max_wait: int
    minimum_calls: int
    error_margin: float
    duration_ratio: float
    synthetic_calls: int
    alarm_at_start: str

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> "Config":
        """Read the file of the package. ARNs that are known only after deployment are in `environment`."""
        data = json.loads(FILE.read_text())
        targets = tuple(
            Target(
                item.get("arn") or environment[item["arn_variable"]], item["alias"], item["test"], tuple(item["alarms"])
            )
            for item in data.pop("functions")
        )
        return cls(targets, **data | {"first_weight": Decimal(data["first_weight"])})

    @property
    def weights(self) -> tuple[Decimal, ...]:
        return weights(self.rollout_type, self.steps, self.first_weight)

    @property
    def criteria(self) -> Criteria:
        return Criteria(
            minimum_calls=self.minimum_calls,
            error_margin=self.error_margin,
            duration_ratio=self.duration_ratio,
            evaluations=max_evaluations(self.interval, self.max_wait, self.synthetic_calls),
            steps=max(1, len(self.weights) - 1),
        )

    def target(self, rollout_input: object) -> tuple[Target, str]:
        """Return the function and the version of an input.

        Raises:
            InvalidInputError: the input has another form, or names a function that may not be deployed.
        """
        if not isinstance(rollout_input, dict) or not isinstance(rollout_input.get("version"), str):
            raise InvalidInputError('the input must be {"function": "<name or ARN>", "version": "<number>"}')
        if unknown := sorted(rollout_input.keys() - INPUT_FIELDS - IGNORED_FIELDS):
            raise InvalidInputError(f"unknown field {_shown(unknown[0])} (valid: {', '.join(sorted(INPUT_FIELDS))})")
        if len(json.dumps(rollout_input)) > MAX_INPUT_CHARACTERS:
            raise InvalidInputError(f"the input has more than {MAX_INPUT_CHARACTERS} characters")
        version = rollout_input["version"]
        if not VERSION.fullmatch(version):
            raise InvalidInputError(f"version={_shown(version)}: must be the number of a published version")
        return self.named(rollout_input.get("function")), version

    def named(self, name: object) -> Target:
        """Return the target with this name or ARN; without a name, the only one."""
        if name is None and len(self.targets) == 1:
            return self.targets[0]
        names = [function_name(target.arn) for target in self.targets]
        for target in self.targets:
            if name in (target.arn, function_name(target.arn)):
                return target
        known = ", ".join(names)
        raise InvalidInputError(f"function={_shown(name)}: not among the functions of the settings ({known})")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def max_evaluations(interval: int, max_wait: int, synthetic_calls: int) -> int:
    """Return how often a step is evaluated at most: after each interval, and after its synthetic calls."""
    return 1 + max_wait // interval + (1 if synthetic_calls else 0)
