"""Facts about the stack's template: behaviour and policy."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ministack.services import eventbridge

from lambdas.security_group_revert.cloudtrail import INTERFACE_EVENTS, PREFIX_LIST_EVENTS
from lambdas.security_group_revert.notice import METRIC_NAMESPACE
from settings.security_group_revert import MAX_GROUPS

from ..conftest import ROOT, Assembly, of_type, synthesize

STACK = "SecurityGroupRevert"


def statements(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [s for p in of_type(template, "AWS::IAM::Policy") for s in p["PolicyDocument"]["Statement"]]


def actions(statement: dict[str, Any]) -> list[str]:
    found = statement["Action"]
    return found if isinstance(found, list) else [found]


@pytest.fixture(scope="session")
def notify_only(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    settings = {"security_group_revert:mode": "notify", "security_group_revert:restore": "false"}
    return synthesize(tmp_path_factory.mktemp("notify"), settings, STACK).template(STACK)


def changes_rule(template: dict[str, Any]) -> dict[str, Any]:
    (rule,) = (r for r in of_type(template, "AWS::Events::Rule") if r.get("EventPattern", {}).get("source"))
    return rule


def tampering_rule(template: dict[str, Any]) -> dict[str, Any]:
    (rule,) = (
        r for r in of_type(template, "AWS::Events::Rule") if "EventPattern" in r and "source" not in r["EventPattern"]
    )
    return rule


def test_sample_group_is_open_on_https_only_in_the_default_vpc(template: dict[str, Any]) -> None:
    (group,) = of_type(template, "AWS::EC2::SecurityGroup")
    (rule,) = group["SecurityGroupIngress"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["CidrIp"]) == ("tcp", 443, 443, "0.0.0.0/0")
    assert "VpcId" not in group


def test_sample_group_goes_into_the_vpc_of_the_settings(full: dict[str, Any]) -> None:
    (group,) = of_type(full, "AWS::EC2::SecurityGroup")
    assert group["VpcId"] == "vpc-0123456789abcdef0"


def test_function_may_change_the_guarded_groups_only(full: dict[str, Any]) -> None:
    changing = [s for s in statements(full) if any(re.match("ec2:(?!Describe)", a) for a in actions(s))]
    assert changing, "it may change nothing"
    for statement in changing:
        resources = json.dumps(statement["Resource"])
        if actions(statement) == ["ec2:ModifySecurityGroupRules"] and "security-group-rule/*" in resources:
            continue  # EC2 authorizes the group as well
        assert "sg-0123456789abcdef0" in resources
        assert "WebServer" in resources
        assert "*" not in resources, f"a wildcard in {resources}"


def test_prefix_lists_are_granted_only_when_an_approved_rule_refers_to_one(
    template: dict[str, Any], full: dict[str, Any]
) -> None:
    """EC2 authorizes ModifySecurityGroupRules for the prefix list of a rule, too; it may be AWS's."""
    for found, expected in ((template, False), (full, True)):
        granted = [s for s in statements(found) if "prefix-list" in json.dumps(s["Resource"])]
        assert bool(granted) is expected
        for statement in granted:
            assert actions(statement) == ["ec2:ModifySecurityGroupRules"]
            assert ":*:prefix-list/*" in json.dumps(statement["Resource"])


def test_function_has_no_wildcard_action_but_kms_and_no_other_star_resource(full: dict[str, Any]) -> None:
    for statement in statements(full):
        wild = {action for action in actions(statement) if "*" in action}
        assert wild <= {"kms:GenerateDataKey*"}, wild
        if statement["Resource"] == "*":
            assert actions(statement) == ["ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups"]


def test_notify_mode_has_no_permission_to_change_anything(notify_only: dict[str, Any]) -> None:
    granted = {action for s in statements(notify_only) for action in actions(s) if action.startswith("ec2:")}
    assert granted == {"ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups"}


def test_function_is_told_of_its_settings(template: dict[str, Any], notify_only: dict[str, Any]) -> None:
    for found, mode, restore in ((template, "revert", "true"), (notify_only, "notify", "false")):
        (function,) = of_type(found, "AWS::Lambda::Function")
        variables = function["Environment"]["Variables"]
        assert (variables["MODE"], variables["RESTORE"]) == (mode, restore)
        assert (variables["MAX_REVERTS"], variables["REVERT_WINDOW_HOURS"]) == ("10", "24")
        names = {"MODE", "RESTORE", "TOPIC_ARN", "WEB_SERVER_GROUP_ID", "STATE_TABLE"}
        assert set(variables) == names | {"MAX_REVERTS", "REVERT_WINDOW_HOURS"}
        # One call after the other: EC2's steady rate for a filtered Describe call is 20 a second, an answer takes up
        # to 0.3 s, and throttled calls are repeated. Groups at the end of a sweep that is cut off are never checked.
        assert function["Timeout"] >= MAX_GROUPS * 0.3 + 120


def test_egress_calls_are_granted_and_matched_only_when_egress_is_guarded(
    template: dict[str, Any], full: dict[str, Any]
) -> None:
    for found, expected in ((template, False), (full, True)):
        granted = {a for s in statements(found) for a in actions(s)}
        matched = changes_rule(found)["EventPattern"]["detail"]["eventName"]
        assert ("ec2:RevokeSecurityGroupEgress" in granted) is expected
        assert ("AuthorizeSecurityGroupEgress" in matched) is expected


@pytest.mark.reliability(
    "security_group_revert",
    "Only here",
    fault="the function's own calls come back as events",
    expected="they start nothing",
    observed="EventBridge's rule leaves out the function's role",
)
def test_events_are_successful_calls_by_others(template: dict[str, Any]) -> None:
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
    (function,) = of_type(template, "AWS::Lambda::Function")
    issuers = [d["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"][0] for d in detail["$or"]]
    assert issuers == [{"exists": False}, {"anything-but": [function["Role"]]}]


@pytest.mark.reliability("security_group_revert", "Lost", fault="the event of a change")
def test_sweep_comes_every_five_minutes_by_default(template: dict[str, Any]) -> None:
    schedules = [r["ScheduleExpression"] for r in of_type(template, "AWS::Events::Rule") if "ScheduleExpression" in r]
    assert schedules == ["rate(5 minutes)"]


@pytest.mark.reliability(
    "security_group_revert",
    "Lost",
    fault="an event that cannot be delivered or handled",
    expected="kept in the dead-letter queue, whose alarm tells",
    observed="EventBridge and the function may write into it",
)
def test_nothing_asynchronous_is_lost(template: dict[str, Any]) -> None:
    (queue_id,) = (k for k, r in template["Resources"].items() if r["Type"] == "AWS::SQS::Queue")
    queue = {"Fn::GetAtt": [queue_id, "Arn"]}
    (invoke,) = of_type(template, "AWS::Lambda::EventInvokeConfig")
    assert invoke["MaximumRetryAttempts"] == 2
    assert invoke["DestinationConfig"]["OnFailure"]["Destination"] == queue
    for rule in of_type(template, "AWS::Events::Rule"):
        (target,) = rule["Targets"]
        assert target["DeadLetterConfig"]["Arn"] == queue
        if rule != tampering_rule(template):  # EventBridge's default, 24 hours
            assert target["RetryPolicy"]["MaximumRetryAttempts"] == 3


@pytest.mark.reliability(
    "security_group_revert",
    "Throttling",
    fault="Lambda refuses to run the function",
    expected="events wait; an alarm goes off",
    observed="read from the template: an alarm on throttles",
)
def test_alarms_on_errors_throttles_dead_letters_and_failed_reverts_go_to_the_topic(template: dict[str, Any]) -> None:
    alarms = {alarm["MetricName"]: alarm for alarm in of_type(template, "AWS::CloudWatch::Alarm")}
    no_sweep = alarms.pop("Invocations")
    standard = {"Errors", "Throttles", "ApproximateNumberOfMessagesVisible"}
    assert set(alarms) == standard | {"NotReverted", "RevertsSuspended"}
    (topic_id,) = (k for k, r in template["Resources"].items() if r["Type"] == "AWS::SNS::Topic")
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == [{"Ref": topic_id}]
        assert (alarm["Threshold"], alarm["TreatMissingData"]) == (1, "notBreaching")
    for name in ("NotReverted", "RevertsSuspended"):
        assert alarms[name]["Statistic"] == "Maximum"
        assert alarms[name]["Namespace"] == METRIC_NAMESPACE
        assert not alarms[name].get("Dimensions")
    assert no_sweep["AlarmActions"] == [{"Ref": topic_id}]


@pytest.mark.reliability(
    "security_group_revert",
    "Lost",
    fault="the sweep, because its rule is disabled or deleted",
    expected="an alarm after three intervals",
    observed="read from the template: missing data is breaching",
)
def test_missing_sweep_is_an_alarm(template: dict[str, Any], tmp_path: Path) -> None:
    """Also with the longest interval: CloudWatch evaluates at most seven days of hours or longer periods."""
    daily = synthesize(tmp_path, {"security_group_revert:sweep_minutes": 1440}, STACK).template(STACK)
    for found in (template, daily):
        (alarm,) = (a for a in of_type(found, "AWS::CloudWatch::Alarm") if a["Namespace"] == "AWS/Events")
        (sweep_id,) = (k for k, r in found["Resources"].items() if "ScheduleExpression" in r["Properties"])
        assert alarm["Dimensions"] == [{"Name": "RuleName", "Value": {"Ref": sweep_id}}]
        assert (alarm["TreatMissingData"], alarm["ComparisonOperator"]) == ("breaching", "LessThanThreshold")
        limit = 7 * 86400 if alarm["Period"] >= 3600 else 86400
        assert alarm["Period"] * alarm["EvaluationPeriods"] <= limit


def test_every_alarm_is_created_after_the_policy_of_its_topic(full: dict[str, Any]) -> None:
    """An alarm that goes off at once, as the one about missing sweeps does, would not reach anybody."""
    needed = {
        k for k, r in full["Resources"].items() if r["Type"] in ("AWS::SNS::TopicPolicy", "AWS::SNS::Subscription")
    }
    assert len(needed) == 2
    for name, resource in full["Resources"].items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            assert needed <= set(resource.get("DependsOn", [])), name


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="the guard or a trail is changed or switched off",
    expected="reported without the function",
    observed="read from the template",
)
def test_changes_to_the_guard_and_stopped_trails_are_reported_without_the_function(template: dict[str, Any]) -> None:
    rule = tampering_rule(template)
    detail = rule["EventPattern"]["detail"]
    assert (detail["managementEvent"], detail["readOnly"]) == ([True], [False])
    assert detail["sourceIPAddress"] == [{"anything-but": ["cloudformation.amazonaws.com"]}]
    trail, log_group, *own = detail["$or"]
    assert "StopLogging" in trail["eventName"]
    assert log_group["eventName"] == ["DeleteLogGroup"]
    watched = json.dumps(own)
    for kind in (
        "AWS::Events::Rule",
        "AWS::Lambda::Function",
        "AWS::SNS::Topic",
        "AWS::DynamoDB::Table",
        "AWS::KMS::Key",
    ):
        ids = [k for k, r in template["Resources"].items() if r["Type"] == kind and r["Properties"] != rule]
        assert ids
        assert all(f'"{logical_id}"' in watched for logical_id in ids), kind
    (target,) = rule["Targets"]
    assert template["Resources"][target["Arn"]["Ref"]]["Type"] == "AWS::SNS::Topic"
    chosen_by_the_caller = {"$.detail.userAgent", "$.detail.userIdentity.arn", "$.detail.userIdentity.principalId"}
    assert not chosen_by_the_caller & set(target["InputTransformer"]["InputPathsMap"].values())


def resolved(value: Any) -> Any:
    """The value of a template as after a deployment; a resource's physical name is its logical id."""
    if isinstance(value, list):
        return [resolved(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return value["Ref"]
    if "Fn::GetAtt" in value:
        return f"arn:{value['Fn::GetAtt'][0]}"
    if "Fn::Join" in value:
        return value["Fn::Join"][0].join(map(resolved, value["Fn::Join"][1]))
    return {name: resolved(item) for name, item in value.items()}


@pytest.mark.parametrize(
    ("resource_type", "prefix", "parameter", "form"),
    [
        ("AWS::Events::Rule", "Sweep", "name", "{}"),
        ("AWS::Events::Rule", "Changes", "rule", "{}"),
        ("AWS::Lambda::Function", "Function", "functionName", "{}"),
        ("AWS::Lambda::Function", "Function", "functionName", "arn:aws:lambda:us-east-1:111111111111:function:{}"),
        ("AWS::Lambda::Function", "Function", "functionName", "111111111111:function:{}"),
        ("AWS::Lambda::Function", "Function", "functionName", "function:{}:$LATEST"),
        ("AWS::KMS::Key", "TopicKey", "keyId", "{}"),
        ("AWS::KMS::Key", "TopicKey", "keyId", "arn:{}"),
        ("AWS::SNS::Topic", "", "topicArn", "{}"),
        ("AWS::SNS::Topic", "", "subscriptionArn", "{}:0a1b2c3d"),
        ("AWS::DynamoDB::Table", "State", "tableName", "{}"),
        ("AWS::DynamoDB::Table", "State", "tableName", "arn:{}"),
        ("AWS::SNS::Topic", "", "resourceArn", "{}"),
        ("AWS::Logs::LogGroup", "FunctionLog", "logGroupName", f"{STACK}-{{}}-0A1B2C3D4E5F"),
        ("AWS::CloudWatch::Alarm", "NoSweep", "alarmNames", ["other", f"{STACK}-{{}}-0A1B2C3D4E5F"]),
        ("AWS::CloudWatch::Alarm", "NotReverted", "alarmName", f"{STACK}-{{}}-0A1B2C3D4E5F"),
    ],
)
def test_call_on_the_guard_is_reported_however_it_names_the_resource(
    template: dict[str, Any], resource_type: str, prefix: str, parameter: str, form: str | list[str]
) -> None:
    """The record of a call has the name as the caller wrote it; Lambda accepts partial ARNs."""
    found = {k: r for k, r in template["Resources"].items() if r["Type"] == resource_type and k.startswith(prefix)}
    (name,) = found
    given = form.format(name) if isinstance(form, str) else [part.format(name) for part in form]
    pattern = json.dumps(resolved(tampering_rule(template)["EventPattern"]))

    def matches(value: Any, **more: Any) -> bool:
        detail = {"managementEvent": True, "readOnly": False, "sourceIPAddress": "203.0.113.7"} | more
        detail["eventName"] = "DeleteLogGroup" if parameter == "logGroupName" else "Any"
        detail["requestParameters"] = {parameter: value}
        event = {"Source": "aws.any", "DetailType": "AWS API Call via CloudTrail", "Detail": json.dumps(detail)}
        return bool(eventbridge._matches_pattern(pattern, event))

    assert matches(given)
    assert not matches("another")
    assert not matches(given, sourceIPAddress="cloudformation.amazonaws.com")


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="the guard or a trail is changed or switched off",
)
def test_eventbridge_can_publish_to_the_encrypted_topic(template: dict[str, Any]) -> None:
    """Without conditions: SNS supports none between EventBridge and an encrypted topic."""
    principal = {"Service": "events.amazonaws.com"}
    (key,) = of_type(template, "AWS::KMS::Key")
    (policy,) = of_type(template, "AWS::SNS::TopicPolicy")
    for document, action in ((key["KeyPolicy"], "kms:Decrypt"), (policy["PolicyDocument"], "sns:Publish")):
        (statement,) = (s for s in document["Statement"] if s["Principal"] == principal)
        assert action in actions(statement)
        assert "Condition" not in statement


def test_state_expires_costs_nothing_idle_and_is_the_functions_only(template: dict[str, Any]) -> None:
    (table_id,) = (k for k, r in template["Resources"].items() if r["Type"] == "AWS::DynamoDB::Table")
    table = template["Resources"][table_id]["Properties"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    granted = [s for s in statements(template) if any(a.startswith("dynamodb:") for a in actions(s))]
    assert all(s["Resource"] == {"Fn::GetAtt": [table_id, "Arn"]} for s in granted)
    calls = {"dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"}
    assert {a for s in granted for a in actions(s)} == calls


def test_alarms_can_use_the_encrypted_topic(template: dict[str, Any]) -> None:
    (key,) = of_type(template, "AWS::KMS::Key")
    (policy,) = of_type(template, "AWS::SNS::TopicPolicy")
    granted: set[str] = set()
    for document in (key["KeyPolicy"], policy["PolicyDocument"]):
        allowed = [s for s in document["Statement"] if s["Principal"] == {"Service": "cloudwatch.amazonaws.com"}]
        assert allowed, f"CloudWatch is not allowed in {document}"
        granted |= set(actions(allowed[0]))
        assert allowed[0]["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert granted == {"kms:Decrypt", "kms:GenerateDataKey*", "sns:Publish"}
    assert key["EnableKeyRotation"] is True


def test_email_is_subscribed_when_given(template: dict[str, Any], full: dict[str, Any]) -> None:
    assert not of_type(template, "AWS::SNS::Subscription")
    (subscription,) = of_type(full, "AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")


def test_trail_is_made_when_asked_for_encrypted_validated_and_private(
    template: dict[str, Any], full: dict[str, Any]
) -> None:
    assert not of_type(template, "AWS::CloudTrail::Trail")
    (trail,) = of_type(full, "AWS::CloudTrail::Trail")
    assert trail["EnableLogFileValidation"] is True
    assert trail["IsLogging"] is True
    assert trail["KMSKeyId"]
    (selectors,) = trail["EventSelectors"]
    assert (selectors["IncludeManagementEvents"], selectors["ReadWriteType"]) == (True, "WriteOnly")
    (bucket,) = of_type(full, "AWS::S3::Bucket")
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["BucketEncryption"]


@pytest.mark.reliability(
    "security_group_revert",
    "Partial failure",
    fault="the creation of a stack fails (any of the systems)",
)
def test_trail_is_created_after_everything_else(full: dict[str, Any]) -> None:
    """Its bucket has a log file from then on, and could not be deleted when something after it fails."""
    (trail,) = (r for r in full["Resources"].values() if r["Type"] == "AWS::CloudTrail::Trail")
    others = {name for name, r in full["Resources"].items() if r is not trail and not name.startswith("TrailKey")}
    assert others == set(trail["DependsOn"])


def test_function_package_has_its_handlers_and_the_approved_rules_only(full_assembly: Assembly) -> None:
    (package,) = full_assembly.directory.glob("asset.*/security_group_revert")
    assert [p.name for p in package.parent.iterdir()] == ["security_group_revert"]
    sources = {p.name for p in (ROOT / "lambdas" / "security_group_revert").glob("*.py")}
    assert {p.name for p in package.iterdir()} == sources | {"approved.json"}
    sample, database = json.loads((package / "approved.json").read_text())
    assert sample["group_id_variable"] == "WEB_SERVER_GROUP_ID"
    assert database["group_id"] == "sg-0123456789abcdef0"
    assert database["ingress"][0]["ReferencedGroupId"] == "sg-0fedcba9876543210"
    for group in (sample, database):
        assert group["egress"] == [{"IpProtocol": "-1", "CidrIpv4": "0.0.0.0/0"}]
        # EC2 adds it only in a VPC with an IPv6 CIDR block (VPC user guide, default security groups).
        assert group["tolerated_egress"] == [{"IpProtocol": "-1", "CidrIpv6": "::/0"}]


def test_egress_of_the_settings_tolerates_no_other_rule(tmp_path: Path) -> None:
    rule = {"ip_protocol": "-1", "cidr_ipv4": "0.0.0.0/0"}
    groups = [{"group_id": "sg-0123456789abcdef0", "egress": [rule]}]
    context = {"security_group_revert:egress": True, "security_group_revert:groups": groups}
    package = synthesize(tmp_path, context, STACK).directory
    (path,) = package.glob("asset.*/security_group_revert/approved.json")
    sample, explicit = json.loads(path.read_text())
    assert (bool(sample["tolerated_egress"]), explicit["tolerated_egress"]) == (True, [])


def test_approved_rules_of_the_sample_group_are_those_of_the_template(assembly: Assembly) -> None:
    (package,) = assembly.directory.glob("asset.*/security_group_revert")
    (approved,) = json.loads((package / "approved.json").read_text())
    (group,) = of_type(assembly.template(STACK), "AWS::EC2::SecurityGroup")
    (rule,) = group["SecurityGroupIngress"]
    (wanted,) = approved["ingress"]
    assert approved["egress"] is None, "egress is not guarded by default"
    assert wanted == {("CidrIpv4" if name == "CidrIp" else name): value for name, value in rule.items()}
