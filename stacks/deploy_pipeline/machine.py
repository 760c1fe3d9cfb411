"""The state machine that looks before it changes, in Amazon States Language.

    Check Stack Existence --> Does Stack Exist? --no---> Create Stack, wait --> Deployment Succeeded
                                    |
                                    +--yes--> Create Change Set, wait --> Inspect Change Set Changes
                                                     Safe to Update Infra? --yes--> Execute, wait --> ...
                                                            +--no--> Delete Change Set --> Deployment Failed

The names of the states are those of the post. What a state knows is in variables, so that one
that fails can still say what it was about; the query language is JSONata. Every way to an end
after a change set was made leads through its execution, or through Delete Change Set.
"""

from typing import Any

State = dict[str, Any]
MINUTE = 60
HOUR = 60 * MINUTE
# Seconds, times. Each time takes 9 of the 25,000 events that an execution may have.
STACK_WAIT, STACK_POLLS = 15, 1440  # 6 hours
DELETION_POLLS = 480  # 2 hours
CHANGE_SET_WAIT, CHANGE_SET_POLLS = 5, 120  # 10 minutes
TIMEOUT = 12 * HOUR  # beyond all of its waits together, and below the 24 hours of CodePipeline
TASK_TIMEOUT = 3 * MINUTE
OUR_ERRORS = ["InvalidInputError", "InvalidArtifactError", "InvalidTemplateError", "StackNotReadyError"]

# CloudFormation's throttling has no name of its own in Step Functions: it is a
# CloudFormationException, as is everything else that its API does not model. So those are all
# tried again, and every call that changes something carries a token or a name that makes a
# second one the same.
CALL_RETRY = {
    "ErrorEquals": ["CloudFormation.CloudFormationException", "CloudFormation.SdkClientException", "States.Timeout"],
    "IntervalSeconds": 2,
    "BackoffRate": 2,
    "MaxAttempts": 4,
    "MaxDelaySeconds": 30,
    "JitterStrategy": "FULL",
}
# A change set that is being made, or carried out, cannot be deleted before that is over.
BUSY_RETRY = CALL_RETRY | {
    "ErrorEquals": ["CloudFormation.InvalidChangeSetStatusException"],
    "IntervalSeconds": 5,
    "MaxAttempts": 8,
}
FUNCTION_RETRY = CALL_RETRY | {
    "ErrorEquals": [
        "Lambda.ClientExecutionTimeoutException",
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.TooManyRequestsException",
        "States.Timeout",
    ],
    "MaxAttempts": 5,
}
# The message of an error: functions give theirs in an object, written as JSON.
SAID = (
    "($substring($states.errorOutput.Cause, 0, 1) = '{'"
    " ? $parse($states.errorOutput.Cause).errorMessage : $states.errorOutput.Cause)"
)


def definition() -> State:
    """Give the state machine, with ``${CheckStack}``, ``${ChangeSet}``, ``${FirstFailure}`` and
    ``${ServiceRole}`` to be filled in."""
    return {
        "Comment": "Creates a stack, or updates it when nothing is deleted or replaced by that",
        "QueryLanguage": "JSONata",
        "StartAt": "Check Stack Existence",
        "TimeoutSeconds": TIMEOUT,
        "States": _beginning() | _recreation() | _creation() | _change_set() | _decision() | _update() | _ends(),
    }


def _beginning() -> dict[str, State]:
    return {
        "Check Stack Existence": _function(
            "CheckStack",
            {"input": _of("$states.context.Execution.Input"), "execution": _of("$states.context.Execution.Name")},
            assign={
                "plan": _of("$states.result.Payload"),
                "stackName": _of("$states.result.Payload.stackName"),
                "stackId": _of("$states.result.Payload.stackId"),
                "status": "",
                "statusReason": "",
                "polls": 0,
                "outcome": "created",
                "unsafe": {"count": 0, "violations": []},
                "failure": {"error": "", "cause": ""},
            },
            catch=[
                _refused(OUR_ERRORS, "Deployment Failed"),
                _caught("Check Stack Existence", "Deployment Failed"),
            ],
            next="Does Stack Exist?",
        ),
        "Does Stack Exist?": _choice(
            [
                _when("$plan.action = 'update'", "Create Change Set"),
                _when("$plan.action = 'recreate'", "Delete Failed Stack"),
            ],
            default="Create Stack",
        ),
    }


def _recreation() -> dict[str, State]:
    """A stack whose creation failed cannot be updated, only deleted."""
    deletion = {"StackName": _of("$stackId"), "RoleARN": "${ServiceRole}", "ClientRequestToken": _token("delete")}
    return {
        "Delete Failed Stack": _call(
            "deleteStack", deletion, {"polls": 0}, _caught("Delete Failed Stack", "Deployment Failed"),
            "Wait Failed Stack Deletion",
        ),
        **_wait_for("Failed Stack Deletion", "Failed Stack Deleted?", done="'DELETE_COMPLETE'", then="Create Stack",
                    polls=DELETION_POLLS),
    }  # fmt: skip


def _creation() -> dict[str, State]:
    arguments = {
        "StackName": _of("$stackName"),
        "ClientRequestToken": _token("create"),
        **_template(),
    }
    return {
        "Create Stack": _call(
            "createStack",
            arguments,
            {"stackId": _of("$states.result.StackId"), "polls": 0},
            _caught("Create Stack", "Deployment Failed"),
            "Wait Stack Creation",
        ),
        **_wait_for("Stack Creation", "Stack Created?", done="'CREATE_COMPLETE'", then="Deployment Succeeded"),
    }


def _change_set() -> dict[str, State]:
    arguments = {
        "StackName": _of("$stackName"),
        "ChangeSetName": _of("$plan.changeSetName"),
        "ChangeSetType": _of("$plan.changeSetType"),
        "ClientToken": _of("$plan.changeSetName"),
        "IncludeNestedStacks": True,
        **_template(),
    }
    looked = {"status": _of("$states.result.Payload.status"), "polls": _of("$polls + 1")}
    return {
        "Create Change Set": _call(
            "createChangeSet",
            arguments,
            {"changeSetId": _of("$states.result.Id"), "stackId": _of("$states.result.StackId"), "polls": 0},
            _caught("Create Change Set"),
            "Wait Change Set Creation",
        ),
        "Wait Change Set Creation": _wait(CHANGE_SET_WAIT, "Get Change Set Creation Status"),
        # A function, since a change set's description can be larger than what a state may give.
        "Get Change Set Creation Status": _function(
            "ChangeSet",
            {"changeSetId": _of("$changeSetId"), "stackName": _of("$stackName")},
            assign=looked | _failure("'ChangeSetFailed'", "$states.result.Payload.reason"),
            catch=[_refused(["ChangeSetGoneError"], "Delete Change Set"), _caught("Get Change Set Creation Status")],
            next="Change Set Created?",
        ),
        "Change Set Created?": _choice(
            [
                _when("$status = 'ready'", "Inspect Change Set Changes"),
                _when("$status = 'empty'", "Delete Change Set", {"outcome": "unchanged"}),
                _when(f"$status = 'pending' and $polls < {CHANGE_SET_POLLS}", "Wait Change Set Creation"),
            ],
            default="Delete Change Set",
            assign={"outcome": "failed"},
        ),
    }


def _decision() -> dict[str, State]:
    return {
        "Inspect Change Set Changes": _function(
            "ChangeSet",
            {"changeSetId": _of("$changeSetId"), "stackName": _of("$stackName"), "policy": _of("$plan.policy")},
            assign={"unsafe": _of("$states.result.Payload")},
            catch=[_refused(["ChangeSetGoneError"], "Delete Change Set"), _caught("Inspect Change Set Changes")],
            next="Safe to Update Infra?",
        ),
        "Safe to Update Infra?": _choice(
            [
                _when("$unsafe.safe = true", "Execute Change Set"),
                _when("$plan.beside = true", "Delete Change Set", {"outcome": "created beside"}),
            ],
            default="Delete Change Set",
            assign={"outcome": "failed"} | _failure("'UnsafeChanges'", "$unsafe.cause"),
        ),
        "Delete Change Set": _call(
            "deleteChangeSet",
            {"StackName": _of("$stackName"), "ChangeSetName": _of("$plan.changeSetName")},
            {},
            {
                "ErrorEquals": ["States.ALL"],
                "Assign": _failure(
                    "$failure.error",
                    "$failure.cause & ' The change set ' & $plan.changeSetName & ' of ' & $stackName"
                    " & ' could not be deleted: ' & $states.errorOutput.Cause",
                ),
                "Next": "Deployment Failed",
            },
            "Change Set Deleted",
            first_retry=BUSY_RETRY,
            first_catch={"ErrorEquals": ["CloudFormation.ChangeSetNotFoundException"], "Next": "Change Set Deleted"},
        ),
        "Change Set Deleted": _choice(
            [
                _when("$outcome = 'unchanged'", "Deployment Succeeded"),
                # The first stack stays; the second is made by the states that make any.
                _when("$outcome = 'created beside'", "Create Stack", {"stackName": _of("$plan.besideName")}),
            ],
            default="Deployment Failed",
        ),
    }


def _update() -> dict[str, State]:
    return {
        "Execute Change Set": _call(
            "executeChangeSet",
            {
                "StackName": _of("$stackName"),
                "ChangeSetName": _of("$changeSetId"),
                "ClientRequestToken": _token("execute"),
            },
            {"outcome": _of("$plan.changeSetType = 'CREATE' ? 'created' : 'updated'"), "polls": 0},
            _caught("Execute Change Set"),
            "Wait Stack Update",
        ),
        **_wait_for(
            "Stack Update",
            "Stack Updated?",
            done="$plan.changeSetType = 'CREATE' ? 'CREATE_COMPLETE' : 'UPDATE_COMPLETE'",
            then="Deployment Succeeded",
        ),
    }


def _ends() -> dict[str, State]:
    reason = "($statusReason = '' ? '' : ' (' & $statusReason & ')')"
    cause = f"$stackName & ' is ' & $status & {reason} & '; why could not be read: ' & {SAID}"
    return {
        "Find First Failing Resource": _function(
            "FirstFailure",
            {name: _of(f"${name}") for name in ("stackId", "stackName", "status", "statusReason")},
            assign=_failure("'StackFailed'", "$states.result.Payload.cause"),
            catch=[
                {"ErrorEquals": ["States.ALL"], "Assign": _failure("'StackFailed'", cause), "Next": "Deployment Failed"}
            ],
            next="Deployment Failed",
        ),
        "Deployment Succeeded": {
            "Type": "Succeed",
            "Output": {
                "outcome": _of("$outcome"),
                "stackName": _of("$stackName"),
                "stackId": _of("$stackId"),
                "unsafe": _of("$unsafe"),
                "summary": _of(
                    "$stackName & ' is ' & $outcome"
                    " & ($outcome = 'created beside' ? ' ' & $plan.stackName & '. ' & $unsafe.cause : '')"
                ),
            },
        },
        "Deployment Failed": {
            "Type": "Fail",
            "Error": _of("$failure.error"),
            "Cause": _of("$failure.cause"),
        },
    }


def _of(expression: str) -> str:
    return f"{{% {expression} %}}"


def _token(what: str) -> str:
    """The same whenever a call is made again, another for each execution."""
    return _of(f"$plan.changeSetName & '-{what}'")


def _template() -> State:
    return {
        "TemplateURL": _of("$plan.templateUrl"),
        "Parameters": _of("$plan.parameters"),
        "Tags": _of("$plan.tags"),
        "Capabilities": _of("$plan.capabilities"),
        "RoleARN": "${ServiceRole}",
    }


def _failure(error: str, cause: str) -> State:
    """Assignments: why the deployment fails, should it come to that."""
    return {"failure": {"error": _of(error), "cause": _of(cause)}}


def _refused(errors: list[str], next: str) -> State:
    """Catch what our functions say of the input and of what they find."""
    return {"ErrorEquals": errors, "Assign": _failed_with(SAID), "Next": next}


def _caught(state: str, next: str = "Delete Change Set") -> State:
    return {"ErrorEquals": ["States.ALL"], "Assign": _failed_with(f"'{state}: ' & {SAID}"), "Next": next}


def _failed_with(cause: str) -> State:
    return _failure("$states.errorOutput.Error", cause) | {"outcome": "failed"}


def _function(name: str, payload: State, *, assign: State, catch: list[State], next: str) -> State:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": f"${{{name}}}", "Payload": payload},
        "TimeoutSeconds": TASK_TIMEOUT,
        "Assign": assign,
        "Retry": [FUNCTION_RETRY],
        "Catch": catch,
        "Next": next,
    }


def _call(
    action: str,
    arguments: State,
    assign: State,
    catch: State,
    next: str,
    first_retry: State | None = None,
    first_catch: State | None = None,
) -> State:
    """A call of CloudFormation's API, without a function between."""
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::aws-sdk:cloudformation:{action}",
        "Arguments": arguments,
        "TimeoutSeconds": TASK_TIMEOUT,
        **({"Assign": assign} if assign else {}),
        "Retry": [*([first_retry] if first_retry else []), CALL_RETRY],
        "Catch": [*([first_catch] if first_catch else []), catch],
        "Next": next,
    }


def _wait(seconds: int, next: str) -> State:
    return {"Type": "Wait", "Seconds": seconds, "Next": next}


def _when(condition: str, next: str, assign: State | None = None) -> State:
    return {"Condition": _of(condition), "Next": next} | ({"Assign": assign} if assign else {})


def _choice(choices: list[State], *, default: str, assign: State | None = None) -> State:
    return {"Type": "Choice", "Choices": choices, "Default": default} | ({"Assign": assign} if assign else {})


def _wait_for(what: str, question: str, *, done: str, then: str, polls: int = STACK_POLLS) -> dict[str, State]:
    """Wait until the stack is in the state `done`, or in one in which it stays."""
    look = f"Get {what} Status"
    reason = "$states.result.Stacks[0].StackStatusReason"
    return {
        f"Wait {what}": _wait(STACK_WAIT, look),
        look: _call(
            "describeStacks",
            {"StackName": _of("$stackId")},
            {
                "status": _of("$states.result.Stacks[0].StackStatus"),
                "statusReason": _of(f"$exists({reason}) ? {reason} : ''"),
                "polls": _of("$polls + 1"),
            },
            _caught(look, "Deployment Failed"),
            question,
        ),
        question: _choice(
            [
                _when(f"$status = ({done})", then),
                _when(f"$contains($status, /_IN_PROGRESS$/) and $polls < {polls}", f"Wait {what}"),
            ],
            default="Find First Failing Resource",
        ),
    }
