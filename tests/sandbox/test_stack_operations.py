"""Stack operations that CloudFormation refuses or rolls back, replacement, and validation before deployment."""

import io
import json
import textwrap
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox import Sandbox
from sandbox.target import session, target_of

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("ministack")]

QUEUE = {"Type": "AWS::SQS::Queue"}
TOPIC = {"Type": "AWS::SNS::Topic"}
ASSUME_ROLE = {
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]
}
ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": ASSUME_ROLE}}
# Answers a custom resource's request, with the properties as data.
PROVIDER = """
import json, urllib.request
def handler(event, context):
    answer = {key: event[key] for key in ("RequestId", "StackId", "LogicalResourceId")}
    answer |= {"Status": "SUCCESS", "PhysicalResourceId": event["ResourceProperties"]["Name"]}
    answer["Data"] = {"Request": event["RequestType"]}
    urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], json.dumps(answer).encode(), method="PUT"))
"""


@dataclass
class Stacks:
    """Stacks in a sandbox."""

    sandbox: Sandbox

    def __post_init__(self) -> None:
        self.clients = session(self.sandbox)
        self.cloudformation = self.clients.client("cloudformation")

    def name(self) -> str:
        return f"test-{uuid.uuid4().hex[:8]}"

    def create(self, name: str, /, **sections: Any) -> dict[str, Any]:
        """Create a stack, wait for the end and return it."""
        self.cloudformation.create_stack(StackName=name, **request(sections))
        return self.wait(name)

    def update(self, name: str, /, **sections: Any) -> dict[str, Any]:
        self.cloudformation.update_stack(StackName=name, **request(sections))
        return self.wait(name)

    def wait(self, name: str) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            (stack,) = self.cloudformation.describe_stacks(StackName=name)["Stacks"]
            return None if stack["StackStatus"].endswith("IN_PROGRESS") else dict(stack)

        return target_of(self.sandbox).wait_until(ended, f"the end of the operation on {name}")

    def change_set(self, name: str, /, *, kind: str = "UPDATE", **sections: Any) -> dict[str, Any]:
        """Create a change set and return its description."""
        self.cloudformation.create_change_set(
            StackName=name, ChangeSetName="change", ChangeSetType=kind, **request(sections)
        )
        return dict(self.cloudformation.describe_change_set(StackName=name, ChangeSetName="change"))

    def events(self, name: str) -> list[tuple[str, str, str]]:
        """Return logical id, status and reason of each event, the oldest first."""
        events = self.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return [
            (event["LogicalResourceId"], event["ResourceStatus"], event.get("ResourceStatusReason", ""))
            for event in reversed(events)
        ]

    def physical_ids(self, name: str) -> dict[str, str]:
        resources = self.cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}


def request(sections: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request, from sections of the template and parameters in lower case."""
    options = {name: value for name, value in sections.items() if name in ("Capabilities", "Tags")}
    values = [{"ParameterKey": key, "ParameterValue": value} for key, value in sections.get("values", {}).items()]
    template = {key: value for key, value in sections.items() if key not in (*options, "values")}
    return {"TemplateBody": json.dumps(template), "Parameters": values} | options


@pytest.fixture(scope="module")
def stacks() -> Iterator[Stacks]:
    with Sandbox() as sandbox:
        yield Stacks(sandbox)


def test_unresolved_reference_is_refused_by_every_operation(stacks: Stacks) -> None:
    body = json.dumps({"Resources": {"Jobs": QUEUE | {"Properties": {"QueueName": {"Ref": "Name"}}}}})
    client, name = stacks.cloudformation, stacks.name()
    for operation, options in (
        (client.validate_template, {}),
        (client.create_stack, {"StackName": name}),
        (client.create_change_set, {"StackName": name, "ChangeSetName": "a", "ChangeSetType": "CREATE"}),
    ):
        with pytest.raises(ClientError) as refused:
            operation(TemplateBody=body, **options)
        assert refused.value.response["Error"]["Code"] == "ValidationError"
        assert "Unresolved resource dependencies [Name] in the Resources block" in str(refused.value)
    assert name not in [stack["StackName"] for stack in client.describe_stacks()["Stacks"]]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"Resources": {f"Jobs{number}": QUEUE for number in range(501)}},
            "Number of resources, 501, is greater than maximum allowed, 500",
        ),
        (
            {
                "Resources": {"Jobs": QUEUE | {"Properties": {"QueueName": {"Fn::FindInMap": ["Names", "a", "b"]}}}},
                "Mappings": {"Names": {"a": {"c": "d"}}},
            },
            "Template error: Unable to get mapping for Names::a::b",
        ),
        ({"Resources": {"Jobs": QUEUE}, "Conditions": ["a"]}, "Template format error: unsupported structure."),
        ({"Resources": {"Jobs": {"Type": "AWS::SQS::Line"}}}, "Unrecognized resource types: [AWS::SQS::Line]"),
        (
            {
                "Parameters": {"Stage": {"Type": "String"}},
                "Rules": {
                    "Known": {
                        "Assertions": [
                            {"Assert": {"Fn::Contains": [["a", "b"], {"Ref": "Stage"}]}, "AssertDescription": "unknown"}
                        ]
                    }
                },
                "Resources": {"Jobs": QUEUE},
                "values": {"Stage": "c"},
            },
            "unknown",
        ),
    ],
)
def test_template_beyond_quotas_maps_types_and_rules_is_refused(stacks: Stacks, sections: Any, message: str) -> None:
    with pytest.raises(ClientError) as refused:
        stacks.create(stacks.name(), **sections)
    assert message in str(refused.value)


def test_type_that_emulator_lacks_fails_when_it_is_created(stacks: Stacks) -> None:
    name = stacks.name()
    patches = {"Type": "AWS::SSM::PatchBaseline", "Properties": {"Name": "patches"}}
    assert stacks.create(name, Resources={"Patches": patches})["StackStatus"] == "ROLLBACK_COMPLETE"
    (reason,) = [reason for resource, status, reason in stacks.events(name) if status == "ROLLBACK_IN_PROGRESS"]
    assert reason == "The following resource(s) failed to create: [Patches]. Rollback requested by user."


@pytest.mark.parametrize(
    ("properties", "required", "sufficient"),
    [
        ({}, "CAPABILITY_IAM", "CAPABILITY_IAM"),
        ({}, "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"),
        ({"RoleName": "worker"}, "CAPABILITY_NAMED_IAM", "CAPABILITY_NAMED_IAM"),
    ],
)
def test_iam_resource_requires_capability(stacks: Stacks, properties: Any, required: str, sufficient: str) -> None:
    name = stacks.name()
    role = ROLE | {"Properties": ROLE["Properties"] | properties}
    for capabilities in ([], ["CAPABILITY_AUTO_EXPAND"]):
        with pytest.raises(ClientError) as refused:
            stacks.create(name, Resources={"Role": role}, Capabilities=capabilities)
        assert refused.value.response["Error"]["Code"] == "InsufficientCapabilitiesException"
        assert f"Requires capabilities : [{required}]" in str(refused.value)
    assert stacks.create(name, Resources={"Role": role}, Capabilities=[sufficient])["StackStatus"] == "CREATE_COMPLETE"
    stacks.cloudformation.delete_stack(StackName=name)


def test_policies_beyond_iam_quotas_are_refused(stacks: Stacks) -> None:
    def document(size: int) -> dict[str, Any]:
        return {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:" + "a" * size}]}

    def policy(name: str, size: int) -> dict[str, Any]:
        properties = {"PolicyName": name, "PolicyDocument": document(size), "Roles": [{"Ref": "Role"}]}
        return {"Type": "AWS::IAM::Policy", "Properties": properties}

    managed = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document(6100)}}
    options = {"Capabilities": ["CAPABILITY_NAMED_IAM"]}
    for resources, reason in (
        ({"Policy": managed}, "Cannot exceed quota for PolicySize: 6144"),
        ({"Role": ROLE, "A": policy("a", 5000), "B": policy("b", 5100)}, "Maximum policy size of 10240 bytes exceeded"),
    ):
        name = stacks.name()
        assert stacks.create(name, Resources=resources, **options)["StackStatus"] == "ROLLBACK_COMPLETE"
        assert [event for event in stacks.events(name) if event[1] == "CREATE_FAILED" and reason in event[2]]


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        ({"Jobs": QUEUE | {"DependsOn": "News"}}, "Unresolved resource dependencies [News] in the Resources block"),
        ({"Role": ROLE}, "Requires capabilities : [CAPABILITY_IAM]"),
    ],
)
def test_template_of_nested_stack_is_refused(stacks: Stacks, resources: dict[str, Any], reason: str) -> None:
    name = stacks.name()
    s3 = stacks.clients.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="nested.json", Body=json.dumps({"Resources": resources}))
    url = f"https://{name}.s3.us-east-1.amazonaws.com/nested.json"
    nested = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}
    assert stacks.create(name, Resources={"Nested": nested})["StackStatus"] == "ROLLBACK_COMPLETE"
    assert [event for event in stacks.events(name) if event[1] == "CREATE_FAILED" and reason in event[2]]


def test_transform_requires_capability(stacks: Stacks) -> None:
    loop = {"Fn::ForEach::Queues": ["Name", ["Red", "Blue"], {"${Name}Jobs": QUEUE}]}
    sections = {"Transform": "AWS::LanguageExtensions", "Resources": loop}
    with pytest.raises(ClientError, match=r"Requires capabilities : \[CAPABILITY_AUTO_EXPAND\]"):
        stacks.create(stacks.name(), **sections)
    name = stacks.name()
    stacks.create(name, **sections, Capabilities=["CAPABILITY_AUTO_EXPAND"])
    assert set(stacks.physical_ids(name)) == {"RedJobs", "BlueJobs"}


def test_short_forms_of_language_extensions_are_processed(stacks: Stacks) -> None:
    body = """
    Transform: AWS::LanguageExtensions
    Resources:
      Size:
        Type: AWS::SSM::Parameter
        Properties: {Type: String, Name: /size, Value: !ToJsonString {size: !Length [a, b]}}
    """
    name = stacks.name()
    options = {"Capabilities": ["CAPABILITY_AUTO_EXPAND"]}
    stacks.cloudformation.create_stack(StackName=name, TemplateBody=textwrap.dedent(body), **options)
    stacks.wait(name)
    assert stacks.clients.client("ssm").get_parameter(Name="/size")["Parameter"]["Value"] == '{"size":2}'


def test_serverless_transform_creates_function_and_role(stacks: Stacks) -> None:
    pytest.importorskip("samtranslator", reason="needs aws-sam-translator: pip install --no-deps aws-sam-translator")
    code = {"InlineCode": "def handler(event, context): pass", "Handler": "index.handler", "Runtime": "python3.13"}
    name = stacks.name()
    stacks.create(
        name,
        Transform="AWS::Serverless-2016-10-31",
        Resources={"Worker": {"Type": "AWS::Serverless::Function", "Properties": code}},
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    assert set(stacks.physical_ids(name)) == {"Worker", "WorkerRole"}


def test_list_parameter_is_a_list(stacks: Stacks) -> None:
    name = stacks.name()
    value = {"Fn::Join": ["|", {"Ref": "Zones"}]}
    parameter = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Name": "/zones", "Value": value}}
    definitions = {"Zones": {"Type": "CommaDelimitedList"}}
    stacks.create(name, Parameters=definitions, Resources={"List": parameter}, values={"Zones": "a, b"})
    assert stacks.clients.client("ssm").get_parameter(Name="/zones")["Parameter"]["Value"] == "a|b"


def test_missing_import_rolls_creation_back_at_once(stacks: Stacks) -> None:
    name = stacks.name()
    outputs = {"Other": {"Value": {"Fn::ImportValue": "nobody-exports-this"}}}
    assert stacks.create(name, Resources={"Jobs": QUEUE}, Outputs=outputs)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert stacks.events(name)[:2] == [
        (name, "CREATE_IN_PROGRESS", "User Initiated"),
        (name, "ROLLBACK_IN_PROGRESS", "No export named nobody-exports-this found. Rollback requested by user."),
    ]


def test_import_that_does_not_apply_is_not_needed(stacks: Stacks) -> None:
    name = stacks.name()
    title = {"Fn::If": ["IsLive", {"Fn::ImportValue": "nobody-exports-this"}, "none"]}
    other = TOPIC | {"Condition": "IsLive", "Properties": {"DisplayName": {"Fn::ImportValue": "nor-this"}}}
    stack = stacks.create(
        name,
        Conditions={"IsLive": {"Fn::Equals": ["a", "b"]}},
        Resources={"News": TOPIC | {"Properties": {"DisplayName": title}}, "Other": other},
    )
    assert stack["StackStatus"] == "CREATE_COMPLETE"


def test_unsupported_attribute_in_output_rolls_creation_back(stacks: Stacks) -> None:
    name = stacks.name()
    outputs = {"Size": {"Value": {"Fn::GetAtt": ["Jobs", "Size"]}}}
    assert stacks.create(name, Resources={"Jobs": QUEUE}, Outputs=outputs)["StackStatus"] == "ROLLBACK_COMPLETE"
    reason = stacks.events(name)[1][2]
    assert "/Outputs/Size/Value/Fn::GetAtt: Resource type AWS::SQS::Queue does not support attribute {Size}" in reason


def test_export_in_use_is_neither_deleted_nor_changed(stacks: Stacks) -> None:
    exporter, importer, export = stacks.name(), stacks.name(), uuid.uuid4().hex

    def sections(value: Any) -> dict[str, Any]:
        outputs = {"Name": {"Value": value, "Export": {"Name": export}}}
        return {"Resources": {"Jobs": QUEUE}, "Outputs": outputs}

    stacks.create(exporter, **sections("one"))
    stacks.create(importer, Resources={"News": TOPIC | {"Properties": {"DisplayName": {"Fn::ImportValue": export}}}})
    in_use = f"as it is in use by {importer}"
    assert stacks.update(exporter, Resources={"Jobs": QUEUE})["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert (exporter, "UPDATE_ROLLBACK_IN_PROGRESS", f"Export {export} cannot be deleted {in_use}") in stacks.events(
        exporter
    )
    assert stacks.update(exporter, **sections("two"))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert (exporter, "UPDATE_ROLLBACK_IN_PROGRESS", f"Export {export} cannot be updated {in_use}") in stacks.events(
        exporter
    )
    stacks.cloudformation.delete_stack(StackName=exporter)
    stack = stacks.wait(exporter)
    assert (stack["StackStatus"], stack["StackStatusReason"]) == (
        "UPDATE_ROLLBACK_COMPLETE",
        f"Export {export} cannot be deleted {in_use}",
    )
    stacks.update(importer, Resources={"News": TOPIC})
    assert stacks.update(exporter, Resources={"Jobs": QUEUE})["StackStatus"] == "UPDATE_COMPLETE"
    assert export not in [e["Name"] for e in stacks.cloudformation.list_exports()["Exports"]]


def test_export_of_other_stack_is_not_repeated(stacks: Stacks) -> None:
    first, second, export = stacks.name(), stacks.name(), uuid.uuid4().hex
    sections = {"Resources": {"Jobs": QUEUE}, "Outputs": {"Name": {"Value": "a", "Export": {"Name": export}}}}
    stacks.create(first, **sections)
    assert stacks.create(second, **sections)["StackStatus"] == "ROLLBACK_COMPLETE"
    reason = f"Export with name {export} is already exported by stack {first}. Rollback requested by user."
    assert stacks.events(second)[1][2] == reason


def test_changed_type_is_refused(stacks: Stacks) -> None:
    name, reason = stacks.name(), "Update of resource type is not permitted."
    stacks.create(name, Resources={"Jobs": QUEUE, "News": TOPIC})
    with pytest.raises(ClientError, match=reason):
        stacks.update(name, Resources={"Jobs": TOPIC, "News": TOPIC})
    change_set = stacks.change_set(name, Resources={"Jobs": TOPIC, "News": TOPIC})
    assert (change_set["Status"], change_set["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert change_set["StatusReason"].endswith("modifies resource type of the following resources: [Jobs]")


def test_replacement_creates_new_resource_before_old_one_is_deleted(stacks: Stacks) -> None:
    name, old, new = stacks.name(), f"old-{uuid.uuid4().hex[:8]}", f"new-{uuid.uuid4().hex[:8]}"
    stacks.create(name, Resources={"Jobs": QUEUE | {"Properties": {"QueueName": old}}})
    stacks.update(name, Resources={"Jobs": QUEUE | {"Properties": {"QueueName": new}}})
    assert stacks.physical_ids(name)["Jobs"].endswith(new)
    assert [event for event in stacks.events(name)[4:] if event[0] in (name, "Jobs")] == [
        (name, "UPDATE_IN_PROGRESS", "User Initiated"),
        ("Jobs", "UPDATE_IN_PROGRESS", ""),
        (
            "Jobs",
            "UPDATE_IN_PROGRESS",
            "Requested update requires the creation of a new physical resource; hence creating one.",
        ),
        ("Jobs", "UPDATE_COMPLETE", ""),
        (name, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", ""),
        ("Jobs", "DELETE_IN_PROGRESS", ""),
        ("Jobs", "DELETE_COMPLETE", ""),
        (name, "UPDATE_COMPLETE", ""),
    ]
    assert not stacks.clients.client("sqs").list_queues(QueueNamePrefix=old).get("QueueUrls")


def test_failed_update_keeps_resource_that_it_would_have_replaced(stacks: Stacks) -> None:
    name, old = stacks.name(), f"old-{uuid.uuid4().hex[:8]}"
    stacks.create(name, Resources={"Jobs": QUEUE | {"Properties": {"QueueName": old}}})
    patches = {"Type": "AWS::SSM::PatchBaseline", "Properties": {"Name": "patches"}, "DependsOn": "Jobs"}
    jobs = QUEUE | {"Properties": {"QueueName": f"{old}-new"}}
    assert (
        stacks.update(name, Resources={"Jobs": jobs, "Patches": patches})["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    )
    urls = stacks.clients.client("sqs").list_queues(QueueNamePrefix=old)["QueueUrls"]
    assert [url.rsplit("/", 1)[-1] for url in urls] == [old]
    assert stacks.physical_ids(name)["Jobs"].endswith(old)


def test_named_resource_that_needs_replacement_is_refused(stacks: Stacks) -> None:
    name, profile = stacks.name(), f"profile-{uuid.uuid4().hex[:8]}"
    key = {"Type": "AWS::IAM::InstanceProfile", "Properties": {"InstanceProfileName": profile, "Roles": []}}
    options = {"Capabilities": ["CAPABILITY_NAMED_IAM"]}
    stacks.create(name, Resources={"Profile": key}, **options)
    moved = {"Type": key["Type"], "Properties": {"InstanceProfileName": profile, "Roles": [], "Path": "/other/"}}
    assert stacks.update(name, Resources={"Profile": moved}, **options)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    reason = "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename "
    (failure,) = [reason for resource, status, reason in stacks.events(name) if status == "UPDATE_FAILED"]
    assert failure.startswith(reason)


def test_changed_tags_are_a_change(stacks: Stacks) -> None:
    name = stacks.name()
    stacks.create(name, Resources={"Jobs": QUEUE})
    tags = [{"Key": "team", "Value": "a"}]
    change_set = stacks.change_set(name, Resources={"Jobs": QUEUE}, Tags=tags)
    (change,) = (change["ResourceChange"] for change in change_set["Changes"])
    assert (change["Action"], change["Replacement"], change["Scope"]) == ("Modify", "False", ["Tags"])
    stacks.cloudformation.execute_change_set(StackName=name, ChangeSetName="change")
    stack = stacks.wait(name)
    assert (stack["StackStatus"], stack["Tags"]) == ("UPDATE_COMPLETE", tags)
    url = stacks.physical_ids(name)["Jobs"]
    assert stacks.clients.client("sqs").list_queue_tags(QueueUrl=url)["Tags"]["team"] == "a"


def test_update_without_changes_is_refused(stacks: Stacks) -> None:
    name = stacks.name()
    stacks.create(name, Resources={"Jobs": QUEUE})
    with pytest.raises(ClientError, match=r"No updates are to be performed\."):
        stacks.update(name, Resources={"Jobs": QUEUE})


def test_existing_name_fails_change_set_with_reason_in_events(stacks: Stacks) -> None:
    queue = f"taken-{uuid.uuid4().hex[:8]}"
    stacks.clients.client("sqs").create_queue(QueueName=queue)
    name = stacks.name()
    change_set = stacks.change_set(
        name, kind="CREATE", Resources={"Jobs": QUEUE | {"Properties": {"QueueName": queue}}}
    )
    assert change_set["Status"] == "FAILED"
    assert change_set["StatusReason"] == (
        "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]. To troubleshoot "
        "Early Validation errors, use the DescribeEvents API for detailed failure information."
    )
    (event,) = stacks.cloudformation.describe_events(ChangeSetName=change_set["ChangeSetId"])["OperationEvents"]
    assert (event["LogicalResourceId"], event["ValidationName"], event["ValidationPath"]) == (
        "Jobs",
        "NAME_CONFLICT_VALIDATION",
        "/Resources/Jobs",
    )
    reason = f"Resource of type 'AWS::SQS::Queue' with identifier '{queue}' already exists."
    assert event["ValidationStatusReason"] == reason


def test_wrong_property_fails_creation_with_reason_in_events(stacks: Stacks) -> None:
    name = stacks.name()
    stack = stacks.create(name, Resources={"Jobs": QUEUE | {"Properties": {"Delay": 1}}})
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    events = stacks.cloudformation.describe_events(StackName=name, Filters={"FailedEvents": True})["OperationEvents"]
    reasons = [event["ValidationStatusReason"] for event in events if event["EventType"] == "VALIDATION_ERROR"]
    assert reasons == ["Unsupported property [Delay]"]


@pytest.fixture(scope="module")
def providers(stacks: Stacks) -> list[str]:
    """Two functions that implement a custom resource."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", PROVIDER)
    role = stacks.clients.client("iam").create_role(RoleName="p", AssumeRolePolicyDocument=json.dumps(ASSUME_ROLE))
    create = stacks.clients.client("lambda").create_function
    options = {"Runtime": "python3.13", "Handler": "index.handler", "Role": role["Role"]["Arn"]}
    names = ("provider-a", "provider-b")
    return [create(FunctionName=n, Code={"ZipFile": buffer.getvalue()}, **options)["FunctionArn"] for n in names]


def custom_resource(provider: str, **properties: Any) -> dict[str, Any]:
    thing = {"Type": "Custom::Thing", "Properties": {"ServiceToken": provider, "Name": "a"} | properties}
    return {"Resources": {"Thing": thing}, "Outputs": {"Request": {"Value": {"Fn::GetAtt": ["Thing", "Request"]}}}}


def request_type(stack: dict[str, Any]) -> str:
    return str(stack["Outputs"][0]["OutputValue"])


def test_custom_resource_is_updated_if_text_of_property_changes(stacks: Stacks, providers: list[str]) -> None:
    name = stacks.name()
    assert request_type(stacks.create(name, **custom_resource(providers[0], Count=1))) == "Create"
    assert request_type(stacks.update(name, **custom_resource(providers[0], Count="1"))) == "Create"
    assert request_type(stacks.update(name, **custom_resource(providers[0], Count=2))) == "Update"
    assert stacks.update(name, **custom_resource(providers[0], Name="b"))["StackStatus"] == "UPDATE_COMPLETE"
    assert ("Thing", "DELETE_COMPLETE", "") in stacks.events(name), "a new physical id is a replacement"


def test_service_token_of_custom_resource_cannot_change(stacks: Stacks, providers: list[str]) -> None:
    name = stacks.name()
    stacks.create(name, **custom_resource(providers[0]))
    stack = stacks.update(name, **custom_resource(providers[1]))
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert ("Thing", "UPDATE_FAILED", "Modifying service token is not allowed.") in stacks.events(name)
