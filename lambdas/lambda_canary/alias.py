"""Read and update an alias, so that no change of somebody else is overwritten.

Each update names the revision on which it is based; Lambda rejects it if the alias has another one. That is also the
lock: of two rollouts that start at once, only one can shift first. While an alias has weights, its description ends in
a mark with the execution and the share that it set. A rollback only changes an alias whose mark matches its weights, so
a stopped execution can be cleaned up without knowing more than its name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from .errors import AliasChangedError, InvalidInputError
from .weights import ALL

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient

MARK = re.compile(r" ?\[rollout (?P<execution>\S+): version (?P<version>\d+) at (?P<percent>\d+) %\]$")
MAX_DESCRIPTION = 256  # of an alias (Lambda API)
MAX_ROLLBACK_ATTEMPTS = 5
RollbackResult = Literal["rolled back", "not shifted", "conflict"]


@dataclass(frozen=True)
class Alias:
    """An alias: the version of all other calls, and the weight of each additional version."""

    function: str
    name: str
    version: str
    weights: Mapping[str, Decimal] = field(default_factory=dict)
    description: str = ""
    revision: str = ""

    def __str__(self) -> str:
        shares = [f"version {version} at {weight:.0%}" for version, weight in self.weights.items()]
        return f"alias {self.name} of {function_name(self.function)}: " + ", ".join(
            [f"version {self.version}", *shares]
        )

    def same_routing(self, other: "Alias") -> bool:
        """Return whether both route calls alike and have the same description."""
        mine, others = (self.version, self.weights, self.description), (other.version, other.weights, other.description)
        return mine == others


def function_name(arn: str) -> str:
    return arn.split(":")[6]


def read(client: "LambdaClient", function: str, name: str) -> Alias:
    """Read an alias.

    Raises:
        InvalidInputError: the function or the alias does not exist.
    """
    try:
        response = client.get_alias(FunctionName=function, Name=name)
    except client.exceptions.ResourceNotFoundException:
        raise InvalidInputError(
            f"alias {name} of {function} does not exist; create it on a published version"
        ) from None
    weights = (response.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return Alias(
        function,
        name,
        response["FunctionVersion"],
        {version: Decimal(str(weight)) for version, weight in weights.items()},
        response.get("Description", ""),
        response["RevisionId"],
    )


def shifted(alias: Alias, new: str, weight: Decimal, execution: str) -> Alias:
    """Return `alias` with `weight` for version `new`: marked while it has weights, and on `new` alone at the end.

    Raises:
        InvalidInputError: the description is too long for the mark.
    """
    description = unmarked(alias.description)
    if weight == ALL:
        return Alias(alias.function, alias.name, new, {}, description)
    mark = f"[rollout {execution}: version {new} at {weight * 100:.0f} %]"
    marked = f"{description} {mark}" if description else mark
    if len(marked) > MAX_DESCRIPTION:
        maximum = MAX_DESCRIPTION - len(mark) - 1
        raise InvalidInputError(
            f"the description of alias {alias.name} has {len(description)} characters; the mark of the rollout, "
            f"with the name of the execution, leaves space for {maximum}"
        )
    return Alias(alias.function, alias.name, alias.version, {new: weight}, marked)


def unmarked(description: str) -> str:
    return MARK.sub("", description)


def update(client: "LambdaClient", desired: Alias, revision: str) -> str:
    """Update an alias that has `revision`, and return its new revision.

    A retry of an update whose response was lost finds the alias as desired, and succeeds.

    Raises:
        AliasChangedError: somebody else changed or deleted the alias.
    """
    try:
        response = client.update_alias(
            FunctionName=desired.function,
            Name=desired.name,
            FunctionVersion=desired.version,
            RoutingConfig={
                "AdditionalVersionWeights": {version: float(weight) for version, weight in desired.weights.items()}
            },
            Description=desired.description,
            RevisionId=revision,
        )
    except client.exceptions.ResourceNotFoundException:
        _read_again(client, desired.function, desired.name)
        raise  # a version does not exist
    except client.exceptions.PreconditionFailedException:
        current = _read_again(client, desired.function, desired.name)
        if current.same_routing(desired):
            return current.revision
        raise AliasChangedError(f"Somebody else changed the alias, and it is left alone: {current}") from None
    revision_id: str = response["RevisionId"]
    return revision_id


def check_revision(client: "LambdaClient", function: str, name: str, revision: str) -> None:
    """Check that nobody changed the alias.

    Raises:
        AliasChangedError: it has another revision, or was deleted.
    """
    current = _read_again(client, function, name)
    if current.revision != revision:
        raise AliasChangedError(f"Somebody else changed the alias, and it is left alone: {current}")


def _read_again(client: "LambdaClient", function: str, name: str) -> Alias:
    """Read an alias that existed when the rollout started."""
    try:
        return read(client, function, name)
    except InvalidInputError:
        raise AliasChangedError(f"Somebody else deleted alias {name} of {function_name(function)}") from None


def roll_back(client: "LambdaClient", function: str, name: str, execution: str) -> tuple[RollbackResult, Alias]:
    """Route all calls to the old version again, if `execution` shifted the alias. Return the alias afterwards."""
    for _ in range(MAX_ROLLBACK_ATTEMPTS):
        current = read(client, function, name)
        mark = MARK.search(current.description)
        if not mark:
            return "conflict" if current.weights else "not shifted", current
        if mark["execution"] != execution:
            return "not shifted", current
        if current.weights != {mark["version"]: Decimal(mark["percent"]) / 100}:
            return "conflict", current
        old = Alias(function, name, current.version, {}, unmarked(current.description))
        try:
            update(client, old, current.revision)
        except AliasChangedError:  # by an update that was still on its way
            continue
        return "rolled back", old
    raise AliasChangedError(f"The alias changed {MAX_ROLLBACK_ATTEMPTS} times during its rollback: {current}")
