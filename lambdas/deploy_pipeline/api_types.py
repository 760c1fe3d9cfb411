"""Responses of CloudFormation's API, with the fields that the functions read."""

from typing import NotRequired, TypedDict


class LiveResourceDrift(TypedDict, total=False):
    """The values of a property that was changed outside CloudFormation: as deployed, and now."""

    PreviousValue: str
    ActualValue: str


class ResourceTargetDefinition(TypedDict, total=False):
    """The attribute or property that changes. `Drift` is only in drift-aware change sets."""

    Attribute: str
    Name: str
    Path: str
    RequiresRecreation: str
    AttributeChangeType: str
    Drift: LiveResourceDrift


class ResourceChangeDetail(TypedDict, total=False):
    """The change of an attribute or property, and its cause."""

    Target: ResourceTargetDefinition
    Evaluation: str
    ChangeSource: str
    CausingEntity: str


class ResourceChange(TypedDict, total=False):
    """The change of a resource. The contexts are JSON strings of the resource before and after the change.

    ResourceDriftStatus, PreviousDeploymentContext: only in drift-aware change sets.
    DetailsWithValues: added from the description with values.
    UndecidedParameters: added to nested stacks, see `undecided_conditions`.
    """

    Action: str
    PolicyAction: str
    LogicalResourceId: str
    PhysicalResourceId: str
    ResourceType: str
    Replacement: str
    Details: list[ResourceChangeDetail]
    ChangeSetId: str
    BeforeContext: str
    AfterContext: str
    PreviousDeploymentContext: str
    ResourceDriftStatus: str
    DetailsWithValues: list[ResourceChangeDetail]
    UndecidedParameters: list[str]


class ResourceChangeWithValues(ResourceChange):
    """The change of a resource, with the resource before and after the change; None if it is not visible.

    Previous: the resource as deployed, if `Before` is its actual state.
    """

    Before: dict[str, object] | None
    Previous: dict[str, object] | None
    After: dict[str, object] | None


class Change(TypedDict, total=False):
    """A change in a change set."""

    Type: str
    ResourceChange: ResourceChange


class StackParameter(TypedDict):
    """A parameter of a stack; a value with ``NoEcho`` is masked."""

    ParameterKey: str
    ParameterValue: NotRequired[str]


class ChangeSetDescription(TypedDict):
    """A page of DescribeChangeSet."""

    Status: str
    StatusReason: NotRequired[str]
    ExecutionStatus: str
    DeploymentMode: NotRequired[str]
    Parameters: NotRequired[list[StackParameter]]
    Changes: NotRequired[list[Change]]
    NextToken: NotRequired[str]
