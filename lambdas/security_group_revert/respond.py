"""From an event to reverted groups and notices."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .cloudtrail import Change, read_change
from .notice import log_records, subject, text, undone_already
from .revert import Guarded, Outcome, reconcile
from .rules import Rule


class UnfinishedError(Exception):
    """Something passing kept a group from being reverted; Lambda runs the event again."""


@dataclass(frozen=True)
class Responder:
    """The AWS clients and the choices that every response needs.

    restore: put back approved rules that are missing. change_rules: False only reports.
    """

    ec2: Any
    sns: Any
    topic_arn: str
    account: str
    restore: bool = True
    change_rules: bool = True

    def respond(self, event: dict[str, Any], groups: list[Guarded]) -> None:
        """Bring the groups that the event concerns back to their approved rules, and tell of it.

        `event` is an "AWS API Call via CloudTrail" event or a "Scheduled Event", the sweep. A
        call that failed, was approved, or concerns no guarded group changes nothing. When the
        event does not say which group it is about, all are looked at.

        Raises:
            UnfinishedError: after all groups had their turn, when trying again may help.
        """
        change = None
        if event.get("detail-type") != "Scheduled Event":
            try:
                change = read_change(event.get("detail") or {})
                if change is None:
                    return
                groups = [g for g in groups if not change.group_ids or g.group_id in change.group_ids]
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                print(json.dumps({"unreadable_event": repr(error)}))  # and look at all, as the sweep does
        problems: list[str] = []
        for guarded in groups:
            try:
                outcome = reconcile(self.ec2, guarded, restore=self.restore, change_rules=self.change_rules)
                problems += [f"{a.verb} {a.rule}: {a.error}" for a in outcome.failed if a.transient]
                self._tell(outcome, change)
            except Exception as error:  # whatever it is, the other groups have their turn
                problems.append(f"{guarded.group_id}: {error}")
        if problems:
            raise UnfinishedError("; ".join(problems))

    def _tell(self, outcome: Outcome, change: Change | None) -> None:
        """Log the outcome, and send a notice when there is something to say.

        Of what is only reported the sweep sends none: it would be the same with every sweep.
        The alarm on what is not reverted stands for it.
        """
        print(*log_records(outcome, change, account=self.account), sep="\n")
        found = outcome.actions if self.change_rules or change else ()
        if found or (change and undone_already(change, outcome)):
            self.sns.publish(
                TopicArn=self.topic_arn,
                Subject=subject(outcome),
                Message=text(outcome, change, region=self.ec2.meta.region_name, account=self.account),
            )


def guarded_groups(approved: list[dict[str, Any]], environment: Mapping[str, str]) -> list[Guarded]:
    """Read `approved.json`, which the stack writes beside this module.

    The id of a group that the stack creates is known only in the environment, under the name
    given as `group_id_variable`.
    """
    return [
        Guarded(
            group_id=group.get("group_id") or environment[group["group_id_variable"]],
            name=group["name"],
            ingress=tuple(Rule.from_api(rule, is_egress=False) for rule in group["ingress"]),
            egress=None
            if group["egress"] is None
            else tuple(Rule.from_api(rule, is_egress=True) for rule in group["egress"]),
        )
        for group in approved
    ]
