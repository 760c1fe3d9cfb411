"""Facts about dead-letter queues: a queue into which nobody may put anything keeps nothing, and nobody hears of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Assembly

Template = dict[str, Any]


@pytest.fixture
def templates(full_assembly: Assembly) -> list[Template]:
    return [json.loads(path.read_text()) for path in full_assembly.templates]


def of_kind(template: Template, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, r["Properties"]) for name, r in template["Resources"].items() if r["Type"] == kind)


def statements(template: Template, kind: str, **named: Any) -> list[dict[str, Any]]:
    """Those of all policies of a kind in which a property has an element."""
    ((name, element),) = named.items()
    policies = (p for _, p in of_kind(template, kind) if element in p[name])
    return [s for p in policies for s in p["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]


def may_send(statement: dict[str, Any], queue: Any) -> bool:
    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    return "sqs:SendMessage" in actions and statement["Resource"] == queue


@pytest.mark.reliability(
    "deploy_pipeline",
    "Lost",
    fault="the event of an execution's end cannot be delivered or handled",
)
@pytest.mark.reliability("security_group_revert", "Lost", fault="an event cannot be delivered or processed")
def test_eventbridge_may_put_away_what_it_cannot_deliver(templates: list[Template]) -> None:
    seen = 0
    for template in templates:
        for name, rule in of_kind(template, "AWS::Events::Rule"):
            for target in rule["Targets"]:
                if "DeadLetterConfig" not in target:
                    assert "codepipeline" in json.dumps(target), f"{name}: what cannot be delivered is lost"
                    continue
                queue = target["DeadLetterConfig"]["Arn"]
                allowed = [
                    s
                    for s in statements(template, "AWS::SQS::QueuePolicy", Queues={"Ref": queue["Fn::GetAtt"][0]})
                    if may_send(s, queue) and s["Principal"] == {"Service": "events.amazonaws.com"}
                ]
                rules = [s["Condition"]["ArnEquals"]["aws:SourceArn"]["Fn::GetAtt"][0] for s in allowed]
                assert name in rules, f"{name} may not put anything into its dead-letter queue"
                seen += 1
    assert seen >= 3, "not even the rules that there are today"


@pytest.mark.reliability(
    "deploy_pipeline",
    "Lost",
    fault="the event of an execution's end cannot be delivered or handled",
)
@pytest.mark.reliability("security_group_revert", "Lost", fault="an event cannot be delivered or processed")
def test_functions_may_put_away_what_they_could_not_handle(templates: list[Template]) -> None:
    seen = 0
    for template in templates:
        functions = dict(of_kind(template, "AWS::Lambda::Function"))
        for name, config in of_kind(template, "AWS::Lambda::EventInvokeConfig"):
            if "DestinationConfig" not in config:
                continue  # the trigger of the pipeline, see its stack's test
            queue = config["DestinationConfig"]["OnFailure"]["Destination"]
            role = functions[config["FunctionName"]["Ref"]]["Role"]["Fn::GetAtt"][0]
            granted = statements(template, "AWS::IAM::Policy", Roles={"Ref": role})
            assert any(may_send(s, queue) for s in granted), f"{name}: the function may not put anything into it"
            seen += 1
    assert seen >= 2, "not even the functions that there are today"


@pytest.mark.reliability("analytics_host", "Lost", fault="the scheduled stop cannot be done")
def test_scheduler_may_put_away_what_it_could_not_do(templates: list[Template]) -> None:
    seen = 0
    for template in templates:
        for name, schedule in of_kind(template, "AWS::Scheduler::Schedule"):
            target = schedule["Target"]
            granted = statements(template, "AWS::IAM::Policy", Roles={"Ref": target["RoleArn"]["Fn::GetAtt"][0]})
            assert any(may_send(s, target["DeadLetterConfig"]["Arn"]) for s in granted), name
            seen += 1
    assert seen, "there is no schedule"


def test_what_is_put_away_is_kept_as_long_as_sqs_can_and_brings_an_alarm(templates: list[Template]) -> None:
    for template in templates:
        watched = [
            dimension["Value"]
            for _, alarm in of_kind(template, "AWS::CloudWatch::Alarm")
            if alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible"
            for dimension in alarm["Dimensions"]
        ]
        for name, queue in of_kind(template, "AWS::SQS::Queue"):
            assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600, name
            assert {"Fn::GetAtt": [name, "QueueName"]} in watched, f"{name} fills and nobody hears of it"
