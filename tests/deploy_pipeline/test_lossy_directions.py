"""Updates that add a protection, or retain backups and data longer, are safe; the reverse updates are unsafe."""

from typing import Any

import pytest

from .changes import reasons, update


def backup_plan(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"BackupPlan": {"BackupPlanName": "orders", "BackupPlanRule": list(rules)}}


def daily(days: int | None = None, **more: Any) -> dict[str, Any]:
    lifecycle = {"MoveToColdStorageAfterDays": 7} | ({"DeleteAfterDays": days} if days else {})
    return {"RuleName": "daily", "TargetBackupVault": "vault", "Lifecycle": lifecycle, **more}


def recovery(days: int, *, enabled: bool = True) -> dict[str, Any]:
    specification = {"PointInTimeRecoveryEnabled": enabled, "RecoveryPeriodInDays": days}
    return {"PointInTimeRecoverySpecification": specification}


def journal(**expiration: Any) -> dict[str, Any]:
    return {"MetadataConfiguration": {"JournalTableConfiguration": {"RecordExpiration": expiration}}}


REPLICATED = {"AutomaticBackupReplicationRegion": "us-east-1", "AutomaticBackupReplicationRetentionPeriod": 14}
COPIED = {"DestinationRegion": "us-east-1", "SnapshotCopyManual": True, "SnapshotCopyRetentionPeriod": 30}
FILTERED = {
    "ImageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
    "ImageTagMutabilityExclusionFilters": [{"ImageTagMutabilityExclusionFilterType": "WILDCARD"}],
}
MONTHLY = {"RuleName": "monthly", "TargetBackupVault": "vault"}
BACKUPS_STOP = "backups can stop, or be deleted earlier"
COPIES = [{"DestinationRegion": "us-east-1"}]


@pytest.mark.parametrize(
    ("kind", "weaker", "stronger", "reason"),
    [
        ("AWS::Backup::BackupPlan", backup_plan(daily(7)), backup_plan(daily(8)), BACKUPS_STOP),
        ("AWS::Backup::BackupPlan", backup_plan(daily(7)), backup_plan(daily()), BACKUPS_STOP),
        ("AWS::Backup::BackupPlan", backup_plan(daily(7)), backup_plan(daily(-1)), BACKUPS_STOP),
        ("AWS::Backup::BackupPlan", backup_plan(daily(7)), backup_plan(MONTHLY, daily(7)), BACKUPS_STOP),
        ("AWS::Bedrock::DataSource", {}, {"DataDeletionPolicy": "RETAIN"}, "a later removal deletes its data"),
        ("AWS::CloudTrail::EventDataStore", {"IngestionEnabled": False}, {}, "no longer recorded"),
        (
            "AWS::CloudTrail::EventDataStore",
            {},
            {"BillingMode": "FIXED_RETENTION_PRICING"},
            "its default retention can be shorter",
        ),
        ("AWS::CloudTrail::EventDataStore", {"MultiRegionEnabled": False}, {}, "no longer recorded"),
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
        ("AWS::DataSync::Task", {"Options": {"PreserveDeletedFiles": "REMOVE"}}, {}, "can delete files"),
        ("AWS::DynamoDB::Table", {}, recovery(7), "earlier states can no longer be restored"),
        ("AWS::DynamoDB::Table", recovery(35, enabled=False), recovery(7), "earlier states can no longer be restored"),
        ("AWS::DynamoDB::Table", recovery(7), recovery(8), "earlier states can no longer be restored"),
        ("AWS::EC2::Instance", {"InstanceInitiatedShutdownBehavior": "terminate"}, {}, "shutting it down deletes it"),
        ("AWS::ECR::Repository", {}, FILTERED, "allows more tags to be overwritten"),
        ("AWS::ECR::Repository", FILTERED, {"ImageTagMutability": "IMMUTABLE"}, "allows more tags to be overwritten"),
        ("AWS::EMR::Cluster", {"Instances": {}}, {"Instances": {"TerminationProtected": True}}, "no longer protected"),
        ("AWS::RDS::DBInstance", {}, REPLICATED, "AutomaticBackupReplicationRetentionPeriod"),
        ("AWS::Rbin::Rule", {"ExcludeResourceTags": [{"ResourceTagKey": "a"}]}, {}, "may no longer be retained"),
        ("AWS::Redshift::Cluster", {}, COPIED, "copied snapshots can be deleted earlier"),
        (
            "AWS::Redshift::Cluster",
            {"ManualSnapshotRetentionPeriod": 30},
            {"ManualSnapshotRetentionPeriod": 60},
            "manual snapshots can be deleted earlier",
        ),
        (
            "AWS::Redshift::Cluster",
            {"ManualSnapshotRetentionPeriod": 30},
            {"ManualSnapshotRetentionPeriod": -1},
            "manual snapshots can be deleted earlier",
        ),
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
    ("before", "after"),
    [
        (daily(7), daily(8, TargetBackupVault="other")),
        (daily(7), daily(8, ScheduleExpression="cron(0 5 1 * ? *)")),
        (daily(7, CopyActions=COPIES), daily(7)),
    ],
)
def test_other_change_of_backup_rule_is_unsafe(before: Any, after: Any) -> None:
    assert BACKUPS_STOP in reasons(update("AWS::Backup::BackupPlan", backup_plan(before), backup_plan(after)))


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
    """A journal table starts with its records, and remains if the configuration is removed."""
    kept, expired = journal(Expiration="DISABLED"), journal(Expiration="ENABLED", Days=7)
    assert "records in the journal table" in reasons(update("AWS::S3::Bucket", kept, expired))
    assert not reasons(update("AWS::S3::Bucket", {}, expired))
    assert not reasons(update("AWS::S3::Bucket", expired, {}))


def test_instance_of_cluster_has_no_snapshot_to_lose() -> None:
    """CloudFormation's default is to delete it; its cluster has the data."""
    member = {"DBClusterIdentifier": "orders"}
    assert not reasons(update("AWS::RDS::DBInstance", member, member, DeletionPolicy=(None, "Delete")))
    assert reasons(update("AWS::RDS::DBInstance", member, member, DeletionPolicy=("Retain", "Delete")))
    assert "Snapshot -> Delete" in reasons(update("AWS::RDS::DBInstance", {}, {}, DeletionPolicy=(None, "Delete")))
    cluster = update("AWS::RDS::DBCluster", member, member, DeletionPolicy=(None, "Delete"))
    assert "Snapshot -> Delete" in reasons(cluster)
