"""The command that checks whether API calls reach the function, with botocore's stub in place of AWS."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from walkthroughs import check_security_group_events as command
from walkthroughs.walkthrough import PreconditionError, Target

from ..conftest import ROOT

GROUP = "sg-0123456789abcdef0"
OUTPUTS = {"SampleGroupId": GROUP, "ChangesRuleName": "changes", "LogGroupName": "log"}
TRAIL = {"TrailARN": "arn:aws:cloudtrail:eu-west-1:111111111111:trail/t", "HomeRegion": "eu-west-1"}
WRITES = {"EventSelectors": [{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True}]}
HTTPS = {"SecurityGroupRuleId": "sgr-1", "IsEgress": False, "Description": "HTTPS"}
EGRESS = {"SecurityGroupRuleId": "sgr-0", "IsEgress": True, "Description": "all"}
REQUEST = "59dbff89-35bd-4eac-99ed-be587EXAMPLE"


class Account:
    """Stubs of the services. `target` waits 0.2 seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        session = boto3.Session("key", "secret", region_name="eu-west-1")
        clients = {name: session.client(name) for name in ("ec2", "events", "logs", "cloudtrail")}
        self.outputs: dict[str, str] = dict(OUTPUTS)
        self.stubs = {name: Stubber(client) for name, client in clients.items()}
        self.target = Target(session, 0.2, 0, 0.05)
        monkeypatch.setattr(Target, "client", lambda _, name: clients[name])
        monkeypatch.setattr(Target, "outputs", lambda *_: self.outputs)
        for stub in self.stubs.values():
            stub.activate()

    def add(self, service: str, method: str, response: dict[str, Any], parameters: Any = None) -> None:
        self.stubs[service].add_response(method, response, parameters)

    def is_ready(self, state: str = "ENABLED") -> None:
        self.add("events", "describe_rule", {"Name": "changes", "State": state}, {"Name": "changes"})
        self.add("cloudtrail", "describe_trails", {"trailList": [TRAIL]})
        self.add("cloudtrail", "get_trail_status", {"IsLogging": True})
        self.add("cloudtrail", "get_event_selectors", WRITES)

    def has_rules(self, *rules: dict[str, Any], group_id: str = GROUP) -> None:
        filters = [{"Name": "group-id", "Values": [group_id]}]
        self.add("ec2", "describe_security_group_rules", {"SecurityGroupRules": list(rules)}, {"Filters": filters})

    def accepts_call(self, *descriptions: dict[str, str], group_id: str = GROUP) -> None:
        response = {"Return": True, "ResponseMetadata": {"RequestId": REQUEST}}
        expected = {"GroupId": group_id, "SecurityGroupRuleDescriptions": list(descriptions)}
        self.add("ec2", "update_security_group_rule_descriptions_ingress", response, expected)

    def logs(self, *messages: str) -> None:
        events = [{"message": message} for message in messages]
        search = {"logGroupName": "log", "filterPattern": f'"{REQUEST}"', "startTime": ANY}
        self.add("logs", "filter_log_events", {"events": events}, search)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    account = Account(monkeypatch)
    yield account
    for stub in account.stubs.values():
        stub.assert_no_pending_responses()


def test_call_keeps_description_and_is_found_in_the_log(account: Account) -> None:
    account.is_ready()
    account.has_rules(EGRESS, HTTPS)
    account.accepts_call({"SecurityGroupRuleId": "sgr-1", "Description": "HTTPS"})
    account.logs()
    account.logs("a line of the function")
    assert command.check_events(account.target).startswith(f"the event of a call for {GROUP} arrived after ")


def test_rule_with_a_description_is_preferred(account: Account) -> None:
    """EC2 documents the removal of descriptions for IP permissions, but not whether a rule ID alone is enough."""
    account.is_ready()
    account.has_rules({"SecurityGroupRuleId": "sgr-2", "IsEgress": False}, HTTPS)
    account.accepts_call({"SecurityGroupRuleId": "sgr-1", "Description": "HTTPS"})
    account.logs("a line of the function")
    assert command.check_events(account.target)


def test_rule_without_description_of_another_group_gets_none(account: Account) -> None:
    """EC2 API reference: a request without the description removes it."""
    account.outputs.pop("SampleGroupId")
    account.is_ready("ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")
    account.has_rules({"SecurityGroupRuleId": "sgr-2", "IsEgress": False}, group_id="sg-00000001")
    account.accepts_call({"SecurityGroupRuleId": "sgr-2"}, group_id="sg-00000001")
    account.logs("a line of the function")
    assert command.check_events(account.target, "sg-00000001")


@pytest.mark.reliability(
    "security_group_revert",
    "System-specific",
    fault="no event arrives after a deployment",
    expected="one command shows it, without a change to a group",
    observed="exit status 1, with the request that did not arrive and what to check",
)
def test_missing_event_is_reported_with_reasons(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.is_ready()
    account.has_rules(HTTPS)
    account.accepts_call({"SecurityGroupRuleId": "sgr-1", "Description": "HTTPS"})
    account.logs()
    assert command.main(["--timeout", "0"]) == 1
    error = capsys.readouterr().err
    assert f"not observed within 0 s: the event of request {REQUEST} for {GROUP}" in error
    assert "the alarms Errors, Throttles and DeadLetters" in error


def test_disabled_rule_is_reported_before_the_call(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.add("events", "describe_rule", {"Name": "changes", "State": "DISABLED"})
    assert command.main([]) == 2
    assert "enable it: aws events enable-rule --name changes" in capsys.readouterr().err


def test_missing_trail_is_reported_before_the_call(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.add("events", "describe_rule", {"Name": "changes", "State": "ENABLED"})
    account.add("cloudtrail", "describe_trails", {"trailList": []})
    assert command.main([]) == 2
    assert "security_group_revert:create_trail=true" in capsys.readouterr().err


def test_group_without_inbound_rules_is_reported(account: Account) -> None:
    account.is_ready()
    account.has_rules(EGRESS)
    with pytest.raises(PreconditionError, match=f"{GROUP} does not exist or has no inbound rule"):
        command.check_events(account.target)


def test_stack_without_sample_group_needs_a_group_id(account: Account) -> None:
    account.outputs.pop("SampleGroupId")
    with pytest.raises(PreconditionError, match="give the ID of a guarded group"):
        command.check_events(account.target)


def test_denied_call_is_reported(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.is_ready()
    account.has_rules(HTTPS)
    account.stubs["ec2"].add_client_error("update_security_group_rule_descriptions_ingress", "UnauthorizedOperation")
    assert command.main([GROUP]) == 2
    assert "UnauthorizedOperation" in capsys.readouterr().err


def test_command_has_help() -> None:
    arguments = [sys.executable, "-m", "walkthroughs.check_security_group_events", "--help"]
    output = subprocess.run(arguments, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    assert "Exit status: 0 if the event arrives" in output
