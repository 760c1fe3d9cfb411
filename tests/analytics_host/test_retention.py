"""Tests of what is retained after a failed stack creation and after stack deletion."""

import json
from typing import Any

import pytest

from settings.analytics_host import AnalyticsHostSettings

from ..conftest import only_resource, synthesize
from .conftest import user_data

STACK = "AnalyticsHost"


@pytest.fixture(scope="session")
def production(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return synthesize(tmp_path_factory.mktemp("production"), {"production": "true"}, STACK).template(STACK)


@pytest.mark.parametrize("name", ["template", "production"])
@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="stack creation fails",
    expected="the boot log is retained; no bucket is left",
    observed="template: `Retain` only on the log group; hosts write to the auto-emptied bucket",
)
def test_boot_log_is_retained_after_failed_creation(name: str, request: pytest.FixtureRequest) -> None:
    """RetainExceptOnCreate would delete the log when it is needed."""
    resources = request.getfixturevalue(name)["Resources"]
    (boot_log,) = (r for key, r in resources.items() if key.startswith("HostsBootLog"))
    assert boot_log["DeletionPolicy"] == "Retain"
    assert boot_log["Properties"]["RetentionInDays"] == 30
    assert "LogGroupName" not in boot_log["Properties"], "the next deployment would fail if the name exists"


@pytest.mark.reliability("analytics_host", "Partial failure", fault="stack creation fails")
def test_cluster_addresses_go_to_auto_emptied_bucket(full_template: dict[str, Any]) -> None:
    """CloudFormation can only delete empty buckets; a custom resource empties the results bucket."""
    (cluster,) = {text.split("CLUSTER_BUCKET=")[1].split("\n")[0] for text in user_data(full_template)}
    emptied = only_resource(full_template, "Custom::S3AutoDeleteObjects")["BucketName"]
    assert json.loads(cluster.strip("<>")) == emptied
    rules = full_template["Resources"][emptied["Ref"]]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [rule["Prefix"] for rule in rules] == ["queries/"], "if addresses expire, the cluster cannot start again"


def test_tables_from_queries_expire_with_the_results(template: dict[str, Any]) -> None:
    """Athena stores them in ``tables/`` below the workgroup's location."""
    configuration = only_resource(template, "AWS::Athena::WorkGroup")["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    _, (_, bucket, path) = configuration["ResultConfiguration"]["OutputLocation"]["Fn::Join"]
    rules = template["Resources"][bucket["Ref"]]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [rule["ExpirationInDays"] for rule in rules if f"{path}tables/".startswith(f"/{rule['Prefix']}")] == [
        AnalyticsHostSettings().results_retention_days
    ]


@pytest.mark.parametrize("name", ["template", "production"])
def test_home_directory_is_encrypted_backed_up_and_retained(name: str, request: pytest.FixtureRequest) -> None:
    template = request.getfixturevalue(name)
    (resource,) = (r for r in template["Resources"].values() if r["Type"] == "AWS::EFS::FileSystem")
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    properties = resource["Properties"]
    assert properties["Encrypted"] is True
    assert properties["BackupPolicy"] == {"Status": "ENABLED"}
    assert {"project", "system", "Name"} <= {tag["Key"] for tag in properties["FileSystemTags"]}
    (target_id,) = (key for key, r in template["Resources"].items() if r["Type"] == "AWS::EFS::MountTarget")
    target = template["Resources"][target_id]["Properties"]
    assert target["SubnetId"] == template["Resources"]["Host"]["Properties"]["SubnetId"]
    (script,) = user_data(template)
    address = json.loads(script.split("HOME_ADDRESS=<")[1].split(">\n")[0])
    assert address == {"Fn::GetAtt": [target_id, "IpAddress"]}


def test_only_hosts_reach_the_home_directory(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    (target,) = (r["Properties"] for r in resources.values() if r["Type"] == "AWS::EFS::MountTarget")
    (group,) = target["SecurityGroups"]
    (rule,) = resources[group["Fn::GetAtt"][0]]["Properties"]["SecurityGroupIngress"]
    hosts = rule["SourceSecurityGroupId"]
    assert (rule["FromPort"], rule["ToPort"]) == (2049, 2049)
    (egress,) = (r["Properties"] for r in resources.values() if r["Type"] == "AWS::EC2::SecurityGroupEgress")
    assert (egress["GroupId"], egress["DestinationSecurityGroupId"], egress["FromPort"]) == (hosts, group, 2049)


@pytest.mark.reliability("analytics_host", "Deleted externally", fault="the songs file")
def test_data_bucket_is_retained_and_results_deleted(template: dict[str, Any]) -> None:
    policies = {
        name: r["DeletionPolicy"] for name, r in template["Resources"].items() if r["Type"] == "AWS::S3::Bucket"
    }
    assert sorted((name.startswith("SongsData"), policy) for name, policy in policies.items()) == [
        (False, "Delete"),
        (True, "RetainExceptOnCreate"),
    ]


def test_saved_files_go_to_retained_versioned_bucket(template: dict[str, Any]) -> None:
    (script,) = user_data(template)
    reference = json.loads(script.split("DATA_BUCKET=<")[1].split(">\n")[0])
    bucket = template["Resources"][reference["Ref"]]
    assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert "ExpirationInDays" not in rule, "archives would expire"


@pytest.mark.parametrize("name", ["template", "production"])
def test_instance_that_is_replaced_can_be_terminated(name: str, request: pytest.FixtureRequest) -> None:
    """With DisableApiTermination, the old host would keep running after the update, outside of the stack."""
    template = request.getfixturevalue(name)
    assert "DisableApiTermination" not in json.dumps(template["Resources"])
    assert template["Resources"]["Host"].get("DeletionPolicy", "Delete") == "Delete"
