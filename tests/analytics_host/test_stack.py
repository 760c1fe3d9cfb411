"""Facts about the stack's template: what is open, what a host may do, and what it is made of."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from settings import Settings, SettingsError

from ..conftest import ROOT, listed, of_type, one, synthesize
from .conftest import ELSEWHERE, user_data

STACK = "AnalyticsHost"


@pytest.mark.parametrize("everyone", ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/2"])
def test_whole_internet_is_refused_unless_a_second_setting_says_so(everyone: str) -> None:
    with pytest.raises(SettingsError, match="allow_anywhere"):
        Settings.from_context({"analytics_host:allowed_cidr": everyone})
    accepted = Settings.from_context({"analytics_host:allowed_cidr": everyone, "analytics_host:allow_anywhere": "true"})
    assert accepted.analytics_host.allowed_cidr == everyone


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"allowed_cidr": "203.0.113.0/33"}, "CIDR notation"),
        ({"vpc_id": "vpc-0123456789abcdef0"}, "needs analytics_host:subnet_id"),
        ({"email": "ops@example.com"}, "needs analytics_host:stop_schedule"),
        ({"subnet_id": "subnet-01234567"}, "needs analytics_host:vpc_id"),
        ({"allow_anywhere": "true"}, "needs analytics_host:allowed_cidr"),
        (
            {"idle_minutes": 30, "stop_schedule": "rate(1 day)"},
            'idle_minutes: given 30; has no effect with analytics_host:stop_schedule="rate',
        ),
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
def test_wrong_setting_is_refused_with_what_is_accepted(context: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Settings.from_context({f"analytics_host:{name}": value for name, value in context.items()})


@pytest.mark.parametrize(
    "name",
    [
        "t3.large",
        "u7i-12tb.224xlarge",
        "p5.48xlarge",
        "t8i.nano",
        "g5.xlarge",
        "m6i.metal",
        "r8i-flex.large",
        "u-6tb1.metal",
        "gr6.4xlarge",
    ],
)
def test_x86_types_are_accepted(name: str) -> None:
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
def test_schedule_expression_of_eventbridge_scheduler_is_accepted(expression: str) -> None:
    found = Settings.from_context({"analytics_host:stop_schedule": expression}).analytics_host
    assert found.stop_schedule == expression


def test_hosts_have_imdsv2_encrypted_gp3_and_stop_when_switched_off(full: dict[str, Any]) -> None:
    launches = of_type(full, "AWS::EC2::LaunchTemplate")
    assert launches
    for launch in launches:
        data = launch["LaunchTemplateData"]
        assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
        assert data["InstanceInitiatedShutdownBehavior"] == "stop"
        assert "KeyName" not in data, "nobody needs SSH"
    for instance in of_type(full, "AWS::EC2::Instance"):
        (device,) = instance["BlockDeviceMappings"]
        assert (device["Ebs"]["Encrypted"], device["Ebs"]["VolumeType"]) == (True, "gp3")
        assert device["Ebs"]["DeleteOnTermination"] is True, "it would stay, and cost, without its host"


def test_volumes_have_the_tags_of_their_instances(full: dict[str, Any]) -> None:
    """CloudFormation's tags reach an instance, and with this property the volumes that the instance itself maps."""
    instances = of_type(full, "AWS::EC2::Instance")
    assert len(instances) == 3
    for instance in instances:
        assert instance["PropagateTagsToVolumeOnCreation"] is True
        assert instance["BlockDeviceMappings"], "those of the launch template are not promised to have the tags"
        assert {tag["Key"] for tag in instance["Tags"]} == {"Name", "project", "system"}
    assert len({tag["Value"] for i in instances for tag in i["Tags"] if tag["Key"] == "Name"}) == 3
    for launch in of_type(full, "AWS::EC2::LaunchTemplate"):
        assert "BlockDeviceMappings" not in launch["LaunchTemplateData"], "two sources of a volume"
        assert "TagSpecifications" not in launch["LaunchTemplateData"], "two sources of a tag"


def test_credits_are_unlimited_where_the_type_has_credits(template: dict[str, Any], in_zone_b: dict[str, Any]) -> None:
    """An account's default can be standard, with which T3 starts at its baseline: the boot would take too long."""
    credits = one(template, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["CreditSpecification"]
    assert credits == {"CpuCredits": "unlimited"}
    assert "CreditSpecification" not in one(in_zone_b, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]


def test_new_version_of_its_launch_template_is_a_new_host(template: dict[str, Any]) -> None:
    version = template["Resources"]["Host"]["Properties"]["LaunchTemplate"]["Version"]
    assert version["Fn::GetAtt"][1] == "LatestVersionNumber", "changes of the boot script would change no host"


def test_image_is_ubuntus_own_and_found_without_a_lookup(template: dict[str, Any]) -> None:
    image = one(template, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["ImageId"]
    assert image.startswith("resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/")


def test_stack_waits_for_the_hosts_own_signal_and_the_host_for_its_permissions(template: dict[str, Any]) -> None:
    host = template["Resources"]["Host"]
    assert host["CreationPolicy"]["ResourceSignal"] == {"Count": 1, "Timeout": "PT45M"}
    policies = [name for name in host["DependsOn"] if template["Resources"][name]["Type"] == "AWS::IAM::Policy"]
    assert policies, "the host could start before it may read its package"
    routes = [name for name in host["DependsOn"] if template["Resources"][name]["Type"] == "AWS::EC2::Route"]
    assert routes, "the host could start before it can reach the internet"
    assert "LOGICAL_ID=Host\n" in user_data(template)[0]


def test_password_is_generated_and_nowhere_but_in_secrets_manager(template: dict[str, Any]) -> None:
    secret = one(template, "AWS::SecretsManager::Secret")
    assert secret["GenerateSecretString"]["PasswordLength"] >= 32
    assert json.loads(secret["GenerateSecretString"]["SecretStringTemplate"]) == {"username": "analyst"}
    assert "SecretString" not in secret
    assert "resolve:secretsmanager" not in json.dumps(template), "a dynamic reference would put it into a resource"


def test_buckets_are_private_encrypted_and_results_expire(template: dict[str, Any]) -> None:
    buckets = of_type(template, "AWS::S3::Bucket")
    assert len(buckets) == 2
    for bucket in buckets:
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert bucket["BucketEncryption"]
    expiring = [b for b in buckets if "ExpirationInDays" in json.dumps(b["LifecycleConfiguration"])]
    assert [b["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] for b in expiring] == [7]
    assert len(of_type(template, "AWS::S3::BucketPolicy")) == 2
    (kept,) = (b for b in buckets if b not in expiring)
    assert kept["VersioningConfiguration"] == {"Status": "Enabled"}, "what is written over would be lost"
    emptied = one(template, "Custom::S3AutoDeleteObjects")
    results = one(template, "AWS::Athena::WorkGroup")["WorkGroupConfiguration"]["ResultConfiguration"]
    assert emptied["BucketName"]["Ref"] in json.dumps(results["OutputLocation"])


def test_workgroup_rules_encrypts_and_limits(template: dict[str, Any]) -> None:
    assert one(template, "AWS::Athena::WorkGroup")["RecursiveDeleteOption"] is True, "its history would keep the stack"
    rules = one(template, "AWS::Athena::WorkGroup")["WorkGroupConfiguration"]
    assert rules["EnforceWorkGroupConfiguration"] is True
    assert rules["ResultConfiguration"]["EncryptionConfiguration"] == {"EncryptionOption": "SSE_S3"}
    assert rules["BytesScannedCutoffPerQuery"] == 100_000_000


def test_table_has_the_posts_39_columns_and_reads_quoted_csv_without_its_header(template: dict[str, Any]) -> None:
    tables = {t["TableInput"]["Name"]: t["TableInput"] for t in of_type(template, "AWS::Glue::Table")}
    csv, parquet = tables["billboard"], tables["billboard_parquet"]
    columns = csv["StorageDescriptor"]["Columns"]
    assert len(columns) == 39
    assert columns == parquet["StorageDescriptor"]["Columns"]
    assert csv["Parameters"]["skip.header.line.count"] == "1"
    serde = csv["StorageDescriptor"]["SerdeInfo"]
    assert serde["SerializationLibrary"].endswith("OpenCSVSerde")
    assert serde["Parameters"] == {"separatorChar": ",", "quoteChar": '"', "escapeChar": "\\"}
    assert {c["Type"] for c in columns} == {"int", "double", "string"}, "OpenCSVSerde knows these"


def test_parquet_is_an_option(elsewhere: dict[str, Any]) -> None:
    (table,) = of_type(elsewhere, "AWS::Glue::Table")
    assert table["TableInput"]["Name"] == "billboard"
    assert "ParquetLocation" not in elsewhere["Outputs"]


def test_posts_questions_are_named_queries(template: dict[str, Any]) -> None:
    queries = {q["Name"]: q["QueryString"] for q in of_type(template, "AWS::Athena::NamedQuery")}
    files = {path.stem for path in (ROOT / "assets/analytics_host/billboard/queries").glob("*.sql")}
    assert set(queries) == files
    assert "janet jackson" in queries["top_10_of_janet_jackson"]
    assert not any(text.startswith("--") for text in queries.values())


@pytest.mark.parametrize("kind", ["AWS::Glue::Table", "AWS::Athena::NamedQuery"])
def test_database_is_made_before_what_names_it(template: dict[str, Any], kind: str) -> None:
    resources = template["Resources"]
    (database,) = (name for name, resource in resources.items() if resource["Type"] == "AWS::Glue::Database")
    assert all(database in r["DependsOn"] for r in resources.values() if r["Type"] == kind), "it is known by name only"


def test_n_nodes_are_n_hosts_whose_cluster_traffic_stays_among_themselves(full: dict[str, Any]) -> None:
    hosts = [name for name, r in full["Resources"].items() if r["Type"] == "AWS::EC2::Instance"]
    assert hosts == ["Host", "Worker1", "Worker2"]
    ingress, egress = one(full, "AWS::EC2::SecurityGroupIngress"), one(full, "AWS::EC2::SecurityGroupEgress")
    assert (ingress["FromPort"], ingress["ToPort"]) == (54322, 54322), "and not H2O's REST port, 54321"
    assert ingress["SourceSecurityGroupId"] == ingress["GroupId"] == egress["DestinationSecurityGroupId"]
    told = user_data(full)
    assert all("H2O_NODES=3\n" in text for text in told)
    assert {text.split("LOGICAL_ID=")[1].split("\n")[0] for text in told} == set(hosts)
    generations = {text.split("GENERATION=")[1].split("\n")[0] for text in told}
    assert len(generations) == 1, "hosts of one deployment would not find each other"


def generation(template: dict[str, Any]) -> str:
    return user_data(template)[0].split("GENERATION=")[1].split("\n")[0]


def test_generation_changes_with_what_makes_new_hosts(
    template: dict[str, Any], in_zone_b: dict[str, Any], tmp_path: Path
) -> None:
    """Old hosts are there until the new ones are healthy, and must not be in their cluster."""
    larger = synthesize(tmp_path, {"analytics_host:volume_gb": "50"}, STACK).template(STACK)
    assert len({generation(t) for t in (template, larger, in_zone_b)}) == 3


def test_settings_of_what_is_beside_the_host_make_no_new_one(elsewhere: dict[str, Any], tmp_path: Path) -> None:
    """With a new host everything on the old one is gone."""
    beside = {
        "analytics_host:allowed_cidr": "198.51.100.0/24",
        "analytics_host:parquet": "true",
        "analytics_host:data_location": "s3://example-songs/billboard/",
        "analytics_host:results_retention_days": "1",
        "analytics_host:bytes_scanned_cutoff_mb": "10",
    }
    changed = synthesize(tmp_path, ELSEWHERE | beside, STACK).template(STACK)
    assert user_data(changed) == user_data(elsewhere)


@pytest.mark.reliability(
    "analytics_host",
    "Lost",
    fault="the scheduled stop cannot be done",
    expected="tried ten times, then it goes to the dead-letter queue, and an alarm goes off",
    observed="read from the template: the scheduler may write into that queue",
)
def test_scheduled_stop_has_its_own_role_retries_dead_letters_and_an_alarm(full: dict[str, Any]) -> None:
    schedule = one(full, "AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "cron(0 20 * * ? *)"
    target = schedule["Target"]
    assert json.dumps(target["Arn"]).endswith(':scheduler:::aws-sdk:ec2:stopInstances"]]}')
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert target["DeadLetterConfig"]["Arn"]
    (stop,) = (
        s
        for p in of_type(full, "AWS::IAM::Policy")
        for s in p["PolicyDocument"]["Statement"]
        if "ec2:StopInstances" in listed(s["Action"])
    )
    assert len(stop["Resource"]) == 3, "not exactly the three hosts"
    role = full["Resources"][target["RoleArn"]["Fn::GetAtt"][0]]["Properties"]["AssumeRolePolicyDocument"]
    assert role["Statement"][0]["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    queue = target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0]
    policies = [
        p for p in of_type(full, "AWS::IAM::Policy") if p["Roles"] == [{"Ref": target["RoleArn"]["Fn::GetAtt"][0]}]
    ]
    sends = [s for p in policies for s in p["PolicyDocument"]["Statement"] if "sqs:SendMessage" in listed(s["Action"])]
    assert [s["Resource"]["Fn::GetAtt"][0] for s in sends] == [queue], "what failed would be lost"
    assert any("could not be stopped" in a["AlarmDescription"] for a in of_type(full, "AWS::CloudWatch::Alarm"))
    assert all("IDLE_MINUTES=0\n" in text for text in user_data(full)), "both would stop it"


def test_idle_stop_is_the_default_and_needs_no_schedule(template: dict[str, Any]) -> None:
    assert not of_type(template, "AWS::Scheduler::Schedule")
    assert "IDLE_MINUTES=60\n" in user_data(template)[0]


def test_user_data_fits_ec2(full: dict[str, Any]) -> None:
    for text in user_data(full):
        assert len(base64.b64encode(text.encode())) < 16 * 1024


def test_commands_for_session_manager_are_outputs(template: dict[str, Any]) -> None:
    for service, port in (("RStudio", 8787), ("JupyterLab", 8888), ("H2O", 54321)):
        command = json.dumps(template["Outputs"][f"{service}Command"]["Value"])
        assert "AWS-StartPortForwardingSession" in command
        assert f"portNumber={port}" in command
