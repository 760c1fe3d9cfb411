"""Updates in place that lose data or remove a protection: the table `LOSSY_CHANGES`.

Each row compares the values before and after the update, which CloudFormation returns as ``BeforeContext`` and
``AfterContext``. If a property of the table changes and its values are not visible, the change is unsafe.
Reasons contain only numbers and names of policies, because other values can be secret.
"""

from dataclasses import dataclass

from .lossy_conditions import (
    ATTRIBUTE_OFF,
    CHANGED,
    CHANGED_OR_REMOVED,
    DENY,
    EXPIRY,
    LIFECYCLE,
    LOWERED,
    REPLICAS,
    SET,
    TURNED_OFF,
    TURNED_ON,
    UNLIMITED,
    WEAKENED,
    Condition,
    other_than,
)

ANY_TYPE = "any type"
PRODUCT = "AWS::ServiceCatalog::CloudFormationProvisionedProduct"
POLICY_ATTRIBUTES = ("DeletionPolicy", "UpdateReplacePolicy")
GUIDES = "https://docs.aws.amazon.com/"
REFERENCE = f"{GUIDES}AWSCloudFormation/latest/TemplateReference/"
# Reasons of several rows.
NO_BACKUPS = "automated backups older than that are deleted"
NO_SNAPSHOTS = "automatic snapshots older than that are deleted"
SHORTER_COPIES = "copied snapshots can be deleted earlier"
NO_RESTORE = "earlier states can no longer be restored"
UNPROTECTED = "it is no longer protected against deletion"
NOT_RETAINED = "snapshots and images that it no longer retains are deleted"
FEWER_BACKUPS = "backups or their copies can stop"
UNRECORDED = "API calls are no longer recorded"
UNSELECTED = "events may no longer be recorded"
NOT_IN_BIN = "resources deleted later may no longer be retained"
BACKUPS_TOO = "a later removal deletes automated backups"
OLD_DATA = "data older than that is deleted"
UNDENIED = "requests that it denied may be allowed"
EXPIRED_ITEMS = "expired items are deleted"
STACKS_HIDDEN = "the changes of its stacks are not visible"
TTL = "amazondynamodb/latest/developerguide/TTL.html"
EXPIRY_IN_S3 = "AmazonS3/latest/userguide/lifecycle-expire-general-considerations.html"
UPGRADE, RESHARD = "EnableVersionUpgrade", "UseOnlineResharding"  # update policies
EMPTIED = "an empty one replaces it"
PITR = "PointInTimeRecoverySpecification"
WITHOUT = f"without the update policy `{{}}`, {EMPTIED}"


@dataclass(frozen=True)
class LossyChange:
    """A change of a property that loses data.

    default: AWS's default for a number that is not in the template, or for a policy attribute; None if it is unknown,
        or depends on other properties.
    guide: the page of AWS's documentation, if it is not the reference of the resource type.
    unless: the update policy without which CloudFormation replaces the resource, whatever the change set says.
    """

    type: str
    path: str
    condition: Condition
    reason: str
    default: float | str | None = None
    unit: str = ""
    guide: str = ""
    unless: str = ""

    @property
    def steps(self) -> list[str]:
        """Return the path of the value in a ``BeforeContext``."""
        return [self.path] if self.path in POLICY_ATTRIBUTES else ["Properties", *self.path.split(".")]

    @property
    def documentation(self) -> str:
        page = self.type.removeprefix("AWS::").replace("::", "-").lower()
        return f"{GUIDES}{self.guide}" if self.guide else f"{REFERENCE}aws-resource-{page}.html"


# Policies of resources that store data, keys or secrets.
POLICIES = (
    ("AWS::APS::ResourcePolicy", "PolicyDocument"),
    ("AWS::Backup::BackupVault", "AccessPolicy"),
    ("AWS::Backup::LogicallyAirGappedBackupVault", "AccessPolicy"),
    ("AWS::CodeArtifact::Domain", "PermissionsPolicyDocument"),
    ("AWS::CodeArtifact::Repository", "PermissionsPolicyDocument"),
    ("AWS::DSQL::Cluster", "PolicyDocument"),
    ("AWS::DynamoDB::Table", "ResourcePolicy.PolicyDocument"),
    ("AWS::DynamoDB::Table", "StreamSpecification.ResourcePolicy.PolicyDocument"),
    ("AWS::ECR::PublicRepository", "RepositoryPolicyText"),
    ("AWS::ECR::RegistryPolicy", "PolicyText"),
    ("AWS::ECR::Repository", "RepositoryPolicyText"),
    ("AWS::EFS::FileSystem", "FileSystemPolicy"),
    ("AWS::Elasticsearch::Domain", "AccessPolicies"),
    ("AWS::Kinesis::ResourcePolicy", "ResourcePolicy"),
    ("AWS::KMS::Key", "KeyPolicy"),
    ("AWS::KMS::ReplicaKey", "KeyPolicy"),
    ("AWS::Logs::LogGroup", "ResourcePolicyDocument"),
    ("AWS::MSK::ClusterPolicy", "Policy"),
    ("AWS::Omics::SequenceStore", "S3AccessPolicy"),
    ("AWS::OpenSearchService::Domain", "AccessPolicies"),
    ("AWS::PaymentCryptography::Key", "Policy"),
    ("AWS::Redshift::Cluster", "NamespaceResourcePolicy"),
    ("AWS::RedshiftServerless::Namespace", "NamespaceResourcePolicy"),
    ("AWS::S3::AccessPoint", "Policy"),
    ("AWS::S3::BucketPolicy", "PolicyDocument"),
    ("AWS::S3::MultiRegionAccessPointPolicy", "Policy"),
    ("AWS::S3Express::AccessPoint", "Policy"),
    ("AWS::S3Express::BucketPolicy", "PolicyDocument"),
    ("AWS::S3Files::FileSystemPolicy", "Policy"),
    ("AWS::S3ObjectLambda::AccessPointPolicy", "PolicyDocument"),
    ("AWS::S3Outposts::AccessPoint", "Policy"),
    ("AWS::S3Outposts::BucketPolicy", "PolicyDocument"),
    ("AWS::S3Tables::TableBucketPolicy", "ResourcePolicy"),
    ("AWS::S3Tables::TablePolicy", "ResourcePolicy"),
    ("AWS::S3Vectors::VectorBucketPolicy", "Policy"),
    ("AWS::SecretsManager::ResourcePolicy", "ResourcePolicy"),
    ("AWS::SNS::TopicInlinePolicy", "PolicyDocument"),
    ("AWS::SNS::TopicPolicy", "PolicyDocument"),
    ("AWS::SQS::QueueInlinePolicy", "PolicyDocument"),
    ("AWS::SQS::QueuePolicy", "PolicyDocument"),
    ("AWS::SSM::ResourcePolicy", "Policy"),
)
RETAIN = "AWSCloudFormation/latest/TemplateReference/aws-attribute-{}.html"
LOSSY_CHANGES = (
    LossyChange(ANY_TYPE, "DeletionPolicy", WEAKENED, "a later removal deletes it", "Delete",
                guide=RETAIN.format("deletionpolicy")),
    LossyChange(ANY_TYPE, "UpdateReplacePolicy", WEAKENED, "a later replacement deletes it", "Delete",
                guide=RETAIN.format("updatereplacepolicy")),
    LossyChange("AWS::APS::Workspace", "WorkspaceConfiguration.RetentionPeriodInDays", LOWERED,
                "metrics older than that are deleted", None, "days"),
    LossyChange("AWS::Athena::WorkGroup", "RecursiveDeleteOption", TURNED_ON,
                "a later removal deletes its queries and their history"),
    LossyChange("AWS::Backup::BackupPlan", "BackupPlan.BackupPlanRule", CHANGED,
                "backups can stop, or be deleted earlier"),
    LossyChange("AWS::Backup::BackupVault", "LockConfiguration", CHANGED,
                "recovery points can be deleted earlier, or backups rejected"),
    LossyChange("AWS::Bedrock::DataSource", "DataDeletionPolicy", other_than("RETAIN"),
                "a later removal deletes its data", guide="bedrock/latest/userguide/kb-delete.html"),
    LossyChange("AWS::BedrockAgentCore::Memory", "EventExpiryDuration", LOWERED,
                "events created later are deleted earlier", None, "days"),
    LossyChange("AWS::Cassandra::Table", "PointInTimeRecoveryEnabled", TURNED_OFF, NO_RESTORE),
    LossyChange("AWS::Cassandra::Table", "DefaultTimeToLive", CHANGED, "rows can expire earlier"),
    LossyChange("AWS::Chime::AppInstanceUser", "ExpirationSettings", SET, "the user is deleted when it expires"),
    LossyChange("AWS::Chime::Channel", "ExpirationSettings", SET, "the channel is deleted when it expires"),
    LossyChange("AWS::CloudFormation::StackSet", "Parameters", CHANGED, STACKS_HIDDEN),
    LossyChange("AWS::CloudFormation::StackSet", "StackInstancesGroup", CHANGED, STACKS_HIDDEN),
    LossyChange("AWS::CloudFormation::StackSet", "TemplateBody", CHANGED, STACKS_HIDDEN),
    LossyChange("AWS::CloudFormation::StackSet", "TemplateURL", CHANGED, STACKS_HIDDEN),
    LossyChange("AWS::CloudFormation::StackSet", "AutoDeployment", CHANGED, STACKS_HIDDEN),
    LossyChange("AWS::CloudHSM::Cluster", "BackupRetentionPolicy.Value", LOWERED, NO_BACKUPS, None, "days"),
    LossyChange("AWS::CloudTrail::EventDataStore", "AdvancedEventSelectors", CHANGED, UNSELECTED),
    LossyChange("AWS::CloudTrail::EventDataStore", "BillingMode", other_than("FIXED_RETENTION_PRICING"),
                "its default retention can be shorter"),
    LossyChange("AWS::CloudTrail::EventDataStore", "IngestionEnabled", TURNED_OFF,
                "events are no longer recorded"),
    LossyChange("AWS::CloudTrail::EventDataStore", "MultiRegionEnabled", TURNED_OFF, "events are no longer recorded"),
    LossyChange("AWS::CloudTrail::EventDataStore", "OrganizationEnabled", TURNED_OFF,
                "events are no longer recorded"),
    LossyChange("AWS::CloudTrail::EventDataStore", "RetentionPeriod", LOWERED,
                "events older than that are deleted", None, "days"),
    LossyChange("AWS::CloudTrail::EventDataStore", "TerminationProtectionEnabled", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::CloudTrail::Trail", "AdvancedEventSelectors", CHANGED, UNSELECTED),
    LossyChange("AWS::CloudTrail::Trail", "EnableLogFileValidation", TURNED_OFF,
                "modified log files are no longer detected"),
    LossyChange("AWS::CloudTrail::Trail", "EventSelectors", CHANGED, UNSELECTED),
    LossyChange("AWS::CloudTrail::Trail", "IncludeGlobalServiceEvents", TURNED_OFF, UNRECORDED),
    LossyChange("AWS::CloudTrail::Trail", "IsLogging", TURNED_OFF, UNRECORDED),
    LossyChange("AWS::CloudTrail::Trail", "IsMultiRegionTrail", TURNED_OFF, UNRECORDED),
    LossyChange("AWS::CloudTrail::Trail", "IsOrganizationTrail", TURNED_OFF, UNRECORDED),
    LossyChange("AWS::CodeBuild::ReportGroup", "DeleteReports", TURNED_ON,
                "a later removal deletes its reports"),
    LossyChange("AWS::Cognito::UserPool", "DeletionProtection", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::CustomerProfiles::Domain", "DefaultExpirationDays", LOWERED, OLD_DATA, None, "days"),
    LossyChange("AWS::CustomerProfiles::ObjectType", "ExpirationDays", LOWERED, OLD_DATA, None, "days"),
    LossyChange("AWS::DLM::LifecyclePolicy", "CreateInterval", CHANGED, FEWER_BACKUPS),
    LossyChange("AWS::DLM::LifecyclePolicy", "CrossRegionCopyTargets", CHANGED_OR_REMOVED, FEWER_BACKUPS),
    LossyChange("AWS::DLM::LifecyclePolicy", "Exclusions", SET, FEWER_BACKUPS),
    LossyChange("AWS::DLM::LifecyclePolicy", "ExtendDeletion", TURNED_ON, NOT_RETAINED),
    LossyChange("AWS::DLM::LifecyclePolicy", "PolicyDetails", CHANGED, NOT_RETAINED),
    LossyChange("AWS::DLM::LifecyclePolicy", "RetainInterval", LOWERED, NOT_RETAINED, 7, "days"),
    LossyChange("AWS::DLM::LifecyclePolicy", "State", CHANGED,
                "automatic backups stop, or those that it no longer retains are deleted"),
    LossyChange("AWS::DSQL::Cluster", "DeletionProtectionEnabled", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::DataSync::Task", "Options.OverwriteMode", other_than("NEVER"),
                "the next run can overwrite files in the destination"),
    LossyChange("AWS::DataSync::Task", "Options.PreserveDeletedFiles", other_than("PRESERVE"),
                "the next run can delete files in the destination"),
    LossyChange("AWS::DocDB::DBCluster", "BackupRetentionPeriod", LOWERED, NO_BACKUPS, None, "days"),
    LossyChange("AWS::DocDB::DBCluster", "DeletionProtection", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::DocDB::GlobalCluster", "DeletionProtection", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::DocDBElastic::Cluster", "BackupRetentionPeriod", LOWERED, NO_BACKUPS, None, "days"),
    LossyChange("AWS::DynamoDB::GlobalTable", "TimeToLiveSpecification", EXPIRY, EXPIRED_ITEMS, guide=TTL),
    LossyChange("AWS::DynamoDB::GlobalTable", "Replicas", REPLICAS, "its data or earlier states are lost"),
    LossyChange("AWS::DynamoDB::Table", "DeletionProtectionEnabled", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::DynamoDB::Table", f"{PITR}.PointInTimeRecoveryEnabled", TURNED_OFF, NO_RESTORE),
    LossyChange("AWS::DynamoDB::Table", f"{PITR}.RecoveryPeriodInDays", LOWERED, NO_RESTORE, 35, "days"),
    LossyChange("AWS::DynamoDB::Table", "TimeToLiveSpecification", EXPIRY, EXPIRED_ITEMS, guide=TTL),
    LossyChange("AWS::EC2::Instance", "DisableApiTermination", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::EC2::Instance", "InstanceInitiatedShutdownBehavior", other_than("stop"),
                "shutting it down deletes it"),
    LossyChange("AWS::ECR::Repository", "LifecyclePolicy.LifecyclePolicyText", SET,
                "the images that it selects are deleted", guide="AmazonECR/latest/userguide/LifecyclePolicies.html"),
    LossyChange("AWS::ECR::Repository", "EmptyOnDelete", TURNED_ON, "a later removal deletes its images"),
    LossyChange("AWS::ECR::Repository", "ImageTagMutability", other_than("IMMUTABLE"),
                "images can lose their tags"),
    LossyChange("AWS::ECR::Repository", "ImageTagMutabilityExclusionFilters", CHANGED,
                "images can lose their tags"),
    LossyChange("AWS::EFS::FileSystem", "BackupPolicy.Status", TURNED_OFF, "automatic backups stop"),
    LossyChange("AWS::EFS::FileSystem", "FileSystemProtection.ReplicationOverwriteProtection", TURNED_OFF,
                "a replication can overwrite it"),
    LossyChange("AWS::EKS::Cluster", "DeletionProtection", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::EMR::Cluster", "Instances.TerminationProtected", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::ElastiCache::CacheCluster", "SnapshotRetentionLimit", LOWERED, NO_SNAPSHOTS, 0, "days"),
    LossyChange("AWS::ElastiCache::ReplicationGroup", "NumNodeGroups", CHANGED, WITHOUT.format(RESHARD),
                unless=RESHARD),
    LossyChange("AWS::ElastiCache::ReplicationGroup", "SnapshotRetentionLimit", LOWERED, NO_SNAPSHOTS, None, "days"),
    LossyChange("AWS::ElastiCache::ServerlessCache", "SnapshotRetentionLimit", LOWERED, NO_SNAPSHOTS, None, "days"),
    LossyChange("AWS::ElasticBeanstalk::Application", "ResourceLifecycleConfig", SET,
                "old application versions are deleted"),
    LossyChange("AWS::ElasticLoadBalancingV2::LoadBalancer", "LoadBalancerAttributes", ATTRIBUTE_OFF, UNPROTECTED),
    LossyChange("AWS::Elasticsearch::Domain", "ElasticsearchVersion", CHANGED, WITHOUT.format(UPGRADE), unless=UPGRADE),
    LossyChange("AWS::Events::Archive", "EventPattern", CHANGED, UNSELECTED),
    LossyChange("AWS::Events::Archive", "RetentionDays", CHANGED, "events can be deleted earlier"),
    LossyChange("AWS::EventsV2::EventBus", "StorageConfiguration.RetentionPeriodInDays", LOWERED,
                "events older than that are deleted", None, "days"),
    LossyChange("AWS::FSx::FileSystem", "LustreConfiguration.AutomaticBackupRetentionDays", LOWERED,
                NO_BACKUPS, None, "days"),
    LossyChange("AWS::FSx::FileSystem", "OntapConfiguration.AutomaticBackupRetentionDays", LOWERED,
                NO_BACKUPS, None, "days"),
    LossyChange("AWS::FSx::FileSystem", "OpenZFSConfiguration.AutomaticBackupRetentionDays", LOWERED,
                NO_BACKUPS, None, "days"),
    LossyChange("AWS::FSx::FileSystem", "WindowsConfiguration.AutomaticBackupRetentionDays", LOWERED,
                NO_BACKUPS, None, "days"),
    LossyChange("AWS::FSx::Volume", "OntapConfiguration.SnaplockConfiguration", CHANGED,
                "files can be deleted earlier"),
    LossyChange("AWS::Glue::TableOptimizer", "TableOptimizerConfiguration", CHANGED,
                "snapshots and files that it no longer retains are deleted"),
    LossyChange("AWS::ImageBuilder::LifecyclePolicy", "PolicyDetails", CHANGED, NOT_RETAINED),
    LossyChange("AWS::ImageBuilder::LifecyclePolicy", "ResourceSelection", CHANGED, NOT_RETAINED),
    LossyChange("AWS::ImageBuilder::LifecyclePolicy", "ResourceType", CHANGED, NOT_RETAINED),
    LossyChange("AWS::ImageBuilder::LifecyclePolicy", "Status", TURNED_ON, NOT_RETAINED),
    LossyChange("AWS::KMS::Key", "Enabled", TURNED_OFF, "data encrypted with it cannot be read"),
    LossyChange("AWS::KMS::ReplicaKey", "Enabled", TURNED_OFF, "data encrypted with it cannot be read"),
    LossyChange("AWS::Kinesis::Stream", "RetentionPeriodHours", LOWERED,
                "records older than that are deleted", 24, "hours"),
    LossyChange("AWS::KinesisVideo::Stream", "DataRetentionInHours", LOWERED,
                "records older than that are deleted", 0, "hours"),
    LossyChange("AWS::Lambda::Function", "DurableConfig.RetentionPeriodInDays", LOWERED,
                "histories of executions older than that are deleted", 14, "days"),
    LossyChange("AWS::Lightsail::Database", "BackupRetention", TURNED_OFF, "automatic backups stop"),
    LossyChange("AWS::Logs::LogGroup", "RetentionInDays", LOWERED,
                "log events older than that are deleted", UNLIMITED, "days"),
    LossyChange("AWS::Logs::LogGroup", "DeletionProtectionEnabled", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::MemoryDB::Cluster", "SnapshotRetentionLimit", LOWERED, NO_SNAPSHOTS, None, "days"),
    LossyChange("AWS::Neptune::DBCluster", "BackupRetentionPeriod", LOWERED, NO_BACKUPS, None, "days"),
    LossyChange("AWS::Neptune::DBCluster", "DeletionProtection", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::Neptune::GlobalCluster", "DeletionProtection", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::NeptuneGraph::Graph", "DeletionProtection", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::NetworkFirewall::Firewall", "DeleteProtection", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::OpenSearchServerless::Collection", "DeletionProtection", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::OpenSearchServerless::LifecyclePolicy", "Policy", CHANGED, "documents can be deleted earlier"),
    LossyChange("AWS::OpenSearchService::Domain", "EngineVersion", CHANGED, WITHOUT.format(UPGRADE), unless=UPGRADE),
    LossyChange("AWS::OpenSearchService::Domain", "VPCOptions", CHANGED_OR_REMOVED, "without it, " + EMPTIED),
    LossyChange("AWS::RDS::DBCluster", "BackupRetentionPeriod", LOWERED, NO_BACKUPS, None, "days"),
    LossyChange("AWS::RDS::DBCluster", "DeletionProtection", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::RDS::DBCluster", "BacktrackWindow", LOWERED, NO_RESTORE, None, "seconds"),
    LossyChange("AWS::RDS::DBCluster", "DeleteAutomatedBackups", TURNED_ON, BACKUPS_TOO),
    LossyChange("AWS::RDS::DBCluster", "PerformanceInsightsRetentionPeriod", LOWERED, OLD_DATA, None, "days"),
    LossyChange("AWS::RDS::DBInstance", "BackupRetentionPeriod", LOWERED, NO_BACKUPS, None, "days"),
    LossyChange("AWS::RDS::DBInstance", "DeletionProtection", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::RDS::DBInstance", "AutomaticBackupReplicationRetentionPeriod", LOWERED, NO_BACKUPS, None, "days"),
    LossyChange("AWS::RDS::DBInstance", "DeleteAutomatedBackups", TURNED_ON, BACKUPS_TOO),
    LossyChange("AWS::RDS::DBInstance", "PerformanceInsightsRetentionPeriod", LOWERED, OLD_DATA, None, "days"),
    LossyChange("AWS::RDS::GlobalCluster", "DeletionProtection", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::Rbin::Rule", "ExcludeResourceTags", SET, NOT_IN_BIN),
    LossyChange("AWS::Rbin::Rule", "LockConfiguration", CHANGED_OR_REMOVED, "it can be deleted earlier"),
    LossyChange("AWS::Rbin::Rule", "ResourceTags", CHANGED, NOT_IN_BIN),
    LossyChange("AWS::Rbin::Rule", "RetentionPeriod.RetentionPeriodValue", LOWERED,
                "resources deleted later can be restored for a shorter time", None, "days"),
    LossyChange("AWS::Redshift::Cluster", "AutomatedSnapshotRetentionPeriod", LOWERED, NO_SNAPSHOTS, None, "days"),
    LossyChange("AWS::Redshift::Cluster", "ManualSnapshotRetentionPeriod", CHANGED,
                "manual snapshots can be deleted earlier"),
    LossyChange("AWS::Redshift::Cluster", "SnapshotCopyManual", CHANGED, SHORTER_COPIES),
    LossyChange("AWS::Redshift::Cluster", "SnapshotCopyRetentionPeriod", CHANGED, SHORTER_COPIES),
    LossyChange("AWS::RedshiftServerless::Namespace", "SnapshotCopyConfigurations", CHANGED_OR_REMOVED,
                SHORTER_COPIES),
    LossyChange("AWS::S3::Bucket", "LifecycleConfiguration.Rules", LIFECYCLE,
                "objects or object versions are deleted", guide=EXPIRY_IN_S3),
    LossyChange("AWS::S3::Bucket", "VersioningConfiguration.Status", TURNED_OFF,
                "overwritten or deleted objects cannot be restored"),
    LossyChange("AWS::S3::Bucket", "ObjectLockConfiguration", CHANGED_OR_REMOVED, "new objects can be deleted earlier"),
    LossyChange("AWS::S3::Bucket", "MetadataConfiguration.JournalTableConfiguration.RecordExpiration",
                CHANGED_OR_REMOVED, "records in the journal table can be deleted earlier"),
    LossyChange("AWS::S3Express::DirectoryBucket", "LifecycleConfiguration.Rules", LIFECYCLE,
                "objects or object versions are deleted"),
    LossyChange("AWS::S3Outposts::Bucket", "LifecycleConfiguration.Rules", LIFECYCLE,
                "objects or object versions are deleted"),
    LossyChange("AWS::S3Tables::Table", "SnapshotManagement.MaxSnapshotAgeHours", LOWERED,
                "older snapshots are deleted", 120, "hours"),
    LossyChange("AWS::S3Tables::Table", "SnapshotManagement.MinSnapshotsToKeep", LOWERED,
                "older snapshots are deleted", 1),
    LossyChange("AWS::S3Tables::Table", "SnapshotManagement.Status", TURNED_ON,
                "older snapshots are deleted"),
    LossyChange("AWS::SES::MailManagerArchive", "Retention", CHANGED, "messages can be deleted earlier"),
    LossyChange("AWS::SNS::Topic", "ArchivePolicy", CHANGED_OR_REMOVED, "archived messages can be deleted"),
    LossyChange("AWS::SQS::Queue", "MessageRetentionPeriod", LOWERED,
                "messages older than that are deleted", 345600, "seconds"),
    LossyChange("AWS::SSMIncidents::ReplicationSet", "DeletionProtected", TURNED_OFF, UNPROTECTED),
    LossyChange("AWS::SecretsManager::Secret", "GenerateSecretString", CHANGED,
                "a generated value replaces the current one"),
    LossyChange("AWS::SecurityLake::DataLake", "LifecycleConfiguration.Expiration.Days", LOWERED,
                OLD_DATA, UNLIMITED, "days"),
    LossyChange(PRODUCT, "ProductId", CHANGED, STACKS_HIDDEN),
    LossyChange(PRODUCT, "ProductName", CHANGED, STACKS_HIDDEN),
    LossyChange(PRODUCT, "ProvisioningArtifactId", CHANGED, STACKS_HIDDEN),
    LossyChange(PRODUCT, "ProvisioningArtifactName", CHANGED, STACKS_HIDDEN),
    LossyChange(PRODUCT, "ProvisioningParameters", CHANGED, STACKS_HIDDEN),
    LossyChange(PRODUCT, "ProvisioningPreferences", CHANGED, STACKS_HIDDEN),
    LossyChange("AWS::Synthetics::Canary", "FailureRetentionPeriod", LOWERED, OLD_DATA, 31, "days"),
    LossyChange("AWS::Synthetics::Canary", "SuccessRetentionPeriod", LOWERED, OLD_DATA, 31, "days"),
    LossyChange("AWS::Timestream::Table", "RetentionProperties.MagneticStoreRetentionPeriodInDays", LOWERED,
                "records older than that are deleted", None, "days"),
    LossyChange("AWS::VerifiedPermissions::PolicyStore", "DeletionProtection.Mode", TURNED_OFF,
                UNPROTECTED),
    *(LossyChange(kind, path, DENY, UNDENIED) for kind, path in POLICIES),
)  # fmt: skip


def markdown_table() -> str:
    """Return the table of the documentation, with one row for the properties that have the same effect."""
    properties: dict[tuple[str, str], list[str]] = {}
    for row in LOSSY_CHANGES:
        name = row.path if row.type == ANY_TYPE else f"{row.type}.{row.path}"
        properties.setdefault((row.condition.text, row.reason), []).append(f"[`{name}`]({row.documentation})")
    rows = ["| property | unsafe if it | reason |", "|---|---|---|"]
    rows += [f"| {', '.join(links)} | {text} | {reason} |" for (text, reason), links in properties.items()]
    return "\n".join(rows)
