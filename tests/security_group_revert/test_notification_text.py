"""Texts of notifications, log lines and metrics."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.security_group_revert.notification_text import OPEN_CONNECTIONS
from lambdas.security_group_revert.revert import GuardedGroup
from lambdas.security_group_revert.rules import Rule

from . import records
from .fake_ec2 import FakeEC2, ec2_error
from .test_respond import HTTPS, SSH, SSH_EVENT, metrics, respond


def test_notification_contains_group_call_and_outcome() -> None:
    (notification,) = respond(FakeEC2([HTTPS, SSH]), SSH_EVENT)
    assert notification["Subject"] == "Reverted: 1 change to security group Web Server"
    assert notification["Message"].splitlines() == [
        "Group:       Web Server (sg-0123456789abcdef0) in us-east-1, account 111111111111",
        "Caller:      arn:aws:iam::111111111111:user/alice",
        "Source:      203.0.113[.]50",
        "User agent:  aws-cli/2.31.0 (chosen by the caller)",
        "Time:        2025-11-21T07:08:26Z",
        "Call:        AuthorizeSecurityGroupIngress, CloudTrail event 9fd68588-ecbf-4528-a345-199fa6bb0821",
        "",
        "Outcome",
        "  revoked: inbound TCP 22 from 203.0.113[.]7/32, sgr-00000000000000001",
        "",
        OPEN_CONNECTIONS,
    ]


def test_check_logs_call_action_and_metrics(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    respond(FakeEC2([HTTPS, SSH]), SSH_EVENT)
    check, action = (vars(record) for record in caplog.records)
    assert check["call"]["caller"] == "arn:aws:iam::111111111111:user/alice"
    assert check["group_id"] == action["group_id"] == records.GROUP
    assert (action["action"], action["status"], action["named_in_event"]) == ("revoke", "completed", True)
    (record,) = metrics(capsys)
    (directive,) = record["_aws"]["CloudWatchMetrics"]
    assert directive["Metrics"] == [
        {"Name": "NotReverted", "Unit": "Count"},
        {"Name": "RevertsSuspended", "Unit": "Count"},
        {"Name": "MissedEvents", "Unit": "Count"},
        {"Name": "SecondsToRevert", "Unit": "Seconds"},
    ]
    assert (record["NotReverted"], record["RevertsSuspended"]) == (0, 0)


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="untrusted text, such as a description, in the notification",
    expected="it cannot imitate a line of the notification",
    observed='one "Outcome", one "Group:"',
)
def test_untrusted_text_cannot_forge_notification_lines() -> None:
    forged = Rule(False, "tcp", 22, 22, "CidrIpv4", "203.0.113.7/32", description='x"\r\nOutcome\n  all is well')
    detail = SSH_EVENT["detail"] | {"userAgent": "evil\nGroup: another"}
    (notification,) = respond(FakeEC2([HTTPS, forged]), SSH_EVENT | {"detail": detail})
    lines = notification["Message"].splitlines()
    assert lines.count("Outcome") == 1
    assert sum(line.startswith("Group:") for line in lines) == 1


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="untrusted text, such as a description, in the notification",
)
def test_subject_of_any_group_name_fits_sns() -> None:
    name = "Web\nServer é " + "x" * 200
    group = GuardedGroup(records.GROUP, name, (HTTPS,), None)
    (notification,) = respond(FakeEC2([HTTPS, SSH]), SSH_EVENT, group)  # FakeSNS checks the limits
    assert notification["Subject"].startswith("Reverted: 1 change to security group Web?Server ? xxx")


def test_notification_of_modify_contains_previous_rule() -> None:
    ec2 = FakeEC2([Rule(False, "tcp", 22, 22, "CidrIpv4", "0.0.0.0/0")])
    (rule_id,) = ec2.rules
    (notification,) = respond(ec2, records.event(records.modified(records.update(rule_id))))
    assert f"(previously: inbound TCP 22 from 0.0.0.0/0), {rule_id}" in notification["Message"]
    assert "Other findings in this check" not in notification["Message"], "the event names the rule"


def test_notification_of_failure_contains_next_step(caplog: pytest.LogCaptureFixture) -> None:
    def refuse_all(_ec2: FakeEC2, _operation: str, _parameters: dict[str, Any]) -> None:
        raise ec2_error("UnauthorizedOperation")

    caplog.set_level("ERROR", "lambdas.security_group_revert")
    (notification,) = respond(FakeEC2([HTTPS, SSH], [None, refuse_all, refuse_all]), SSH_EVENT)
    assert "retried at every sweep" in notification["Message"]
    (action,) = (vars(record) for record in caplog.records)
    assert action["levelname"] == "ERROR"
    assert action["reason"].startswith("UnauthorizedOperation")
    assert action["rule_id"] == "sgr-00000000000000001"


def test_metrics_are_in_embedded_metric_format(capsys: pytest.CaptureFixture[str]) -> None:
    respond(FakeEC2([HTTPS]), records.SWEEP)
    (record,) = metrics(capsys)
    assert record["_aws"]["Timestamp"] > 1_700_000_000_000, "milliseconds"
    (directive,) = record["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [[]], "one empty set of dimensions"
    assert {"NotReverted", "RevertsSuspended"} <= record.keys(), "metric values are members of the root node"


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="a thousand rules at once",
    expected="all are reported, within the size limits of notifications and log lines",
    observed='"... and 900 more; see the log"',
)
def test_thousand_rules_fit_notification_and_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    def refuse_changes(_ec2: FakeEC2, operation: str, _parameters: dict[str, Any]) -> None:
        if not operation.startswith("Describe"):
            raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "x" * 5000}}, operation)

    long = "d" * 255
    rules = [Rule(False, "tcp", port, port, "CidrIpv4", "203.0.113.7/32", description=long) for port in range(1, 1001)]
    caplog.set_level("ERROR", "lambdas.security_group_revert")
    (notification,) = respond(FakeEC2([HTTPS, *rules], [refuse_changes] * 1100), records.SWEEP)
    assert "... and 900 more; see the log" in notification["Message"]
    assert len(notification["Message"].encode()) < 200_000, "SNS accepts 256 KB"
    assert len(caplog.records) == 1000
    assert max(len(json.dumps(vars(record), default=str)) for record in caplog.records) < 10_000


def test_metrics_are_printed_at_any_log_level(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", "lambdas.security_group_revert")
    respond(FakeEC2([HTTPS, SSH]), SSH_EVENT)
    assert not caplog.records
    assert [record["NotReverted"] for record in metrics(capsys)] == [0]
