"""The definition of the state machine that inspects changes before it executes them, in Amazon States Language.

    Check Stack Existence --> Does Stack Exist? --no---> Create Stack, wait --> Deployment Succeeded
                                    |
                                    +--yes--> Create Change Set, wait --> Inspect Change Set Changes
                                                     Safe to Update Infra? --yes--> Execute, wait --> ...
                                                            +--no--> Delete Change Set --> Deployment Failed
                                                            +--ask-> Request Approval --> Execute or Delete

With a rollout in the input, an update is followed by: Publish Version --> New Version? --yes--> Roll Out --> ...

The names of the states are those of the original post. The query language is JSONata, and results are kept in
variables, so that a state that fails can still report the stack. Once a change set exists, every path either
executes or deletes it.
"""

from ..constructs.states_language import (
    BUSY_RETRY,
    ERROR_MESSAGE,
    State,
    assign_failure,
    catch_all,
    catch_known,
    choice,
    jsonata,
    lambda_task,
    merged,
    rule,
    sdk_task,
    wait,
)
from .approval_states import approval_states, with_note
from .rollout_states import IN_INPUT, rollout_states

MINUTE = 60
HOUR = 60 * MINUTE
# Limits for the operation on a stack, the deletion of a failed stack and the creation of a change set.
STACK_TIMEOUT, DELETION_TIMEOUT, CHANGE_SET_TIMEOUT = 6 * HOUR, 2 * HOUR, 10 * MINUTE
ASSETS_TIMEOUT = 15 * MINUTE  # Lambda's limit
STACK_INTERVAL, CHANGE_SET_INTERVAL = 15, 5  # seconds between polls
# Each poll takes 9 of the 25,000 events that an execution can have.
STACK_POLLS = STACK_TIMEOUT // STACK_INTERVAL
DELETION_POLLS = DELETION_TIMEOUT // STACK_INTERVAL
CHANGE_SET_POLLS = CHANGE_SET_TIMEOUT // CHANGE_SET_INTERVAL
TIMEOUT = 22 * HOUR  # more than all waits together, and less than CodePipeline's 24 hours
KNOWN_ERRORS = ["InvalidInputError", "InvalidArtifactError", "InvalidTemplateError", "StackNotReadyError"]


def definition(*, rollout: bool) -> State:
    """Return the definition, with or without rollouts; it has substitutions for five functions and ``${ServiceRole}``.

    Step Functions rejects a task that waits for another state machine if the role may not create its rule.
    """
    return {
        "Comment": "Creates a stack, or updates it if nothing is deleted or replaced",
        "QueryLanguage": "JSONata",
        "StartAt": "Check Stack Existence",
        "TimeoutSeconds": TIMEOUT,
        "States": {
            **_beginning(),
            **_recreation(),
            **_creation(),
            **_change_set(),
            **_decision(rollout),
            **approval_states(),
            **_update(rollout),
            **(rollout_states() if rollout else {}),
            **_ends(),
        },
    }


def _beginning() -> dict[str, State]:
    return {
        "Check Stack Existence": lambda_task(
            "CheckStack",
            {
                "input": jsonata("$states.context.Execution.Input"),
                "execution": jsonata("$states.context.Execution.Name"),
                "executionArn": jsonata("$states.context.Execution.Id"),
            },
            assign={
                "plan": jsonata("$states.result.Payload"),
                "stackName": jsonata("$states.result.Payload.stackName"),
                "stackId": jsonata("$states.result.Payload.stackId"),
                "note": jsonata("$states.result.Payload.note"),
                "status": "",
                "statusReason": "",
                "polls": 0,
                "outcome": "created",
                "unsafe": {"count": 0, "digest": "", "violations": [], "notices": "", "report": ""},
                "approval": {},
                "rollout": "",
                "failure": {"error": "", "cause": ""},
            },
            catch=[
                without_note(catch_known(KNOWN_ERRORS, "Deployment Failed")),
                without_note(catch_all("Check Stack Existence", "Deployment Failed")),
            ],
            next="Does Stack Exist?",
        ),
        "Does Stack Exist?": choice(
            [
                rule("$plan.publishAssets = true", "Publish Assets"),
                rule(
                    "$plan.inspectOnly = true and $plan.action != 'update'", "Deployment Succeeded", {"outcome": "new"}
                ),
                rule("$plan.action = 'update'", "Create Change Set"),
                rule("$plan.action = 'recreate'", "Delete Failed Stack"),
            ],
            default="Create Stack",
        ),
        # Only for a cloud assembly, so other deployments need no additional transition.
        "Publish Assets": lambda_task(
            "PublishAssets",
            {"input": jsonata("$states.context.Execution.Input")},
            assign={"plan": jsonata("$merge([$plan, {'publishAssets': false}])")},
            catch=[catch_known(KNOWN_ERRORS, "Deployment Failed"), catch_all("Publish Assets", "Deployment Failed")],
            next="Does Stack Exist?",
        )
        | {"TimeoutSeconds": ASSETS_TIMEOUT},
    }


def _recreation() -> dict[str, State]:
    """Return the states that delete a stack whose creation failed, because it cannot be updated."""
    deletion = {
        "StackName": jsonata("$stackId"),
        "RoleARN": "${ServiceRole}",
        "ClientRequestToken": client_token("delete"),
    }
    return {
        "Delete Failed Stack": sdk_task(
            "deleteStack",
            deletion,
            {"polls": 0},
            catch_all("Delete Failed Stack", "Deployment Failed"),
            "Wait Failed Stack Deletion",
        ),
        **wait_for_stack(
            "Failed Stack Deletion",
            "Failed Stack Deleted?",
            done="'DELETE_COMPLETE'",
            then="Create Stack",
            polls=DELETION_POLLS,
        ),
    }


def _creation() -> dict[str, State]:
    arguments = {
        "StackName": jsonata("$stackName"),
        "ClientRequestToken": client_token("create"),
        **template_arguments(),
    }
    return {
        "Create Stack": sdk_task(
            "createStack",
            merged(arguments, "$plan.stackOptions"),
            {"stackId": jsonata("$states.result.StackId"), "polls": 0},
            catch_all("Create Stack", "Deployment Failed"),
            "Wait Stack Creation",
        ),
        **wait_for_stack("Stack Creation", "Stack Created?", done="'CREATE_COMPLETE'", then="Deployment Succeeded"),
    }


def _change_set() -> dict[str, State]:
    arguments = {
        "StackName": jsonata("$stackName"),
        "ChangeSetName": jsonata("$plan.changeSetName"),
        "ChangeSetType": jsonata("$plan.changeSetType"),
        "ClientToken": jsonata("$plan.changeSetName"),
        **template_arguments(),
    }
    poll = {"status": jsonata("$states.result.Payload.status"), "polls": jsonata("$polls + 1")}
    return {
        "Create Change Set": sdk_task(
            "createChangeSet",
            merged(arguments, "$plan.changeSetOptions"),
            {"changeSetId": jsonata("$states.result.Id"), "stackId": jsonata("$states.result.StackId"), "polls": 0},
            catch_all("Create Change Set"),
            "Wait Change Set Creation",
        ),
        "Wait Change Set Creation": wait(CHANGE_SET_INTERVAL, "Get Change Set Creation Status"),
        # A function, because the description of a change set can exceed the maximum size of a state's output.
        "Get Change Set Creation Status": lambda_task(
            "ChangeSet",
            {"changeSetId": jsonata("$changeSetId"), "stackName": jsonata("$stackName")},
            assign=poll | assign_failure("'ChangeSetFailed'", "$states.result.Payload.reason"),
            catch=[
                catch_known(["ChangeSetDeletedError"], "Delete Change Set"),
                catch_all("Get Change Set Creation Status"),
            ],
            next="Change Set Created?",
        ),
        "Change Set Created?": choice(
            [
                rule("$status = 'ready'", "Inspect Change Set Changes"),
                rule("$status = 'empty'", "Delete Change Set", {"outcome": "unchanged"}),
                rule(f"$status = 'pending' and $polls < {CHANGE_SET_POLLS}", "Wait Change Set Creation"),
            ],
            default="Delete Change Set",
            assign={"outcome": "failed"},
        ),
    }


def _decision(rollout: bool) -> dict[str, State]:
    return {
        "Inspect Change Set Changes": lambda_task(
            "ChangeSet",
            {
                "changeSetId": jsonata("$changeSetId"),
                "stackName": jsonata("$stackName"),
                "policy": jsonata("$plan.policy"),
            },
            assign={"unsafe": jsonata("$states.result.Payload")},
            catch=[
                catch_known(["ChangeSetDeletedError"], "Delete Change Set"),
                catch_all("Inspect Change Set Changes"),
            ],
            next="Safe to Update Infra?",
        ),
        "Safe to Update Infra?": choice(
            [
                rule("$plan.inspectOnly = true and $unsafe.safe = true", "Delete Change Set", {"outcome": "inspected"}),
                rule("$unsafe.safe = true", "Execute Change Set"),
                rule(
                    # A redriven execution has a plan from before, and the changes may have been made since.
                    "$unsafe.digest = $plan.approved.digest and $states.context.Execution.RedriveCount = 0",
                    "Execute Change Set",
                    {"approval": jsonata("$plan.approved.approval"), "note": with_note("$plan.approved.approval.note")},
                ),
                rule("$plan.onUnsafe = 'ask'", "Request Approval"),
                rule("$plan.onUnsafe = 'blue_green'", "Delete Change Set", {"outcome": "blue_green"}),
            ],
            default="Delete Change Set",
            assign={"outcome": "failed"} | assign_failure("'UnsafeChanges'", "$unsafe.cause"),
        ),
        "Delete Change Set": sdk_task(
            "deleteChangeSet",
            {"StackName": jsonata("$stackName"), "ChangeSetName": jsonata("$plan.changeSetName")},
            {},
            {
                "ErrorEquals": ["States.ALL"],
                "Assign": assign_failure(
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
        "Change Set Deleted": choice(
            [
                *([rule(f"$outcome = 'unchanged' and {IN_INPUT}", "Publish Version")] if rollout else []),
                rule("$outcome in ['unchanged', 'inspected']", "Deployment Succeeded"),
                # The first stack is not changed; the second one is created by the same states as any other stack.
                rule("$outcome = 'blue_green'", "Create Stack", {"stackName": jsonata("$plan.blueGreenName")}),
            ],
            default="Deployment Failed",
        ),
    }


def _update(rollout: bool) -> dict[str, State]:
    return {
        "Execute Change Set": sdk_task(
            "executeChangeSet",
            {
                "StackName": jsonata("$stackName"),
                "ChangeSetName": jsonata("$changeSetId"),
                "ClientRequestToken": client_token("execute"),
            },
            {"outcome": jsonata("$plan.changeSetType = 'CREATE' ? 'created' : 'updated'"), "polls": 0},
            catch_all("Execute Change Set"),
            "Wait Stack Update",
        ),
        **wait_for_stack(
            "Stack Update",
            "Stack Updated?",
            done="$plan.changeSetType = 'CREATE' ? 'CREATE_COMPLETE' : 'UPDATE_COMPLETE'",
            then="Deployment Succeeded",
            first=rule(f"$status = 'UPDATE_COMPLETE' and {IN_INPUT}", "Publish Version") if rollout else None,
        ),
    }


def _ends() -> dict[str, State]:
    reason = "($statusReason = '' ? '' : ' (' & $statusReason & ')')"
    cause = f"$stackName & ' is ' & $status & {reason} & '; the cause could not be read: ' & {ERROR_MESSAGE}"
    return {
        "Find First Failing Resource": lambda_task(
            "FirstFailure",
            {name: jsonata(f"${name}") for name in ("stackId", "stackName", "status", "statusReason")},
            assign=assign_failure("'StackFailed'", "$states.result.Payload.cause"),
            catch=[
                {
                    "ErrorEquals": ["States.ALL"],
                    "Assign": assign_failure("'StackFailed'", cause),
                    "Next": "Deployment Failed",
                }
            ],
            next="Deployment Failed",
        ),
        "Deployment Succeeded": {
            "Type": "Succeed",
            "Output": {
                "outcome": jsonata("$outcome"),
                "stackName": jsonata("$stackName"),
                "stackId": jsonata("$stackId"),
                "unsafe": jsonata("$unsafe"),
                "approval": jsonata("$approval"),
                "summary": jsonata(
                    "$stackName & ' is ' & ($outcome = 'blue_green'"
                    " ? 'created as a blue/green stack of ' & $plan.stackName : $outcome)"
                    " & ($note = '' ? '' : '. ' & $note)"
                    " & ($rollout = '' ? '' : '. ' & $rollout)"
                    " & ($outcome = 'blue_green' or ($outcome = 'inspected' and $unsafe.count > 0)"
                    " ? '. ' & $unsafe.cause"
                    " : ($unsafe.report = '' ? '' : '. All changes: ' & $unsafe.report)"
                    " & ($unsafe.notices = '' ? '' : '\\n' & $unsafe.notices))"
                ),
            },
        },
        "Deployment Failed": {
            "Type": "Fail",
            "Error": jsonata("$failure.error"),
            "Cause": jsonata("($note = '' ? '' : $note & '\\n') & $failure.cause"),
        },
    }


def client_token(operation: str) -> str:
    """Return a token that is the same in retries, and different in each execution."""
    return jsonata(f"$plan.changeSetName & '-{operation}'")


def template_arguments() -> State:
    return {
        "TemplateURL": jsonata("$plan.templateUrl"),
        "Parameters": jsonata("$plan.parameters"),
        "Tags": jsonata("$plan.tags"),
        "Capabilities": jsonata("$plan.capabilities"),
        "RoleARN": "${ServiceRole}",
    }


def without_note(catch: State) -> State:
    """Assign an empty note, because there is no plan yet."""
    return catch | {"Assign": catch["Assign"] | {"note": ""}}


def wait_for_stack(
    operation: str, choice_name: str, *, done: str, then: str, polls: int = STACK_POLLS, first: State | None = None
) -> dict[str, State]:
    """Poll until the stack has the status `done`, or another final one. `first` is checked before the other rules."""
    poll = f"Get {operation} Status"
    reason = "$states.result.Stacks[0].StackStatusReason"
    return {
        f"Wait {operation}": wait(STACK_INTERVAL, poll),
        poll: sdk_task(
            "describeStacks",
            {"StackName": jsonata("$stackId")},
            {
                "status": jsonata("$states.result.Stacks[0].StackStatus"),
                "statusReason": jsonata(f"$exists({reason}) ? {reason} : ''"),
                "polls": jsonata("$polls + 1"),
            },
            catch_all(poll, "Deployment Failed"),
            choice_name,
        ),
        choice_name: choice(
            [
                *([first] if first else []),
                rule(f"$status = ({done})", then),
                rule(f"$contains($status, /_IN_PROGRESS$/) and $polls < {polls}", f"Wait {operation}"),
            ],
            default="Find First Failing Resource",
        ),
    }
