"""The rule that reports changes to the stack's own resources and to trails."""

import json
from typing import Any

import boto3
import pytest

from sandbox.ministack import eventbridge

from ..conftest import resources_of_type
from .test_stack import STACK, actions, tampering_rules


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="the stack's resources or a trail are changed or disabled",
    expected="reported without the function",
    observed="in the template",
)
def test_tampering_is_reported_without_the_function(template: dict[str, Any]) -> None:
    rule, attachment_rule = tampering_rules(template)
    by_others, attached = (r["EventPattern"]["detail"] for r in (rule, attachment_rule))
    assert (by_others["managementEvent"], by_others["readOnly"]) == ([True], [False])
    assert attached["$or"][0]["eventName"][0] == "SetTopicAttributes"
    assert by_others["sourceIPAddress"] == [{"anything-but": ["cloudformation.amazonaws.com"]}]
    trail, log_group, *own = by_others["$or"]
    assert log_group["eventName"] == ["AssociateKmsKey", "DeleteLogGroup"]
    assert "StopLogging" in trail["eventName"]
    watched = json.dumps(own)
    for kind in (
        "AWS::Lambda::Function",
        "AWS::SNS::Topic",
        "AWS::DynamoDB::Table",
        "AWS::KMS::Key",
    ):
        ids = [k for k, r in template["Resources"].items() if r["Type"] == kind]
        assert ids
        assert all(f'"{logical_id}"' in watched for logical_id in ids), kind
    (target,) = rule["Targets"]
    assert template["Resources"][target["Arn"]["Ref"]]["Type"] == "AWS::SNS::Topic"
    chosen_by_caller = {"$.detail.userAgent", "$.detail.userIdentity.arn", "$.detail.userIdentity.principalId"}
    assert not chosen_by_caller & set(target["InputTransformer"]["InputPathsMap"].values())


def resolved(value: Any) -> Any:
    """A template value after deployment; the physical name of a resource is its logical ID."""
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
        ("AWS::Events::Rule", "Sweep", "name", f"{STACK}-{{}}-0A1B2C3D4E5F"),
        ("AWS::Events::Rule", "Changes", "rule", f"{STACK}-{{}}-0A1B2C3D4E5F"),
        ("AWS::Events::Rule", "PolicyTampering", "name", f"{STACK}-{{}}-0A1B2C3D4E5F"),
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
        ("AWS::DynamoDB::Table", "State", "resourceArn", "arn:{}"),
        ("AWS::SNS::Topic", "", "resourceArn", "{}"),
        ("AWS::Logs::LogGroup", "FunctionLog", "logGroupName", f"{STACK}-{{}}-0A1B2C3D4E5F"),
        (
            "AWS::Logs::LogGroup",
            "FunctionLog",
            "resourceIdentifier",
            f"arn:aws:logs:us-east-1:1:log-group:{STACK}-{{}}",
        ),
        ("AWS::CloudWatch::Alarm", "NoSweep", "alarmNames", ["other", f"{STACK}-{{}}-0A1B2C3D4E5F"]),
        ("AWS::CloudWatch::Alarm", "NotReverted", "alarmName", f"{STACK}-{{}}-0A1B2C3D4E5F"),
    ],
)
def test_tampering_rule_matches_every_form_of_resource_name(
    template: dict[str, Any], resource_type: str, prefix: str, parameter: str, form: str | list[str]
) -> None:
    """A record contains the name as the caller wrote it; Lambda accepts partial ARNs."""
    resources = {k: r for k, r in template["Resources"].items() if r["Type"] == resource_type and k.startswith(prefix)}
    (name,) = resources
    value = form.format(name) if isinstance(form, str) else [part.format(name) for part in form]
    pattern = json.dumps(resolved(tampering_rules(template)[0]["EventPattern"]))

    def matches(parameter_value: Any, **more: Any) -> bool:
        detail = {"managementEvent": True, "readOnly": False, "sourceIPAddress": "203.0.113.7"} | more
        detail["eventName"] = "DeleteLogGroup" if parameter == "logGroupName" else "Any"
        detail["requestParameters"] = {parameter: parameter_value}
        event = {"Source": "aws.any", "DetailType": "AWS API Call via CloudTrail", "Detail": json.dumps(detail)}
        return bool(eventbridge.matches_pattern(pattern, event))

    assert matches(value)
    assert not matches("another")
    assert not matches(value, sourceIPAddress="cloudformation.amazonaws.com")


def call(name: str, parameters: dict[str, str], *, source: str = "aws.any", ip: str = "203.0.113.7") -> dict[str, str]:
    detail = {"managementEvent": True, "readOnly": False, "sourceIPAddress": ip}
    detail |= {"eventName": name, "eventSource": "cloudtrail.amazonaws.com", "requestParameters": parameters}
    return {"Source": source, "DetailType": "AWS API Call via CloudTrail", "Detail": json.dumps(detail)}


def is_reported(template: dict[str, Any], event: dict[str, str]) -> bool:
    patterns = [json.dumps(resolved(rule["EventPattern"])) for rule in tampering_rules(template)]
    return any(eventbridge.matches_pattern(pattern, event) for pattern in patterns)


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="a forged CloudTrail event on the event bus",
    expected="no notification",
    observed="in the template",
)
def test_forged_event_is_not_reported(template: dict[str, Any]) -> None:
    """PutEvents accepts any source that does not start with `aws.`, and any text in the detail."""
    assert is_reported(template, call("StopLogging", {}, source="aws.cloudtrail"))
    for source in ("my.app", "AWS.cloudtrail", "awsx"):
        assert not is_reported(template, call("StopLogging", {}, source=source)), source


def test_policy_attached_by_cloudformation_is_reported(template: dict[str, Any]) -> None:
    """Any stack can set the policy of a topic, a function or a key that another stack created."""
    (topic,) = (k for k, r in template["Resources"].items() if r["Type"] == "AWS::SNS::Topic")
    (function,) = (
        k for k, r in template["Resources"].items() if r["Type"] == "AWS::Lambda::Function" and k.startswith("Function")
    )
    by_stack = "cloudformation.amazonaws.com"
    assert is_reported(template, call("SetTopicAttributes", {"topicArn": topic}, ip=by_stack))
    assert is_reported(template, call("AddPermission", {"topicArn": topic}, ip=by_stack))
    assert is_reported(template, call("AddPermission20150331v2", {"functionName": function}, ip=by_stack))
    function_arn = f"arn:aws:lambda:us-east-1:111111111111:function:{function}"
    assert is_reported(template, call("PutResourcePolicy20260709", {"resourceArn": function_arn}, ip=by_stack))
    assert not is_reported(template, call("PutResourcePolicy20260709", {"resourceArn": "another"}, ip=by_stack))
    assert not is_reported(template, call("SetTopicAttributes", {"topicArn": "another"}, ip=by_stack))
    assert not is_reported(template, call("TagResource", {"resourceArn": topic}, ip=by_stack))


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="the rule that reports changes to the stack's resources is disabled",
    expected="reported by another rule, unless both are disabled within seconds",
    observed="in the template",
)
@pytest.mark.parametrize(("name", "parameter"), [("DisableRule", "name"), ("RemoveTargets", "rule")])
def test_disabled_tampering_rule_is_reported_by_the_other_rule(
    template: dict[str, Any], name: str, parameter: str
) -> None:
    tampering, other = tampering_rules(template)
    (tampering_name,) = (k for k, r in template["Resources"].items() if r["Properties"] == tampering)
    pattern = json.dumps(resolved(other["EventPattern"]))
    assert eventbridge.matches_pattern(pattern, call(name, {parameter: tampering_name}))
    assert not eventbridge.matches_pattern(pattern, call(name, {parameter: "another"}))
    by_stack = call(name, {parameter: tampering_name}, ip="cloudformation.amazonaws.com")
    assert not eventbridge.matches_pattern(pattern, by_stack)


def test_key_of_log_group_is_reported(template: dict[str, Any]) -> None:
    """CloudWatch Logs rejects log events, and so metrics, while it cannot use the key."""
    assert is_reported(template, call("AssociateKmsKey", {"logGroupName": f"{STACK}-FunctionLog-0A1B2C3D4E5F"}))


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="the key of the event bus is changed to one that is then disabled, which stops all rules",
    expected="reported; afterwards the alarm NoSweep",
    observed="in the template",
)
@pytest.mark.parametrize("ip", ["203.0.113.7", "cloudformation.amazonaws.com"])
def test_key_of_event_bus_is_reported(template: dict[str, Any], ip: str) -> None:
    """EventBridge encrypts the patterns and targets of a bus's rules with its key (user guide)."""
    parameters = {"name": "default", "kmsKeyIdentifier": "arn:aws:kms:us-east-1:111111111111:key/theirs"}
    assert is_reported(template, call("UpdateEventBus", parameters, ip=ip))


def test_every_call_that_changes_the_function_is_reported(template: dict[str, Any]) -> None:
    """PutResourcePolicy, for example, overwrites the permissions of EventBridge, and names the function by its ARN."""
    (name,) = (
        k for k, r in template["Resources"].items() if r["Type"] == "AWS::Lambda::Function" and k.startswith("Function")
    )
    arn = f"arn:aws:lambda:us-east-1:111111111111:function:{name}:$LATEST"
    model = boto3.client("lambda", "us-east-1").meta.service_model
    found = set()
    for operation in map(model.operation_model, model.operation_names):
        members = operation.input_shape.members if operation.input_shape else {}
        parameter = next((name for name in ("FunctionName", "ResourceArn") if name in members), None)
        if parameter and not operation.name.startswith(("Get", "List", "Invoke")):
            found.add(operation.name)
            record = call(operation.name, {f"{parameter[0].lower()}{parameter[1:]}": arn})
            assert is_reported(template, record), operation.name
    assert found > {"DeleteResourcePolicy", "PutFunctionConcurrency", "PutResourcePolicy", "RemovePermission"}


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="CloudWatch Logs no longer extracts metrics, so that the alarms on them are never raised",
    expected="reported",
    observed="in the template",
)
@pytest.mark.parametrize("ip", ["203.0.113.7", "cloudformation.amazonaws.com"])
def test_end_of_metric_extraction_is_reported(template: dict[str, Any], ip: str) -> None:
    parameters = {"policyName": "any", "policyType": "METRIC_EXTRACTION_POLICY", "policyDocument": "{}"}
    assert is_reported(template, call("PutAccountPolicy", parameters, ip=ip))
    other = parameters | {"policyType": "FIELD_INDEX_POLICY"}
    assert not is_reported(template, call("PutAccountPolicy", other, ip=ip))


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="the stack's resources or a trail are changed or disabled",
)
@pytest.mark.parametrize(
    ("resource_type", "prefix", "form"),
    [
        ("AWS::Events::Rule", "Sweep", f"arn:aws:events:us-east-1:111111111111:rule/{STACK}-{{}}-0A1B2C3D4E5F"),
        ("AWS::Events::Rule", "Changes", f"{STACK}-{{}}-0A1B2C3D4E5F"),
        ("AWS::Lambda::EventInvokeConfig", "Function", f"{STACK}-{{}}-0A1B2C3D4E5F|$LATEST"),
        ("AWS::SNS::Topic", "", f"arn:aws:sns:us-east-1:111111111111:{STACK}-{{}}-0A1B2C3D4E5F"),
        ("AWS::KMS::Key", "TopicKey", "{}"),
        ("AWS::CloudWatch::Alarm", "NoSweep", f"{STACK}-{{}}-0A1B2C3D4E5F"),
    ],
)
@pytest.mark.parametrize("name", ["UpdateResource", "DeleteResource"])
def test_change_through_cloud_control_is_reported(
    template: dict[str, Any], name: str, resource_type: str, prefix: str, form: str
) -> None:
    """AWS does not document the source of the calls that Cloud Control API makes. It can be CloudFormation."""
    (resource,) = (k for k, r in template["Resources"].items() if r["Type"] == resource_type and k.startswith(prefix))
    parameters = {"typeName": resource_type, "identifier": form.format(resource)}
    assert is_reported(template, call(name, parameters, source="aws.cloudcontrolapi"))
    other = parameters | {"identifier": "another"}
    assert not is_reported(template, call(name, other, source="aws.cloudcontrolapi"))


def test_rule_disabled_through_cloud_control_is_reported_by_the_other_rule(template: dict[str, Any]) -> None:
    (tampering, name), (other, other_name) = (
        (rule, key)
        for rule in tampering_rules(template)
        for key, resource in template["Resources"].items()
        if resource["Properties"] == rule
    )
    for rule, changed in ((tampering, f"{STACK}-{other_name}-0A1B2C3D4E5F"), (other, name)):
        record = call("UpdateResource", {"identifier": f"arn:aws:events:us-east-1:111111111111:rule/{changed}"})
        assert eventbridge.matches_pattern(json.dumps(resolved(rule["EventPattern"])), record)


def test_trail_stopped_through_cloud_control_is_reported(template: dict[str, Any]) -> None:
    parameters = {"typeName": "AWS::CloudTrail::Trail", "identifier": "any"}
    assert is_reported(template, call("UpdateResource", parameters, source="aws.cloudcontrolapi"))
    assert not is_reported(template, call("CreateResource", parameters, source="aws.cloudcontrolapi"))


def test_pattern_is_within_the_limit_of_eventbridge(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    for current, rule in ((t, rule) for t in (template, full_template) for rule in tampering_rules(t)):
        pattern = json.dumps(resolved(rule["EventPattern"]), separators=(",", ":"))
        names = [name for name in current["Resources"] if name in pattern]
        # Physical names start with the stack's name and end in 12 characters; ARNs have at most 60 before the name.
        added = sum(pattern.count(name) * len(f"{STACK}--123456789012") for name in names) + 60 * pattern.count("arn:")
        assert len(pattern) + added <= 2048


@pytest.mark.reliability(
    "security_group_revert",
    "Hostile input",
    fault="the stack's resources or a trail are changed or disabled",
)
def test_eventbridge_publishes_with_a_role_for_this_topic(template: dict[str, Any]) -> None:
    """SNS supports neither aws:SourceAccount nor aws:SourceArn for EventBridge in policies of topics."""
    (target,), (other,) = (rule["Targets"] for rule in tampering_rules(template))
    assert other["RoleArn"] == target["RoleArn"]
    role, _ = target["RoleArn"]["Fn::GetAtt"]
    (topic,) = (k for k, r in template["Resources"].items() if r["Type"] == "AWS::SNS::Topic")
    (key,) = (k for k, r in template["Resources"].items() if r["Type"] == "AWS::KMS::Key")
    (policy,) = (p for p in resources_of_type(template, "AWS::IAM::Policy") if {"Ref": role} in p["Roles"])
    allowed = {(a, json.dumps(s["Resource"])) for s in policy["PolicyDocument"]["Statement"] for a in actions(s)}
    key_arn = json.dumps({"Fn::GetAtt": [key, "Arn"]})
    assert allowed == {
        ("sns:Publish", json.dumps({"Ref": topic})),
        ("kms:Decrypt", key_arn),
        ("kms:GenerateDataKey*", key_arn),
    }
