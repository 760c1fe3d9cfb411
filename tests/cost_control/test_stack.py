"""The template of CostControl."""

import json
import re
from typing import Any

import pytest

from sandbox.iam.policy import Decision, Request
from stacks.cost_control.deny_policy import DENIED_ACTIONS

from ..conftest import EVERYTHING, Assembly, as_list, only_resource, resources_of_type, synthesize
from ..deployed_template import ACCOUNT, DeployedTemplate

STACK = "CostControl"
INSTANCE = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-0123456789abcdef0"
SCALING_GROUP = f"arn:aws:autoscaling:us-east-1:{ACCOUNT}:autoScalingGroup:1a2b:autoScalingGroupName/web"
WRITES = re.compile(r"(iam|ec2|autoscaling|rds|kms):(?!Describe|Get|List)\w+")


def statements(template: dict[str, Any], function: str) -> list[dict[str, Any]]:
    """Statements of a function's role that can change the account."""
    found = [
        statement
        for policy in resources_of_type(template, "AWS::IAM::Policy")
        if policy["Roles"][0]["Ref"].startswith(f"{function}Role")
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    assert found
    return [s for s in found if any(WRITES.match(action) for action in as_list(s["Action"]))]


def actions(template: dict[str, Any], function: str) -> set[str]:
    return {action for s in statements(template, function) for action in as_list(s["Action"])}


def test_report_mode_grants_no_change(template: dict[str, Any]) -> None:
    functions = [name for name in template["Resources"] if name.startswith(("Deny", "Stop")) and "Role" in name]
    policies = json.dumps(resources_of_type(template, "AWS::IAM::Policy"))
    assert functions
    for action in ("AttachGroupPolicy", "AttachRolePolicy", "StopInstances", "StopDBInstance"):
        assert action not in policies


def test_deny_function_attaches_only_the_policy_to_the_settings_principals(full_template: dict[str, Any]) -> None:
    policy = next(name for name in full_template["Resources"] if name.startswith("DenyPolicy"))
    for statement in statements(full_template, "Deny"):
        assert statement["Condition"] == {"ArnEquals": {"iam:PolicyARN": {"Ref": policy}}}
        assert re.search(r"group/projectBeta|role/team/deployer", json.dumps(statement["Resource"]))
        assert "*" not in json.dumps(statement["Resource"])
    assert actions(full_template, "Deny") == {"iam:AttachGroupPolicy", "iam:AttachRolePolicy"}


def test_stop_function_needs_the_projects_tag_and_no_exempt_tag(full_template: dict[str, Any]) -> None:
    expected = {
        "StringEquals": {"aws:ResourceTag/Project": "Beta"},
        "Null": {"aws:ResourceTag/KeepRunning": "true"},
    }
    assert [s["Condition"] for s in statements(full_template, "Stop")] == [expected] * 4


@pytest.mark.parametrize(
    ("action", "resource", "tags", "decision"),
    [
        ("ec2:StopInstances", INSTANCE, {"Project": "Beta"}, Decision.ALLOWED),
        ("ec2:StopInstances", INSTANCE, {"Project": "Beta", "KeepRunning": ""}, Decision.IMPLICITLY_DENIED),
        ("ec2:StopInstances", INSTANCE, {"Project": "Alpha"}, Decision.IMPLICITLY_DENIED),
        ("ec2:StopInstances", INSTANCE, {}, Decision.IMPLICITLY_DENIED),
        ("ec2:TerminateInstances", INSTANCE, {"Project": "Beta"}, Decision.IMPLICITLY_DENIED),
        ("autoscaling:UpdateAutoScalingGroup", SCALING_GROUP, {"Project": "Beta"}, Decision.ALLOWED),
        ("autoscaling:DeleteAutoScalingGroup", SCALING_GROUP, {"Project": "Beta"}, Decision.IMPLICITLY_DENIED),
        ("rds:StopDBInstance", f"arn:aws:rds:us-east-1:{ACCOUNT}:db:orders", {"Project": "Beta"}, Decision.ALLOWED),
    ],
)
def test_stop_function_can_stop_only_the_project(
    full_template: dict[str, Any], action: str, resource: str, tags: dict[str, str], decision: Decision
) -> None:
    template = DeployedTemplate(STACK, full_template)
    (role,) = (r.arn for r in template.of_type("AWS::IAM::Role") if r.id.startswith("StopRole"))
    context: dict[str, Any] = {f"aws:ResourceTag/{key}": value for key, value in tags.items()}
    assert template.decide(Request(role, action, resource, context)) is decision


def test_only_release_can_detach_and_only_the_policy(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    """Also with the mode report, and for principals that the settings no longer have."""
    for variant in (template, full_template):
        detaching = [s for s in statements(variant, "Undo") if "iam:Detach" in json.dumps(s["Action"])]
        assert len(detaching) == 2
        for statement in detaching:
            assert statement["Condition"]["ArnEquals"].keys() == {"iam:PolicyARN"}
        others = ("Decide", "Record", "Deny", "Stop", "Notify", "Receiver")
        assert not any("Detach" in json.dumps(statements(variant, name)) for name in others)


def test_release_starts_only_tagged_resources(template: dict[str, Any]) -> None:
    starting = [s for s in statements(template, "Undo") if not str(s["Action"]).startswith("iam:")]
    tagged = {"StringEquals": {"aws:ResourceTag/Project": "Beta"}}
    assert [s["Condition"] for s in starting] == [tagged] * 4


def test_release_can_use_volume_keys_only_for_ec2(full_template: dict[str, Any]) -> None:
    (statement,) = (s for s in statements(full_template, "Undo") if s["Action"] == "kms:CreateGrant")
    assert statement["Condition"]["Bool"] == {"kms:GrantIsForAWSResource": "true"}
    assert "ec2." in json.dumps(statement["Condition"]["StringEquals"]["kms:ViaService"])


def test_deny_policy_is_attached_to_nothing_and_spares_exempt_principals(full_template: dict[str, Any]) -> None:
    policy = only_resource(full_template, "AWS::IAM::ManagedPolicy")
    assert not policy.keys() & {"Groups", "Roles", "Users"}
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Deny", "*")
    exempt = json.dumps(statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"])
    assert "user/alice" in exempt
    assert "group/ops" not in exempt  # no request comes from a group


@pytest.mark.parametrize("action", ["ec2:RunInstances", "ec2:StartInstances", "autoscaling:SetDesiredCapacity"])
def test_deny_policy_denies_starting(template: dict[str, Any], action: str) -> None:
    (statement,) = only_resource(template, "AWS::IAM::ManagedPolicy")["PolicyDocument"]["Statement"]
    assert action in statement["Action"]


def test_deny_policy_names_actions_that_neither_read_nor_reduce() -> None:
    reducing = re.compile(r"Stop|Terminate|Delete|Describe|Get|List|Release|Suspend|Cancel")
    names = [name for names in DENIED_ACTIONS.values() for name in names]
    assert not [name for name in names if reducing.match(name) or "*" in name]


def test_budget_has_a_notification_for_each_threshold(template: dict[str, Any]) -> None:
    properties = only_resource(template, "AWS::Budgets::Budget")
    assert properties["Budget"]["CostFilters"] == {"TagKeyValue": ["user:Project$Beta"]}
    assert properties["Budget"]["CostTypes"] == {"IncludeCredit": False, "IncludeRefund": False}
    notifications = [
        (n["Notification"]["NotificationType"], n["Notification"]["Threshold"])
        for n in properties["NotificationsWithSubscribers"]
    ]
    assert notifications == [("ACTUAL", 80), ("FORECASTED", 100), ("ACTUAL", 100)]
    assert all(len(n["Subscribers"]) == 1 for n in properties["NotificationsWithSubscribers"])


def test_other_thresholds_give_the_budget_another_name(template: dict[str, Any], tmp_path_factory: Any) -> None:
    """CloudFormation creates the replacement, with the new notifications, before it deletes the old budget."""
    settings = {"cost_control:thresholds": [{"percent": 50}]}
    other = synthesize(tmp_path_factory.mktemp("thresholds"), settings, STACK).template(STACK)
    names = [json.dumps(only_resource(t, "AWS::Budgets::Budget")["Budget"]["BudgetName"]) for t in (template, other)]
    assert names[0] != names[1]
    assert all("us-east-1" in name or "AWS::Region" in name for name in names)  # names are unique in an account


@pytest.mark.parametrize("function", ["Decide", "Deny"])
def test_members_of_exempt_groups_can_be_read(full_template: dict[str, Any], function: str) -> None:
    readable = " ".join(
        json.dumps(statement["Resource"])
        for policy in resources_of_type(full_template, "AWS::IAM::Policy")
        if policy["Roles"][0]["Ref"].startswith(f"{function}Role")
        for statement in policy["PolicyDocument"]["Statement"]
        if "iam:GetGroup" in as_list(statement["Action"])
    )
    assert "group/projectBeta" in readable
    assert "group/ops" in readable


@pytest.mark.reliability(
    "cost_control",
    "Hostile input",
    fault="somebody stops the executions of `Guard`",
    expected="an alarm",
    observed="GuardAborted counts them",
)
@pytest.mark.parametrize(
    ("state_machine", "metric"),
    [
        ("Guard", "ExecutionsAborted"),
        ("Guard", "ExecutionsFailed"),
        ("Guard", "ExecutionsTimedOut"),
        ("Release", "ExecutionsFailed"),
        ("Release", "ExecutionsTimedOut"),
    ],
)
def test_state_machine_that_ends_early_raises_an_alarm(
    template: dict[str, Any], state_machine: str, metric: str
) -> None:
    alarms = resources_of_type(template, "AWS::CloudWatch::Alarm")
    (alarm,) = (
        a for a in alarms if a["MetricName"] == metric and state_machine in json.dumps(a["Dimensions"][0]["Value"])
    )
    assert alarm["AlarmActions"]


@pytest.mark.reliability(
    "cost_control",
    "Hostile input",
    fault="somebody disables, deletes or redirects the rule for the hourly check, or throttles the function",
    expected="an alarm",
    observed="NoCheck counts the calls of the function; three periods, because the schedule is not aligned with them",
)
def test_missing_check_raises_alarm(template: dict[str, Any]) -> None:
    """The rule counts an invocation even if its target is another function, or if the function is throttled."""
    alarms = resources_of_type(template, "AWS::CloudWatch::Alarm")
    (alarm,) = (a for a in alarms if a["ComparisonOperator"] == "LessThanThreshold")
    (receiver,) = (n for n, r in template["Resources"].items() if r["Type"] == "AWS::Lambda::Function"
                   and n.startswith("Receiver"))  # fmt: skip
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/Lambda", "Invocations", "Sum")
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": receiver}}]
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["Threshold"]) == (3600, 3, 1)
    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["AlarmActions"]


def test_record_is_not_deleted_before_the_policy(template: dict[str, Any]) -> None:
    """CloudFormation cannot delete an attached policy. Then the record of what is denied must still exist."""
    (policy,) = (r for r in template["Resources"].values() if r["Type"] == "AWS::IAM::ManagedPolicy")
    assert any(name.startswith("RecordTable") for name in policy["DependsOn"])


def test_budget_is_created_after_the_topics_policy(template: dict[str, Any]) -> None:
    (budget,) = (r for r in template["Resources"].values() if r["Type"] == "AWS::Budgets::Budget")
    assert any(name.startswith("SignalsPolicy") for name in budget["DependsOn"])


@pytest.mark.parametrize("prefix", ["Signals", "TopicKey"])
def test_only_budgets_of_this_account_can_use_topic_and_key(template: dict[str, Any], prefix: str) -> None:
    documents = [
        r["Properties"].get("PolicyDocument") or r["Properties"]["KeyPolicy"]
        for name, r in template["Resources"].items()
        if name.startswith(prefix) and r["Type"] in ("AWS::SNS::TopicPolicy", "AWS::KMS::Key")
    ]
    (statement,) = (
        s for document in documents for s in document["Statement"] if "budgets.amazonaws.com" in json.dumps(s)
    )
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


def test_record_can_be_restored(template: dict[str, Any]) -> None:
    table = only_resource(template, "AWS::DynamoDB::Table")
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_tripwire_reports_to_both_topics(full_template: dict[str, Any], template: dict[str, Any]) -> None:
    alarms = [
        a for a in resources_of_type(full_template, "AWS::CloudWatch::Alarm") if a.get("Namespace") == "AWS/Billing"
    ]
    (alarm,) = alarms
    assert (alarm["MetricName"], alarm["Threshold"], alarm["Dimensions"]) == (
        "EstimatedCharges",
        500,
        [{"Name": "Currency", "Value": "USD"}],
    )
    assert len(alarm["AlarmActions"]) == 2
    assert "AWS/Billing" not in json.dumps(template)


def test_manual_release_has_no_schedule(tmp_path_factory: Any, template: dict[str, Any]) -> None:
    manual = synthesize(tmp_path_factory.mktemp("manual"), {"cost_control:release": "manual"}, STACK).template(STACK)
    schedules = [
        {rule["ScheduleExpression"] for rule in resources_of_type(t, "AWS::Events::Rule")} for t in (template, manual)
    ]
    assert schedules == [{"rate(1 hour)", "cron(10 0 * * ? *)"}, {"rate(1 hour)"}]


def test_options_of_the_functions_are_the_settings(full_assembly: Assembly) -> None:
    (file,) = full_assembly.directory.glob("asset.*/cost_control/options.json")
    options = json.loads(file.read_text())
    for name in ("mode", "groups", "roles", "exempt_principals", "stop_databases"):
        assert options[name] == EVERYTHING[f"cost_control:{name}"]
    assert options["thresholds"][2] == {"percent": 100, "kind": "ACTUAL", "actions": ["deny", "stop"]}
