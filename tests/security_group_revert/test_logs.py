"""Log entries of a check, which people query by their keys, and its metrics."""

import time
from typing import Any

import pytest

from lambdas.security_group_revert.rules import Rule

from . import records
from .fake_ec2 import FakeEC2
from .test_check_event import refuse_revokes
from .test_respond import HTTPS, RDP, SSH, SSH_EVENT, guarded, metrics, respond

KEYS = ("action", "status", "rule", "rule_id", "previous_rule", "reason", "named_in_event")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Any:
    """Return a function that returns level, message and fields of each entry."""
    caplog.set_level("INFO", "lambdas.security_group_revert")
    return lambda: [(record.levelname, record.message, vars(record)) for record in caplog.records]


def test_metrics_are_in_the_embedded_metric_format(capsys: pytest.CaptureFixture[str]) -> None:
    """CloudWatch user guide, embedded metric format specification."""
    before = time.time() * 1000
    respond(FakeEC2([HTTPS, SSH]), SSH_EVENT)
    (line,) = metrics(capsys)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert before - 1 <= line["_aws"]["Timestamp"] <= time.time() * 1000
    assert (directive["Namespace"], directive["Dimensions"]) == ("SecurityGroupRevert", [[]])
    units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert units == {
        "NotReverted": "Count",
        "RevertsSuspended": "Count",
        "MissedEvents": "Count",
        "SecondsToRevert": "Seconds",
    }
    assert (line["NotReverted"], line["RevertsSuspended"], line["group_id"]) == (0, 0, guarded().group_id)
    assert line["SecondsToRevert"] > 0


def test_check_and_its_actions_are_logged(logged: Any) -> None:
    respond(FakeEC2([HTTPS, SSH, RDP]), SSH_EVENT)
    check, *actions = logged()
    level, message, fields = check
    assert (level, message) == ("INFO", f"Checked {guarded().group_id}")
    assert {key: fields[key] for key in ("group_id", "group_name", "group_exists", "action_count")} == {
        "group_id": guarded().group_id,
        "group_name": "Web Server",
        "group_exists": True,
        "action_count": 2,
    }
    assert fields["call"]["event_name"] == "AuthorizeSecurityGroupIngress"
    assert (fields["already_reverted"], fields["not_visible"]) == ([], [])
    assert [(level, message) for level, message, _ in actions] == [("INFO", "revoke: completed")] * 2
    assert [tuple(fields[key] for key in KEYS) for _, _, fields in actions] == [
        ("revoke", "completed", str(SSH), "sgr-00000000000000001", None, None, True),
        ("revoke", "completed", str(RDP), "sgr-00000000000000002", None, None, False),
    ]


def test_modified_rule_is_logged_with_its_previous_form(logged: Any) -> None:
    edited = Rule(False, "tcp", 443, 443, "CidrIpv4", "203.0.113.7/32", description="new")
    respond(FakeEC2([edited]), records.SWEEP)
    (_, _, fields) = logged()[1]
    assert (fields["action"], fields["rule"], fields["previous_rule"]) == ("modify", str(HTTPS), str(edited))


@pytest.mark.parametrize(
    ("ec2", "options", "entry"),
    [
        (FakeEC2([HTTPS, SSH], [refuse_revokes] * 9), {}, ("ERROR", "revoke: failed")),
        (FakeEC2([HTTPS, SSH]), {"change_rules": False}, ("WARNING", "revoke: report_only")),
        (FakeEC2([], exists=False), {}, ("ERROR", f"Checked {records.GROUP}")),
    ],
)
def test_what_needs_attention_has_a_level_above_info(
    logged: Any, ec2: FakeEC2, options: dict[str, Any], entry: tuple[str, str]
) -> None:
    respond(ec2, SSH_EVENT, **options)
    assert entry in [(level, message) for level, message, _ in logged()]
