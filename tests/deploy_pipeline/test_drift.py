"""Drift: resources that somebody changed outside CloudFormation, in drift-aware change sets.

The fields are those of CloudFormation's API model and user guide ("Using drift-aware change sets"); the sandbox's
walkthrough shows the whole path.
"""

import json
from typing import Any

import pytest

from lambdas.deploy_pipeline import inspect_change_set
from lambdas.deploy_pipeline.change_set import Inspection, inspect
from lambdas.deploy_pipeline.inspection import Policy, findings
from lambdas.deploy_pipeline.report import markdown

from .changes import MARKER, bucket_policy, change, deny, detail, reasons, update
from .fake_cloudformation import FakeCloudFormation
from .machine_run import APP, Machine
from .scenarios import failed, succeeded, with_app

REVERT, REJECT = Policy(drift="revert"), Policy(drift="reject")


def drifted(name: str = "VisibilityTimeout", values: tuple[Any, Any, Any] = (30, 120, 45), **target: Any) -> Any:
    """Return a change of a property with its deployed, actual and new value."""
    deployed, actual, new = (None if value is None else str(value) for value in values)
    before, after = ({} if value is None else {name: value} for value in (actual, new))
    result = update("AWS::SQS::Queue", before, after, "Queue")
    drift = {"PreviousValue": deployed, "ActualValue": actual}
    fields = {"Path": f"/Properties/{name}", "BeforeValueFrom": "ACTUAL_STATE", "AfterValueFrom": "TEMPLATE"}
    drift_detail = detail("Never", name=name)
    drift_detail["Target"] |= fields | {"Drift": {key: value for key, value in drift.items() if value is not None}}
    drift_detail["Target"] |= {"AttributeChangeType": "Modify", **target}
    result["ResourceChange"] |= {"ResourceDriftStatus": "MODIFIED", "Details": [drift_detail]}
    return result


DELETED = change("Add", "Queue", ResourceDriftStatus="DELETED", PhysicalResourceId="https://sqs/queue")


def drift_of(*changes: Any, policy: Policy = REVERT) -> str:
    return "; ".join(finding.drift for finding in findings(changes, policy))


def inspected(fake: FakeCloudFormation, policy: Policy) -> Inspection:
    fake.add_stack(APP, "UPDATE_COMPLETE")
    return inspect(fake, fake.create_change_set(StackName=APP, ChangeSetName="deploy")["Id"], APP, policy)


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        (drifted(), "VisibilityTimeout was changed from 30 to 120 outside CloudFormation, and is set to 45"),
        (
            drifted(values=(None, 120, 45)),
            "VisibilityTimeout was changed from not set to 120 outside CloudFormation, and is set to 45",
        ),
        (
            drifted(values=(30, 120, None)),
            "VisibilityTimeout was changed from 30 to 120 outside CloudFormation, and is set to its default",
        ),
        (
            drifted("Environment", Path="/Properties/Environment/Variables/TABLE"),
            "Environment/Variables/TABLE was changed outside CloudFormation, and is overwritten",
        ),
        (DELETED, "it was deleted outside CloudFormation, and is created again"),
        (
            change(ResourceDriftStatus="MODIFIED", Details=[detail(name="DelaySeconds")]),
            "it was changed outside CloudFormation; the change set does not list how",
        ),
        (change(ResourceDriftStatus="UNKNOWN"), "it is unknown whether it was changed outside CloudFormation"),
        (change(ResourceDriftStatus="IN_SYNC"), ""),
        (change(ResourceDriftStatus="UNSUPPORTED"), ""),
        (change("SyncWithActual", ResourceDriftStatus="MODIFIED"), ""),
        (drifted(AttributeChangeType="SyncWithActual"), ""),
        (change("Remove", ResourceDriftStatus="MODIFIED"), ""),
        (change(), ""),
    ],
)
def test_drift_is_described(changed: Any, shown: str) -> None:
    assert drift_of(changed) == shown


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("DBName", ("****", "old-secret", "****")),
        ("DBName", ("orders", "old-secret", "{{resolve:ssm-secure:/db:1}}")),
        ("MasterUserPassword", ("a", "old-secret", "b")),
        ("ContainerDefinitions", ("[]", '[{"Environment": "old-secret"}]', "x")),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a property that may be secret was changed outside CloudFormation",
    expected="the message names the property without the values",
    observed='"DBName was changed outside CloudFormation"',
)
def test_drift_leaves_out_secret_values(name: str, values: tuple[str, str, str]) -> None:
    assert drift_of(drifted(name, values)) == f"{name} was changed outside CloudFormation, and is overwritten"


@pytest.mark.parametrize("changed", [drifted(), DELETED, change(ResourceDriftStatus="UNKNOWN")])
def test_drift_is_unsafe_only_with_reject(changed: Any) -> None:
    for policy, is_safe in ((Policy(), True), (REVERT, True), (REJECT, False)):
        (finding,) = findings([changed], policy)
        assert (finding.violation is None) == is_safe
    exempt = Policy(drift="reject", exempt_logical_ids=frozenset({"Queue"}))
    (finding,) = findings([changed], exempt)
    assert finding.accepted == "exempt resource"


def test_drift_is_read_from_description_with_values() -> None:
    """CloudFormation documents the fields of drift, but not in which of the two descriptions they are."""

    class OnlyWithValues(FakeCloudFormation):
        def describe_change_set(self, *arguments: Any, **options: Any) -> dict[str, Any]:
            response = super().describe_change_set(*arguments, **options)
            if not options.get("IncludePropertyValues"):
                plain = change("Modify", "Queue", Details=[detail("Never", name="VisibilityTimeout")])
                response["Changes"] = [plain] if response["Changes"] else []
            return response

    fake = OnlyWithValues()
    unreadable = change("Modify", "Third", ResourceDriftStatus="UNKNOWN")
    fake.changes = [drifted(), change("Add", "Other", ResourceDriftStatus="DELETED"), unreadable]
    result = inspected(fake, REJECT)
    assert [violation["logicalId"] for violation in result["violations"]] == ["Queue", "Other", "Third"]
    assert "from 30 to 120" in result["cause"]


def test_notices_list_drift_that_is_not_rejected() -> None:
    fake = FakeCloudFormation()
    fake.changes = [drifted(), change("Remove", "Old")]
    reverted = inspected(fake, REVERT)
    line = "Queue (AWS::SQS::Queue): VisibilityTimeout was changed from 30 to 120 outside CloudFormation"
    assert reverted["notices"].startswith(f"Changed outside CloudFormation:\n- {line}")
    assert reverted["cause"].endswith(reverted["notices"]), "approvers and failed deployments see it, too"
    rejected = inspected(fake, REJECT)
    assert (rejected["notices"], rejected["count"]) == ("", 2)


def test_report_shows_drift() -> None:
    lines = markdown(APP, list(findings([drifted(), change("SyncWithActual", "Topic")], REVERT))).splitlines()
    assert lines[3] == "1 was changed outside CloudFormation."
    assert (
        "| Queue | AWS::SQS::Queue | safe | VisibilityTimeout (120 -> 45); VisibilityTimeout was changed from 30 to 120"
        " outside CloudFormation, and is set to 45 |"
    ) in lines
    assert "## Synchronized with actual state" in lines
    rejected = markdown(APP, list(findings([drifted()], REJECT))).splitlines()
    assert "## Changed" in rejected, "no data is lost"
    text = "VisibilityTimeout was changed from 30 to 120 outside CloudFormation, and is set to 45"
    assert f"| Queue | AWS::SQS::Queue | unsafe | {text} |" in rejected


def test_change_set_is_drift_aware_only_with_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    for policy, mode in (({}, None), ({"drift": "revert"}, "REVERT_DRIFT"), ({"drift": "reject"}, "REVERT_DRIFT")):
        machine = Machine(monkeypatch)
        fake = with_app(machine, change())
        succeeded(machine.run(policy=policy), "updated")
        (change_set,) = fake.change_sets.values()
        assert change_set.get("DeploymentMode") == mode
    machine = Machine(monkeypatch)
    fake = with_app(machine, change("Add"), status="REVIEW_IN_PROGRESS")
    succeeded(machine.run(policy={"drift": "revert"}), "created")
    (change_set,) = fake.change_sets.values()
    assert "DeploymentMode" not in change_set, "a new stack has no state to compare"


def test_summary_and_failure_name_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "VisibilityTimeout was changed from 30 to 120 outside CloudFormation, and is set to 45"
    machine = Machine(monkeypatch)
    with_app(machine, drifted())
    summary = succeeded(machine.run(policy={"drift": "revert"}), "updated").output["summary"]
    assert summary.startswith(f"{APP} is updated. All changes: https://")
    assert summary.endswith(f"\nChanged outside CloudFormation:\n- Queue (AWS::SQS::Queue): {text}")
    failed(machine.run(policy={"drift": "reject"}), "UnsafeChanges", f"Queue (AWS::SQS::Queue), Modify: {text}")


@pytest.mark.parametrize("drift", ["revert", "reject"])
def test_command_line_requires_drift_aware_change_set(
    drift: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fake, policy = FakeCloudFormation(), tmp_path / "input.json"
    policy.write_text(json.dumps({"policy": {"drift": drift}}))
    fake.add_stack(APP, "UPDATE_COMPLETE")
    fake.changes = [change()]
    arn = fake.create_change_set(StackName=APP, ChangeSetName="deploy")["Id"]
    arguments = [arn, "--stack-name", APP, "--input", str(policy)]
    assert inspect_change_set.main(arguments, fake) == 2
    assert "--deployment-mode REVERT_DRIFT" in capsys.readouterr().err
    fake.change_set = [{**fake.change_set[0], "DeploymentMode": "REVERT_DRIFT"}]
    assert inspect_change_set.main(arguments, fake) == 0


@pytest.mark.parametrize(
    ("kind", "previous", "new", "reason"),
    [
        ("AWS::SQS::Queue", {"DeletionPolicy": "Retain"}, {}, "DeletionPolicy Retain -> Delete"),
        (
            "AWS::RDS::DBInstance",
            {"Properties": {"DeleteAutomatedBackups": "false"}},
            {"Properties": {"DeleteAutomatedBackups": "true"}},
            "DeleteAutomatedBackups is turned on",
        ),
        ("AWS::Rbin::Rule", {"Properties": {"LockConfiguration": {"UnlockDelay": {}}}}, {}, "is changed or removed"),
        ("AWS::SQS::Queue", {"DeletionPolicy": "Retain"}, {"DeletionPolicy": "Retain"}, ""),
        ("AWS::RDS::DBInstance", {"DeletionPolicy": "Delete"}, {"DeletionPolicy": "Delete"}, ""),
        ("AWS::RDS::DBInstance", {"DeletionPolicy": "Snapshot"}, {"DeletionPolicy": "Delete"}, "Snapshot -> Delete"),
    ],
)
def test_value_that_actual_state_lacks_is_compared_with_previous_deployment(
    kind: str, previous: Any, new: Any, reason: str
) -> None:
    """Schemas list both properties as write-only. The contexts are assumed, because AWS documents no example."""
    fake = FakeCloudFormation()
    changed = update(kind, {"Tags": 1}, {"Tags": 2})
    contexts = {"BeforeContext": {}, "PreviousDeploymentContext": previous, "AfterContext": new}
    shown = {name: json.dumps({"Properties": {}, **context}) for name, context in contexts.items()}
    changed["ResourceChange"] |= shown
    changed["ResourceChange"]["ResourceDriftStatus"] = "MODIFIED"
    fake.changes = [changed]
    result = inspected(fake, REVERT)
    assert result["safe"] is not bool(reason)
    assert reason in result["cause"]


def test_value_in_actual_state_is_not_compared_with_previous_deployment() -> None:
    kept = update("AWS::SQS::Queue", {"MessageRetentionPeriod": 60}, {"MessageRetentionPeriod": 90})
    previous = {"Properties": {"MessageRetentionPeriod": "345600"}}
    kept["ResourceChange"]["PreviousDeploymentContext"] = json.dumps(previous)
    assert not reasons(kept)


def test_reference_that_previous_deployment_does_not_show_is_another_one() -> None:
    policy = update("AWS::S3::BucketPolicy", bucket_policy(), bucket_policy(*deny(MARKER)))
    previous = {"Properties": bucket_policy(*deny(MARKER))}
    policy["ResourceChange"] |= {
        "BeforeContext": json.dumps({"Properties": {}}),
        "PreviousDeploymentContext": json.dumps(previous),
    }
    assert "loses or changes a `Deny` statement" in reasons(policy)


def test_denial_added_outside_cloudformation_is_lost_although_template_is_unchanged() -> None:
    """The template refers to a bucket updated in place; the details of the standard description may omit the drift."""
    added = bucket_policy(*deny("a", "b"))
    policy = update("AWS::S3::BucketPolicy", added, bucket_policy(*deny(MARKER)))
    reference = detail("Never", "Dynamic", name="PolicyDocument", source="ResourceAttribute", entity="Bucket.Arn")
    policy["ResourceChange"] |= {"Details": [reference], "ResourceDriftStatus": "MODIFIED"}
    bucket = update("AWS::S3::Bucket", {}, {"Tags": [{"Key": "a", "Value": "b"}]}, "Bucket")
    assert "loses or changes a `Deny` statement" in reasons(policy, bucket)


def test_weaker_deletion_policy_of_synchronized_resource_is_unsafe() -> None:
    """Only CloudFormation's record of the resource changes, to which its deletion policy belongs."""
    synchronized = update("AWS::SQS::Queue", {"MessageRetentionPeriod": 9}, {}, DeletionPolicy=("Retain", None))
    synchronized["ResourceChange"]["Action"] = "SyncWithActual"
    assert "a later removal deletes it" in reasons(synchronized)
    retained = update("AWS::SQS::Queue", {"MessageRetentionPeriod": 9}, {"MessageRetentionPeriod": 7})
    retained["ResourceChange"]["Action"] = "SyncWithActual"
    assert not reasons(retained)
