"""Dead-letter queues: senders have permission, messages are retained, and an alarm reports them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Assembly

Template = dict[str, Any]


@pytest.fixture
def templates(full_assembly: Assembly) -> list[Template]:
    return [json.loads(path.read_text()) for path in full_assembly.templates]


def of_type(template: Template, resource_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, r["Properties"]) for name, r in template["Resources"].items() if r["Type"] == resource_type)


def statements(template: Template, resource_type: str, **attached: Any) -> list[dict[str, Any]]:
    """Statements of the policies of a type that are attached to a role or queue."""
    ((name, element),) = attached.items()
    policies = (p for _, p in of_type(template, resource_type) if element in p[name])
    return [s for p in policies for s in p["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]


def allows_sending(statement: dict[str, Any], queue: Any) -> bool:
    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    return "sqs:SendMessage" in actions and statement["Resource"] == queue


@pytest.mark.reliability(
    "deploy_pipeline",
    "Lost event or response",
    fault="the event about an execution's end cannot be delivered or processed",
)
@pytest.mark.reliability(
    "security_group_revert", "Lost event or response", fault="an event cannot be delivered or processed"
)
def test_eventbridge_can_send_to_its_dead_letter_queues(templates: list[Template]) -> None:
    seen = 0
    for template in templates:
        for name, rule in of_type(template, "AWS::Events::Rule"):
            for target in rule["Targets"]:
                if "DeadLetterConfig" not in target:
                    assert "codepipeline" in json.dumps(target), f"{name}: undelivered events are lost"
                    continue
                queue = target["DeadLetterConfig"]["Arn"]
                allowed = [
                    s
                    for s in statements(template, "AWS::SQS::QueuePolicy", Queues={"Ref": queue["Fn::GetAtt"][0]})
                    if allows_sending(s, queue) and s["Principal"] == {"Service": "events.amazonaws.com"}
                ]
                rules = [s["Condition"]["ArnEquals"]["aws:SourceArn"]["Fn::GetAtt"][0] for s in allowed]
                assert name in rules, f"{name} cannot send to its dead-letter queue"
                seen += 1
    assert seen >= 3, "rules with a dead-letter queue"


@pytest.mark.reliability(
    "deploy_pipeline",
    "Lost event or response",
    fault="the event about an execution's end cannot be delivered or processed",
)
@pytest.mark.reliability(
    "security_group_revert", "Lost event or response", fault="an event cannot be delivered or processed"
)
def test_functions_can_send_to_their_failure_destinations(templates: list[Template]) -> None:
    seen = 0
    for template in templates:
        functions = dict(of_type(template, "AWS::Lambda::Function"))
        for name, config in of_type(template, "AWS::Lambda::EventInvokeConfig"):
            if "DestinationConfig" not in config:
                continue  # the trigger of deploy_pipeline; its stack's test explains why
            queue = config["DestinationConfig"]["OnFailure"]["Destination"]
            role = functions[config["FunctionName"]["Ref"]]["Role"]["Fn::GetAtt"][0]
            granted = statements(template, "AWS::IAM::Policy", Roles={"Ref": role})
            assert any(allows_sending(s, queue) for s in granted), (
                f"{name}: the function cannot send to its failure destination"
            )
            seen += 1
    assert seen >= 2, "functions with a failure destination"


@pytest.mark.reliability("analytics_host", "Lost event or response", fault="the scheduled stop fails")
def test_scheduler_can_send_to_its_dead_letter_queue(templates: list[Template]) -> None:
    seen = 0
    for template in templates:
        for name, schedule in of_type(template, "AWS::Scheduler::Schedule"):
            target = schedule["Target"]
            granted = statements(template, "AWS::IAM::Policy", Roles={"Ref": target["RoleArn"]["Fn::GetAtt"][0]})
            assert any(allows_sending(s, target["DeadLetterConfig"]["Arn"]) for s in granted), name
            seen += 1
    assert seen, "no schedule"


def test_dead_letter_queue_retains_messages_and_has_an_alarm(templates: list[Template]) -> None:
    for template in templates:
        watched = [
            dimension["Value"]
            for _, alarm in of_type(template, "AWS::CloudWatch::Alarm")
            if alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible"
            for dimension in alarm["Dimensions"]
        ]
        for name, queue in of_type(template, "AWS::SQS::Queue"):
            if "RedrivePolicy" in queue:
                continue  # not a dead-letter queue
            assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600, name
            assert {"Fn::GetAtt": [name, "QueueName"]} in watched, f"no alarm on {name}"
