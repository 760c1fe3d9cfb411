"""Whatever a change set holds: what deletes or replaces something is never carried out.

Two kinds of change sets are made up. *Any words*: every field has any value that CloudFormation
knows, or one that it does not. *Worlds*: stacks whose resources depend on each other, of which
is known what an update would really do to each resource, told as CloudFormation tells it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from lambdas.deploy_pipeline.change_set import inspect
from lambdas.deploy_pipeline.inspection import Policy

from .changes import change, detail
from .fake_cloudformation import ARN, FakeCloudFormation
from .machine_run import APP, Machine

NAMES = st.sampled_from(["Queue", "Topic", "Table", "Role"])
KINDS = st.sampled_from(["AWS::SQS::Queue", "AWS::CDK::Metadata", "AWS::CloudFormation::Stack", "Custom::Thing"])
ACTIONS = ["Add", "Modify", "Remove", "Import", "Dynamic", "SyncWithActual", "Delete", "Unheard"]
REPLACEMENTS = ["True", "False", "Conditional", "Unheard", None]
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
def any_words(draw: st.DrawFn) -> list[dict[str, Any]]:
    changes = []
    for name in draw(st.lists(NAMES, unique=True)):
        fields = {
            "Replacement": draw(st.sampled_from(REPLACEMENTS)),
            "PolicyAction": draw(st.sampled_from(CONSEQUENCES)),
            "Details": draw(st.lists(DETAILS, max_size=3)),
        }
        given_fields = {key: value for key, value in fields.items() if value is not None}
        made = change(draw(st.sampled_from(ACTIONS)), name, draw(KINDS), **given_fields)
        changes.append(made)
    return changes


def is_certainly_unsafe(made: dict[str, Any]) -> bool:
    """Whether a change says by itself that something is deleted, replaced, or unknown."""
    resource = made["ResourceChange"]
    return (
        resource["Action"] not in ("Add", "Modify", "Import", "SyncWithActual")
        or resource.get("Replacement") == "True"
        or resource.get("PolicyAction", "Retain") != "Retain"
    )


def inspected(changes: list[dict[str, Any]], policy: Policy) -> dict[str, Any]:
    fake = FakeCloudFormation()
    fake.add_stack(APP, "CREATE_COMPLETE")
    fake.changes = changes
    made = fake.create_change_set(StackName=APP, ChangeSetName="deploy")
    return inspect(fake, made["Id"], APP, policy)


@given(any_words(), st.frozensets(KINDS), st.frozensets(NAMES))
def test_certain_deletion_or_replacement_is_always_found(
    changes: list[dict[str, Any]], types: frozenset[str], ids: frozenset[str]
) -> None:
    found = inspected(changes, Policy(types, ids))
    expected = {
        made["ResourceChange"]["LogicalResourceId"]
        for made in changes
        if is_certainly_unsafe(made)
        and made["ResourceChange"]["ResourceType"] not in types
        and made["ResourceChange"]["LogicalResourceId"] not in ids
    }
    reported = {violation["logicalId"] for violation in found["violations"]}
    assert expected <= reported
    assert found["safe"] is (not reported)
    assert found["count"] == len(reported)
    assert not reported & ids


@dataclass(frozen=True)
class StackUpdate:
    """Changes, and the logical ids of what would really be gone or another resource after them."""

    changes: list[dict[str, Any]]
    lost: frozenset[str]


@st.composite
def stack_updates(draw: st.DrawFn, prefix: str = "") -> StackUpdate:
    """Resources that take ids, ARNs and other values from those before them."""
    told: dict[str, dict[str, Any]] = {}
    lost: set[str] = set()
    names: list[str] = []
    for number in range(draw(st.integers(1, 6))):
        name = f"R{number}"
        fate = draw(st.sampled_from(["kept", "kept", "kept", "kept", "kept", "removed", "added"]))
        if fate != "kept":
            told[name] = change("Remove" if fate == "removed" else "Add", name)
            lost |= {name} if fate == "removed" else set()
            continue  # and nothing depends on it
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
            resource = told.get(cause, {}).get("ResourceChange", {})
            if not resource or (not attribute and resource["Replacement"] == "False"):
                continue  # CloudFormation does not mention it
            source = "ResourceAttribute" if attribute else "ResourceReference"
            entity = f"{cause}.{attribute}" if attribute else cause
            details.append(detail(recreation, "Dynamic", source=source, entity=entity))
            another_value = cause in lost or (attribute == "Endpoint" and draw(st.booleans()))
            if another_value and recreation == "Always":
                lost.add(name)
        names.append(name)
        if details:
            told[name] = change("Modify", name, Replacement=replacement(details), Details=details)
    return StackUpdate(list(told.values()), frozenset(prefix + name for name in lost))


def replacement(details: list[dict[str, Any]]) -> str:
    """As CloudFormation derives it from the details."""
    needs = {(d["Target"]["RequiresRecreation"], d["Evaluation"]) for d in details}
    if ("Always", "Static") in needs:
        return "True"
    return "Conditional" if any(recreation != "Never" for recreation, _ in needs) else "False"


@st.composite
def nested_stack_updates(draw: st.DrawFn) -> tuple[StackUpdate, dict[str, list[dict[str, Any]]]]:
    """A world in which stacks are nested, and the changes of those by the ARN of their change set."""
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
    machines: Any, made: tuple[StackUpdate, dict[str, list[dict[str, Any]]]], data: st.DataObject
) -> None:
    world, nested = made
    exempted = data.draw(st.frozensets(st.sampled_from(sorted(world.lost)))) if world.lost else frozenset()
    machine = machines()
    fake = machine.cloudformation
    fake.add_stack(APP, "UPDATE_COMPLETE")
    fake.changes, fake.nested = world.changes, nested
    ended = machine.run(**exemptions(exempted))
    assert not fake.left(), "a change set is left that could be executed"
    assert ended.status == ("SUCCEEDED" if fake.executed else "FAILED"), ended
    if world.lost - exempted:
        assert not fake.executed, f"executed, and lost {sorted(world.lost - exempted)}"
        for name in world.lost - exempted:
            assert f"- {name} (" in ended.cause, f"{name} is not in the message: {ended.cause}"


@given(any_words())
def test_state_machine_never_executes_certain_loss(machines: Any, changes: list[dict[str, Any]]) -> None:
    machine = machines()
    fake = machine.cloudformation
    fake.add_stack(APP, "UPDATE_COMPLETE")
    fake.changes = changes
    ended = machine.run(onUnsafe="blue_green")
    unsafe = [made for made in changes if is_certainly_unsafe(made)]
    if any(made["ResourceChange"]["ResourceType"] != "AWS::CDK::Metadata" for made in unsafe):
        assert not fake.executed
        assert ended.output["outcome"] == "blue_green"
    assert not fake.left()


@given(stack_updates())
def test_harmless_update_is_executed(machines: Any, world: StackUpdate) -> None:
    harmless = [c for c in world.changes if c["ResourceChange"].get("Replacement", "False") == "False"]
    harmless = [c for c in harmless if c["ResourceChange"]["Action"] != "Remove"]
    machine = machines()
    fake = machine.cloudformation
    fake.add_stack(APP, "UPDATE_COMPLETE")
    fake.changes = harmless
    assert machine.run().status == "SUCCEEDED"
    assert fake.executed == [harmless]
