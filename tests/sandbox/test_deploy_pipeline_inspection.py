"""The deployed state machine, with its functions, rejects updates that lose a resource, and no others."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from sandbox import Sandbox

from .deployment import LONGER, QUEUE, TOPIC, Deployment

pytestmark = pytest.mark.enable_socket


@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault=(
        "a change deletes or replaces a resource, or may do so, even on the last page of the change set "
        "or in a nested stack"
    ),
)
def test_removal_on_last_page_is_found(app: Deployment) -> None:
    queues = {f"Queue{number:03}": QUEUE for number in range(120)}
    app.create({**queues, "Zulu": TOPIC})
    ended = app.deploy(dict.fromkeys(queues, LONGER))
    assert ended["error"] == "UnsafeChanges", ended
    assert ended["cause"].splitlines()[1:] == ["- Zulu (AWS::SNS::Topic), Remove: it is deleted"]
    assert app.status() == "CREATE_COMPLETE"
    assert not app.left()


def nested(app: Deployment, key: str, template: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """Upload a template, and return a nested stack of it."""
    key = f"{app.name}/{key}"
    app.s3.put_object(Bucket=app.bucket, Key=key, Body=json.dumps(template).encode())
    url = f"https://{app.bucket}.s3.us-east-1.amazonaws.com/{key}"
    return {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url, "Parameters": parameters}}


@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault=(
        "a change deletes or replaces a resource, or may do so, even on the last page of the change set "
        "or in a nested stack"
    ),
)
def test_removal_in_nested_stack_is_found(app: Deployment) -> None:
    def resources(key: str, resources: dict[str, Any]) -> dict[str, Any]:
        return nested(app, key, {"Resources": resources})

    inner = resources("inner-1", {"Queue": QUEUE, "Topic": TOPIC})
    app.create({"Child": resources("outer-1", {"Inner": inner})})
    ended = app.deploy({"Child": resources("outer-2", {"Inner": resources("inner-2", {"Queue": LONGER})})})
    assert ended["error"] == "UnsafeChanges", ended
    assert ended["cause"].splitlines()[1:] == ["- Child/Inner/Topic (AWS::SNS::Topic), Remove: it is deleted"]
    ended = app.deploy(
        {"Child": resources("outer-3", {"Inner": resources("inner-3", {"Queue": LONGER, "Topic": TOPIC})})}
    )
    assert json.loads(ended["output"])["outcome"] == "updated", ended
    ended = app.deploy(
        {"Child": resources("outer-4", {"Inner": resources("inner-4", {"Queue": QUEUE})})},
        policy={"exemptLogicalIds": ["Child/Inner/Topic"]},
    )
    assert json.loads(ended["output"])["outcome"] == "updated", ended
    assert not app.left()


@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="a condition of a nested stack depends on an output, which its change set replaces by a placeholder",
)
def test_condition_of_nested_stack_on_output_is_rejected(app: Deployment) -> None:
    """With the placeholder, the stage is not `prod`, so the change set does not list the removal of the topic."""

    def apps(number: int, **topic: str) -> dict[str, Any]:
        config = {"Resources": {"Topic": TOPIC}, "Outputs": {"Stage": {"Value": "prod"}}}
        data = {
            "Parameters": {"Stage": {"Type": "String"}},
            "Conditions": {"NotProd": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Stage"}, "prod"]}]}},
            "Resources": {"Queue": QUEUE, "Topic": TOPIC | topic},
        }
        stage = {"Fn::GetAtt": ["Config", "Outputs.Stage"]}
        return {
            "Config": nested(app, f"config-{number}", config),
            "Data": nested(app, f"data-{number}", data, Stage=stage),
        }

    app.create(apps(1))
    ended = app.deploy(apps(2, Condition="NotProd"))
    assert ended["error"] == "UnsafeChanges", ended
    why = "Modify: its conditions use parameters whose values are not visible: Stage"
    assert ended["cause"].splitlines()[1:] == [f"- Data (AWS::CloudFormation::Stack), {why}"]
    ended = app.deploy(apps(3, Condition="NotProd"), policy={"dynamic": "allow"})
    assert json.loads(ended["output"])["outcome"] == "updated", ended
    data = app.cloudformation.describe_stack_resource(StackName=app.stack, LogicalResourceId="Data")
    left = app.cloudformation.list_stack_resources(StackName=data["StackResourceDetail"]["PhysicalResourceId"])[
        "StackResourceSummaries"
    ]
    assert [item["LogicalResourceId"] for item in left if item["ResourceStatus"] != "DELETE_COMPLETE"] == ["Queue"]
    assert not app.left()


def test_drift_is_rejected_or_reverted(app: Deployment) -> None:
    app.create({"Queue": QUEUE, "Topic": TOPIC})
    sqs = app.target.client("sqs")
    resources = app.cloudformation.describe_stack_resources(StackName=app.stack)["StackResources"]
    queue, topic = (r["PhysicalResourceId"] for r in sorted(resources, key=lambda r: str(r["LogicalResourceId"])))

    def timeout() -> str:
        response = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])
        return str(response["Attributes"]["VisibilityTimeout"])

    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "120"})
    app.target.client("sns").delete_topic(TopicArn=topic)
    same = {"Queue": QUEUE, "Topic": TOPIC}
    assert json.loads(app.deploy(same)["output"])["outcome"] == "unchanged", "by default, drift is ignored"
    ended = app.deploy(same, policy={"drift": "reject"})
    lines = [
        "- Queue (AWS::SQS::Queue), Modify: VisibilityTimeout was changed from 30 to 120 outside CloudFormation,"
        " and is set to 30",
        "- Topic (AWS::SNS::Topic), Add: it was deleted outside CloudFormation, and is created again",
    ]
    assert ended["cause"].splitlines()[1:] == lines
    assert timeout() == "120"
    adapted = {"Queue": {**QUEUE, "Properties": {"VisibilityTimeout": 120}}, "Topic": TOPIC}
    exempt = {"drift": "reject", "exemptLogicalIds": ["Topic"]}
    output = json.loads(app.deploy(adapted, policy=exempt)["output"])
    assert (output["outcome"], output["unsafe"]["notices"].splitlines()[1:]) == (
        "updated",
        ["- Topic (AWS::SNS::Topic): it was deleted outside CloudFormation, and is created again"],
    )
    assert timeout() == "120", "the template was brought in line with the queue"
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "5"})
    output = json.loads(app.deploy(adapted, policy={"drift": "revert"})["output"])
    assert "changed from 120 to 5 outside CloudFormation, and is set to 120" in output["summary"]
    assert timeout() == "120"
    assert not app.left()


NAMES = st.sampled_from([None, None, None, "one", "two"])
QUEUES = st.fixed_dictionaries({"kind": st.just("Queue"), "name": NAMES, "plain": st.integers(1, 3)})
TOPICS = st.fixed_dictionaries({"kind": st.just("Topic"), "name": NAMES, "plain": st.integers(1, 3)})
TEMPLATES = st.dictionaries(st.sampled_from("ABCD"), QUEUES | TOPICS, min_size=1)


def resources(generated: dict[str, Any], suffix: str) -> dict[str, Any]:
    """Return the resources of a template, whose physical names end with `suffix`."""
    result = {}
    for logical_id, item in generated.items():
        plain = {"Queue": {"DelaySeconds": item["plain"]}, "Topic": {"DisplayName": str(item["plain"])}}[item["kind"]]
        name = {f"{item['kind']}Name": f"{item['name']}-{logical_id}-{suffix}"} if item["name"] else {}
        result[logical_id + item["kind"]] = {
            "Type": {"Queue": "AWS::SQS::Queue", "Topic": "AWS::SNS::Topic"}[item["kind"]],
            "Properties": plain | name,
        }
    return result


@settings(max_examples=8, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=TEMPLATES, new=TEMPLATES)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault=(
        "a change deletes or replaces a resource, or may do so, even on the last page of the change set "
        "or in a nested stack"
    ),
    expected="rejected, and the stack is not changed",
    observed="no resource is lost with any generated template",
)
def test_any_update_loses_no_resource(
    sandbox_with_options: Sandbox, state_machine: str, old: dict[str, Any], new: dict[str, Any]
) -> None:
    app = Deployment(sandbox_with_options, state_machine)
    before, after = resources(old, app.name), resources(new, app.name)
    lost = {
        name
        for name, resource in before.items()
        if name not in after
        or any(resource["Properties"].get(n) != after[name]["Properties"].get(n) for n in ("QueueName", "TopicName"))
    }
    app.create(before)
    state = app.snapshot()
    ended = app.deploy(after)
    if lost:
        assert (ended["status"], ended["error"]) == ("FAILED", "UnsafeChanges"), ended
        reported = {line.split()[1] for line in ended["cause"].splitlines()[1:]}
        assert reported == lost
        assert app.snapshot() == state, "the stack was changed"
    else:
        outcome = "unchanged" if before == after else "updated"
        assert json.loads(ended["output"])["outcome"] == outcome, ended
    assert not app.left()
    app.cloudformation.delete_stack(StackName=app.stack)


def test_retention_that_refers_to_a_changed_resource_is_unsafe(app: Deployment) -> None:
    """With property values, CloudFormation shows the old retention, and then sets the new one."""

    def resources(days: str, visibility: int) -> dict[str, Any]:
        reference = {"Fn::GetAtt": ["Days", "Value"]}
        properties = {"MessageRetentionPeriod": reference, "VisibilityTimeout": visibility}
        return {
            "Days": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": days}},
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": properties},
        }

    app.create(resources("1209600", 30))
    ended = app.deploy(resources("60", 60))
    assert ended["cause"].splitlines()[1:] == [
        "- Queue (AWS::SQS::Queue), Modify: MessageRetentionPeriod changes, but its values are not visible"
    ]
    assert json.loads(app.deploy(resources("1209600", 60))["output"])["outcome"] == "updated"
