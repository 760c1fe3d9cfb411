"""No change set that deletes or replaces a resource is executed, whatever it contains.

Two kinds of change sets are generated. `any_values`: every field has one of CloudFormation's values, or an unknown
one. `stack_updates`: changes to resources that depend on each other, as CloudFormation would report them, with the
resources that the update would really delete or replace.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from lambdas.deploy_pipeline.change_set import Inspection, inspect
from lambdas.deploy_pipeline.inspection import Policy

from .changes import change, detail
from .fake_cloudformation import ARN, FakeCloudFormation
from .machine_run import APP, Machine

# The limit that jsonata sets when it evaluates an expression. Hypothesis rejects a change of it during a test.
sys.setrecursionlimit(10_000)
NAMES = st.sampled_from(["Queue", "Topic", "Table", "Role"])
KINDS = st.sampled_from(["AWS::SQS::Queue", "AWS::CDK::Metadata", "AWS::CloudFormation::Stack", "Custom::Thing"])
ACTIONS = ["Add", "Modify", "Remove", "Import", "Dynamic", "SyncWithActual", "Delete", "Unknown"]
REPLACEMENTS = ["True", "False", "Conditional", "Unknown", None]
CONSEQUENCES = [None, "Retain", "Delete", "Snapshot", "ReplaceAndDelete", "ReplaceAndRetain", "ReplaceAndSnapshot", "?"]
RECREATIONS = ["Always", "Conditionally", "Never", None]
SOURCES = ["DirectModification", "ResourceReference", "ResourceAttribute", "ParameterReference", "Automatic"]
DETAILS = st.builds(
    detail,
    st.sampled_from(RECREATIONS),
    st.sampled_from(["Static", "Dynamic"]),
    attribute=st.sampled_from(["Properties", "Metadata", "Tags"]),
    source=st.sampled_from(SOURCES),
    entity=st.sampled_from([None, "Queue", "Queue.Arn", "Topic", "Topic.Arn", "Table.StreamArn"]),
)


@st.composite
def any_values(draw: st.DrawFn) -> list[dict[str, Any]]:
    changes = []
    for name in draw(st.lists(NAMES, unique=True)):
        fields = {
            "Replacement": draw(st.sampled_from(REPLACEMENTS)),
            "PolicyAction": draw(st.sampled_from(CONSEQUENCES)),
            "Details": draw(st.lists(DETAILS, max_size=3)),
        }
        present = {key: value for key, value in fields.items() if value is not None}
        changes.append(change(draw(st.sampled_from(ACTIONS)), name, draw(KINDS), **present))
    return changes


def is_certainly_unsafe(item: dict[str, Any]) -> bool:
    """Return whether this change alone deletes or replaces a resource, or has an unknown effect."""
    resource = item["ResourceChange"]
    return (
        resource["Action"] not in ("Add", "Modify", "Import", "SyncWithActual")
        or resource.get("Replacement") == "True"
        or resource.get("PolicyAction", "Retain") != "Retain"
    )


def inspected(changes: list[dict[str, Any]], policy: Policy) -> Inspection:
    fake = FakeCloudFormation()
    fake.add_stack(APP, "CREATE_COMPLETE")
    fake.changes = changes
    change_set = fake.create_change_set(StackName=APP, ChangeSetName="deploy")
    return inspect(fake, change_set["Id"], APP, policy)


@given(any_values(), st.frozensets(KINDS), st.frozensets(NAMES))
def test_certain_deletion_or_replacement_is_always_found(
    changes: list[dict[str, Any]], types: frozenset[str], ids: frozenset[str]
) -> None:
    inspection = inspected(changes, Policy(types, ids))
    expected = {
        item["ResourceChange"]["LogicalResourceId"]
        for item in changes
        if is_certainly_unsafe(item)
        and item["ResourceChange"]["ResourceType"] not in types
        and item["ResourceChange"]["LogicalResourceId"] not in ids
    }
    reported = {violation["logicalId"] for violation in inspection["violations"]}
    assert expected <= reported
    assert inspection["safe"] is (not reported)
    assert inspection["count"] == len(reported)
    assert not reported & ids


@dataclass(frozen=True)
class StackUpdate:
    """Changes, and the logical IDs of the resources that they would really delete or replace."""

    changes: list[dict[str, Any]]
    lost: frozenset[str]


@st.composite
def stack_updates(draw: st.DrawFn, prefix: str = "") -> StackUpdate:
    """Generate resources that refer to IDs, ARNs and other values of earlier resources."""
    changes: dict[str, dict[str, Any]] = {}
    lost: set[str] = set()
    names: list[str] = []
    for number in range(draw(st.integers(1, 6))):
        name = f"R{number}"
        fate = draw(st.sampled_from(["updated", "updated", "updated", "updated", "updated", "removed", "added"]))
        if fate != "updated":
            changes[name] = change("Remove" if fate == "removed" else "Add", name)
            lost |= {name} if fate == "removed" else set()
            continue  # nothing depends on it
        details = []
        for recreation in draw(
            st.lists(st.sampled_from(["Never", "Never", "Never", "Conditionally", "Always"]), max_size=2)
        ):
            details.append(detail(recreation))
            if recreation == "Always" or (recreation == "Conditionally" and draw(st.booleans())):
                lost.add(name)
        for cause in draw(st.lists(st.sampled_from(names), unique=True, max_size=2)) if names else []:
            attribute = draw(st.sampled_from(["", "Arn", "Arn", "Endpoint"]))
            recreation = draw(st.sampled_from(["Never", "Always", "Always"]))
            resource = changes.get(cause, {}).get("ResourceChange", {})
            if not resource or (not attribute and resource["Replacement"] == "False"):
                continue  # CloudFormation reports no change
            source = "ResourceAttribute" if attribute else "ResourceReference"
            entity = f"{cause}.{attribute}" if attribute else cause
            details.append(detail(recreation, "Dynamic", source=source, entity=entity))
            another_value = cause in lost or (attribute == "Endpoint" and draw(st.booleans()))
            if another_value and recreation == "Always":
                lost.add(name)
        names.append(name)
        if details:
            changes[name] = change("Modify", name, Replacement=replacement(details), Details=details)
    return StackUpdate(list(changes.values()), frozenset(prefix + name for name in lost))


def replacement(details: list[dict[str, Any]]) -> str:
    """Return the replacement that CloudFormation derives from the details."""
    needs = {(d["Target"]["RequiresRecreation"], d["Evaluation"]) for d in details}
    if ("Always", "Static") in needs:
        return "True"
    return "Conditional" if any(recreation != "Never" for recreation, _ in needs) else "False"


@st.composite
def nested_stack_updates(draw: st.DrawFn) -> tuple[StackUpdate, dict[str, list[dict[str, Any]]]]:
    """Generate an update with nested stacks, and the changes of their change sets by ARN."""
    outer = draw(stack_updates())
    lost, changes = set(outer.lost), list(outer.changes)
    nested = {}
    for number in range(draw(st.integers(0, 2))):
        inner = draw(stack_updates(prefix=f"Child{number}/"))
        arn = f"{ARN}:changeSet/nested-{number}/1"
        changes.append(change("Modify", f"Child{number}", "AWS::CloudFormation::Stack", ChangeSetId=arn))
        nested[arn] = inner.changes
        lost |= inner.lost
    return StackUpdate(changes, frozenset(lost)), nested


def exemptions(ids: frozenset[str]) -> dict[str, Any]:
    return {"policy": {"exemptLogicalIds": sorted(ids)}} if ids else {}


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        yield lambda: Machine(patch)


@settings(max_examples=300)
@given(nested_stack_updates(), st.data())
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault=(
        "a change deletes or replaces a resource, or may do so, even on the last page of the change set "
        "or in a nested stack"
    ),
)
def test_state_machine_never_loses_unexempted_resource(
    machines: Any, update_and_nested: tuple[StackUpdate, dict[str, list[dict[str, Any]]]], data: st.DataObject
) -> None:
    update, nested = update_and_nested
    exempted = data.draw(st.frozensets(st.sampled_from(sorted(update.lost)))) if update.lost else frozenset()
    machine = machines()
    fake = machine.cloudformation
    fake.add_stack(APP, "UPDATE_COMPLETE")
    fake.changes, fake.nested = update.changes, nested
    ended = machine.run(**exemptions(exempted))
    assert not fake.left(), "a change set is left that could be executed"
    assert ended.status == ("SUCCEEDED" if fake.executed else "FAILED"), ended
    if update.lost - exempted:
        assert not fake.executed, f"executed, which loses {sorted(update.lost - exempted)}"
        for name in update.lost - exempted:
            assert f"- {name} (" in ended.cause, f"{name} is not in the message: {ended.cause}"


@given(any_values())
def test_state_machine_never_executes_certain_loss(machines: Any, changes: list[dict[str, Any]]) -> None:
    machine = machines()
    fake = machine.cloudformation
    fake.add_stack(APP, "UPDATE_COMPLETE")
    fake.changes = changes
    ended = machine.run(onUnsafe="blue_green")
    unsafe = [item for item in changes if is_certainly_unsafe(item)]
    if any(item["ResourceChange"]["ResourceType"] != "AWS::CDK::Metadata" for item in unsafe):
        assert not fake.executed
        assert ended.output["outcome"] == "blue_green"
    assert not fake.left()


@given(stack_updates())
def test_harmless_update_is_executed(machines: Any, update: StackUpdate) -> None:
    harmless = [c for c in update.changes if c["ResourceChange"].get("Replacement", "False") == "False"]
    harmless = [c for c in harmless if c["ResourceChange"]["Action"] != "Remove"]
    machine = machines()
    fake = machine.cloudformation
    fake.add_stack(APP, "UPDATE_COMPLETE")
    fake.changes = harmless
    assert machine.run().status == "SUCCEEDED"
    assert fake.executed == [harmless]
