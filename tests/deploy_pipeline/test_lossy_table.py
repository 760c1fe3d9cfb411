"""The table of lossy changes: its properties exist in CloudFormation's schemas, and the documentation contains it."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import cfnlint
import pytest

from lambdas.deploy_pipeline.lossy_changes import ANY_TYPE, LOSSY_CHANGES, LossyChange, markdown_table
from lambdas.deploy_pipeline.lossy_conditions import UNLIMITED
from lambdas.deploy_pipeline.policy_targets import POLICY_TARGETS
from lambdas.deploy_pipeline.revisions import REVISION_TYPES

SCHEMAS = Path(cfnlint.__file__).parent / "data" / "schemas"
PAGE = Path("docs/deploy_pipeline.md")


@cache
def schema(kind: str) -> Any:
    name = json.loads((SCHEMAS / "providers/us-east-1.json").read_text())[kind]
    return json.loads((SCHEMAS / f"resources/{name}.json").read_text())


def property_definition(kind: str, path: str) -> Any:
    """Return the schema of a property; KeyError if it does not exist."""
    definition = schema(kind)
    for step in path.split("."):
        definition = definition["properties"][step]
        while "$ref" in definition:
            definition = schema(kind)["definitions"][definition["$ref"].removeprefix("#/definitions/")]
    return definition


@pytest.mark.parametrize("row", LOSSY_CHANGES, ids=lambda row: f"{row.type}-{row.path}")
def test_row_names_existing_property(row: LossyChange) -> None:
    if row.type != ANY_TYPE:
        definition = property_definition(row.type, row.path)
        if "default" in definition and row.default is not None:
            assert str(definition["default"]).lower() == str(row.default).lower()


ROWS_WITH_DEFAULT = [row for row in LOSSY_CHANGES if row.type != ANY_TYPE and row.default not in (None, UNLIMITED)]


@pytest.mark.parametrize("row", ROWS_WITH_DEFAULT, ids=lambda row: f"{row.type}-{row.path}")
def test_default_of_row_is_value_of_its_property(row: LossyChange) -> None:
    definition = property_definition(row.type, row.path)
    values = ["true", "false"] if definition["type"] == "boolean" else definition.get("enum", [])
    if definition["type"] == "string" and not values:  # the schema of DLM does not list them
        values = ["ENABLED", "DISABLED"]
    assert row.default in values or isinstance(row.default, int)


def test_policy_target_is_existing_property() -> None:
    for kind, (name, _) in POLICY_TARGETS.items():
        assert property_definition(kind, name)


def test_property_of_revision_exists() -> None:
    for kind, name in REVISION_TYPES.items():
        assert property_definition(kind, name)


def test_table_rows_are_unique() -> None:
    keys = [(row.type, row.path) for row in LOSSY_CHANGES]
    assert len(set(keys)) == len(keys)


def test_documentation_contains_table() -> None:
    assert markdown_table() in PAGE.read_text(), "copy the result of markdown_table() to the page"


PROTECTION = re.compile(
    "(Deletion|Termination|Delete|FileSystem)Protection|DisableApi|Retention|Retain|AutomaticBackup|DeleteAutomated|PointInTime|ObjectLock|Lifecycle|Archive"
    "|Backtrack|SnapshotManagement|Mutability|Expir|DeletionPolicy|DeletionProtected|DeleteReports|RecursiveDelete"
    "|TimeToLive"
)
NO_DATA = "holds no data, or is created again from the template"
NEW_ONES = "applies to resources created later"
NOT_DELETION = "a phase or an action of a lifecycle; deletes no data"
MOVED = "moves files to another storage class"
ENDED = "AWS has ended the service"
ACCEPTED = (
    {
        ("AWS::AccessAnalyzer::Analyzer", "ArchiveRules"): "hides findings, which remain",
        ("AWS::AppConfig::ConfigurationProfile", "DeletionProtectionCheck"): NO_DATA,
        ("AWS::AppConfig::Environment", "DeletionProtectionCheck"): NO_DATA,
        ("AWS::AppSync::ApiKey", "Expires"): "the lifetime of a key",
        ("AWS::AutoScaling::AutoScalingGroup", "DeletionProtection"): NO_DATA,
        ("AWS::AutoScaling::AutoScalingGroup", "InstanceLifecyclePolicy"): NOT_DELETION,
        ("AWS::AutoScaling::AutoScalingGroup", "LifecycleHookSpecificationList"): NOT_DELETION,
        ("AWS::AutoScaling::LifecycleHook", "LifecycleTransition"): NOT_DELETION,
        ("AWS::Batch::JobDefinition", "ResourceRetentionPolicy"): "old revisions of the definition",
        ("AWS::BcmPricingCalculator::BillEstimate", "ExpiresAt"): "an estimate, whose lifetime the template states",
        ("AWS::BcmPricingCalculator::BillScenario", "ExpiresAt"): "an estimate, whose lifetime the template states",
        ("AWS::BcmPricingCalculator::WorkloadEstimate", "ExpiresAt"): "an estimate, whose lifetime the template states",
        ("AWS::BedrockAgentCore::Runtime", "LifecycleConfiguration"): "lifetime of sessions",
        ("AWS::CertificateManager::Account", "ExpiryEventsConfiguration"): "when AWS reports an expiry",
        ("AWS::CloudTrail::Dashboard", "TerminationProtectionEnabled"): NO_DATA,
        ("AWS::CloudWatch::AlarmMuteRule", "ExpireDate"): NO_DATA,
        ("AWS::ECR::RepositoryCreationTemplate", "ImageTagMutability"): NEW_ONES,
        ("AWS::ECR::RepositoryCreationTemplate", "ImageTagMutabilityExclusionFilters"): NEW_ONES,
        ("AWS::ECR::RepositoryCreationTemplate", "LifecyclePolicy"): NEW_ONES,
        ("AWS::ECS::Gateway", "DeletionProtection"): NO_DATA,
        ("AWS::EFS::FileSystem", "LifecyclePolicies"): MOVED,
        ("AWS::IoT::SecurityProfile", "AdditionalMetricsToRetainV2"): "metrics that are stored from now on",
        ("AWS::IoTAnalytics::Channel", "RetentionPeriod"): ENDED,
        ("AWS::IoTAnalytics::Dataset", "RetentionPeriod"): ENDED,
        ("AWS::IoTAnalytics::Datastore", "RetentionPeriod"): ENDED,
        ("AWS::LicenseManager::LicenseConfiguration", "LicenseExpiry"): NO_DATA,
        ("AWS::Location::APIKey", "ExpireTime"): "the lifetime of a key",
        ("AWS::Location::APIKey", "NoExpiry"): "the lifetime of a key",
        ("AWS::MediaStore::Container", "LifecyclePolicy"): ENDED,
        ("AWS::PCS::ComputeNodeGroup", "NodeLifecycleActions"): NOT_DELETION,
        ("AWS::QLDB::Ledger", "DeletionProtection"): ENDED,
        ("AWS::RDS::DBCluster", "EngineLifecycleSupport"): "support after the end of an engine's version",
        ("AWS::RDS::DBInstance", "AutomaticBackupReplicationKmsKeyId"): "encrypts new copies; ends no backup",
        ("AWS::RDS::DBInstance", "AutomaticBackupReplicationRegion"): "a copy in another Region; the backups remain",
        ("AWS::RDS::DBInstance", "EngineLifecycleSupport"): "support after the end of an engine's version",
        ("AWS::RDS::GlobalCluster", "EngineLifecycleSupport"): "support after the end of an engine's version",
        ("AWS::Redshift::Snapshot", "ManualSnapshotRetentionPeriod"): "a snapshot, whose lifetime the template states",
        ("AWS::RedshiftServerless::Namespace", "FinalSnapshotRetentionPeriod"): "used only during deletion",
        ("AWS::RedshiftServerless::Snapshot", "RetentionPeriod"): "a snapshot, whose lifetime the template states",
        ("AWS::S3::Bucket", "ObjectLockEnabled"): "cannot be disabled",
        ("AWS::SES::MailManagerArchive", "ArchiveName"): "a name",
        ("AWS::SageMaker::NotebookInstance", "LifecycleConfigName"): NOT_DELETION,
        ("AWS::WellArchitected::AgentProfile", "DeletionProtection"): NO_DATA,
    }
    | {
        (f"AWS::SMSVOICE::{name}", "DeletionProtectionEnabled"): "a registration with carriers, which holds no data"
        for name in ("NotifyConfiguration", "PhoneNumber", "Pool", "ProtectConfiguration", "RcsAgent", "SenderId")
    }
    | {
        ("AWS::SageMaker::Endpoint", name): "how an update proceeds"
        for name in ("ExcludeRetainedVariantProperties", "RetainAllVariantProperties", "RetainDeploymentConfig")
    }
)


def test_protections_in_schemas_are_in_table_or_accepted() -> None:
    """Properties at the top of a resource type; for nested ones the table is maintained by hand."""
    covered = {(row.type, row.path.split(".")[0]) for row in LOSSY_CHANGES}
    kinds = json.loads((SCHEMAS / "providers/us-east-1.json").read_text())
    found = {(kind, name) for kind in kinds for name in updatable(kind) if PROTECTION.search(name)}
    assert found - covered == ACCEPTED.keys() & found
    assert len(found) > 90


def updatable(kind: str) -> set[str]:
    resource = schema(kind)
    fixed = [*resource.get("createOnlyProperties", []), *resource.get("readOnlyProperties", [])]
    return set(resource.get("properties", {})) - {pointer.split("/")[2] for pointer in fixed}
