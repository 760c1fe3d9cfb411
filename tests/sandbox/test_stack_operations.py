"""How stack operations fail, replace resources and report errors that are found before deployment."""

import io
import json
import re
import uuid
import zipfile
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from .stacks import QUEUE, TOPIC, Stacks, request

pytestmark = [pytest.mark.enable_socket, pytest.mark.needs("ministack")]

TRUST = {
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]
}
# Answers requests of custom resources; the data is the type of the request.
PROVIDER = """
import json, urllib.request
def handler(event, context):
    answer = {key: event[key] for key in ("RequestId", "StackId", "LogicalResourceId")}
    answer |= {"Status": "SUCCESS", "PhysicalResourceId": event["ResourceProperties"]["Name"]}
    answer["Data"] = {"Request": event["RequestType"]}
    urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], json.dumps(answer).encode(), method="PUT"))
"""


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


def test_log_group_keeps_generated_name_in_updates_and_is_replaced_by_named_one(stacks: Stacks) -> None:
    name, named = stacks.name(), f"named-{uuid.uuid4().hex[:8]}"
    log = {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 1}}
    stacks.create(name, Resources={"Log": log})
    generated = stacks.physical_ids(name)["Log"]
    assert re.fullmatch(rf"{name}-Log-[0-9A-Z]{{12,13}}", generated)
    stacks.update(name, Resources={"Log": log | {"Properties": {"RetentionInDays": 3}}})
    logs = stacks.clients.client("logs")
    (group,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == (generated, 3)
    stacks.update(name, Resources={"Log": log | {"Properties": {"LogGroupName": named}}})
    assert stacks.physical_ids(name)["Log"] == named
    assert not logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]


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
    role = stacks.clients.client("iam").create_role(RoleName="p", AssumeRolePolicyDocument=json.dumps(TRUST))
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


def test_only_request_of_cdk_waits_for_end_of_operation(stacks: Stacks, providers: list[str]) -> None:
    name = stacks.name()
    cdk = stacks.clients.client("cloudformation", config=Config(user_agent="aws-cdk/2.0.0"))
    stacks.cloudformation.create_stack(StackName=name, **request(custom_resource(providers[0])))
    clients = (stacks.cloudformation, cdk)
    statuses = [client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] for client in clients]
    assert statuses == ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"]
