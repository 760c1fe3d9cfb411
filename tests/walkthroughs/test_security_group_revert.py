"""Preconditions of the walkthrough of security_group_revert, with botocore's stub in place of AWS."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import boto3
import pytest
from botocore.stub import ANY, Stubber

from walkthroughs import security_group_break_glass
from walkthroughs.security_group_revert import SecurityGroupRevertWalkthrough
from walkthroughs.trails import require_trail
from walkthroughs.walkthrough import PreconditionError, Target

ARN = "arn:aws:cloudtrail:us-east-1:111111111111:trail/organization"
WRITES = {"EventSelectors": [{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True}]}
READS = {"EventSelectors": [{"ReadWriteType": "ReadOnly", "IncludeManagementEvents": True}]}
NO_MANAGEMENT = {"EventSelectors": [{"ReadWriteType": "All", "IncludeManagementEvents": False}]}


def advanced(*fields: tuple[str, str, str]) -> dict[str, Any]:
    selectors = [{"Field": field, operator: [value]} for field, operator, value in fields]
    return {"AdvancedEventSelectors": [{"Name": "n", "FieldSelectors": selectors}]}


MANAGEMENT = ("eventCategory", "Equals", "Management")


def check(selectors: dict[str, Any], *, region: str = "eu-west-1", logging: bool = True, **trail: Any) -> None:
    client = boto3.client("cloudtrail", region_name=region)
    described = {"TrailARN": ARN, "HomeRegion": "us-east-1", "IsMultiRegionTrail": True, **trail}
    with Stubber(client) as stub:
        stub.add_response("describe_trails", {"trailList": [described]})
        stub.add_response("get_trail_status", {"IsLogging": logging}, {"Name": ARN})
        stub.add_response("get_event_selectors", selectors, {"TrailName": ARN})
        require_trail(client)


@pytest.mark.parametrize(
    "selectors",
    [
        WRITES,
        advanced(MANAGEMENT),
        advanced(MANAGEMENT, ("readOnly", "Equals", "false"), ("eventSource", "NotEquals", "kms.amazonaws.com")),
    ],
)
def test_multi_region_trail_with_write_events_is_accepted(selectors: dict[str, Any]) -> None:
    check(selectors)


@pytest.mark.parametrize(
    "selectors",
    [
        READS,
        NO_MANAGEMENT,
        advanced(MANAGEMENT, ("readOnly", "Equals", "true")),
        advanced(MANAGEMENT, ("eventSource", "Equals", "iam.amazonaws.com")),
        advanced(("eventCategory", "Equals", "Data")),
    ],
)
def test_trail_without_ec2_write_events_is_rejected(selectors: dict[str, Any]) -> None:
    with pytest.raises(PreconditionError, match=f"{ARN} does not log management write events"):
        check(selectors)


def test_stopped_or_other_region_trail_is_rejected() -> None:
    with pytest.raises(PreconditionError, match="is not logging"):
        check(WRITES, logging=False)
    with pytest.raises(PreconditionError, match="covers us-east-1 only"):
        check(WRITES, IsMultiRegionTrail=False)


def test_missing_trail_error_names_the_setting() -> None:
    client = boto3.client("cloudtrail", region_name="eu-west-1")
    with Stubber(client) as stub:
        stub.add_response("describe_trails", {"trailList": []})
        with pytest.raises(PreconditionError, match=r"no trails exist.*create_trail=true"):
            require_trail(client)


def test_organization_trail_denied_to_member_is_accepted() -> None:
    client = boto3.client("cloudtrail", region_name="eu-west-1")
    trail = {"TrailARN": ARN, "HomeRegion": "us-east-1", "IsMultiRegionTrail": True, "IsOrganizationTrail": True}
    with Stubber(client) as stub:
        stub.add_response("describe_trails", {"trailList": [trail]})
        stub.add_client_error("get_trail_status", "AccessDeniedException")
        require_trail(client)


def test_pictures_show_notification_without_links(tmp_path: Path) -> None:
    line = '  added: inbound TCP 22 from 203.0.113.40/32 "<INC-1234>: https://vendor.example.com", by ' + 60 * "x"
    security_group_break_glass.draw(
        {"Subject": "Break-glass: 1 change", "Message": f"Caller:  alice\n{line}\n"}, tmp_path
    )
    email, chat = (
        ElementTree.parse(tmp_path / f"security_group_revert_{name}.svg").getroot()  # noqa: S314  # just written
        for name in ("email", "chat")
    )
    assert [text for text in email.itertext() if "Caller" in text] == ["Caller:  alice"]
    assert "203.0.113[.]40" in "".join(email.itertext())
    assert "<INC-1234>: https[:]//vendor[.]example[.]com" in "".join(email.itertext())
    assert "(INC-1234): https[:]//" in "".join(chat.itertext()), "chat programs read < as a link"
    assert max(len(text) for text in email.itertext()) <= 100


def enter(
    monkeypatch: pytest.MonkeyPatch, outputs: dict[str, str], schedule: str = "rate(5 minutes)", **variables: str
) -> None:
    clients = {name: boto3.client(name, region_name="eu-west-1") for name in ("lambda", "events")}
    monkeypatch.setattr(Target, "outputs", lambda *_: outputs)
    monkeypatch.setattr(Target, "client", lambda _, name: clients[name])
    variables = {"MODE": "revert", "RESTORE": "true", "MAX_REVERTS": "10", "BREAK_GLASS_PRINCIPALS": "[]", **variables}
    with Stubber(clients["lambda"]) as functions, Stubber(clients["events"]) as rules:
        functions.add_response(
            "get_function_configuration", {"Environment": {"Variables": variables}}, {"FunctionName": ANY}
        )
        rules.add_response("describe_rule", {"ScheduleExpression": schedule}, {"Name": "sweep"})
        with SecurityGroupRevertWalkthrough(Target(boto3.Session(region_name="eu-west-1"), 1, 1)):
            pass


def test_missing_sample_group_error_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PreconditionError, match="sample_group=true"):
        enter(monkeypatch, {"FunctionName": "revert"})


@pytest.mark.parametrize(("name", "value"), [("mode", "notify"), ("restore", "false")])
def test_settings_without_reverts_are_rejected(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    outputs = {"FunctionName": "revert", "SampleGroupId": "sg-0123456789abcdef0"}
    with pytest.raises(PreconditionError, match=f"security_group_revert:{name}={value}"):
        enter(monkeypatch, outputs, **{name.upper(): value})


@pytest.mark.parametrize("schedule", ["rate(11 minutes)", "rate(1 hour)", "rate(1 day)"])
def test_sweep_interval_above_maximum_is_rejected(monkeypatch: pytest.MonkeyPatch, schedule: str) -> None:
    outputs = {"FunctionName": "revert", "SampleGroupId": "sg-0123456789abcdef0", "SweepRuleName": "sweep"}
    with pytest.raises(PreconditionError, match=r"sweep_minutes=(11|60|1440); .* at most 10"):
        enter(monkeypatch, outputs, schedule)
