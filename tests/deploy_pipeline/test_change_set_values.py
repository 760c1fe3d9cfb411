"""Values before and after an update: read for every page and nested stack, and only used for losses."""

import json
import time
from typing import Any

import pytest

from lambdas.deploy_pipeline.change_set import Inspection, inspect
from lambdas.deploy_pipeline.inspection import Policy

from .changes import MARKER, bucket_policy, change, deny, detail, update, violations
from .fake_cloudformation import FakeCloudFormation
from .machine_run import APP


def inspected(fake: FakeCloudFormation) -> Inspection:
    fake.add_stack(APP, "UPDATE_COMPLETE")
    return inspect(fake, fake.create_change_set(StackName=APP, ChangeSetName="deploy")["Id"], APP, Policy())


def test_values_are_read_on_every_page_and_in_nested_stacks() -> None:
    fake = FakeCloudFormation()
    arn = "arn:aws:cloudformation:us-east-1:111111111111:changeSet/nested/1"
    lossy = update("AWS::SQS::Queue", {}, {"MessageRetentionPeriod": 60})
    fake.changes = [change("Add", f"Q{number}") for number in range(4)]
    fake.changes += [lossy, change("Modify", "Child", "AWS::CloudFormation::Stack", ChangeSetId=arn)]
    fake.nested = {arn: [lossy]}
    assert [violation["logicalId"] for violation in inspected(fake)["violations"]] == ["Queue", "Child/Queue"]


@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="CloudFormation lists different changes when property values are requested",
    expected="they do not affect which replacements are detected",
    observed="each change set is described twice",
)
def test_replacement_only_listed_with_values_is_ignored() -> None:
    """With property values, CloudFormation lists unchanged references as replacements, and omits changes."""

    class WithValues(FakeCloudFormation):
        def describe_change_set(self, *arguments: Any, **options: Any) -> dict[str, Any]:
            response = super().describe_change_set(*arguments, **options)
            if options.get("IncludePropertyValues"):
                response["Changes"] = [change("Add", "Added", Replacement="True"), change("Modify", Replacement="True")]
            return response

    fake = WithValues()
    fake.changes = [change("Add", "Added"), change("Modify"), change("Modify", "Left")]
    assert inspected(fake)["safe"]
    fake.changes += [change("Modify", "Out", Details=[detail("Never", name="MessageRetentionPeriod")])]
    assert [violation["logicalId"] for violation in inspected(fake)["violations"]] == ["Out"]


def test_lookups_run_once_and_only_when_needed() -> None:
    fake = FakeCloudFormation()
    fake.changes = [update("AWS::SQS::Queue", {}, {"DelaySeconds": 1})]
    assert inspected(fake)["safe"]
    assert not {"describe_type", "list_stack_resources"} & set(fake.calls)
    fake.resources, fake.schemas = ["https://sqs/q"], {"AWS::SQS::Queue": {"createOnlyProperties": []}}
    name = {"QueueName": "{{resolve:ssm:/app/name}}"}
    policy = json.dumps({"Properties": {"Queues": ["https://sqs/q"]}})
    fake.changes = [update("AWS::SQS::Queue", name, name, f"Q{number}") for number in range(5)]
    fake.changes += [change("Add", f"P{n}", "AWS::SQS::QueuePolicy", AfterContext=policy) for n in range(5)]
    assert inspected(fake)["safe"]
    assert [fake.calls.count(call) for call in ("describe_type", "list_stack_resources")] == [1, 1]


@pytest.mark.reliability("deploy_pipeline", "Hostile input", fault="hundreds of changes that depend on each other")
def test_large_change_set_is_inspected_within_a_second() -> None:
    """500 resources with 100 details each, with values and conditions that are slow to evaluate."""
    statements = bucket_policy(*deny(*map(str, range(100))))
    details = [
        detail("Always", "Dynamic", source="ResourceAttribute", entity=f"R{number}.Arn") for number in range(100)
    ]
    changes = []
    for number in range(500):
        lossy = update("AWS::S3::BucketPolicy", statements, bucket_policy(*deny(*[MARKER] * 100)), f"R{number}")
        lossy["ResourceChange"] |= {"Replacement": "Conditional", "Details": details}
        changes.append(lossy)
    started = time.process_time()
    assert len(list(violations(changes, Policy()))) == 500
    assert time.process_time() - started < 3, "it takes one second on an idle computer"
