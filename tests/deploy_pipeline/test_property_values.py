"""Values in messages: what causes a replacement, without secrets, and within CodePipeline's limits."""

from typing import Any

import pytest

from lambdas.deploy_pipeline.change_set import inspect
from lambdas.deploy_pipeline.inspection import Policy
from lambdas.deploy_pipeline.trigger import MAX_FAILURE_CHARACTERS, MAX_SUMMARY_CHARACTERS

from .changes import MARKER, change, detail, reasons, update
from .fake_cloudformation import FakeCloudFormation
from .fake_services import EXECUTION, FakeServices, result_of
from .machine_run import APP, Machine


def replaced(name: str, before: Any, after: Any) -> Any:
    """Return a change that replaces a resource because of a property; None for a property that is not set."""
    old, new = ({} if value is None else {name: value} for value in (before, after))
    result = update("A::B::C", old, new)
    result["ResourceChange"] |= {"Replacement": "True", "Details": [detail("Always", name=name)]}
    return result


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("jobs", "work", "QueueName (jobs -> work)"),
        (None, "work", "QueueName (not set -> work)"),
        (True, False, "QueueName (true -> false)"),
        ("jobs", MARKER, "QueueName (jobs -> known after the update)"),
        ("a\nb\x1b[31m", "c", "QueueName (a b [31m -> c)"),
        ("a", "b" * 61, f"QueueName (a -> {'b' * 60}...)"),
    ],
)
def test_reason_shows_values(before: Any, after: Any, shown: str) -> None:
    assert reasons(replaced("QueueName", before, after)) == f"it is replaced because of {shown}"


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("DBName", "****", "****"),
        ("DBName", "orders-****", "orders"),
        ("DBName", MARKER, "orders"),
        ("DBName", "{{resolve:ssm-secure:/db:1}}", "orders"),
        ("DBName", "orders", "x{{resolve:secretsmanager:db}}"),
        ("MasterUserPassword", "old-secret", "orders"),
        ("AuthToken", "old-secret", "orders"),
        ("ContainerDefinitions", [{"Environment": "old-secret"}], [{"Environment": "orders"}]),
        ("Value", "old-secret", "orders"),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a value that may be secret causes a replacement: NoEcho, a dynamic reference, a password",
    expected="the message names the property without the values",
    observed='"it is replaced because of DBName"',
)
def test_reason_leaves_out_secret_values(name: str, before: Any, after: Any) -> None:
    reason, _, other = reasons(replaced(name, before, after)).partition("; ")
    assert reason == f"it is replaced because of {name}"
    assert "orders" not in other


def test_reason_without_visible_values_names_property() -> None:
    hidden = change("Modify", Replacement="True", Details=[detail("Always")], BeforeContext='{"Prop')
    assert reasons(hidden) == "it is replaced because of QueueName"


def test_added_resource_with_replacement_is_safe() -> None:
    """With values, AWS reports the replacement "True" for resources that are added."""

    class WithValues(FakeCloudFormation):
        def describe_change_set(self, *arguments: Any, **named: Any) -> dict[str, Any]:
            described = super().describe_change_set(*arguments, **named)
            for added in described["Changes"] if named.get("IncludePropertyValues") else ():
                added["ResourceChange"] = added["ResourceChange"] | {"Replacement": "True"}
            return described

    fake = WithValues()
    fake.add_stack(APP, "CREATE_COMPLETE")
    fake.changes = [change("Add", "Topic", "AWS::SNS::Topic", AfterContext='{"Properties": {}}')]
    created = fake.create_change_set(StackName=APP, ChangeSetName="deploy")
    assert inspect(fake, created["Id"], APP, Policy())["safe"]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="thousands of unsafe changes or failures, or hundreds of unknown parameters",
)
def test_message_in_codepipeline_keeps_count_and_link(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.cloudformation.add_stack(APP, "UPDATE_COMPLETE")
    long = replaced("QueueName", "\u00e4" * 100, "\u00f6" * 100)
    machine.cloudformation.changes = [
        {**long, "ResourceChange": long["ResourceChange"] | {"LogicalResourceId": f"Queue{number}"}}
        for number in range(500)
    ]
    exempt = {"exemptLogicalIds": [f"Other{number}" for number in range(500)]}
    ended = machine.run(policy=exempt)
    services = FakeServices()
    services.execution = {"status": "FAILED", "error": ended.error, "cause": ended.cause}
    message = result_of(services, EXECUTION)["failureDetails"]["message"]
    assert len(message) <= MAX_FAILURE_CHARACTERS
    assert f"500 unsafe changes to {APP}, which was not changed (all changes: https://" in message
    assert "more lines" in message
    summary = machine.run(policy=exempt, onUnsafe="blue_green").output["summary"][:MAX_SUMMARY_CHARACTERS]
    assert "500 unsafe changes" in summary
