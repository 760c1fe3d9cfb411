"""Updates in place that lose data are unsafe; the same updates in the other direction are safe."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from lambdas.deploy_pipeline.inspection import Policy
from lambdas.deploy_pipeline.lossy_changes import ANY_TYPE, LOSSY_CHANGES, LossyChange

from .changes import ALLOW, MARKER, bucket_policy, change, deny, detail, reasons, update
from .machine_run import APP, Machine


def rules(*lifecycle_rules: dict[str, Any]) -> dict[str, Any]:
    return {"LifecycleConfiguration": {"Rules": [{"Status": "Enabled", **rule} for rule in lifecycle_rules]}}


TTL = {"TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True}}


PITR = "PointInTimeRecoverySpecification"


LOSSY: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("AWS::CustomerProfiles::Domain", {"DefaultExpirationDays": 366}, {"DefaultExpirationDays": 1}, "366 -> 1 days"),
    ("AWS::BedrockAgentCore::Memory", {"EventExpiryDuration": 90}, {"EventExpiryDuration": 3}, "90 -> 3 days"),
    ("AWS::Cassandra::Table", {}, {"DefaultTimeToLive": 60}, "rows can expire earlier"),
    (
        "AWS::Athena::WorkGroup",
        {"RecursiveDeleteOption": False},
        {"RecursiveDeleteOption": True},
        "a later removal deletes its queries",
    ),
    (
        "AWS::CodeBuild::ReportGroup",
        {"DeleteReports": False},
        {"DeleteReports": True},
        "a later removal deletes its reports",
    ),
    ("AWS::Chime::Channel", {}, {"ExpirationSettings": {"ExpirationDays": 1}}, "deleted when it expires"),
    ("AWS::OpenSearchService::Domain", {"VPCOptions": {"SubnetIds": ["a"]}}, {}, "an empty one replaces it"),
    (
        "AWS::SQS::Queue",
        {"MessageRetentionPeriod": 1209600},
        {"MessageRetentionPeriod": 60},
        "MessageRetentionPeriod 1209600 -> 60 seconds: messages older than that are deleted",
    ),
    ("AWS::SQS::Queue", {}, {"MessageRetentionPeriod": 60}, "MessageRetentionPeriod 345600 -> 60 seconds"),
    ("AWS::Logs::LogGroup", {}, {"RetentionInDays": 1}, "RetentionInDays unlimited -> 1 days: log events"),
    ("AWS::Logs::LogGroup", {"RetentionInDays": 30}, {"RetentionInDays": 7}, "RetentionInDays 30 -> 7 days"),
    ("AWS::S3::Bucket", {}, rules({"ExpirationInDays": 1}), "LifecycleConfiguration.Rules has a new or changed"),
    ("AWS::S3::Bucket", rules({"ExpirationInDays": 9}), rules({"ExpirationInDays": 1}), "LifecycleConfiguration.Rules"),
    (
        "AWS::S3::Bucket",
        {},
        rules({"NoncurrentVersionExpiration": {"NoncurrentDays": 1}}),
        "objects or object versions",
    ),
    ("AWS::S3::Bucket", {}, rules({"ExpirationDate": "2020-01-01"}), "LifecycleConfiguration.Rules"),
    (
        "AWS::S3::Bucket",
        rules({"ExpirationInDays": 9, "Prefix": "logs/"}),
        rules({"ExpirationInDays": 9}),
        "LifecycleConfiguration.Rules",
    ),
    (
        "AWS::S3::Bucket",
        {"VersioningConfiguration": {"Status": "Enabled"}},
        {"VersioningConfiguration": {"Status": "Suspended"}},
        "VersioningConfiguration.Status is turned off",
    ),
    ("AWS::S3::Bucket", {"VersioningConfiguration": {"Status": "Enabled"}}, {}, "VersioningConfiguration.Status"),
    ("AWS::DynamoDB::Table", {}, TTL, "TimeToLiveSpecification is enabled"),
    (
        "AWS::DynamoDB::GlobalTable",
        TTL,
        {"TimeToLiveSpecification": {"AttributeName": "created", "Enabled": True}},
        "uses another attribute",
    ),
    (
        "AWS::DynamoDB::Table",
        {PITR: {"PointInTimeRecoveryEnabled": True}},
        {PITR: {"PointInTimeRecoveryEnabled": False}},
        "earlier states can no longer be restored",
    ),
    (
        "AWS::KMS::Key",
        {"Enabled": True},
        {"Enabled": False},
        "Enabled is turned off or removed: data encrypted with it cannot be read",
    ),
    ("AWS::RDS::DBInstance", {"BackupRetentionPeriod": 7}, {"BackupRetentionPeriod": 0}, "7 -> 0 days"),
    ("AWS::RDS::DBCluster", {"BackupRetentionPeriod": 7}, {}, "BackupRetentionPeriod changes, but its default"),
    ("AWS::RDS::DBInstance", {"DeletionProtection": True}, {}, "no longer protected against deletion"),
    ("AWS::Kinesis::Stream", {"RetentionPeriodHours": 48}, {}, "RetentionPeriodHours 48 -> 24 hours"),
    ("AWS::CloudTrail::Trail", {"IsLogging": True}, {"IsLogging": False}, "API calls are no longer recorded"),
    ("AWS::DLM::LifecyclePolicy", {"ExtendDeletion": False}, {"ExtendDeletion": True}, "no longer retains are deleted"),
    # AWS's documentation states both defaults for a Neptune cluster, and that of EFS depends on the availability zone.
    ("AWS::Neptune::DBCluster", {}, {"DeletionProtection": False}, "no longer protected against deletion"),
    ("AWS::Neptune::DBCluster", {"DeletionProtection": True}, {}, "no longer protected against deletion"),
    ("AWS::NetworkFirewall::Firewall", {}, {"DeleteProtection": False}, "no longer protected against deletion"),
    ("AWS::EFS::FileSystem", {}, {"BackupPolicy": {"Status": "DISABLED"}}, "automatic backups stop"),
    ("AWS::EFS::FileSystem", {"BackupPolicy": {"Status": "ENABLED"}}, {}, "automatic backups stop"),
    ("AWS::Rbin::Rule", {"LockConfiguration": {"UnlockDelayValue": 7}}, {}, "it can be deleted earlier"),
    ("AWS::Events::Archive", {}, {"RetentionDays": 1}, "events can be deleted earlier"),
    ("AWS::ECR::Repository", {}, {"LifecyclePolicy": {"LifecyclePolicyText": "{}"}}, "images that it selects"),
    ("AWS::S3::BucketPolicy", bucket_policy(ALLOW, *deny("a")), bucket_policy(ALLOW), "loses or changes a `Deny`"),
    (
        "AWS::S3::BucketPolicy",
        bucket_policy(*deny("a", "b")),
        bucket_policy(*deny("a", "c")),
        "requests that it denied",
    ),
    ("AWS::S3::BucketPolicy", bucket_policy(*deny("a", "b")), bucket_policy(*deny(MARKER)), "requests that it denied"),
]


# Either direction is unsafe: the default is unknown, the values have no order, or only a visible protection is safe.
ONE_WAY: list[tuple[str, ...]] = [
    ("AWS::Cassandra::Table", "DefaultTimeToLive"),
    ("AWS::DynamoDB::GlobalTable", "TimeToLiveSpecification", "TimeToLiveSpecification"),
    ("AWS::EFS::FileSystem", "BackupPolicy"),
    ("AWS::Events::Archive", "RetentionDays"),
    ("AWS::Neptune::DBCluster", "DeletionProtection"),
    ("AWS::NetworkFirewall::Firewall", "DeleteProtection"),
    ("AWS::RDS::DBCluster", "BackupRetentionPeriod"),
    ("AWS::S3::Bucket", "LifecycleConfiguration", "LifecycleConfiguration"),
    ("AWS::S3::BucketPolicy", "Bucket", "PolicyDocument", "Bucket", "PolicyDocument"),
]


@pytest.mark.parametrize(("kind", "before", "after", "reason"), LOSSY)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="an update in place loses data, weakens a `DeletionPolicy` or removes a `Deny` statement",
    expected="rejected; the message contains no secret values; can be exempted like a replacement",
    observed="each row of the table, in one direction only",
)
def test_update_that_loses_data_is_unsafe(kind: str, before: Any, after: Any, reason: str) -> None:
    assert reason in reasons(update(kind, before, after))


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        *((kind, after, before) for kind, before, after, _ in LOSSY if (kind, *before, *after) not in ONE_WAY),
        ("AWS::S3::BucketPolicy", bucket_policy(), bucket_policy(*deny("a"))),
        ("AWS::S3::BucketPolicy", bucket_policy(*deny("a"), ALLOW), bucket_policy(*deny("a"))),
        ("AWS::S3::Bucket", {}, rules({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})),
        ("AWS::S3::Bucket", {}, rules({"ExpirationInDays": 1, "Status": "Disabled"})),
        ("AWS::KMS::Key", {}, {"PendingWindowInDays": 7, "EnableKeyRotation": False}),
        ("AWS::Neptune::DBCluster", {"DeletionProtection": False}, {"DeletionProtection": True}),
        ("AWS::EFS::FileSystem", {}, {"BackupPolicy": {"Status": "ENABLED"}}),
        ("AWS::SQS::Queue", {"VisibilityTimeout": 60}, {"VisibilityTimeout": 30}),
    ],
)  # fmt: skip
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="an update in place loses data, weakens a `DeletionPolicy` or removes a `Deny` statement",
)
def test_update_that_loses_nothing_is_safe(kind: str, before: Any, after: Any) -> None:
    assert not reasons(update(kind, before, after))


@pytest.mark.parametrize(
    ("kind", "policies", "reason"),
    [
        ("AWS::SQS::Queue", ("Retain", "Delete"), "DeletionPolicy Retain -> Delete: a later removal deletes it"),
        ("AWS::SQS::Queue", ("Retain", None), "DeletionPolicy Retain -> Delete"),
        ("AWS::EC2::Volume", ("Snapshot", "Delete"), "DeletionPolicy Snapshot -> Delete"),
        ("AWS::RDS::DBInstance", (None, "Delete"), "DeletionPolicy Snapshot -> Delete"),
        ("AWS::SQS::Queue", ("Delete", "Retain"), ""),
        ("AWS::SQS::Queue", ("Retain", "RetainExceptOnCreate"), ""),
        ("AWS::RDS::DBInstance", ("Snapshot", None), ""),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="an update in place loses data, weakens a `DeletionPolicy` or removes a `Deny` statement",
)
def test_weaker_deletion_policy_is_unsafe(kind: str, policies: Any, reason: str) -> None:
    result = reasons(update(kind, {}, {}, DeletionPolicy=policies))
    assert reason in result
    assert bool(result) is bool(reason)


def test_weaker_update_replace_policy_is_unsafe() -> None:
    assert "a later replacement deletes it" in reasons(update("A::B::C", {}, {}, UpdateReplacePolicy=("Retain", None)))


def test_exempted_loss_is_safe() -> None:
    lossy = update("AWS::SQS::Queue", {}, {"MessageRetentionPeriod": 60})
    assert not reasons(lossy, policy=Policy(exempt_logical_ids=frozenset({"Queue"})))
    assert not reasons(lossy, policy=Policy(exempt_types=frozenset({"AWS::SQS::Queue"})))
    assert reasons(lossy, policy=Policy(conditional=True, dynamic=True))


def test_replacement_and_loss_are_both_reported() -> None:
    lossy = update("AWS::SQS::Queue", {}, {"MessageRetentionPeriod": 60})
    lossy["ResourceChange"]["Replacement"] = "True"
    assert "it is replaced" in reasons(lossy)
    assert "MessageRetentionPeriod 345600 -> 60" in reasons(lossy)


@pytest.mark.parametrize(
    "contexts",
    [
        {},
        {"BeforeContext": '{"Properties": {}}', "AfterContext": '{"Properties": {"MessageRet'},
        {"BeforeContext": '{"Properties": {}}'},
        {
            name: json.dumps({"Properties": {"MessageRetentionPeriod": "****"}})
            for name in ("BeforeContext", "AfterContext")
        },
        {
            "BeforeContext": '{"Properties": {"MessageRetentionPeriod": "60"}}',
            "AfterContext": json.dumps({"Properties": {"MessageRetentionPeriod": MARKER}}),
        },
        {
            name: json.dumps({"Properties": {"MessageRetentionPeriod": "(Truncated-Signature):1f2e"}})
            for name in ("BeforeContext", "AfterContext")
        },
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="a property listed as lossy changes, and CloudFormation omits, truncates or masks its values",
    expected="rejected",
    observed='"its values are not visible"',
)
def test_change_of_hidden_value_is_unsafe(contexts: dict[str, str]) -> None:
    """Omitted, truncated, masked (NoEcho), or known only after the update."""
    changed = change("Modify", Details=[detail("Never", name="MessageRetentionPeriod")], **contexts)
    assert "MessageRetentionPeriod changes, but its values are not visible" in reasons(changed)
    assert "60" not in reasons(changed)
    assert not reasons(change("Modify", Details=[detail("Never", name="DelaySeconds")]))


def test_masked_value_can_be_a_dynamic_reference() -> None:
    """The default of a parameter with NoEcho: its text stays the same, but its value may not."""
    masked = {"MessageRetentionPeriod": "*****"}
    other = update("AWS::SQS::Queue", masked | {"DelaySeconds": 1}, masked | {"DelaySeconds": 2})
    assert "MessageRetentionPeriod is masked, so its new value is not visible" in reasons(other)
    assert "is masked" in reasons(update("AWS::Backup::BackupPlan", {"BackupPlan": "****"}, {"BackupPlan": "****"}))
    secret = {"GenerateSecretString": {"SecretStringTemplate": "****"}}
    tagged = update("AWS::SecretsManager::Secret", secret, secret | {"Description": "orders"})
    assert not reasons(tagged), "only a part is masked"


@pytest.mark.parametrize("hidden", ["****", MARKER])
def test_new_hidden_value_is_not_visible(hidden: str) -> None:
    """The value is the cause, not the default."""
    added = update("AWS::DynamoDB::Table", {}, {"TimeToLiveSpecification": hidden})
    assert "TimeToLiveSpecification changes, but its values are not visible" in reasons(added)


def test_reasons_do_not_show_secret_values() -> None:
    secret = {"TimeToLiveSpecification": {"AttributeName": "SECRET", "Enabled": True}}
    assert "SECRET" not in reasons(update("AWS::DynamoDB::Table", {}, secret))
    odd = update("AWS::SQS::Queue", {"MessageRetentionPeriod": 60}, {"MessageRetentionPeriod": "SECRET"})
    assert reasons(odd)
    assert "SECRET" not in reasons(odd)
    target = change("Add", "P", "AWS::SQS::QueuePolicy", AfterContext='{"Properties": {"Queues": ["SECRET"]}}')
    assert reasons(target)
    assert "SECRET" not in reasons(target)


@given(st.integers(60, 1_209_600), st.integers(60, 1_209_600))
def test_retention_change_is_unsafe_only_if_lowered(before: int, after: int) -> None:
    lossy = update("AWS::SQS::Queue", {"MessageRetentionPeriod": before}, {"MessageRetentionPeriod": after})
    assert bool(reasons(lossy)) is (after < before)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(MARKER),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["Rules", "Status", "Statement", "Effect"]), inner),
    max_leaves=8,
)


ODD_VALUES: list[Any] = [
    None, True, -1, "x", [], {}, ["a"], {"a": 1}, [{"Region": ["a"]}], [{"Status": ["Enabled"]}], [{"Key": ["a"]}],
    {"Rule": {"DefaultRetention": {"Mode": ["COMPLIANCE"]}}}, {"Statement": [{"Effect": ["Deny"]}]},
]  # fmt: skip


@pytest.mark.parametrize("row", LOSSY_CHANGES, ids=lambda row: f"{row.type}.{row.path}")
def test_value_of_another_type_is_no_error(row: LossyChange) -> None:
    for before, after in itertools.product(ODD_VALUES, ODD_VALUES):
        contexts = {"Before": before, "After": after}
        for when, value in contexts.items():
            for step in reversed(row.steps):
                value = {step: value}
            contexts[when] = json.dumps(value)
        reasons(
            change(
                kind="AWS::SQS::Queue" if row.type == ANY_TYPE else row.type,
                Details=[detail("Never", name=row.path.partition(".")[0])],
                BeforeContext=contexts["Before"],
                AfterContext=contexts["After"],
            )
        )


@pytest.mark.parametrize("value", [[], [1], {"a": 1}])
def test_policy_of_another_type_is_unsafe(value: Any) -> None:
    lossy = update("AWS::SQS::Queue", {}, {}, DeletionPolicy=("Retain", value or [value]))
    assert "DeletionPolicy changes, but its values are not visible" in reasons(lossy)


LISTED = st.sampled_from([("AWS::S3::Bucket", "LifecycleConfiguration"), ("AWS::KMS::Key", "KeyPolicy"),
                          ("AWS::DynamoDB::Table", "TimeToLiveSpecification")])  # fmt: skip


@given(LISTED, JSON, JSON)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="a property listed as lossy changes, and CloudFormation omits, truncates or masks its values",
)
def test_values_of_any_type_are_evaluated(listed: tuple[str, str], before: Any, after: Any) -> None:
    kind, name = listed
    contexts = {"BeforeContext": before, "AfterContext": after}
    contexts = {when: json.dumps({"Properties": {name: value}}) for when, value in contexts.items()}
    reasons(change("Modify", kind=kind, Details=[detail("Never", name=name)], **contexts))


@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="an update in place loses data, weakens a `DeletionPolicy` or removes a `Deny` statement",
)
def test_state_machine_rejects_loss_unless_exempted(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    fake = machine.cloudformation
    fake.add_stack(APP, "UPDATE_COMPLETE")
    fake.changes = [update("AWS::SQS::Queue", {}, {"MessageRetentionPeriod": 60})]
    rejected = machine.run()
    assert rejected.status == "FAILED"
    assert "- Queue (AWS::SQS::Queue), Modify: MessageRetentionPeriod 345600 -> 60 seconds" in rejected.cause
    assert not fake.executed
    assert machine.run(policy={"exemptLogicalIds": ["Queue"]}).status == "SUCCEEDED"
    assert fake.executed


STACKS_HIDDEN = "the changes of its stacks are not visible"
PRODUCT = "AWS::ServiceCatalog::CloudFormationProvisionedProduct"
VERSION = {"ProvisioningArtifactName": "v1"}


@pytest.mark.parametrize(
    ("kind", "before", "after", "reason"),
    [
        ("AWS::CloudFormation::StackSet", {"TemplateBody": "a"}, {"TemplateBody": "b"}, STACKS_HIDDEN),
        ("AWS::CloudFormation::StackSet", {"TemplateURL": "a"}, {"TemplateURL": "b"}, STACKS_HIDDEN),
        ("AWS::CloudFormation::StackSet", {"StackInstancesGroup": [{"Regions": ["a"]}]}, {}, STACKS_HIDDEN),
        (PRODUCT, {"ProvisioningArtifactId": "pa-1"}, {"ProvisioningArtifactId": "pa-2"}, STACKS_HIDDEN),
        (PRODUCT, {"ProductName": "a"} | VERSION, {"ProductName": "b"} | VERSION, STACKS_HIDDEN),
        (PRODUCT, VERSION, {"ProvisioningPreferences": {"StackSetOperationType": "DELETE"}} | VERSION, STACKS_HIDDEN),
        ("AWS::DLM::LifecyclePolicy", {"State": "ENABLED"}, {"State": "DISABLED"}, "automatic backups stop"),
        ("AWS::ImageBuilder::LifecyclePolicy", {}, {"ResourceSelection": {"TagMap": {}}}, "no longer retains"),
        ("AWS::ImageBuilder::LifecyclePolicy", {"ResourceType": "a"}, {"ResourceType": "b"}, "no longer retains"),
        ("AWS::Rbin::Rule", {"ResourceTags": [{"ResourceTagKey": "a"}]}, {}, "may no longer be retained"),
        (
            "AWS::Redshift::Cluster",
            {"DestinationRegion": "a"},
            {"DestinationRegion": "a", "SnapshotCopyManual": True},
            "copied snapshots can be deleted earlier",
        ),
    ],
)
def test_change_with_unknown_loss_is_unsafe(kind: str, before: Any, after: Any, reason: str) -> None:
    assert reason in reasons(update(kind, before, after))
    assert reason in reasons(update(kind, after, before))
    assert not reasons(update(kind, before, before | {"Description": "new"}))
