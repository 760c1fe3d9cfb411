"""The template of SecurityGroupRevert."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lambdas.security_group_revert.cloudtrail import INTERFACE_EVENTS, PREFIX_LIST_EVENTS
from lambdas.security_group_revert.logs import METRIC_NAMESPACE
from settings.security_group_revert import MAX_GROUPS

from ..conftest import EVERYTHING, ROOT, Assembly, resources_of_type, synthesize

STACK = "SecurityGroupRevert"


def statements(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [s for p in resources_of_type(template, "AWS::IAM::Policy") for s in p["PolicyDocument"]["Statement"]]


def actions(statement: dict[str, Any]) -> list[str]:
    value = statement["Action"]
    return value if isinstance(value, list) else [value]


READS = {
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroupRules",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeVpcEndpoints",
}


@pytest.fixture(scope="session")
def notify_only(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    settings = {"security_group_revert:mode": "notify", "security_group_revert:restore": "false"}
    return synthesize(tmp_path_factory.mktemp("notify"), settings, STACK).template(STACK)


def changes_rule(template: dict[str, Any]) -> dict[str, Any]:
    rules = resources_of_type(template, "AWS::Events::Rule")
    (rule,) = (r for r in rules if r.get("EventPattern", {}).get("source") == ["aws.ec2"])
    return rule


def tampering_rules(template: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rule for calls of others, and the one for policies that are attached also by CloudFormation."""
    rules = [
        r
        for r in resources_of_type(template, "AWS::Events::Rule")
        if r.get("EventPattern", {}).get("source") == [{"prefix": "aws."}]
    ]
    return sorted(rules, key=lambda rule: "sourceIPAddress" not in rule["EventPattern"]["detail"])


def test_sample_group_by_default_allows_https_in_default_vpc(template: dict[str, Any]) -> None:
    (group,) = resources_of_type(template, "AWS::EC2::SecurityGroup")
    (rule,) = group["SecurityGroupIngress"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["CidrIp"]) == ("tcp", 443, 443, "0.0.0.0/0")
    assert "VpcId" not in group


def test_sample_group_with_vpc_id_is_in_that_vpc(full_template: dict[str, Any]) -> None:
    (group,) = resources_of_type(full_template, "AWS::EC2::SecurityGroup")
    assert group["VpcId"] == "vpc-0123456789abcdef0"


def test_function_role_can_change_only_guarded_groups(full_template: dict[str, Any]) -> None:
    changing = [s for s in statements(full_template) if any(re.match("ec2:(?!Describe)", a) for a in actions(s))]
    assert changing, "no write access"
    for statement in changing:
        resources = json.dumps(statement["Resource"])
        if actions(statement) == ["ec2:ModifySecurityGroupRules"] and "security-group-rule/*" in resources:
            continue  # EC2 authorizes the group as well
        assert "sg-0123456789abcdef0" in resources
        assert "SampleGroup" in resources
        assert "*" not in resources, f"a wildcard in {resources}"


def test_function_role_has_no_permission_on_prefix_lists(full_template: dict[str, Any]) -> None:
    """EC2 authorizes ModifySecurityGroupRules for a rule's prefix list, and the function modifies no such rule."""
    assert "prefix_list_id" in json.dumps(EVERYTHING), "no approved rule has a prefix list"
    assert not [s for s in statements(full_template) if "prefix-list" in json.dumps(s["Resource"])]


def test_function_role_has_only_documented_wildcards(full_template: dict[str, Any]) -> None:
    for statement in statements(full_template):
        wild = {action for action in actions(statement) if "*" in action}
        assert wild <= {"kms:GenerateDataKey*"}, wild
        if statement["Resource"] == "*":
            assert set(actions(statement)) == READS


def test_notify_mode_grants_only_read_access_to_ec2(notify_only: dict[str, Any]) -> None:
    granted = {action for s in statements(notify_only) for action in actions(s) if action.startswith("ec2:")}
    assert granted == READS


def test_function_environment_contains_settings(template: dict[str, Any], notify_only: dict[str, Any]) -> None:
    for variant, mode, restore in ((template, "revert", "true"), (notify_only, "notify", "false")):
        (function,) = resources_of_type(variant, "AWS::Lambda::Function")
        variables = function["Environment"]["Variables"]
        assert (variables["MODE"], variables["RESTORE"]) == (mode, restore)
        assert (variables["MAX_REVERTS"], variables["REVERT_WINDOW_HOURS"]) == ("10", "24")
        names = {"MODE", "RESTORE", "TOPIC_ARN", "SAMPLE_GROUP_ID", "STATE_TABLE", "LOG_LEVEL"}
        assert (variables["BREAK_GLASS_PRINCIPALS"], variables["BREAK_GLASS_MINUTES"]) == ("[]", "60")
        names |= {"MAX_REVERTS", "REVERT_WINDOW_HOURS", "BREAK_GLASS_PRINCIPALS", "BREAK_GLASS_MINUTES"}
        assert set(variables) == names
        # Calls are sequential: EC2 refills 20 filtered Describe calls per second, a response takes up to 0.3 s, and
        # throttled calls are retried. Groups at the end of a sweep that times out would never be checked.
        assert function["Timeout"] >= MAX_GROUPS * 0.3 + 120


def test_function_log_config_keeps_metric_lines(template: dict[str, Any]) -> None:
    """Lambda treats lines without "level" as INFO, so a higher application log level would drop the metrics."""
    (function,) = resources_of_type(template, "AWS::Lambda::Function")
    assert function["LoggingConfig"]["LogFormat"] == "JSON"
    assert function["LoggingConfig"].get("ApplicationLogLevel", "INFO") == "INFO"


def test_egress_calls_are_granted_and_matched_only_with_egress(
    template: dict[str, Any], full_template: dict[str, Any]
) -> None:
    for variant, expected in ((template, False), (full_template, True)):
        granted = {a for s in statements(variant) for a in actions(s)}
        matched = changes_rule(variant)["EventPattern"]["detail"]["eventName"]
        assert ("ec2:RevokeSecurityGroupEgress" in granted) is expected
        assert ("AuthorizeSecurityGroupEgress" in matched) is expected


@pytest.mark.reliability(
    "security_group_revert",
    "System-specific",
    fault="the function's own calls cause events",
    expected="they do not invoke the function",
    observed="the EventBridge rule excludes the function's role",
)
def test_changes_rule_matches_successful_calls_by_others(template: dict[str, Any]) -> None:
    detail = changes_rule(template)["EventPattern"]["detail"]
    assert detail["errorCode"] == [{"exists": False}]
    assert (
        set(detail["eventName"])
        == {
            "AuthorizeSecurityGroupIngress",
            "ModifySecurityGroupRules",
            "RevokeSecurityGroupIngress",
            "UpdateSecurityGroupRuleDescriptionsIngress",
        }
        | PREFIX_LIST_EVENTS
        | INTERFACE_EVENTS
    )
    (function,) = resources_of_type(template, "AWS::Lambda::Function")
    issuers = [d["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"][0] for d in detail["$or"]]
    assert issuers == [{"exists": False}, {"anything-but": [function["Role"]]}]


@pytest.mark.reliability("security_group_revert", "Lost event or response", fault="the event of a change")
def test_sweep_by_default_runs_every_five_minutes(template: dict[str, Any]) -> None:
    schedules = [
        r["ScheduleExpression"] for r in resources_of_type(template, "AWS::Events::Rule") if "ScheduleExpression" in r
    ]
    assert schedules == ["rate(5 minutes)"]


@pytest.mark.reliability(
    "security_group_revert",
    "Lost event or response",
    fault="an event cannot be delivered or processed",
    expected="sent to the dead-letter queue, which has an alarm",
    observed="EventBridge and the function can send to it",
)
def test_failed_events_are_retried_and_sent_to_the_dlq(template: dict[str, Any]) -> None:
    (queue_id,) = (k for k, r in template["Resources"].items() if r["Type"] == "AWS::SQS::Queue")
    queue = {"Fn::GetAtt": [queue_id, "Arn"]}
    (invoke,) = resources_of_type(template, "AWS::Lambda::EventInvokeConfig")
    assert invoke["MaximumRetryAttempts"] == 2
    assert invoke["DestinationConfig"]["OnFailure"]["Destination"] == queue
    for rule in resources_of_type(template, "AWS::Events::Rule"):
        (target,) = rule["Targets"]
        assert target["DeadLetterConfig"]["Arn"] == queue
        if rule not in tampering_rules(template):  # which keeps EventBridge's default, 24 hours
            assert target["RetryPolicy"]["MaximumRetryAttempts"] == 3


@pytest.mark.reliability(
    "security_group_revert",
    "Throttling",
    fault="Lambda throttles the function",
    expected="events wait; an alarm is raised",
    observed="template: an alarm on throttles",
)
def test_alarms_notify_the_topic(template: dict[str, Any]) -> None:
    alarms = {alarm["MetricName"]: alarm for alarm in resources_of_type(template, "AWS::CloudWatch::Alarm")}
    no_sweep, slow = alarms.pop("Invocations"), alarms.pop("SecondsToRevert")
    standard = {"Errors", "Throttles", "ApproximateNumberOfMessagesVisible"}
    assert set(alarms) == standard | {"MissedEvents", "NotReverted", "RevertsSuspended"}
    (topic_id,) = (k for k, r in template["Resources"].items() if r["Type"] == "AWS::SNS::Topic")
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == [{"Ref": topic_id}]
        assert (alarm["Threshold"], alarm["TreatMissingData"]) == (1, "notBreaching")
    for name in ("MissedEvents", "NotReverted", "RevertsSuspended"):
        assert alarms[name]["Statistic"] == "Maximum"
        assert alarms[name]["Namespace"] == METRIC_NAMESPACE
        assert not alarms[name].get("Dimensions")
    assert no_sweep["AlarmActions"] == slow["AlarmActions"] == [{"Ref": topic_id}]
    assert (slow["Threshold"], slow["ComparisonOperator"]) == (300, "GreaterThanThreshold")


@pytest.mark.reliability(
    "security_group_revert",
    "Lost event or response",
    fault="the sweep, after its rule is disabled or deleted",
    expected="an alarm after three intervals",
    observed="template: missing data is breaching",
)
def test_missing_sweep_raises_alarm(template: dict[str, Any], tmp_path: Path) -> None:
    """Also with the longest interval: CloudWatch evaluates at most seven days with periods of an hour or more."""
    daily = synthesize(tmp_path, {"security_group_revert:sweep_minutes": 1440}, STACK).template(STACK)
    for variant in (template, daily):
        (alarm,) = (a for a in resources_of_type(variant, "AWS::CloudWatch::Alarm") if a["Namespace"] == "AWS/Events")
        (sweep_id,) = (k for k, r in variant["Resources"].items() if "ScheduleExpression" in r["Properties"])
        assert alarm["Dimensions"] == [{"Name": "RuleName", "Value": {"Ref": sweep_id}}]
        assert (alarm["TreatMissingData"], alarm["ComparisonOperator"]) == ("breaching", "LessThanThreshold")
        limit = 7 * 86400 if alarm["Period"] >= 3600 else 86400
        assert alarm["Period"] * alarm["EvaluationPeriods"] <= limit


def test_alarms_are_created_after_the_topic_policy(full_template: dict[str, Any]) -> None:
    """The notification of an alarm that is raised immediately, such as NoSweep, would be lost."""
    needed = {
        k
        for k, r in full_template["Resources"].items()
        if r["Type"] in ("AWS::SNS::TopicPolicy", "AWS::SNS::Subscription")
    }
    assert len(needed) == 2
    for name, resource in full_template["Resources"].items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            assert needed <= set(resource.get("DependsOn", [])), name


def test_state_table_is_on_demand_expires_and_is_private(template: dict[str, Any]) -> None:
    (table_id,) = (k for k, r in template["Resources"].items() if r["Type"] == "AWS::DynamoDB::Table")
    table = template["Resources"][table_id]["Properties"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    granted = [s for s in statements(template) if any(a.startswith("dynamodb:") for a in actions(s))]
    assert all(s["Resource"] == {"Fn::GetAtt": [table_id, "Arn"]} for s in granted)
    calls = {"dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"}
    assert {a for s in granted for a in actions(s)} == calls


def test_alarms_can_publish_to_the_encrypted_topic(template: dict[str, Any]) -> None:
    (key,) = resources_of_type(template, "AWS::KMS::Key")
    (policy,) = resources_of_type(template, "AWS::SNS::TopicPolicy")
    granted: set[str] = set()
    for document in (key["KeyPolicy"], policy["PolicyDocument"]):
        allowed = [s for s in document["Statement"] if s["Principal"] == {"Service": "cloudwatch.amazonaws.com"}]
        assert allowed, f"CloudWatch is not allowed in {document}"
        granted |= set(actions(allowed[0]))
        assert allowed[0]["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert granted == {"kms:Decrypt", "kms:GenerateDataKey*", "sns:Publish"}
    assert key["EnableKeyRotation"] is True


def test_email_setting_subscribes_address(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    assert not resources_of_type(template, "AWS::SNS::Subscription")
    (subscription,) = resources_of_type(full_template, "AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")


def test_create_trail_adds_encrypted_validated_private_trail(
    template: dict[str, Any], full_template: dict[str, Any]
) -> None:
    assert not resources_of_type(template, "AWS::CloudTrail::Trail")
    (trail,) = resources_of_type(full_template, "AWS::CloudTrail::Trail")
    assert trail["EnableLogFileValidation"] is True
    assert trail["IsLogging"] is True
    assert trail["KMSKeyId"]
    (selectors,) = trail["EventSelectors"]
    assert (selectors["IncludeManagementEvents"], selectors["ReadWriteType"]) == (True, "WriteOnly")
    (bucket,) = resources_of_type(full_template, "AWS::S3::Bucket")
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["BucketEncryption"]


@pytest.mark.reliability(
    "security_group_revert",
    "Partial failure",
    fault="the creation of a stack fails (any of the systems)",
)
def test_trail_is_created_after_all_other_resources(full_template: dict[str, Any]) -> None:
    """Its bucket soon contains a log file, so a rollback could not delete it."""
    (trail,) = (r for r in full_template["Resources"].values() if r["Type"] == "AWS::CloudTrail::Trail")
    others = {
        name for name, r in full_template["Resources"].items() if r is not trail and not name.startswith("TrailKey")
    }
    assert others == set(trail["DependsOn"])


def test_function_package_contains_code_and_approved_rules(full_assembly: Assembly) -> None:
    (package,) = full_assembly.directory.glob("asset.*/security_group_revert")
    sources = {p.name for p in (ROOT / "lambdas" / "security_group_revert").glob("*.py")}
    assert {p.name for p in package.iterdir()} == sources | {"approved.json"}
    sample, database = json.loads((package / "approved.json").read_text())
    assert sample["group_id_variable"] == "SAMPLE_GROUP_ID"
    assert database["group_id"] == "sg-0123456789abcdef0"
    assert database["ingress"][0]["ReferencedGroupId"] == "sg-0fedcba9876543210"
    for group in (sample, database):
        assert group["egress"] == [{"IpProtocol": "-1", "CidrIpv4": "0.0.0.0/0"}]
        # EC2 adds it only in a VPC with an IPv6 CIDR block (VPC user guide, default security groups).
        assert group["optional_egress"] == [{"IpProtocol": "-1", "CidrIpv6": "::/0"}]


def test_explicit_egress_tolerates_no_other_rule(tmp_path: Path) -> None:
    rule = {"ip_protocol": "-1", "cidr_ipv4": "0.0.0.0/0"}
    groups = [{"group_id": "sg-0123456789abcdef0", "egress": [rule]}]
    context = {"security_group_revert:guard_egress": True, "security_group_revert:groups": groups}
    package = synthesize(tmp_path, context, STACK).directory
    (path,) = package.glob("asset.*/security_group_revert/approved.json")
    sample, explicit = json.loads(path.read_text())
    assert (bool(sample["optional_egress"]), explicit["optional_egress"]) == (True, [])


def test_sample_group_approved_rules_match_the_template(assembly: Assembly) -> None:
    (package,) = assembly.directory.glob("asset.*/security_group_revert")
    (approved,) = json.loads((package / "approved.json").read_text())
    (group,) = resources_of_type(assembly.template(STACK), "AWS::EC2::SecurityGroup")
    (rule,) = group["SecurityGroupIngress"]
    (wanted,) = approved["ingress"]
    assert approved["egress"] is None, "egress is not guarded by default"
    assert wanted == {("CidrIpv4" if name == "CidrIp" else name): value for name, value in rule.items()}
