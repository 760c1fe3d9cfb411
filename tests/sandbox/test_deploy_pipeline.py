"""The deployed state machine, with its functions as they are, while the API fails or others act."""

import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from sandbox import Sandbox
from sandbox.target import target_of

from .fault_injection import inject

pytestmark = pytest.mark.enable_socket

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 30}}
LONGER = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 60}}
TOPIC = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "Orders"}}
THROTTLED = {"code": "Throttling", "message": "Rate exceeded"}
DENIED = {"code": "AccessDenied", "message": "not authorized to perform that"}


@dataclass
class Deployment:
    """One stack, and executions that deploy to it."""

    sandbox: Sandbox
    machine: str

    def __post_init__(self) -> None:
        self.target = target_of(self.sandbox)
        self.s3, self.cloudformation, self.machines = map(self.target.client, ("s3", "cloudformation", "stepfunctions"))
        self.name = f"sample-app-green-{uuid.uuid4().hex[:8]}"  # the machine deploys to no other names
        self.stack = f"prod-{self.name}"
        # The state machine can read no other bucket.
        pipeline = self.target.client("codepipeline").get_pipeline(
            name=self.target.outputs("DeployPipeline")["PipelineName"]
        )
        self.bucket = pipeline["pipeline"]["artifactStore"]["location"]

    def start(self, resources: dict[str, Any], **given: Any) -> str:
        """Start an execution that deploys a template with these resources."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("app.json", json.dumps({"Resources": resources}))
        self.s3.put_object(Bucket=self.bucket, Key=f"{self.name}.zip", Body=buffer.getvalue())
        names = {"environmentName": "prod", "stackName": self.name, "templatePath": "app.json"}
        artifact = {"revisionS3Bucket": self.bucket, "revisionS3Key": f"{self.name}.zip"}
        answer = self.machines.start_execution(stateMachineArn=self.machine, input=json.dumps(names | artifact | given))
        return str(answer["executionArn"])

    def wait(self, execution: str) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            found = self.machines.describe_execution(executionArn=execution)
            return None if found["status"] == "RUNNING" else dict(found)

        return self.target.wait_until(ended, f"the end of {execution}", seconds=60)

    def deploy(self, resources: dict[str, Any], **given: Any) -> dict[str, Any]:
        return self.wait(self.start(resources, **given))

    def create(self, resources: dict[str, Any]) -> None:
        ended = self.deploy(resources)
        assert ended["status"] == "SUCCEEDED", ended

    def inject(self, *faults: dict[str, Any]) -> None:
        inject(self.sandbox, *faults)

    def states(self, execution: str) -> list[str]:
        events = self.machines.get_execution_history(executionArn=execution)["events"]
        return [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]

    def until_in(self, execution: str, state: str) -> None:
        self.target.wait_until(lambda: state in self.states(execution), f"{state} is entered", seconds=30)

    def status(self) -> str:
        (stack,) = self.cloudformation.describe_stacks(StackName=self.stack)["Stacks"]
        return str(stack["StackStatus"])

    def snapshot(self) -> Any:
        """What would differ if the stack were touched."""
        found = self.cloudformation.list_stack_resources(StackName=self.stack)["StackResourceSummaries"]
        names = ("LogicalResourceId", "PhysicalResourceId", "LastUpdatedTimestamp")
        return self.status(), sorted(tuple(map(resource.get, names)) for resource in found)

    def left(self) -> list[str]:
        """Change sets that somebody could still execute."""
        found = self.cloudformation.list_change_sets(StackName=self.stack)["Summaries"]
        return [c["ChangeSetName"] for c in found if not c["ExecutionStatus"].startswith("EXECUTE")]


@pytest.fixture(scope="module")
def machine(sandbox_with_options: Sandbox) -> str:
    return target_of(sandbox_with_options).outputs("DeployPipeline")["StateMachineArn"]


@pytest.fixture
def app(sandbox_with_options: Sandbox, machine: str) -> Iterator[Deployment]:
    found = Deployment(sandbox_with_options, machine)
    yield found
    found.inject()
    found.cloudformation.delete_stack(StackName=found.stack)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Throttling",
    fault="CloudFormation throttles calls temporarily",
    expected="retried with backoff; calls that change something have a token, so they take effect once",
    observed="created and updated after two throttled calls of each kind",
)
def test_throttled_calls_are_retried(app: Deployment) -> None:
    app.inject(
        {"action": "DescribeStacks", **THROTTLED, "times": 2},
        {"action": "CreateStack", **THROTTLED, "times": 2},
    )
    ended = app.deploy({"Queue": QUEUE})
    assert ended["status"] == "SUCCEEDED", ended
    app.inject(
        {"action": "CreateChangeSet", **THROTTLED, "times": 2},
        {"action": "DescribeChangeSet", **THROTTLED, "times": 2},
        {"action": "ExecuteChangeSet", **THROTTLED, "times": 2},
    )
    ended = app.deploy({"Queue": LONGER})
    assert json.loads(ended["output"])["outcome"] == "updated", ended
    assert app.status() == "UPDATE_COMPLETE"


@pytest.mark.parametrize("action", ["CreateChangeSet", "DescribeChangeSet", "ExecuteChangeSet"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the change set cannot be created, read or executed",
    expected="fails with CloudFormation's message; the stack is not changed, no change set is left",
    observed='"not authorized to perform that" in the cause',
)
def test_denied_call_leaves_stack_and_no_change_set(app: Deployment, action: str) -> None:
    app.create({"Queue": QUEUE})
    app.inject({"action": action, **DENIED, "times": 99})
    ended = app.deploy({"Queue": LONGER})
    app.inject()
    assert ended["status"] == "FAILED"
    assert "not authorized" in ended["cause"], ended
    assert app.status() == "CREATE_COMPLETE"
    assert not app.left()


@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the stack cannot be created",
    expected="fails with CloudFormation's message",
    observed="`Create Stack: not authorized ...`",
)
def test_denied_creation_is_reported(app: Deployment) -> None:
    app.inject({"action": "CreateStack", **DENIED, "times": 99})
    ended = app.deploy({"Queue": QUEUE})
    assert (ended["status"], ended["error"]) == ("FAILED", "CloudFormation.CloudFormationException")
    assert ended["cause"].startswith("Create Stack: not authorized"), ended


@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the stack cannot be described",
    expected="not treated as a missing stack",
    observed='fails; Create Stack is never entered, even if the message says that a role "does not exist"',
)
def test_error_is_not_treated_as_missing_stack(app: Deployment) -> None:
    app.inject({"action": "DescribeStacks", **DENIED})
    ended = app.deploy({"Queue": QUEUE})
    assert ended["error"] == "ClientError", ended
    assert "Create Stack" not in app.states(ended["executionArn"])


@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Deleted by somebody else",
    fault="the change set, before or after it is inspected",
    expected="fails with that reason",
    observed="`ChangeSetDeletedError`",
)
def test_deleted_change_set_is_reported(app: Deployment, skip: int) -> None:
    app.create({"Queue": QUEUE})
    before = {"Action": "DeleteStack", "StackName": app.stack}  # and with it its change sets
    app.inject({"action": "DescribeChangeSet", "skip": skip, "before": before})
    ended = app.deploy({"Queue": LONGER})
    assert (ended["status"], ended["error"]) == ("FAILED", "ChangeSetDeletedError"), ended
    assert "Somebody else deleted the change set" in ended["cause"]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Deleted by somebody else",
    fault="the stack, while it is created or updated",
    expected="fails with that reason",
    observed='"was deleted by somebody else"',
)
def test_stack_deleted_during_creation_is_reported(app: Deployment) -> None:
    before = {"Action": "DeleteStack", "StackName": app.stack}
    app.inject({"action": "DescribeStacks", "skip": 1, "before": before})
    ended = app.deploy({"Queue": QUEUE})
    assert (ended["status"], ended["error"]) == ("FAILED", "StackFailed"), ended
    assert f"{app.stack} was deleted by somebody else" in ended["cause"]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Deleted by somebody else",
    fault="the stack, while it is created or updated",
)
def test_stack_deleted_during_update_is_reported(app: Deployment) -> None:
    app.create({"Queue": QUEUE})
    before = {"Action": "DeleteStack", "StackName": app.stack}
    app.inject({"action": "DescribeStacks", "skip": 1, "before": before})
    ended = app.deploy({"Queue": LONGER})
    assert (ended["status"], ended["error"]) == ("FAILED", "StackFailed"), ended
    assert "deleted by somebody else" in ended["cause"]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Late",
    fault="somebody else updates the stack after the inspection",
    expected="their update is kept; this one fails",
    observed="their resource is in the stack, no change set is left",
)
def test_concurrent_update_is_kept(app: Deployment) -> None:
    app.create({"Queue": QUEUE})
    theirs = json.dumps({"Resources": {"Queue": QUEUE, "Theirs": TOPIC}})
    before = {"Action": "UpdateStack", "StackName": app.stack, "TemplateBody": theirs}
    app.inject({"action": "ExecuteChangeSet", "before": before})
    ended = app.deploy({"Queue": LONGER})
    assert ended["status"] == "FAILED", ended
    assert "Execute Change Set: " in ended["cause"]
    body = app.cloudformation.get_template(StackName=app.stack)["TemplateBody"]
    assert "Theirs" in json.dumps(body), "their update was undone"
    assert not app.left()


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="the creation of a stack fails",
    expected="the next deployment deletes a stack that never worked, and creates it again",
    observed="deleted and created; a stack that worked is not deleted",
)
def test_stack_that_never_worked_is_recreated(app: Deployment) -> None:
    ended = app.deploy({"Baseline": {"Type": "AWS::SSM::PatchBaseline", "Properties": {"Name": "none"}}})
    assert (ended["error"], app.status()) == ("StackFailed", "ROLLBACK_COMPLETE"), ended
    assert "Baseline (AWS::SSM::PatchBaseline) failed first" in ended["cause"]
    ended = app.deploy({"Queue": QUEUE})
    assert ended["status"] == "SUCCEEDED", ended
    assert "Delete Failed Stack" in app.states(ended["executionArn"])
    assert app.status() == "CREATE_COMPLETE"


def test_stack_in_review_is_created(app: Deployment) -> None:
    app.cloudformation.create_change_set(
        StackName=app.stack,
        ChangeSetName="somebody-elses",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": {"Topic": TOPIC}}),
    )
    assert app.status() == "REVIEW_IN_PROGRESS"
    ended = app.deploy({"Queue": QUEUE})
    assert json.loads(ended["output"])["outcome"] == "created", ended
    assert app.status() == "CREATE_COMPLETE"


@pytest.mark.reliability(
    "deploy_pipeline",
    "Only here",
    fault=(
        "a change deletes or replaces a resource, or may do so, also on the last page of the change set "
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


@pytest.mark.reliability(
    "deploy_pipeline",
    "Only here",
    fault=(
        "a change deletes or replaces a resource, or may do so, also on the last page of the change set "
        "or in a nested stack"
    ),
)
def test_removal_in_nested_stack_is_found(app: Deployment) -> None:
    def nested(key: str, resources: dict[str, Any]) -> dict[str, Any]:
        key = f"{app.name}/{key}"
        app.s3.put_object(Bucket=app.bucket, Key=key, Body=json.dumps({"Resources": resources}).encode())
        url = f"https://{app.bucket}.s3.us-east-1.amazonaws.com/{key}"
        return {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}

    inner = nested("inner-1", {"Queue": QUEUE, "Topic": TOPIC})
    app.create({"Child": nested("outer-1", {"Inner": inner})})
    ended = app.deploy({"Child": nested("outer-2", {"Inner": nested("inner-2", {"Queue": LONGER})})})
    assert ended["error"] == "UnsafeChanges", ended
    assert ended["cause"].splitlines()[1:] == ["- Child/Inner/Topic (AWS::SNS::Topic), Remove: it is deleted"]
    ended = app.deploy({"Child": nested("outer-3", {"Inner": nested("inner-3", {"Queue": LONGER, "Topic": TOPIC})})})
    assert json.loads(ended["output"])["outcome"] == "updated", ended
    ended = app.deploy(
        {"Child": nested("outer-4", {"Inner": nested("inner-4", {"Queue": QUEUE})})},
        policy={"exemptLogicalIds": ["Child/Inner/Topic"]},
    )
    assert json.loads(ended["output"])["outcome"] == "updated", ended
    assert not app.left()


NAMES = st.sampled_from([None, None, None, "one", "two"])
QUEUES = st.fixed_dictionaries({"kind": st.just("Queue"), "name": NAMES, "plain": st.integers(1, 3)})
TOPICS = st.fixed_dictionaries({"kind": st.just("Topic"), "name": NAMES, "plain": st.integers(1, 3)})
TEMPLATES = st.dictionaries(st.sampled_from("ABCD"), QUEUES | TOPICS, min_size=1)


def resources(made: dict[str, Any], suffix: str) -> dict[str, Any]:
    """A template's resources, whose physical names end with `suffix`."""
    found = {}
    for logical_id, it in made.items():
        plain = {"Queue": {"DelaySeconds": it["plain"]}, "Topic": {"DisplayName": str(it["plain"])}}[it["kind"]]
        name = {f"{it['kind']}Name": f"{it['name']}-{logical_id}-{suffix}"} if it["name"] else {}
        found[logical_id + it["kind"]] = {
            "Type": {"Queue": "AWS::SQS::Queue", "Topic": "AWS::SNS::Topic"}[it["kind"]],
            "Properties": plain | name,
        }
    return found


@settings(max_examples=8, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=TEMPLATES, new=TEMPLATES)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Only here",
    fault=(
        "a change deletes or replaces a resource, or may do so, also on the last page of the change set "
        "or in a nested stack"
    ),
    expected="rejected, and the stack is not changed",
    observed="no resource is lost with any generated template",
)
def test_any_update_loses_no_resource(
    sandbox_with_options: Sandbox, machine: str, old: dict[str, Any], new: dict[str, Any]
) -> None:
    app = Deployment(sandbox_with_options, machine)
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
        named = {line.split()[1] for line in ended["cause"].splitlines()[1:]}
        assert named == lost
        assert app.snapshot() == state, "the stack was touched"
    else:
        outcome = "unchanged" if before == after else "updated"
        assert json.loads(ended["output"])["outcome"] == outcome, ended
    assert not app.left()
    app.cloudformation.delete_stack(StackName=app.stack)


def start_waiting_execution(app: Deployment) -> str:
    """An execution that has made its change set, and cannot look at it for some seconds."""
    app.inject({"action": "DescribeChangeSet", **THROTTLED, "times": 5})
    execution = app.start({"Queue": LONGER})
    app.until_in(execution, "Get Change Set Creation Status")
    assert app.left(), "there is no change set to be left behind"
    return execution


def wait_until_nothing_is_left(app: Deployment) -> None:
    app.target.wait_until(lambda: not app.left(), "the change set is deleted", seconds=30)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Timeout mid-way",
    fault="the execution is stopped or times out",
    expected="no change set is left, the stack is not changed",
    observed="deleted within seconds",
)
def test_stopped_execution_leaves_no_change_set(app: Deployment) -> None:
    app.create({"Queue": QUEUE})
    execution = start_waiting_execution(app)
    app.machines.stop_execution(executionArn=execution, cause="by hand")
    ended = app.wait(execution)
    assert (ended["status"], ended["cause"]) == ("ABORTED", "by hand")
    app.inject()
    wait_until_nothing_is_left(app)
    assert app.status() == "CREATE_COMPLETE"


@pytest.mark.reliability("deploy_pipeline", "Timeout mid-way", fault="the execution is stopped or times out")
def test_timed_out_execution_leaves_no_change_set(app: Deployment) -> None:
    app.create({"Queue": QUEUE})
    definition = app.machines.describe_state_machine(stateMachineArn=app.machine)["definition"]
    hasty = json.dumps(json.loads(definition) | {"TimeoutSeconds": 60})  # one second here
    app.machines.update_state_machine(stateMachineArn=app.machine, definition=hasty)
    try:
        execution = start_waiting_execution(app)
        ended = app.wait(execution)
    finally:
        app.machines.update_state_machine(stateMachineArn=app.machine, definition=definition)
    assert (ended["status"], ended["error"]) == ("TIMED_OUT", "States.Timeout")
    app.inject()
    wait_until_nothing_is_left(app)
    assert app.status() == "CREATE_COMPLETE"
