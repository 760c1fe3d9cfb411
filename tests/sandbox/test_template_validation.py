"""Templates and parameter values that CloudFormation refuses, with its messages."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.cloudformation.early_validation import find_errors
from sandbox.cloudformation.template_validation import TemplateError, changed_types, unsupported_attribute
from sandbox.cloudformation.validation import check_parameters, validate
from sandbox.cloudtrail import USER
from sandbox.iam.authorization import CALLER

QUEUE = {"Type": "AWS::SQS::Queue"}
TOPIC = {"Type": "AWS::SNS::Topic"}
TABLE = "AWS::DynamoDB::Table"


def template(**sections: Any) -> str:
    return json.dumps({"Resources": {"Jobs": QUEUE}} | sections)


def queue(**properties: Any) -> dict[str, Any]:
    return {"Jobs": QUEUE | {"Properties": properties}}


def refusal(body: str, **values: str) -> str:
    """Return the message with which CloudFormation refuses a template and parameter values."""
    parameters = [{"Key": key, "Value": value, "UsePreviousValue": False} for key, value in values.items()]
    with pytest.raises(TemplateError) as refused:
        validate(body, parameters, {})
    return str(refused.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "Resources: {A: &a {Type: AWS::SQS::Queue}, B: *a}",
            "YAML aliases are not allowed in CloudFormation templates",
        ),
        ("Resources: a: b", "YAML not well-formed. (line 1, column 13)"),
        ('{"Resources": ', "JSON not well-formed. (line 1, column 14)"),
        ("just text", "unsupported structure."),
        ("Description: no resources", "At least one Resources member must be defined."),
        ("Resources: {}", "At least one Resources member must be defined."),
        (template(AWSTemplateFormatVersion="1"), "1 is not a supported value for AWSTemplateFormatVersion."),
        (template(Resources={"job-queue": QUEUE}), "Resource name job-queue is non alphanumeric."),
        (template(Resources={"Jobs": "queue"}), "Any Resources member must be an object."),
        (
            template(Resources={"Jobs": {"Properties": {}}}),
            "[/Resources/Jobs] Every Resources object must contain a Type member.",
        ),
        (template(Outputs={"Url": {"Description": "none"}}), "Every Outputs member must contain a Value object"),
        (template(Mappings={"Sizes": {"small": "1"}}), "Every Mappings member Sizes must be a map"),
        (
            template(Mappings={"Sizes": {"small": {"cpu": {"a": "b"}}}}),
            "Every Mappings attribute must be a String or a List.",
        ),
        (
            template(Resources=queue(QueueName={"Ref": "Name"})),
            "Unresolved resource dependencies [Name] in the Resources block of the template",
        ),
        (
            template(Resources=queue(QueueName={"Fn::Sub": "${Prefix}-${Suffix}"})),
            "Unresolved resource dependencies [Prefix, Suffix] in the Resources block of the template",
        ),
        (
            template(Resources={"Jobs": QUEUE | {"DependsOn": ["Alarm"]}}),
            "Unresolved resource dependencies [Alarm] in the Resources block of the template",
        ),
        (template(Resources={"Jobs": QUEUE | {"DependsOn": {}}}), "DependsOn must be a string or list of strings."),
        (template(Resources={"Jobs": QUEUE | {"Condition": "IsLive"}}), "Condition IsLive is not defined."),
        (
            template(Conditions={"IsLive": {"Fn::Equals": [{"Ref": "Jobs"}, "a"]}}),
            "Unresolved dependencies [Jobs]. Cannot reference resources in the Conditions block of the template",
        ),
    ],
)
def test_template_with_wrong_form_is_refused(body: str, message: str) -> None:
    assert refusal(body) == f"Template format error: {message}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (template(resources={}), "Invalid template property or properties [resources]"),
        (template(Resources={"Jobs": QUEUE | {"Tag": "a"}}), "Invalid template resource property 'Tag'"),
        (
            template(Resources=queue(QueueName=None)),
            "[/Resources/Jobs/Properties/QueueName] 'null' values are not allowed in templates",
        ),
        (
            template(Outputs={"Url": {"Value": {"Ref": "Missing"}}}),
            "Unresolved resource dependencies [Missing] in the Outputs block of the template",
        ),
        (
            template(Outputs={"Arn": {"Value": {"Fn::GetAtt": ["Missing", "Arn"]}}}),
            "Template error: instance of Fn::GetAtt references undefined resource Missing",
        ),
        (
            template(Resources=queue(QueueName={"Fn::Sub": "${Missing.Arn}"})),
            "Template error: instance of Fn::Sub references invalid resource attribute Missing.Arn",
        ),
        (
            template(Resources=queue(QueueName={"Fn::If": ["IsLive", "a", "b"]})),
            "Template error: unresolved condition dependency IsLive in Fn::If",
        ),
        (
            template(Resources={"Jobs": QUEUE, "Jobs2": QUEUE | {"Properties": {"Tags": {"Fn::GetAtt": "Jobs.Size"}}}}),
            "Template error: resource Jobs does not support attribute type Size in Fn::GetAtt",
        ),
        (
            template(Resources=queue(QueueName={"Fn::Select": [1]})),
            "Template error: Fn::Select requires a list argument with two elements: an integer index and a list",
        ),
        (
            template(Resources=queue(QueueName={"Fn::Upper": "a"})),
            "Template error: Encountered unsupported function: Fn::Upper",
        ),
        (
            template(Resources={name: QUEUE | {"DependsOn": other} for name, other in (("A", "B"), ("B", "A"))}),
            "Circular dependency between resources: [A, B]",
        ),
    ],
)
def test_template_with_error_is_refused(body: str, message: str) -> None:
    assert refusal(body) == message


@pytest.mark.parametrize("section", ["Resources", "Outputs"])
def test_reference_to_resource_that_is_not_created_is_refused(section: str) -> None:
    conditions = {"IsLive": {"Fn::Equals": [{"Ref": "Stage"}, "live"]}}
    parameters = {"Stage": {"Type": "String"}}
    resources: dict[str, Any] = {"Jobs": QUEUE | {"Condition": "IsLive"}, "News": TOPIC}
    sections: dict[str, Any] = {"Parameters": parameters, "Conditions": conditions, "Resources": resources}
    reference = {"Fn::GetAtt": ["Jobs", "Arn"]}
    if section == "Resources":
        sections["Resources"] = resources | {"News": TOPIC | {"Properties": {"DisplayName": reference}}}
    else:
        sections["Outputs"] = {"Arn": {"Value": reference}}
    assert f"Unresolved resource dependencies [Jobs] in the {section} block" in refusal(
        template(**sections), Stage="test"
    )
    validate(template(**sections), [{"Key": "Stage", "Value": "live", "UsePreviousValue": False}], {})


def test_reference_in_branch_that_does_not_apply_is_accepted() -> None:
    sections = {
        "Conditions": {"IsLive": {"Fn::Equals": ["a", "b"]}},
        "Resources": {
            "Jobs": QUEUE | {"Condition": "IsLive"},
            "News": TOPIC | {"Properties": {"DisplayName": {"Fn::If": ["IsLive", {"Ref": "Jobs"}, "none"]}}},
        },
    }
    validate(template(**sections), [], {})


def test_loop_and_length_are_processed() -> None:
    body = """\
    Transform: AWS::LanguageExtensions
    Parameters: {Zones: {Type: CommaDelimitedList, Default: "a,b,c"}}
    Resources:
      Fn::ForEach::Queues:
        - Name
        - [Red, Blue]
        - ${Name}Jobs: {Type: "AWS::SQS::Queue", Properties: {DelaySeconds: {"Fn::Length": [1, 2]}}}
    """
    resources = validate(textwrap.dedent(body), [], {})["Resources"]
    assert list(resources) == ["RedJobs", "BlueJobs"]
    assert str(resources["RedJobs"]["Properties"]["DelaySeconds"]) == "2"


@pytest.mark.parametrize(
    ("definition", "value", "reason"),
    [
        ({"AllowedPattern": "[a-z]+"}, "A1", "must match pattern [a-z]+"),
        ({"AllowedValues": ["a", "b"]}, "c", "must be one of AllowedValues"),
        ({"MinLength": 3}, "ab", "must contain at least 3 characters"),
        ({"MaxLength": "1"}, "ab", "must contain at most 1 characters"),
        ({"Type": "Number"}, "many", "must be a number."),
        ({"Type": "Number", "MinValue": 2}, "1", "must be a number not less than 2"),
        ({"Type": "Number", "MaxValue": 2}, "3", "must be a number not greater than 2"),
        ({"Type": "CommaDelimitedList", "AllowedPattern": "[a-z]"}, "a,b,3", "must match pattern [a-z]"),
    ],
)
def test_value_that_violates_constraint_is_refused(definition: Any, value: str, reason: str) -> None:
    body = template(Parameters={"Size": {"Type": "String"} | definition})
    assert refusal(body, Size=value) == f"Parameter 'Size' {reason}"


def test_constraint_description_replaces_reason() -> None:
    parameters = {"Size": {"Type": "String", "AllowedPattern": "[a-z]", "ConstraintDescription": "one letter"}}
    assert (
        refusal(template(Parameters=parameters), Size="12") == "Parameter Size failed to satisfy constraint: one letter"
    )


def test_missing_and_unknown_parameters_are_refused() -> None:
    body = template(Parameters={"Size": {"Type": "String"}, "Name": {"Type": "String", "Default": "a"}})
    assert refusal(body) == "Parameters: [Size] must have values"
    assert refusal(body, Size="1", Color="red") == "Parameters: [Color] do not exist in the template"


def test_previous_value_satisfies_parameter() -> None:
    definitions = {"Size": {"Type": "String", "AllowedValues": ["1"]}}
    request = [{"Key": "Size", "Value": "", "UsePreviousValue": True}]
    check_parameters(definitions, request, {"Size": {"Value": "1"}})


@pytest.fixture
def caller() -> Iterator[None]:
    """Validate as a user with administrator access."""
    token = CALLER.set(USER)
    yield
    CALLER.reset(token)


@pytest.mark.usefixtures("caller")
def test_missing_stored_parameter_is_refused() -> None:
    parameters = {"Image": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/images/none"}}
    message = "Unable to fetch parameters [/images/none] from parameter store for this account."
    assert refusal(template(Parameters=parameters)) == message


def test_changed_type_is_named() -> None:
    old, new = {"Resources": {"A": QUEUE, "B": TOPIC}}, {"Resources": {"A": TOPIC, "B": TOPIC, "C": QUEUE}}
    assert changed_types(old, new) == (
        "Update of resource type is not permitted. The new template modifies resource type of the following "
        "resources: [A]"
    )
    assert changed_types(old, old) is None


def test_unsupported_attribute_in_output_is_found() -> None:
    outputs = {"Size": {"Value": {"Fn::GetAtt": ["Jobs", "Size"]}}, "Arn": {"Value": {"Fn::GetAtt": ["Jobs", "Arn"]}}}
    reason = unsupported_attribute({"Resources": {"Jobs": QUEUE}, "Outputs": outputs}, {})
    assert reason == (
        "[Error] /Outputs/Size/Value/Fn::GetAtt: Resource type AWS::SQS::Queue does not support attribute {Size}."
    )


@pytest.mark.parametrize(
    ("properties", "path", "reason"),
    [
        ({}, "", "Required property [KeySchema] not found"),
        ({"KeySchema": [], "Size": 1}, "", "Unsupported property [Size]"),
        (
            {"KeySchema": [], "AttributeDefinitions": [{"AttributeName": "id"}]},
            "/AttributeDefinitions/0",
            "Required property [AttributeType] not found",
        ),
        (
            {"KeySchema": [], "SSESpecification": {"SSEEnabled": True, "Key": "a"}},
            "/SSESpecification",
            "Unsupported property [Key]",
        ),
        (
            {"KeySchema": [], "BillingMode": "FREE"},
            "/BillingMode",
            "FREE is not a valid enum value. Supported values: [PAY_PER_REQUEST, PROVISIONED]",
        ),
    ],
)
def test_properties_are_validated_against_schema(properties: Any, path: str, reason: str) -> None:
    errors = find_errors({"Items": {"Type": TABLE, "Properties": properties}}, {}, {}, {"Items": {}})
    assert errors == [("Items", TABLE, "PROPERTY_VALIDATION", f"/Resources/Items/Properties{path}", reason)]


def test_values_known_only_during_deployment_are_not_validated() -> None:
    unused = {"Fn::If": ["IsLive", {"Ref": "AWS::NoValue"}, "none"]}
    properties = {"KeySchema": {"Fn::GetAtt": ["Other", "Schema"]}, "BillingMode": unused}
    assert not find_errors({"Items": {"Type": TABLE, "Properties": properties}}, {}, {"IsLive": True}, {"Items": {}})
