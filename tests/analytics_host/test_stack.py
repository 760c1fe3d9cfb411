"""Tests of the settings, and of the template's hosts, songs and schedule."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from settings import Settings, SettingsError
from settings.analytics_host import AnalyticsHostSettings

from ..conftest import ROOT, as_list, only_resource, resources_of_type, synthesize
from .conftest import EXISTING_VPC, user_data

STACK = "AnalyticsHost"


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/2"])
def test_wide_allowed_cidr_requires_allow_anywhere(cidr: str) -> None:
    with pytest.raises(SettingsError, match="allow_anywhere"):
        Settings.from_context({"analytics_host:allowed_cidr": cidr})
    accepted = Settings.from_context({"analytics_host:allowed_cidr": cidr, "analytics_host:allow_anywhere": "true"})
    assert accepted.analytics_host.allowed_cidr == cidr


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"allowed_cidr": "203.0.113.0/33"}, "CIDR notation"),
        ({"vpc_id": "vpc-0123456789abcdef0"}, "needs analytics_host:subnet_id"),
        ({"email": "ops@example.com"}, "needs analytics_host:stop_schedule"),
        ({"subnet_id": "subnet-01234567"}, "needs analytics_host:vpc_id"),
        ({"allow_anywhere": "true"}, "needs analytics_host:allowed_cidr"),
        ({"user_name": "root; rm"}, "lowercase letters, digits"),
        ({"user_name": "root"}, "not an existing user or group of Ubuntu"),
        ({"user_name": "ubuntu"}, "not an existing user or group of Ubuntu"),
        ({"user_name": "systemd-resolve"}, "not an existing user or group of Ubuntu"),
        ({"user_name": "h2o"}, "not an existing user or group of Ubuntu"),
        ({"instance_type": "t4g.large"}, "x86_64"),
        ({"instance_type": "c7gn.large"}, "x86_64"),
        ({"instance_type": "m9gd.large"}, "x86_64"),
        ({"instance_type": "p6e-gb200.36xlarge"}, "x86_64"),
        ({"instance_type": "mac2.metal"}, "x86_64"),
        ({"instance_type": "t3.huge"}, "x86_64"),
        ({"instance_type": "zz9.large"}, "x86_64"),
        ({"instance_type": "t3.metal"}, "x86_64"),
        ({"instance_type": "t1.micro"}, "x86_64"),
        ({"instance_type": "m1.small"}, "x86_64"),
        ({"instance_type": "large"}, "such as t3.large"),
        ({"email": "ops", "stop_schedule": "rate(1 day)"}, "email address"),
        ({"data_location": "s3://bucket/songs"}, "with a trailing slash"),
        ({"stop_schedule": "rate(0 minutes)"}, "day of month or day of week is"),
        ({"stop_schedule": "cron(0 20 * * * *)"}, "day of month or day of week is"),
        ({"stop_schedule": "cron(0 20 ? * ? *)"}, "day of month or day of week is"),
        ({"stop_schedule": "cron(0 20 * * ?)"}, "day of month or day of week is"),
        ({"stop_schedule": "cron(0 24 * * ? *)"}, "day of month"),
        ({"stop_schedule": "cron(60 8 * * ? *)"}, "day of month"),
        ({"stop_schedule": "cron(0 8 ? * FUN *)"}, "day of month"),
        ({"data_location": "s3://a..b/songs/"}, "s3://<bucket>"),
        ({"data_location": "s3://192.0.2.1/songs/"}, "s3://<bucket>"),
        ({"data_location": "s3://xn--bucket/songs/"}, "s3://<bucket>"),
        ({"data_location": "s3://bucket/*/"}, "with a trailing slash"),
        ({"data_location": "s3://bucket/${aws:username}/"}, "with a trailing slash"),
        ({"availability_zone": "us-east-1"}, "such as us-east-1b"),
        ({"availability_zone": "us-gov-west-1a"}, "such as us-east-1b"),
        ({"availability_zone": "use1-az1"}, "such as us-east-1b"),
        (
            {
                "availability_zone": "us-east-1b",
                "vpc_id": "vpc-0123456789abcdef0",
                "subnet_id": "subnet-0123456789abcdef0",
            },
            "has no effect with analytics_host:subnet_id",
        ),
        ({"h2o_r_sha256": "abc"}, "64 lowercase hexadecimal"),
        ({"stop_schedule": "at 8"}, "such as cron"),
        ({"h2o_nodes": 0}, "a whole number from 1 to 16"),
        ({"bytes_scanned_cutoff_mb": 1}, "a whole number from 10 to 10000000"),
        ({"idle_minutes": True}, "a whole number from 0 to 10080"),
    ],
)
def test_invalid_setting_is_rejected_with_accepted_values(context: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.from_context({f"analytics_host:{name}": value for name, value in context.items()})


@pytest.mark.parametrize(
    "name",
    [
        "t3.large",
        "u7i-12tb.224xlarge",
        "p5.48xlarge",
        "c8i.large",
        "g5.xlarge",
        "m6i.metal",
        "r8i-flex.large",
        "u-6tb1.metal",
        "gr6.4xlarge",
    ],
)
def test_x86_instance_type_is_accepted(name: str) -> None:
    assert Settings.from_context({"analytics_host:instance_type": name}).analytics_host.instance_type == name


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 20 * * ? *)",
        "cron(0/15 8-18 ? JAN-MAR,6 MON-FRI 2027-2030)",
        "cron(30 2 L * ? *)",
        "cron(30 2 LW * ? *)",
        "cron(30 2 15W * ? *)",
        "cron(30 2 ? * 6L *)",
        "cron(30 2 ? * SUN#1 *)",
        "cron(*/5 * 1,15 */2 ? *)",
        "rate(1 day)",
        "rate(12 hours)",
    ],
)
def test_stop_schedule_expression_is_accepted(expression: str) -> None:
    settings = Settings.from_context({"analytics_host:stop_schedule": expression}).analytics_host
    assert settings.stop_schedule == expression


def test_hosts_have_imdsv2_encrypted_gp3_and_stop_on_shutdown(full_template: dict[str, Any]) -> None:
    launches = resources_of_type(full_template, "AWS::EC2::LaunchTemplate")
    assert launches
    for launch in launches:
        data = launch["LaunchTemplateData"]
        assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
        assert data["InstanceInitiatedShutdownBehavior"] == "stop"
        assert "KeyName" not in data, "SSH is not used"
    for instance in resources_of_type(full_template, "AWS::EC2::Instance"):
        (device,) = instance["BlockDeviceMappings"]
        assert (device["Ebs"]["Encrypted"], device["Ebs"]["VolumeType"]) == (True, "gp3")
        assert device["Ebs"]["DeleteOnTermination"] is True, "the volume would outlive its host"


def test_instance_tags_propagate_to_volumes(full_template: dict[str, Any]) -> None:
    """CloudFormation propagates tags only to volumes that the instance resource maps."""
    instances = resources_of_type(full_template, "AWS::EC2::Instance")
    assert len(instances) == 3
    for instance in instances:
        assert instance["PropagateTagsToVolumeOnCreation"] is True
        assert instance["BlockDeviceMappings"], "volumes of the launch template may not get the tags"
        assert {"Name", "project", "system"} <= {tag["Key"] for tag in instance["Tags"]}
    assert len({tag["Value"] for i in instances for tag in i["Tags"] if tag["Key"] == "Name"}) == 3
    for launch in resources_of_type(full_template, "AWS::EC2::LaunchTemplate"):
        assert "BlockDeviceMappings" not in launch["LaunchTemplateData"], "two definitions of the volume"
        assert "TagSpecifications" not in launch["LaunchTemplateData"], "two definitions of the tags"


def test_burstable_type_has_unlimited_credits(template: dict[str, Any], zone_b: dict[str, Any]) -> None:
    """If the account's default is standard, a T3 instance starts without credits and boots too slowly."""
    credits = only_resource(template, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["CreditSpecification"]
    assert credits == {"CpuCredits": "unlimited"}
    assert "CreditSpecification" not in only_resource(zone_b, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]


def test_host_uses_latest_launch_template_version(template: dict[str, Any]) -> None:
    version = template["Resources"]["Host"]["Properties"]["LaunchTemplate"]["Version"]
    assert version["Fn::GetAtt"][1] == "LatestVersionNumber", "a changed boot script would not replace the host"


def test_image_is_resolved_from_canonical_parameter(template: dict[str, Any]) -> None:
    image = only_resource(template, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["ImageId"]
    assert image.startswith("resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/")


def test_host_waits_for_permissions_and_stack_for_signal(template: dict[str, Any]) -> None:
    host = template["Resources"]["Host"]
    assert host["CreationPolicy"]["ResourceSignal"] == {"Count": 1, "Timeout": "PT45M"}
    policies = [name for name in host["DependsOn"] if template["Resources"][name]["Type"] == "AWS::IAM::Policy"]
    assert policies, "the host could start without permission to read its package"
    routes = [name for name in host["DependsOn"] if template["Resources"][name]["Type"] == "AWS::EC2::Route"]
    assert routes, "the host could start before it can reach the internet"
    assert "LOGICAL_ID=Host\n" in user_data(template)[0]


def test_password_is_generated_in_secrets_manager_only(template: dict[str, Any]) -> None:
    secret = only_resource(template, "AWS::SecretsManager::Secret")
    assert secret["GenerateSecretString"]["PasswordLength"] >= 32
    assert json.loads(secret["GenerateSecretString"]["SecretStringTemplate"]) == {"username": "analyst"}
    assert "SecretString" not in secret
    assert "resolve:secretsmanager" not in json.dumps(template), "a dynamic reference would store it in a resource"


def test_buckets_are_private_encrypted_and_results_expire(template: dict[str, Any]) -> None:
    buckets = resources_of_type(template, "AWS::S3::Bucket")
    assert len(buckets) == 2
    for bucket in buckets:
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert bucket["BucketEncryption"]
    expiring = [b for b in buckets if "ExpirationInDays" in json.dumps(b["LifecycleConfiguration"])]
    assert [b["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] for b in expiring] == [
        AnalyticsHostSettings().results_retention_days
    ]
    assert len(resources_of_type(template, "AWS::S3::BucketPolicy")) == 2
    (data,) = (b for b in buckets if b not in expiring)
    assert data["VersioningConfiguration"] == {"Status": "Enabled"}, "overwritten objects would be lost"
    emptied = only_resource(template, "Custom::S3AutoDeleteObjects")
    results = only_resource(template, "AWS::Athena::WorkGroup")["WorkGroupConfiguration"]["ResultConfiguration"]
    assert emptied["BucketName"]["Ref"] in json.dumps(results["OutputLocation"])


def test_workgroup_enforces_encryption_and_scan_limit(template: dict[str, Any]) -> None:
    assert only_resource(template, "AWS::Athena::WorkGroup")["RecursiveDeleteOption"] is True, (
        "its query history would block stack deletion"
    )
    configuration = only_resource(template, "AWS::Athena::WorkGroup")["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["ResultConfiguration"]["EncryptionConfiguration"] == {"EncryptionOption": "SSE_S3"}
    assert configuration["BytesScannedCutoffPerQuery"] == 100_000_000


def test_table_has_39_columns_and_reads_quoted_csv(template: dict[str, Any]) -> None:
    tables = {t["TableInput"]["Name"]: t["TableInput"] for t in resources_of_type(template, "AWS::Glue::Table")}
    csv, parquet = tables["billboard"], tables["billboard_parquet"]
    columns = csv["StorageDescriptor"]["Columns"]
    assert len(columns) == 39
    assert columns == parquet["StorageDescriptor"]["Columns"]
    assert csv["Parameters"]["skip.header.line.count"] == "1"
    serde = csv["StorageDescriptor"]["SerdeInfo"]
    assert serde["SerializationLibrary"].endswith("OpenCSVSerde")
    assert serde["Parameters"] == {"separatorChar": ",", "quoteChar": '"', "escapeChar": "\\"}
    assert all(c["Comment"] for c in columns)
    assert {c["Type"] for c in columns} == {"int", "double", "string"}, "OpenCSVSerDe supports only some types"


def test_parquet_false_creates_one_table(existing_vpc: dict[str, Any]) -> None:
    (table,) = resources_of_type(existing_vpc, "AWS::Glue::Table")
    assert table["TableInput"]["Name"] == "billboard"
    assert "ParquetLocation" not in existing_vpc["Outputs"]


def test_query_files_become_named_queries(template: dict[str, Any]) -> None:
    queries = {q["Name"]: q["QueryString"] for q in resources_of_type(template, "AWS::Athena::NamedQuery")}
    files = {path.stem for path in (ROOT / "assets/analytics_host/billboard/queries").glob("*.sql")}
    assert set(queries) == files
    assert "janet jackson" in queries["top_10_of_janet_jackson"]
    assert not any(text.startswith("--") for text in queries.values())


@pytest.mark.parametrize("kind", ["AWS::Glue::Table", "AWS::Athena::NamedQuery"])
def test_tables_and_queries_depend_on_database(template: dict[str, Any], kind: str) -> None:
    resources = template["Resources"]
    (database,) = (name for name, resource in resources.items() if resource["Type"] == "AWS::Glue::Database")
    assert all(database in r["DependsOn"] for r in resources.values() if r["Type"] == kind), (
        "no Ref creates the dependency"
    )


def test_h2o_nodes_share_one_port_and_cluster_id(full_template: dict[str, Any]) -> None:
    hosts = [name for name, r in full_template["Resources"].items() if r["Type"] == "AWS::EC2::Instance"]
    assert hosts == ["Host", "Worker1", "Worker2"]
    ingress = only_resource(full_template, "AWS::EC2::SecurityGroupIngress")
    rules = resources_of_type(full_template, "AWS::EC2::SecurityGroupEgress")
    (egress,) = (rule for rule in rules if rule["FromPort"] == 54324)  # the other rule is for the home directory
    assert (ingress["FromPort"], ingress["ToPort"]) == (54324, 54324), "not H2O's REST port 54323"
    assert ingress["SourceSecurityGroupId"] == ingress["GroupId"] == egress["DestinationSecurityGroupId"]
    scripts = user_data(full_template)
    assert all("H2O_NODES=3\n" in text for text in scripts)
    assert {text.split("LOGICAL_ID=")[1].split("\n")[0] for text in scripts} == set(hosts)
    cluster_ids = {text.split("CLUSTER_ID=")[1].split("\n")[0] for text in scripts}
    assert len(cluster_ids) == 1, "the hosts of one deployment would not form a cluster"


def cluster_id(template: dict[str, Any]) -> str:
    return user_data(template)[0].split("CLUSTER_ID=")[1].split("\n")[0]


def test_generation_changes_when_hosts_are_replaced(
    template: dict[str, Any], zone_b: dict[str, Any], tmp_path: Path
) -> None:
    """Old hosts exist until the new ones are healthy, and must not join their cluster."""
    larger = synthesize(tmp_path, {"analytics_host:volume_gb": "50"}, STACK).template(STACK)
    assert len({cluster_id(t) for t in (template, larger, zone_b)}) == 3


def test_unrelated_settings_do_not_replace_host(existing_vpc: dict[str, Any], tmp_path: Path) -> None:
    """Replacing a host deletes its data."""
    unrelated = {
        "analytics_host:allowed_cidr": "198.51.100.0/24",
        "analytics_host:parquet": "true",
        "analytics_host:data_location": "s3://example-songs/billboard/",
        "analytics_host:results_retention_days": "1",
        "analytics_host:bytes_scanned_cutoff_mb": "10",
    }
    changed = synthesize(tmp_path, EXISTING_VPC | unrelated, STACK).template(STACK)
    assert user_data(changed) == user_data(existing_vpc)


@pytest.mark.reliability(
    "analytics_host",
    "Lost event or response",
    fault="the scheduled stop fails",
    expected="ten retries, then the dead-letter queue and an alarm",
    observed="template: EventBridge Scheduler can send to the queue",
)
def test_scheduled_stop_has_role_retries_dlq_and_alarm(full_template: dict[str, Any]) -> None:
    schedule = only_resource(full_template, "AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "cron(0 20 * * ? *)"
    target = schedule["Target"]
    assert json.dumps(target["Arn"]).endswith(':scheduler:::aws-sdk:ec2:stopInstances"]]}')
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert target["DeadLetterConfig"]["Arn"]
    (stop,) = (
        s
        for p in resources_of_type(full_template, "AWS::IAM::Policy")
        for s in p["PolicyDocument"]["Statement"]
        if "ec2:StopInstances" in as_list(s["Action"])
    )
    assert len(stop["Resource"]) == 3, "the schedule must stop exactly the three hosts"
    role = full_template["Resources"][target["RoleArn"]["Fn::GetAtt"][0]]["Properties"]["AssumeRolePolicyDocument"]
    assert role["Statement"][0]["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    queue = target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0]
    policies = [
        p
        for p in resources_of_type(full_template, "AWS::IAM::Policy")
        if p["Roles"] == [{"Ref": target["RoleArn"]["Fn::GetAtt"][0]}]
    ]
    sends = [s for p in policies for s in p["PolicyDocument"]["Statement"] if "sqs:SendMessage" in as_list(s["Action"])]
    assert [s["Resource"]["Fn::GetAtt"][0] for s in sends] == [queue], "failed stops would be lost"
    assert any(
        "could not be stopped" in a["AlarmDescription"]
        for a in resources_of_type(full_template, "AWS::CloudWatch::Alarm")
    )
    assert all("IDLE_MINUTES=60\n" in text for text in user_data(full_template)), "the schedule disables the idle stop"


def test_idle_stop_is_the_default(template: dict[str, Any]) -> None:
    assert not resources_of_type(template, "AWS::Scheduler::Schedule")
    assert "IDLE_MINUTES=60\n" in user_data(template)[0]


def test_user_data_fits_ec2_limit(full_template: dict[str, Any]) -> None:
    for text in user_data(full_template):
        assert len(base64.b64encode(text.encode())) < 16 * 1024


def test_outputs_have_session_manager_commands(template: dict[str, Any]) -> None:
    for service, port in (("RStudio", 8787), ("JupyterLab", 8888), ("H2O", 54321)):
        command = json.dumps(template["Outputs"][f"{service}Command"]["Value"])
        assert "AWS-StartPortForwardingSession" in command
        assert f"portNumber={port}" in command
