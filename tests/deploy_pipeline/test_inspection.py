"""Safe and unsafe changes: each rule of the inspection and its exceptions."""

from typing import Any

import pytest

from lambdas.deploy_pipeline.inspection import Policy

from .changes import change, detail, violations

DEFAULT = Policy()
CONDITIONAL = {"Replacement": "Conditional"}
ENDPOINT = {"logical_id": "Subscription", "kind": "AWS::SNS::Subscription", **CONDITIONAL}


def why(*changes: Any, policy: Policy = DEFAULT, path: str = "") -> dict[str, str]:
    """Return the reasons by logical ID."""
    return {violation.logical_id: violation.why for violation in violations(changes, policy, path)}


@pytest.mark.parametrize(
    "safe",
    [
        change("Add"),
        change("Import"),
        change("SyncWithActual"),
        change("Modify", Replacement="False"),
        change("Modify", Replacement="False", Details=[detail("Never"), detail("Conditionally", "Dynamic")]),
        change("Modify", **CONDITIONAL, Details=[detail("Never"), detail(None, attribute="Metadata")]),
        change("Add", PolicyAction="Retain"),
    ],
)
def test_harmless_change_is_safe(safe: Any) -> None:
    assert not why(safe)


@pytest.mark.parametrize(
    ("unsafe", "reason"),
    [
        (change("Remove"), "it is deleted"),
        (change("Remove", PolicyAction="Delete"), "it is deleted"),
        (change("Remove", PolicyAction="Retain"), "it is retained, but no longer part of the stack"),
        (change("Remove", PolicyAction="Snapshot"), "it is deleted after a snapshot"),
        (change("Remove", PolicyAction="Melt"), "it is removed with the unknown policy action Melt"),
        (change("Modify", Replacement="True"), "it is replaced"),
        (
            change("Modify", Replacement="True", Details=[detail("Always", name="TopicName")]),
            "replaced because of TopicName",
        ),
        (change("Modify", **CONDITIONAL), "it may be replaced"),
        (change("Modify", **CONDITIONAL, Details=[detail("Conditionally")]), "it may be replaced because of QueueName"),
        (change("Modify", **CONDITIONAL, Details=[detail("Always", "Dynamic")]), "it may be replaced"),
        (
            change("Modify", **CONDITIONAL, Details=[detail("Never"), detail("Always")]),
            "it is replaced because of QueueName",
        ),
        (change("Modify", **CONDITIONAL, Details=[detail(None, attribute="Tags")]), "it may be replaced"),
        (change("Modify", Replacement="Perhaps"), "unknown whether it is replaced (Perhaps)"),
        (change("Modify", Replacement=None), "unknown whether it is replaced (None)"),
        (change("Dynamic"), "known only during the update"),
        (change("Explode"), "unknown action Explode"),
        (change("Delete"), "unknown action Delete"),
        (change("Add", Replacement="True"), "it is replaced"),
        (change("Modify", PolicyAction="Delete"), "it is deleted"),
        (change("Modify", PolicyAction="Snapshot"), "it is deleted after a snapshot"),
        (change("Modify", PolicyAction="ReplaceAndDelete"), "it is replaced"),
        (change("Modify", PolicyAction="ReplaceAndRetain"), "it is replaced; the old one is retained"),
        (change("Modify", PolicyAction="ReplaceAndSnapshot"), "it is replaced; the old one is deleted after a snap"),
        (change("Modify", Replacement="True", PolicyAction="ReplaceAndRetain"), "it is replaced; the old one is ret"),
        (change("Add", PolicyAction="Melt"), "unknown policy action Melt"),
        (change("Modify", kind="AWS::CloudFormation::Stack"), "are not visible"),
        (change("Add", kind="AWS::CloudFormation::Stack"), "are not visible"),
        ({"Type": "Hook", "ResourceChange": {"LogicalResourceId": "Queue"}}, "unknown type of change Hook"),
    ],
)
def test_deletion_or_replacement_is_unsafe(unsafe: Any, reason: str) -> None:
    reasons = why(unsafe)
    assert set(reasons) == {"Queue"}, reasons
    assert reason in reasons["Queue"]


def test_retained_resource_is_not_reported_as_deleted() -> None:
    assert "deleted" not in why(change("Remove", PolicyAction="Retain"))["Queue"]
    replaced = change("Modify", Replacement="True", PolicyAction="ReplaceAndRetain")
    assert "deleted" not in why(replaced)["Queue"]


def test_change_without_logical_id_is_unsafe() -> None:
    assert why({"Type": "Resource", "ResourceChange": {}})
    assert why({"Type": "Resource"})


@pytest.mark.parametrize("action", ["Modify", "Remove"])
def test_cdk_metadata_is_only_default_exemption(action: str) -> None:
    metadata = change(action, "CDKMetadata", "AWS::CDK::Metadata", **CONDITIONAL)
    assert not why(metadata)
    assert why(metadata, policy=Policy(exempt_types=frozenset()))


def test_nested_resource_is_exempted_by_path() -> None:
    policy = Policy(exempt_logical_ids=frozenset({"Child/Queue"}))
    assert why(change("Remove"), policy=policy) == {"Queue": "it is deleted"}
    assert not why(change("Remove"), policy=policy, path="Child/")
    assert why(change("Remove"), policy=policy, path="Other/Child/") == {"Other/Child/Queue": "it is deleted"}


def test_exemption_of_resource_does_not_apply_to_others() -> None:
    policy = Policy(exempt_logical_ids=frozenset({"Queue"}))
    assert set(why(change("Remove"), change("Remove", "Topic"), policy=policy)) == {"Topic"}


def test_conditional_and_dynamic_changes_can_be_allowed() -> None:
    accepting = Policy(conditional=True, dynamic=True)
    unknown = (change("Modify", **CONDITIONAL), change("Dynamic", "Topic"))
    assert not why(*unknown, policy=accepting)
    certain = (
        change("Remove"),
        change("Modify", "Topic", Replacement="True"),
        change("Modify", "Table", **CONDITIONAL, Details=[detail("Always")]),
        change("Dynamic", "Bucket", Replacement="True"),
        change("Dynamic", "Role", PolicyAction="Delete"),
    )
    assert set(why(*certain, policy=accepting)) == {"Queue", "Topic", "Table", "Bucket", "Role"}


def test_reference_to_retained_resource_is_safe() -> None:
    for source, entity in (("ResourceReference", "Queue"), ("ResourceAttribute", "Queue.Arn")):
        dependent = change(**ENDPOINT, Details=[detail("Always", "Dynamic", source=source, entity=entity)])
        assert not why(change("Modify"), dependent)


@pytest.mark.parametrize(
    "cause",
    [
        change("Modify", Replacement="True"),
        change("Modify", **CONDITIONAL),
        change("Modify", PolicyAction="ReplaceAndDelete"),
        change("Remove"),
        change("Add"),
        change("Dynamic"),
        change("Modify", "AnotherQueue"),
        change("Modify", kind="Custom::Id"),
        change("Modify", kind="AWS::CloudFormation::CustomResource"),
        change("Modify", kind="AWS::Batch::JobDefinition"),
    ],
)
def test_reference_to_replaced_resource_is_unsafe(cause: Any) -> None:
    for source, entity in (("ResourceReference", "Queue"), ("ResourceAttribute", "Queue.Arn")):
        dependent = change(**ENDPOINT, Details=[detail("Always", "Dynamic", source=source, entity=entity)])
        assert "may be replaced" in why(cause, dependent)["Subscription"]


@pytest.mark.parametrize("replacement", ["False", "Conditional"])
def test_certain_replacement_is_never_retained(replacement: str) -> None:
    """A detail that always replaces the resource decides, whatever CloudFormation reports for the resource."""
    cause = change("Modify", Replacement=replacement, Details=[detail("Always", "Static"), detail("Never")])
    reference = detail("Always", "Dynamic", source="ResourceAttribute", entity="Queue.Arn")
    reasons = why(cause, change(**ENDPOINT, Details=[reference]))
    assert "it is replaced" in reasons["Queue"]
    assert "it may be replaced" in reasons["Subscription"]


@pytest.mark.parametrize(
    ("source", "entity"),
    [
        ("ResourceAttribute", "Queue.RedrivePolicy"),
        ("ResourceAttribute", "Queue.StreamArn"),
        ("ResourceAttribute", "Queue.Outputs.Arn"),
        ("ResourceAttribute", "Queue"),
        ("ResourceReference", "Queue.Arn"),
        ("ParameterReference", "Queue"),
        ("Automatic", "Queue.Arn"),
    ],
)
def test_other_attribute_of_retained_resource_is_unsafe(source: str, entity: str) -> None:
    dependent = change(**ENDPOINT, Details=[detail("Always", "Dynamic", source=source, entity=entity)])
    assert set(why(change("Modify"), dependent)) == {"Subscription"}


def test_replacement_false_with_always_detail_is_unsafe() -> None:
    reasons = why(change("Modify", Replacement="False", Details=[detail("Always", "Static")]))
    assert "it is replaced" in reasons["Queue"]


def test_circular_references_are_unsafe() -> None:
    def dependent(name: str, on: str) -> Any:
        details = [detail("Always", "Dynamic", source="ResourceAttribute", entity=f"{on}.Arn")]
        return change("Modify", name, **CONDITIONAL, Details=details)

    assert set(why(dependent("A", "B"), dependent("B", "A"))) == {"A", "B"}
    assert not why(change("Modify"), dependent("A", "Queue"), dependent("B", "A"), dependent("C", "B"))


class CountedDetail(dict[str, Any]):
    """A detail that counts how often it is read."""

    reads = 0

    def get(self, *arguments: Any) -> Any:
        CountedDetail.reads += 1
        return super().get(*arguments)


def reads_of_chain(length: int) -> int:
    """Inspect queues that each refer to the next one, of which only the last is certainly retained."""
    changes = [change("Modify", f"Q{length}")]
    for number in range(length):
        source = detail("Always", "Dynamic", source="ResourceAttribute", entity=f"Q{number + 1}.Arn")
        changes.insert(number, change("Modify", f"Q{number}", **CONDITIONAL, Details=[CountedDetail(source)] * 20))
    CountedDetail.reads = 0
    assert not why(*changes)
    return CountedDetail.reads


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="hundreds of changes that depend on each other",
    expected="inspected in linear time",
    observed="ten times as many changes take at most eleven times as many reads",
)
def test_inspection_of_chain_is_linear() -> None:
    short, long = reads_of_chain(20), reads_of_chain(200)
    assert long <= 11 * short, f"{short} reads for 20 resources, {long} for 200"
