"""Updates that add a protection, or retain backups and data longer, are safe; the reverse updates are unsafe."""

from typing import Any

import pytest

from .changes import MARKER, reasons, update


def backup_plan(days: int) -> dict[str, Any]:
    rule = {"RuleName": "daily", "TargetBackupVault": "vault", "Lifecycle": {"DeleteAfterDays": days}}
    return {"BackupPlan": {"BackupPlanName": "orders", "BackupPlanRule": [rule]}}


def lock(days: int) -> dict[str, Any]:
    return {"UnlockDelay": {"UnlockDelayUnit": "DAYS", "UnlockDelayValue": days}}


def locked_objects(days: int) -> dict[str, Any]:
    return {"ObjectLockConfiguration": {"Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": days}}}}


def archive(days: int) -> dict[str, Any]:
    return {"ArchivePolicy": {"MessageRetentionPeriod": days}}


def recovery(days: int, *, enabled: bool = True) -> dict[str, Any]:
    specification = {"PointInTimeRecoveryEnabled": enabled, "RecoveryPeriodInDays": days}
    return {"PointInTimeRecoverySpecification": specification}


def journal(**expiration: Any) -> dict[str, Any]:
    return {"MetadataConfiguration": {"JournalTableConfiguration": {"RecordExpiration": expiration}}}


COPIED = {"DestinationRegion": "us-east-1", "SnapshotCopyManual": True, "SnapshotCopyRetentionPeriod": 30}
FILTERED = {
    "ImageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
    "ImageTagMutabilityExclusionFilters": [{"ImageTagMutabilityExclusionFilterType": "WILDCARD"}],
}
LOCKED = {"LockConfiguration": {"MinRetentionDays": 7}}
KNOWN_LATER = {"VPCOptions": {"SubnetIds": MARKER}}
COPIES = [{"DestinationRegion": "us-east-1"}]


@pytest.mark.parametrize(
    ("kind", "weaker", "stronger", "reason"),
    [
        ("AWS::Bedrock::DataSource", {}, {"DataDeletionPolicy": "RETAIN"}, "a later removal deletes its data"),
        (
            "AWS::CloudTrail::EventDataStore",
            {"IngestionEnabled": False},
            {"IngestionEnabled": True},
            "no longer recorded",
        ),
        (
            "AWS::CloudTrail::EventDataStore",
            {},
            {"BillingMode": "FIXED_RETENTION_PRICING"},
            "its default retention can be shorter",
        ),
        (
            "AWS::CloudTrail::EventDataStore",
            {"MultiRegionEnabled": False},
            {"MultiRegionEnabled": True},
            "no longer recorded",
        ),
        ("AWS::CloudTrail::EventDataStore", {}, {"OrganizationEnabled": True}, "no longer recorded"),
        ("AWS::CloudTrail::Trail", {}, {"IsMultiRegionTrail": True}, "no longer recorded"),
        ("AWS::CloudTrail::Trail", {}, {"IsOrganizationTrail": True}, "no longer recorded"),
        (
            "AWS::CloudTrail::Trail",
            {"IncludeGlobalServiceEvents": False},
            {"IncludeGlobalServiceEvents": True},
            "no longer recorded",
        ),
        ("AWS::DLM::LifecyclePolicy", {}, {"CrossRegionCopyTargets": COPIES}, "backups or their copies can stop"),
        (
            "AWS::DLM::LifecyclePolicy",
            {"Exclusions": {"ExcludeBootVolumes": True}},
            {},
            "backups or their copies can stop",
        ),
        ("AWS::DataSync::Task", {}, {"Options": {"OverwriteMode": "NEVER"}}, "can overwrite files"),
        ("AWS::DataSync::Task", {"Options": {}}, {"Options": {"PreserveDeletedFiles": "PRESERVE"}}, "can delete files"),
        ("AWS::DynamoDB::Table", {}, recovery(35), "earlier states can no longer be restored"),
        ("AWS::DynamoDB::Table", recovery(7, enabled=False), recovery(7), "earlier states can no longer be restored"),
        ("AWS::DynamoDB::Table", recovery(7), recovery(8), "earlier states can no longer be restored"),
        (
            "AWS::EC2::Instance",
            {"DisableApiTermination": False},
            {"DisableApiTermination": True},
            "no longer protected",
        ),
        ("AWS::EC2::Instance", {}, {"InstanceInitiatedShutdownBehavior": "stop"}, "shutting it down deletes it"),
        ("AWS::ECR::Repository", {}, {"ImageTagMutability": "IMMUTABLE"}, "images can lose their tags"),
        ("AWS::EMR::Cluster", {"Instances": {}}, {"Instances": {"TerminationProtected": True}}, "no longer protected"),
        ("AWS::Rbin::Rule", {"ExcludeResourceTags": [{"ResourceTagKey": "a"}]}, {}, "may no longer be retained"),
        (
            "AWS::RedshiftServerless::Namespace",
            {},
            {"SnapshotCopyConfigurations": COPIES},
            "copied snapshots can be deleted earlier",
        ),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="an update in place loses data, weakens a `DeletionPolicy` or removes a `Deny` statement",
)
def test_only_weaker_protection_is_unsafe(kind: str, weaker: Any, stronger: Any, reason: str) -> None:
    assert not reasons(update(kind, weaker, stronger))
    assert reason in reasons(update(kind, stronger, weaker))


@pytest.mark.parametrize(
    ("kind", "before", "after", "reason"),
    [
        ("AWS::Backup::BackupPlan", backup_plan(7), backup_plan(8), "backups can stop, or be deleted earlier"),
        ("AWS::Backup::BackupVault", {}, LOCKED, "recovery points can be deleted earlier, or backups rejected"),
        ("AWS::Cassandra::Table", {"DefaultTimeToLive": 60}, {"DefaultTimeToLive": 0}, "rows can expire earlier"),
        # An instance's launch template can turn it on; AWS Backup's policy changes a cluster's default.
        ("AWS::EC2::Instance", {}, {"DisableApiTermination": False}, "it is no longer protected against deletion"),
        ("AWS::RDS::DBCluster", {}, {"DeleteAutomatedBackups": True}, "a later removal deletes automated backups"),
        ("AWS::ECR::Repository", {}, FILTERED, "images can lose their tags"),
        ("AWS::Events::Archive", {"RetentionDays": 7}, {"RetentionDays": 0}, "events can be deleted earlier"),
        ("AWS::OpenSearchService::Domain", {"VPCOptions": {"SubnetIds": ["a"]}}, KNOWN_LATER, "without it, an empty"),
        ("AWS::RDS::DBInstance", {}, {"BackupRetentionPeriod": 7}, "default is unknown"),
        ("AWS::RDS::DBInstance", {}, {"AutomaticBackupReplicationRetentionPeriod": 7}, "default is unknown"),
        ("AWS::Rbin::Rule", {"LockConfiguration": lock(7)}, {"LockConfiguration": lock(8)}, "can be deleted earlier"),
        ("AWS::Redshift::Cluster", {}, COPIED, "copied snapshots can be deleted earlier"),
        ("AWS::Redshift::Cluster", {}, {"ManualSnapshotRetentionPeriod": -1}, "manual snapshots can be deleted"),
        ("AWS::S3::Bucket", locked_objects(7), locked_objects(8), "new objects can be deleted earlier"),
        ("AWS::SNS::Topic", archive(7), archive(8), "archived messages can be deleted"),
    ],
)
def test_every_change_of_some_properties_is_unsafe(kind: str, before: Any, after: Any, reason: str) -> None:
    """Even a change that seems to protect more: these values have several fields, or no order."""
    assert reason in reasons(update(kind, before, after))


MANAGEMENT_EVENTS = {"Name": "api", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("AWS::CloudTrail::Trail", {}, {"EventSelectors": [{"IncludeManagementEvents": False}]}),
        ("AWS::CloudTrail::Trail", {}, {"EventSelectors": [{"ReadWriteType": "ReadOnly"}]}),
        ("AWS::CloudTrail::Trail", {"AdvancedEventSelectors": [MANAGEMENT_EVENTS]}, {"AdvancedEventSelectors": []}),
        ("AWS::CloudTrail::EventDataStore", {"AdvancedEventSelectors": [MANAGEMENT_EVENTS]}, {}),
    ],
)
def test_other_event_selectors_are_unsafe(kind: str, before: Any, after: Any) -> None:
    """CloudTrail records only the events that a selector matches; by default, all management events."""
    assert "may no longer be recorded" in reasons(update(kind, before, after))


def test_only_change_of_existing_journal_loses_records() -> None:
    """A new journal table starts with its records."""
    kept, expired = journal(Expiration="DISABLED"), journal(Expiration="ENABLED", Days=7)
    assert "records in the journal table" in reasons(update("AWS::S3::Bucket", kept, expired))
    assert not reasons(update("AWS::S3::Bucket", {}, expired))


def test_instance_of_cluster_has_no_snapshot_to_lose() -> None:
    """CloudFormation's default is to delete it; its cluster has the data."""
    member = {"DBClusterIdentifier": "orders"}
    assert not reasons(update("AWS::RDS::DBInstance", member, member, DeletionPolicy=(None, "Delete")))
    assert reasons(update("AWS::RDS::DBInstance", member, member, DeletionPolicy=("Retain", "Delete")))
    assert "Snapshot -> Delete" in reasons(update("AWS::RDS::DBInstance", {}, {}, DeletionPolicy=(None, "Delete")))
    alone = {"DBClusterIdentifier": ""}
    assert "Snapshot -> Delete" in reasons(
        update("AWS::RDS::DBInstance", alone, alone, DeletionPolicy=(None, "Delete"))
    )
    cluster = update("AWS::RDS::DBCluster", member, member, DeletionPolicy=(None, "Delete"))
    assert "Snapshot -> Delete" in reasons(cluster)
