"""The EventBridge event of a check, and the notification for chat applications."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lambdas.security_group_revert.chat import MAX_DESCRIPTION_CHARACTERS, chat_message
from lambdas.security_group_revert.check_event import MAX_ACTIONS
from lambdas.security_group_revert.respond import RetryableError
from lambdas.security_group_revert.revert import GuardedGroup
from lambdas.security_group_revert.rules import Rule

from . import records
from .fake_ec2 import FakeDynamoDB, FakeEC2, FakeEventBridge, FakeSNS, ec2_error
from .test_respond import HTTPS, RDP, SMTP_OUT, SSH, SSH_EVENT, guarded, respond

SCHEMA = json.loads(Path("docs/security_group_check.schema.json").read_text())


def strict(schema: Any) -> Any:
    """Return the schema without further fields. It permits them, because new fields do not change the version."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema else {}
    return {key: strict(value) for key, value in schema.items()} | closed


STRICT_SCHEMA = strict(SCHEMA)


def details(ec2: FakeEC2, *events: Any, groups: Sequence[GuardedGroup] = (), **options: Any) -> list[dict[str, Any]]:
    """Return the details of the events that the checks put; each has the form of the schema."""
    jsonschema = pytest.importorskip("jsonschema")
    bus, dynamodb = FakeEventBridge(), FakeDynamoDB()
    for event in events:
        respond(ec2, event, *groups, events=bus, dynamodb=dynamodb, **options)
    for detail in bus.details:
        jsonschema.Draft202012Validator(STRICT_SCHEMA).validate(detail)
    return bus.details


def test_schema_permits_new_fields_and_test_does_not() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    (detail,) = details(FakeEC2([HTTPS, SSH]), SSH_EVENT)
    detail["call"]["new"] = "field"
    jsonschema.Draft202012Validator(SCHEMA).validate(detail)
    with pytest.raises(jsonschema.ValidationError, match="new"):
        jsonschema.Draft202012Validator(STRICT_SCHEMA).validate(detail)


def test_revert_puts_event_with_caller_and_rule() -> None:
    (detail,) = details(FakeEC2([HTTPS, SSH, RDP]), SSH_EVENT)
    assert (detail["status"], detail["action_count"]) == ("reverted", 2)
    assert detail["summary"] == "Reverted: 2 changes to security group Web Server"
    assert detail["group"] == {"id": records.GROUP, "name": "Web Server"}
    assert detail["call"]["caller"] == "arn:aws:iam::111111111111:user/alice"
    assert detail["seconds_to_revert"] > 0
    first, second = detail["actions"]
    assert (first["rule"]["direction"], first["rule"]["source"], first["action"]) == ("ingress", SSH.source, "revoke")
    assert (first["rule"]["text"], first["named_in_call"]) == ("inbound TCP 22 from 203.0.113.7/32", True)
    assert (second["rule"]["from_port"], second["named_in_call"]) == (3389, False)


def test_outbound_rule_is_an_egress_rule_in_the_event() -> None:
    (detail,) = details(FakeEC2([HTTPS, SMTP_OUT]), records.SWEEP, groups=[guarded(egress=())])
    assert [action["rule"]["direction"] for action in detail["actions"]] == ["egress"]


def refuse_revokes(_ec2: FakeEC2, operation: str, _parameters: dict[str, Any]) -> None:
    if operation.startswith("Revoke"):
        raise ec2_error("UnauthorizedOperation")


def test_every_status_has_the_form_of_the_schema() -> None:
    missing = FakeEC2([], exists=False)
    late = FakeEC2([HTTPS])
    refused = FakeEC2([HTTPS, SSH], [refuse_revokes] * 9)
    edited = FakeEC2([Rule(False, "tcp", 443, 443, "CidrIpv4", "203.0.113.7/32", description="new")])
    statuses = [
        *details(FakeEC2([HTTPS, SSH]), records.SWEEP, SSH_EVENT),
        *details(late, SSH_EVENT),
        *details(FakeEC2([HTTPS, SSH]), SSH_EVENT, change_rules=False),
        *details(refused, SSH_EVENT),
        *details(edited, records.SWEEP),
        *details(missing, records.SWEEP),
    ]
    expected = ["reverted", "already_reverted", "no_longer_present", "unapproved", "not_reverted", "reverted"]
    found = [detail["status"] for detail in statuses]
    assert found == [*expected, "group_missing"]


def test_resolved_and_suspended_changes_put_events() -> None:
    ec2 = FakeEC2([HTTPS, SSH])
    bus, dynamodb = FakeEventBridge(), FakeDynamoDB()
    for _ in range(2):
        respond(ec2, records.SWEEP, events=bus, dynamodb=dynamodb, max_reverts=1)
        ec2.add(SSH)
    ec2.rules.popitem()
    ec2.rules.popitem()
    respond(ec2, records.SWEEP, events=bus, dynamodb=dynamodb, max_reverts=1)
    assert [detail["status"] for detail in bus.details] == ["reverted", "suspended", "resolved"]


def test_event_of_many_rules_is_within_the_limit() -> None:
    rules = [
        Rule(False, "tcp", port, port, "CidrIpv4", "10.0.0.0/8", description="d" * 255) for port in range(1000, 2000)
    ]
    (detail,) = details(FakeEC2([HTTPS, *rules]), records.SWEEP)
    assert (detail["action_count"], len(detail["actions"])) == (1000, MAX_ACTIONS)


def test_check_without_findings_puts_no_event() -> None:
    assert not details(FakeEC2([HTTPS]), records.SWEEP)


@pytest.mark.reliability(
    "security_group_revert",
    "Partial failure",
    fault="EventBridge rejects the event of a check",
    expected="reverted and notified, then an error",
    observed='"EventBridge: InternalFailure"; one notification',
)
def test_rejected_event_is_an_error_after_the_notification() -> None:
    ec2, sns = FakeEC2([HTTPS, SSH]), FakeSNS()
    failed = FakeEventBridge({"ErrorCode": "InternalFailure", "ErrorMessage": "try again"})
    with pytest.raises(RetryableError, match="EventBridge: InternalFailure: try again"):
        respond(ec2, SSH_EVENT, sns=sns, events=failed)
    assert ec2.current() == {HTTPS}
    assert len(sns.notifications) == 1


def test_chat_gets_custom_notification_in_the_schema_of_aws() -> None:
    """Amazon Q Developer in chat applications ignores messages in other forms."""
    (notification,) = respond(FakeEC2([HTTPS, SSH]), SSH_EVENT)
    message = json.loads(notification["Chat"])
    assert (message["version"], message["source"]) == ("1.0", "custom")
    assert message["content"]["textType"] == "client-markdown"
    assert message["content"]["title"] == notification["Subject"]
    assert message["content"]["description"] == f"```\n{notification['Message']}```"
    assert message["metadata"] == {"threadId": records.GROUP}


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="a caller's user agent or description with mentions, links or formatting of chat programs",
    expected="shown as text",
    observed="in a code block, which it cannot end",
)
@pytest.mark.parametrize("text", ["<!channel>", "<evil|AWS>", "``` *bold*", "&lt;!here&gt;"])
def test_chat_shows_untrusted_text_as_text(text: str) -> None:
    content = json.loads(chat_message(text, text, thread="sg-1"))["content"]
    assert content["title"] == text.replace("<", "(").replace(">", ")").replace("`", "'").replace("&", "+")
    assert not set("<>&`") & set(content["title"])
    assert not set("<>&`") & set(content["description"].removeprefix("```").removesuffix("```"))


def test_long_notification_is_shortened_for_chat() -> None:
    content = json.loads(chat_message("s", "x" * 100_000, thread="sg-1"))["content"]
    assert len(content["description"]) < MAX_DESCRIPTION_CHARACTERS + 100
    assert content["description"].endswith("The email has the rest.```")


def test_name_of_a_group_becomes_no_link_in_a_chat() -> None:
    """Chat applications create links in titles. `export_security_groups` takes names from tags, which others set."""
    content = json.loads(chat_message("Reverted: 1 change to https://evil.example", "text", thread="sg-1"))["content"]
    assert content["title"] == "Reverted: 1 change to https[:]//evil[.]example"
