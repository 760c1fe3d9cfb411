"""Events that invoke the functions.

The state machine builds its own events, so their fields are always present. A job of CodePipeline, the input of an
execution and the input file can be anything, and are validated where they are read.
"""

from typing import Any, NotRequired, TypedDict

from .inspection import PolicyFields


class Job(TypedDict):
    """A job of CodePipeline's invoke action. `data` is validated field by field."""

    id: str
    data: NotRequired[object]


# The functional syntax, because the name of the field is not an identifier.
CodePipelineEvent = TypedDict("CodePipelineEvent", {"CodePipeline.job": Job}, total=False)


class CheckStackEvent(TypedDict):
    """Payload of the state Check Stack Existence: the input of the execution, its name and its ARN."""

    input: Any
    execution: str
    executionArn: str


class PublishAssetsEvent(TypedDict):
    """Payload of the state Publish Assets: the input of the execution."""

    input: object


class ChangeSetEvent(TypedDict):
    """Payload of the states that read a change set; only the inspection has a `policy`."""

    changeSetId: str
    stackName: str
    policy: NotRequired[PolicyFields]


class FirstFailureEvent(TypedDict):
    """Payload of the state Find First Failing Resource."""

    stackId: str
    stackName: str
    status: str
    statusReason: str


class ApprovalEvent(TypedDict):
    """Payload of the state Request Approval; `cause` describes the unsafe changes.

    inspectOnly: whether the changes are only approved now, and made after the inspection of other stacks.
    """

    taskToken: str
    execution: str
    executionArn: str
    stackName: str
    stackId: str
    changeSetId: str
    cause: str
    inspectOnly: bool
    timeoutSeconds: int


class DecisionAttributes(TypedDict):
    """Attributes that SQS adds to a message: the ID of its sender, and milliseconds since 1970."""

    SenderId: str
    SentTimestamp: str


class DecisionRecord(TypedDict):
    """A message of SQS; `body` is the sender's text."""

    body: str
    attributes: DecisionAttributes


class DecisionEvent(TypedDict):
    """Messages from the queue of decisions."""

    Records: list[DecisionRecord]


class ExecutionStatus(TypedDict):
    """An execution that has ended; `input` is its input as a JSON string."""

    name: str
    status: str
    input: str


class ExecutionStatusEvent(TypedDict):
    """Event "Step Functions Execution Status Change"."""

    detail: ExecutionStatus
