"""Read a change set: the status of its creation, and all its changes."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, cast

from botocore.exceptions import ClientError

from .api_types import Change, ChangeSetDescription, ResourceChange, StackParameter
from .errors import ChangeSetDeletedError
from .inspection import UPDATES, Finding, Policy, Violation, findings
from .lookups import lookups
from .operation_events import refusals, warnings
from .report import markdown
from .stack import change_set_name, is_stack_missing
from .truncation import MAX_CAUSE_CHARACTERS, truncate
from .undecided_conditions import undecided_parameters

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudformation.type_defs import DescribeChangeSetInputTypeDef, DescribeEventsInputTypeDef

MAX_NOTICES_CHARACTERS = 800  # part of every result, which CodePipeline limits to 2,048 characters
MAX_VIOLATIONS_CHARACTERS = 100_000  # the output of a state is limited to 262,144 bytes
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
CHANGE_SET_ARN = re.compile(r"arn:[\w-]+:cloudformation:[\w-]+:\d+:changeSet/[\w/-]+")
VALUE_FIELDS: tuple[
    Literal["BeforeContext", "AfterContext", "PreviousDeploymentContext", "ResourceDriftStatus"], ...
] = ("BeforeContext", "AfterContext", "PreviousDeploymentContext", "ResourceDriftStatus")
DRIFTED = ("MODIFIED", "DELETED", "UNKNOWN")  # or may have
VALIDATION = "Warnings of CloudFormation's validation"
# Reasons of nested change sets that cannot be created although the update is possible.
NOT_EVALUATED = re.compile("Fn::|TemplateURL must be")
OMIT_NESTED = (
    'If the template is correct, set "nestedChangeSets" to "omit": CloudFormation cannot evaluate some functions in'
    " nested change sets. Nested stacks are then unsafe unless their logical IDs are exempted."
)
STARTED = ("EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE", "EXECUTE_FAILED")


class CreationStatus(TypedDict):
    """The status of a change set's creation."""

    status: Literal["pending", "ready", "empty", "failed"]
    reason: str


class ViolationFields(TypedDict):
    """A `Violation` in the output of the state machine."""

    logicalId: str
    type: str
    action: str
    reason: str


class Inspection(TypedDict):
    """The result of an inspection.

    count: the number of unsafe changes. violations: the first ones, within the maximum size of a state's output.
    digest: a hash of all unsafe changes, with the ids and values of the resources that they affect.
    notices: what people should know although it is safe, such as drift; also part of the cause.
    cause: the violations as text. report: the URL of the report; empty if there is none.
    """

    safe: bool
    count: int
    digest: str
    violations: list[ViolationFields]
    notices: str
    cause: str
    report: str


def creation_status(cloudformation: "CloudFormationClient", change_set_id: str, stack_name: str) -> CreationStatus:
    """Return the status of a change set's creation.

    Raises:
        ChangeSetDeletedError: somebody else deleted the change set.
    """
    description = _describe(cloudformation, change_set_id, stack_name)
    status, reason = description["Status"], description.get("StatusReason", "")
    execution_status = description["ExecutionStatus"]
    if status == "CREATE_COMPLETE" and execution_status == "AVAILABLE":
        return {"status": "ready", "reason": ""}
    # A complete change set is unavailable while its nested change sets are being created.
    waits_for_nested = status == "CREATE_COMPLETE" and execution_status == "UNAVAILABLE"
    if status in ("CREATE_PENDING", "CREATE_IN_PROGRESS") or waits_for_nested:
        return {"status": "pending", "reason": f"The change set is still {status}. {reason}".strip()}
    if status == "FAILED" and any(text in reason for text in NO_CHANGES):
        return {"status": "empty", "reason": reason}
    summary = f"The change set is {status}, {execution_status}: {reason or 'no reason given'}"
    lines = [summary, *_failure_details(cloudformation, change_set_id, stack_name, reason)]
    return {"status": "failed", "reason": truncate("\n".join(lines), MAX_CAUSE_CHARACTERS)}


def _failure_details(
    cloudformation: "CloudFormationClient", change_set_id: str, stack_name: str, reason: str
) -> Iterator[str]:
    """List the failed validations and hooks of a change set, and the reasons of its nested change sets.

    `reason` contains only the ARNs of nested change sets. Details have to be read before the change set is
    deleted. A detail that cannot be read does not hide the others.
    """
    yield from _refusal_lines(cloudformation, ChangeSetName=change_set_id, StackName=stack_name)
    visited, queue, reasons = {change_set_id}, CHANGE_SET_ARN.findall(reason), []
    while queue:
        nested = queue.pop(0)
        if nested in visited:
            continue
        visited.add(nested)
        try:
            reason = _describe(cloudformation, nested, None).get("StatusReason") or "no reason given"
        except (ChangeSetDeletedError, ClientError) as error:
            yield f"{nested} could not be read: {error}"
            continue
        reasons.append(reason)
        yield f"{nested}: {reason}"
        yield from _refusal_lines(cloudformation, ChangeSetName=nested)
        queue += CHANGE_SET_ARN.findall(reason)
    if any(map(NOT_EVALUATED.search, reasons)):
        yield OMIT_NESTED


def _refusal_lines(
    cloudformation: "CloudFormationClient", **change_set: "Unpack[DescribeEventsInputTypeDef]"
) -> Iterator[str]:
    return (f"- {line}" for line in refusals(cloudformation, **change_set))


def inspect(
    cloudformation: "CloudFormationClient",
    change_set_id: str,
    stack_name: str,
    policy: Policy,
    store_report: Callable[[str], str] = lambda _: "",
) -> Inspection:
    """Check every change of a change set and of its nested change sets.

    `store_report` receives the report as Markdown, and returns its URL; empty if it has none.

    Raises:
        ChangeSetDeletedError: somebody else deleted the change set.
    """
    stack_lookups = lookups(cloudformation, stack_name)
    all_findings: list[Finding] = []
    validation: list[str] = []
    for stack in _stacks(cloudformation, change_set_id, stack_name):
        all_findings += findings(stack.changes, policy, stack.path, stack_lookups)
        validation += warnings(cloudformation, stack.path, **stack.change_set)
    unsafe = [violation for finding in all_findings if (violation := finding.violation)]
    report = store_report(markdown(stack_name, all_findings))
    noun = "change" if len(unsafe) == 1 else "changes"
    link = f" (all changes: {report} )" if report else ""
    heading = f"{len(unsafe)} unsafe {noun} to {stack_name}, which was not changed{link}:"
    sections = {"Changed outside CloudFormation": _drift(all_findings, policy), VALIDATION: validation}
    notices = truncate("\n".join(_bulleted(sections)), MAX_NOTICES_CHARACTERS)
    lines = [heading, *map(_bullet, unsafe), *([notices] if notices else [])]
    cause = "\n".join(lines) if unsafe else ""
    return {
        "safe": not unsafe,
        "count": len(unsafe),
        "digest": _digest(unsafe),
        "violations": _records(unsafe),
        "notices": notices,
        "cause": truncate(cause, MAX_CAUSE_CHARACTERS),
        "report": report,
    }


def _drift(all_findings: list[Finding], policy: Policy) -> list[str]:
    """Describe the drift that is overwritten, except what is already listed as unsafe."""
    drifted = [item for item in all_findings if item.drift and not (item.violation and policy.drift == "reject")]
    return [f"{item.logical_id} ({item.type}): {item.drift}" for item in drifted]


def _bulleted(sections: dict[str, list[str]]) -> Iterator[str]:
    for heading, lines in sections.items():
        if lines:
            yield f"{heading}:"
        yield from map(_bullet, lines)


def _bullet(text: object) -> str:
    """Return a list item of one line, because text from a template could look like another part of a message."""
    return f"- {' '.join(str(text).splitlines())}"


def _records(unsafe: list[Violation]) -> list[ViolationFields]:
    """Return the first violations, as many as fit into a state's output."""
    records: list[ViolationFields] = []
    size = 0
    for violation in unsafe:
        record: ViolationFields = {
            "logicalId": violation.logical_id,
            "type": violation.type,
            "action": violation.action,
            "reason": violation.why,
        }
        size += len(json.dumps(record))
        if size > MAX_VIOLATIONS_CHARACTERS:
            break
        records.append(record)
    return records


def _digest(unsafe: list[Violation]) -> str:
    """Return a hash that is the same for another change set with these unsafe changes, in any order."""
    return hashlib.sha256(json.dumps(sorted(map(astuple, unsafe))).encode()).hexdigest()


@dataclass(frozen=True)
class _Stack:
    """The change set of the stack or of one of its nested stacks, and the path of the nested stack."""

    change_set: "DescribeEventsInputTypeDef"
    path: str
    changes: list[Change]
    parameters: list[StackParameter]


def _stacks(
    cloudformation: "CloudFormationClient", change_set_id: str, stack_name: str | None, path: str = ""
) -> list[_Stack]:
    """Return all changes to the stack, then those to each of its nested stacks."""
    pages = list(_pages(cloudformation, change_set_id, stack_name))
    changes = _changes(pages)
    _add_values(changes, _changes(_pages(cloudformation, change_set_id, stack_name, values=True)))
    names: DescribeEventsInputTypeDef = {"ChangeSetName": change_set_id}
    if stack_name:
        names["StackName"] = stack_name
    stacks = [_Stack(names, path, changes, pages[0].get("Parameters", []))]
    for change in changes:
        resource = change.get("ResourceChange") or {}
        if nested_id := resource.get("ChangeSetId"):
            nested = _stacks(cloudformation, nested_id, None, f"{path}{resource.get('LogicalResourceId', '?')}/")
            if resource.get("Action") in UPDATES:
                resource["UndecidedParameters"] = undecided_parameters(cloudformation, nested_id, nested[0].parameters)
            stacks += nested
    return stacks


def _changes(pages: Iterable[ChangeSetDescription]) -> list[Change]:
    return [change for page in pages for change in page.get("Changes", [])]


def _pages(
    cloudformation: "CloudFormationClient", change_set_id: str, stack_name: str | None, *, values: bool = False
) -> Iterator[ChangeSetDescription]:
    token = None
    while True:
        page = _describe(cloudformation, change_set_id, stack_name, token, values=values)
        yield page
        token = page.get("NextToken")
        if not token:
            return


def _add_values(changes: list[Change], with_values: list[Change]) -> None:
    """Add only values and drift to the resources, and the resources with drift that are not listed.

    A description with values omits some resources and lists replacements that do not happen, so it
    does not decide what is replaced.
    """
    by_id = {(change.get("ResourceChange") or {}).get("LogicalResourceId"): change for change in with_values}
    for change in changes:
        resource = change.get("ResourceChange") or {}
        described: Change = by_id.pop(resource.get("LogicalResourceId"), {})
        values: ResourceChange = described.get("ResourceChange") or {}
        for name in VALUE_FIELDS:
            if name in values:
                resource[name] = values[name]
        if resource.get("ResourceDriftStatus") in DRIFTED:
            resource["DetailsWithValues"] = values.get("Details") or []
    changes += [c for c in by_id.values() if (c.get("ResourceChange") or {}).get("ResourceDriftStatus") in DRIFTED]


def delete_leftover(cloudformation: "CloudFormationClient", execution_name: str, stack_name: str) -> str:
    """Delete the change set of an execution that has ended, unless it was executed.

    Returns ``none``, ``executed`` or ``deleted``. CloudFormation refuses to delete a change set while it is
    created; the caller has to retry after that error.
    """
    name = change_set_name(execution_name)
    try:
        description = cloudformation.describe_change_set(ChangeSetName=name, StackName=stack_name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ChangeSetNotFound" or is_stack_missing(error):
            return "none"
        raise
    if description["ExecutionStatus"] in STARTED:
        return "executed"
    cloudformation.delete_change_set(ChangeSetName=name, StackName=stack_name)
    return "deleted"


def _describe(
    cloudformation: "CloudFormationClient",
    change_set_id: str,
    stack_name: str | None,
    token: str | None = None,
    *,
    values: bool = False,
) -> ChangeSetDescription:
    """Return one page of a description; `stack_name` is None for nested change sets."""
    arguments: DescribeChangeSetInputTypeDef = {"ChangeSetName": change_set_id}
    if stack_name:
        arguments["StackName"] = stack_name
    if token:
        arguments["NextToken"] = token
    if values:
        arguments["IncludePropertyValues"] = True
    try:
        page = cloudformation.describe_change_set(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ChangeSetNotFound":
            raise ChangeSetDeletedError("Somebody else deleted the change set before it was executed.") from error
        raise
    return cast("ChangeSetDescription", page)
