"""Settings of `CostControl`, and the model of its thresholds."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from lambdas.cost_control.plan import Threshold as PlannedThreshold
from lambdas.cost_control.principals import group_problem, names, role_problem

from .types import Conflict, Email, SettingsModel, matches, number

STACK = "CostControl"
MAX_THRESHOLDS = 10  # Budgets: "A budget can have up to ten notifications"
MAX_PRINCIPALS = 10  # groups, or roles: their ARNs are in the policies of a function
MAX_PRINCIPAL_CHARACTERS = 180  # a role's inline policies can have 10,240 characters
# Their ARNs are in one managed policy, of at most 6,144 characters. Roles of IAM Identity Center have up to 119.
MAX_EXEMPT, MAX_EXEMPT_CHARACTERS = 10, 130
NAME = r"[\w+=,.@-]"  # IAM names and paths
Principal = Annotated[
    str,
    matches(
        rf"({NAME}+/)*{NAME}{{1,64}}",
        "a name with its path, if it has one, such as developers or team/developers",
        max_length=MAX_PRINCIPAL_CHARACTERS,
    ),
]
ExemptPrincipal = Annotated[
    str,
    matches(
        rf"(user|group|role)/({NAME}+/)*{NAME}{{1,64}}",
        "user/, group/ or role/ and a name with its path, if it has one, such as user/alice",
        max_length=MAX_EXEMPT_CHARACTERS,
    ),
]
TagKey = Annotated[
    str,
    matches(
        r"(?!aws:)[A-Za-z0-9_.=+@-]+", "1 to 128 letters, digits and _.=+@-, not starting with aws:", max_length=128
    ),
]
TagValue = Annotated[
    str,
    matches(
        r"(?! )[A-Za-z0-9 _.:/=+@-]+(?<! )",
        "1 to 256 letters, digits, spaces and _.:/=+@-, no space at either end",
        max_length=256,
    ),
]
KeyArn = Annotated[
    str,
    matches(
        r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[0-9a-z-]{1,128}",
        "the ARN of a KMS key, such as arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    ),
]
Usd = Annotated[float, number(1, 1_000_000_000)]


class Threshold(SettingsModel):
    """A percentage of the budget. Each threshold notifies; `actions` are done in addition."""

    percent: Annotated[float, number(0.1, 1000)]
    kind: Literal["ACTUAL", "FORECASTED"] = "ACTUAL"
    actions: tuple[Literal["deny", "stop"], ...] = ()

    @property
    def name(self) -> str:
        """Return the name in the record."""
        return PlannedThreshold(Decimal(str(self.percent)), self.kind).name


DEFAULT_THRESHOLDS = (
    Threshold(percent=80),
    Threshold(percent=100, kind="FORECASTED"),
    Threshold(percent=100, actions=("deny", "stop")),
)


class CostControlSettings(SettingsModel):
    """Settings of `CostControl`."""

    project: TagValue = Field("Beta", description="Value of the tag that all resources of the project have.")
    tag: TagKey = Field("Project", description="Key of that tag, activated as a cost allocation tag.")
    amount: Usd = Field(100, description="Budget of a month, in USD.")
    thresholds: Annotated[tuple[Threshold, ...], Field(min_length=1, max_length=MAX_THRESHOLDS)] = Field(
        DEFAULT_THRESHOLDS, description="Shares of the budget (`percent` and `kind`) and the `actions` to take at them."
    )
    mode: Literal["report", "enforce"] = Field("report", description="`report` changes nothing.")
    groups: Annotated[tuple[Principal, ...], Field(max_length=MAX_PRINCIPALS)] = Field(
        (), description="IAM groups whose users are denied permission to start anything new."
    )
    roles: Annotated[tuple[Principal, ...], Field(max_length=MAX_PRINCIPALS)] = Field(
        (), description="IAM roles that are denied permission to start anything new."
    )
    exempt_principals: Annotated[tuple[ExemptPrincipal, ...], Field(max_length=MAX_EXEMPT)] = Field(
        (), description="Users, groups and roles that are never denied, such as those who deploy."
    )
    stop_instances: bool = Field(True, description="Stop EC2 instances, and scale Auto Scaling groups to zero.")
    stop_databases: bool = Field(False, description="Stop RDS instances and Aurora clusters.")
    exempt_tag: TagKey = Field("KeepRunning", description="Resources with this tag, whatever its value, keep running.")
    volume_keys: Annotated[tuple[KeyArn, ...], Field(max_length=MAX_PRINCIPALS)] = Field(
        (), description="Customer managed KMS keys of the instances' volumes, needed to start them again."
    )
    release: Literal["monthly", "manual"] = Field(
        "monthly", description="`monthly` undoes everything when a new month starts."
    )
    tripwire: Usd | None = Field(
        None, description="Estimated charges of the whole account, in USD, at which the budget is checked at once."
    )
    email: Email | None = Field(None, description="Recipient of the notifications, who must confirm the subscription.")

    def conflicts(self) -> Iterator[Conflict]:
        """Yield conflicts, among them every principal that must not be denied."""
        if len({threshold.name for threshold in self.thresholds}) < len(self.thresholds):
            yield Conflict("thresholds", "contains a percent and kind more than once")
        if len(set(self.volume_keys)) < len(self.volume_keys):
            yield Conflict("volume_keys", "has a value more than once")
        for field, prefix in {"groups": "group/", "roles": "role/", "exempt_principals": ""}.items():
            yield from _name_conflicts(field, prefix, getattr(self, field))
        actions = {action for threshold in self.thresholds for action in threshold.actions}
        if self.mode == "enforce" and not actions:
            yield Conflict("mode", "has no effect without an action in {thresholds}")
        if self.mode == "enforce" and "deny" in actions and not (self.groups or self.roles):
            yield Conflict("mode", "needs {groups} or {roles} for the action deny in {thresholds}")
        if self.tag.lower() == self.exempt_tag.lower():
            yield Conflict("exempt_tag", "must differ from {tag}; IAM ignores the case of tag keys")
        yield from self._protected()

    def _protected(self) -> Iterator[Conflict]:
        for group in self.groups:
            if problem := group_problem(group, self.exempt_principals):
                yield Conflict("groups", f"cannot have {group}: {problem}, see {{exempt_principals}}")
        for role in self.roles:
            if problem := role_problem(role, STACK, self.exempt_principals):
                yield Conflict("roles", f"cannot have {role}: {problem}")


def _name_conflicts(field: str, prefix: str, values: tuple[str, ...]) -> Iterator[Conflict]:
    """Yield conflicts of names: IAM distinguishes them neither by path nor by case."""
    if len(names(f"{prefix}{value}" for value in values)) < len(values):
        yield Conflict(field, "has a value more than once, with another path or case")
    for value in values:
        if prefix and value.startswith(prefix):
            yield Conflict(field, f'must have no type: write "{value.removeprefix(prefix)}" instead of "{value}"')
