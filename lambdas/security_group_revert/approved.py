"""Read the guarded groups and their approved rules from `approved.json`, which the stack adds to the package."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from .events import JsonObject
from .revert import GuardedGroup
from .rules import Rule


class ApprovedGroup(TypedDict):
    """A group in `approved.json`, with its ID or the environment variable that contains it."""

    group_id: NotRequired[str]
    group_id_variable: NotRequired[str]
    name: str
    ingress: list[JsonObject]
    egress: list[JsonObject] | None
    optional_egress: NotRequired[list[JsonObject]]


def guarded_groups(approved: list[ApprovedGroup], environment: Mapping[str, str]) -> list[GuardedGroup]:
    """Read `approved.json`.

    The ID of a group that the stack creates is known only in the environment.
    """
    return [
        GuardedGroup(
            group_id=group.get("group_id") or environment[group["group_id_variable"]],
            name=group["name"],
            ingress=_rules(group["ingress"], is_egress=False),
            egress=None if group["egress"] is None else _rules(group["egress"], is_egress=True),
            optional=_rules(group.get("optional_egress", []), is_egress=True),
        )
        for group in approved
    ]


def _rules(items: list[JsonObject], *, is_egress: bool) -> tuple[Rule, ...]:
    return tuple(Rule.from_api(item, is_egress=is_egress) for item in items)
