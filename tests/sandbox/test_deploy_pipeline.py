"""The deployed state machine, with its functions, while API calls fail or other clients change its stack."""

import json

import pytest

from .deployment import LONGER, QUEUE, TOPIC, Deployment

pytestmark = pytest.mark.enable_socket

THROTTLED = {"code": "Throttling", "message": "Rate exceeded"}
DENIED = {"code": "AccessDenied", "message": "not authorized to perform that"}


@pytest.mark.reliability(
    "deploy_pipeline",
    "Throttling",
    fault="CloudFormation temporarily throttles calls",
    expected="retried with backoff; a token makes each change take effect only once",
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
    "Deleted externally",
    fault="the change set, before or after it is inspected",
    expected="fails with this reason",
    observed="`ChangeSetDeletedError`",
)
def test_deleted_change_set_is_reported(app: Deployment, skip: int) -> None:
    app.create({"Queue": QUEUE})
    before = {"Action": "DeleteStack", "StackName": app.stack}  # and its change sets
    app.inject({"action": "DescribeChangeSet", "skip": skip, "before": before})
    ended = app.deploy({"Queue": LONGER})
    assert (ended["status"], ended["error"]) == ("FAILED", "ChangeSetDeletedError"), ended
    assert "Somebody else deleted the change set" in ended["cause"]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Deleted externally",
    fault="the stack, while it is created or updated",
    expected="fails with this reason",
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
    "Deleted externally",
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
    "Delayed or out of order",
    fault="another principal updates the stack after the inspection",
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
    expected="the next deployment deletes a stack whose creation failed, and creates it again",
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


def start_waiting_execution(app: Deployment) -> str:
    """Start an execution that has created its change set, and cannot describe it for some seconds."""
    app.inject({"action": "DescribeChangeSet", **THROTTLED, "times": 5})
    execution = app.start({"Queue": LONGER})
    app.wait_for_state(execution, "Get Change Set Creation Status")
    assert app.left(), "the change set was not created"
    return execution


def wait_until_nothing_is_left(app: Deployment) -> None:
    app.target.wait_until(lambda: not app.left(), "the change set is deleted", seconds=120)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Timeout",
    fault="the execution is stopped or times out",
    expected="no change set is left, the stack is not changed",
    observed="deleted within seconds",
)
def test_stopped_execution_leaves_no_change_set(app: Deployment) -> None:
    app.create({"Queue": QUEUE})
    execution = start_waiting_execution(app)
    app.step_functions.stop_execution(executionArn=execution, cause="by an operator")
    ended = app.wait(execution)
    assert (ended["status"], ended["cause"]) == ("ABORTED", "by an operator")
    app.inject()
    wait_until_nothing_is_left(app)
    assert app.status() == "CREATE_COMPLETE"


@pytest.mark.reliability("deploy_pipeline", "Timeout", fault="the execution is stopped or times out")
def test_timed_out_execution_leaves_no_change_set(app: Deployment) -> None:
    app.create({"Queue": QUEUE})
    definition = app.step_functions.describe_state_machine(stateMachineArn=app.state_machine)["definition"]
    shorter = json.dumps(json.loads(definition) | {"TimeoutSeconds": 60})  # one second in the sandbox
    app.step_functions.update_state_machine(stateMachineArn=app.state_machine, definition=shorter)
    try:
        execution = start_waiting_execution(app)
        ended = app.wait(execution)
    finally:
        app.step_functions.update_state_machine(stateMachineArn=app.state_machine, definition=definition)
    assert (ended["status"], ended["error"]) == ("TIMED_OUT", "States.Timeout")
    app.inject()
    wait_until_nothing_is_left(app)
    assert app.status() == "CREATE_COMPLETE"
