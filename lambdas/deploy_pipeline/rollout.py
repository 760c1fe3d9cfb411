"""The input's `rollout`: an alias of the app, and the state machine of `lambda_canary` that shifts its traffic."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypedDict

from .errors import InvalidInputError
from .fields import FieldReader, is_object

# What CodePipeline's 24 hours leave after the other operations. The time for an approval is subtracted.
MAX_ROLLOUT_MINUTES = 15 * 60
PARTITION = "arn:aws(-[a-z]{1,9}){0,2}"
REGION_AND_ACCOUNT = r"(eusc-)?[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]{1,12}-[0-9]:[0-9]{12}"
ALIAS_ARN = re.compile(
    rf"{PARTITION}:lambda:{REGION_AND_ACCOUNT}:function:[A-Za-z0-9_-]{{1,64}}:(?![0-9]+$)[A-Za-z0-9_-]{{1,128}}"
)
ALIAS_DESCRIPTION = "the ARN of an alias, such as arn:aws:lambda:us-east-1:111111111111:function:shop:live"
STATE_MACHINE_ARN = re.compile(rf"{PARTITION}:states:{REGION_AND_ACCOUNT}:stateMachine:[A-Za-z0-9_-]{{1,80}}")
STATE_MACHINE_DESCRIPTION = (
    "the ARN of a state machine, such as arn:aws:states:us-east-1:111111111111:stateMachine:Rollout"
)


class RolloutPlan(TypedDict):
    """What the state machine needs to roll out a version; empty texts if it does not."""

    aliasArn: str
    functionArn: str
    alias: str
    stateMachineArn: str
    timeoutSeconds: int


@dataclass(frozen=True)
class Rollout:
    """An alias, and the state machine that shifts its traffic to a new version. ARNs; both empty for no rollout."""

    alias_arn: str
    state_machine_arn: str

    @property
    def function_arn(self) -> str:
        return self.alias_arn.rpartition(":")[0]

    @property
    def alias(self) -> str:
        return self.alias_arn.rpartition(":")[2]

    @classmethod
    def parse(cls, fields: FieldReader) -> Self:
        """Read the field `rollout`, and add its errors."""
        inner = FieldReader(fields.optional("rollout", {}, is_object, "an object"), "rollout.")
        if not inner.fields:
            return cls("", "")
        rollout = cls(
            inner.text("aliasArn", ALIAS_ARN, ALIAS_DESCRIPTION),
            inner.text("stateMachineArn", STATE_MACHINE_ARN, STATE_MACHINE_DESCRIPTION),
        )
        inner.reject_unknown_fields()
        fields.errors += inner.errors
        return rollout

    def refuse_other(self, configured: Mapping[str, object]) -> None:
        """Accept only the configured rollout, or none.

        Raises:
            InvalidInputError: the input names an alias or a state machine that the role may not use.
        """
        for name, value in (("aliasArn", self.alias_arn), ("stateMachineArn", self.state_machine_arn)):
            accepted = configured.get(name)
            if value not in ("", accepted):
                raise InvalidInputError(
                    f"rollout.{name}: given {value}; accepted: {accepted or 'no rollout'}. To change this, deploy the"
                    " pipeline with another `input`."
                )

    def plan(self, approval_minutes: int) -> RolloutPlan:
        """Return what the state machine needs; `approval_minutes` can pass before the rollout."""
        return {
            "aliasArn": self.alias_arn,
            "functionArn": self.function_arn,
            "alias": self.alias,
            "stateMachineArn": self.state_machine_arn,
            "timeoutSeconds": (MAX_ROLLOUT_MINUTES - approval_minutes) * 60,
        }


NO_ROLLOUT = Rollout("", "")
