"""The EventBridge event of a check, whose schema is docs/security_group_check.schema.json.

Values of the call and descriptions are untrusted: the caller chose them.
"""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from .report import Report
from .revert import Action
from .rules import Rule

if TYPE_CHECKING:
    from types_boto3_events.type_defs import PutEventsRequestEntryTypeDef

SOURCE, DETAIL_TYPE = "security_group_revert", "Security Group Check"
VERSION = "1"  # increased if a field is removed or changes its meaning
MAX_ACTIONS = 100  # far below EventBridge's limit of 256 KB


def entry(report: Report, *, summary: str, group_arn: str) -> "PutEventsRequestEntryTypeDef":
    """Return an entry for PutEvents, for the default event bus."""
    outcome, change = report.outcome, report.change
    detail = {
        "version": VERSION,
        "status": report.status,
        "summary": summary,
        "group": {"id": outcome.group.group_id, "name": outcome.group.name},
        "call": asdict(change.call) if change else None,
        "seconds_to_revert": report.seconds_to_revert,
        "break_glass": [
            {"change": "added" if item.rule_id else "removed", "rule": item.rule, "until": item.end}
            for item in report.permitted[:MAX_ACTIONS]
        ],
        "action_count": len(outcome.actions),
        "actions": [_action(action, is_named=report.is_named(action)) for action in outcome.actions[:MAX_ACTIONS]],
    }
    return {"Source": SOURCE, "DetailType": DETAIL_TYPE, "Resources": [group_arn], "Detail": json.dumps(detail)}


def _action(action: Action, *, is_named: bool) -> dict[str, object]:
    return {
        "action": action.action_type,
        "status": action.status,
        "rule": _rule(action.rule),
        "previous_rule": _rule(action.previous) if action.previous else None,
        "rule_id": action.rule_id or None,
        "reason": action.reason,
        "named_in_call": is_named,
    }


def _rule(rule: Rule) -> dict[str, object]:
    """Return a rule; its text is what notifications and logs show."""
    return {
        "direction": "egress" if rule.is_egress else "ingress",
        "ip_protocol": rule.protocol,
        "from_port": rule.from_port,
        "to_port": rule.to_port,
        "source": rule.source,
        "description": rule.description,
        "text": str(rule),
    }
