"""The states that request approval of unsafe changes, and wait for the decision."""

from ..constructs.states_language import (
    FUNCTION_RETRY,
    State,
    assign_failure,
    catch_all,
    choice,
    jsonata,
    lambda_task,
    rule,
    without_timeout,
)


def with_note(expression: str) -> str:
    """Add a decision to what every result of the execution contains."""
    return jsonata(f"($note = '' ? '' : $note & '. ') & {expression}")


def approval_states() -> dict[str, State]:
    """Return the states that wait until somebody decides whether this change set is executed."""
    changes = "'\\n' & $unsafe.cause"
    request = {
        "taskToken": jsonata("$states.context.Task.Token"),
        "execution": jsonata("$states.context.Execution.Name"),
        "executionArn": jsonata("$states.context.Execution.Id"),
        "stackName": jsonata("$stackName"),
        "stackId": jsonata("$stackId"),
        "changeSetId": jsonata("$changeSetId"),
        "cause": jsonata("$unsafe.cause"),
        "inspectOnly": jsonata("$plan.inspectOnly"),
        "timeoutSeconds": jsonata("$plan.approvalTimeoutSeconds"),
    }
    expired = "'Nobody approved or declined the changes within ' & ($plan.approvalTimeoutSeconds / 60) & ' minutes.'"
    return {
        # A function error also ends the wait: no approval was requested.
        "Request Approval": lambda_task(
            "RequestApproval",
            request,
            assign={"approval": jsonata("$states.result"), "note": with_note("$states.result.note")},
            catch=[
                {
                    "ErrorEquals": ["States.Timeout"],
                    "Assign": assign_failure("'ApprovalTimedOut'", f"{expired} & {changes}") | {"outcome": "failed"},
                    "Next": "Delete Change Set",
                },
                catch_all("Request Approval"),
            ],
            next="Approved?",
        )
        | {
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "TimeoutSeconds": jsonata("$plan.approvalTimeoutSeconds"),
            "Retry": [without_timeout(FUNCTION_RETRY)],
        },
        "Approved?": choice(
            [
                # The other stacks are inspected, too, before this change is made by another execution.
                rule(
                    "$approval.approved = true and $plan.inspectOnly = true",
                    "Delete Change Set",
                    {"outcome": "inspected"},
                ),
                rule("$approval.approved = true", "Execute Change Set"),
            ],
            default="Delete Change Set",
            assign={"outcome": "failed"} | assign_failure("'ChangesDeclined'", "$unsafe.cause"),
        ),
    }
