"""Permissions of AWS services, evaluated with the policies of every template.

The sandbox decides them too, but only for what a walkthrough causes and the emulator does: no trail writes its files.
"""

import json
from typing import Any

import pytest
from cfnlint.decode import decode as decode_yaml

from .conftest import ROOT, Assembly
from .deployed_template import DeployedTemplate, grants
from .service_permissions import ACTIVE, PASSIVE, describe, needs, refused, requests
from .service_requests import NotCoveredError

SAMPLE_APP = ROOT / "assets" / "deploy_pipeline" / "app" / "template.yaml"
# Grants to a service that no resource of the template uses directly.
USED_OTHERWISE = {
    "cloudformation.amazonaws.com": "the state machine passes the role with the app's stack",
}


@pytest.fixture(scope="module")
def templates(every_assembly: list[Assembly]) -> list[DeployedTemplate]:
    app = json.loads(json.dumps(decode_yaml(SAMPLE_APP)[0]))
    return [DeployedTemplate("app", app)] + [
        DeployedTemplate(path.name.removesuffix(".template.json"), json.loads(path.read_text()))
        for assembly in every_assembly
        for path in assembly.templates
    ]


def only(kind: str, **properties: Any) -> DeployedTemplate:
    """A template with one resource."""
    return DeployedTemplate("Test", {"Resources": {"One": {"Type": kind, "Properties": properties}}})


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="an AWS service lacks permission to use a key, topic, queue, bucket or function (any of the systems)",
    expected="the template allows every request of every service",
    observed=(
        "evaluated against the policies of every template with every set of options; each request is denied when its "
        "grant is removed"
    ),
)
def test_service_requests_are_allowed(templates: list[DeployedTemplate]) -> None:
    denied = [f"{template.name}: {line}" for template in templates for line in refused(template)]
    assert not denied, "\n".join(denied)


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="an AWS service lacks permission to use a key, topic, queue, bucket or function (any of the systems)",
)
def test_service_request_without_its_grant_is_denied(templates: list[DeployedTemplate]) -> None:
    for template in templates:
        expected = {describe(*request) for request in requests(template)}
        without_grant = set().union(*(refused(grant.without) for grant in grants(template)))
        assert expected == without_grant, f"{template.name}: granted elsewhere: {expected - without_grant}"


@pytest.mark.reliability(
    "security_group_revert",
    "Access denied",
    fault="an AWS service lacks permission to use a key, topic, queue, bucket or function (any of the systems)",
)
def test_each_service_grant_is_required(templates: list[DeployedTemplate]) -> None:
    """Without it, a request must be denied; otherwise no service needs it."""
    unneeded = [
        str(grant)
        for template in templates
        for grant in grants(template)
        if grant.principal.endswith(".amazonaws.com") and grant.principal not in USED_OTHERWISE
        if not refused(grant.without)
    ]
    assert not unneeded, "\n".join(unneeded)


# Types whose service uses or checks its permissions when the resource is created.
ACTS_AT_ONCE = (
    "AWS::CloudTrail::Trail",
    "AWS::CodePipeline::Pipeline",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Scheduler::Schedule",
    "AWS::StepFunctions::StateMachine",
)


def created_before(template: DeployedTemplate, name: str) -> set[str]:
    """Resources that CloudFormation creates before this one, because it refers to or depends on them."""
    logical_ids: set[str] = set()
    waiting = [name]
    while waiting:
        resource = json.dumps(template.body["Resources"][waiting.pop()])
        named = {other for other in template.body["Resources"] if f'"{other}"' in resource} - logical_ids
        logical_ids |= named
        waiting += named
    return logical_ids


def test_policies_are_created_before_services_use_them(templates: list[DeployedTemplate]) -> None:
    late = set()
    for template in templates:
        acting = {r.id: created_before(template, r.id) for r in template.resources if r.type in ACTS_AT_ONCE}
        for grant in grants(template):
            users = {line.partition(":")[0] for line in refused(grant.without)}
            late |= {
                f"{template.name}: {grant.resource} may come after {u}"
                for u in users & acting.keys()
                if grant.resource not in acting[u]
            }
    assert not late, "\n".join(sorted(late))


def test_listed_types_are_all_in_a_template(templates: list[DeployedTemplate]) -> None:
    types = {resource.type for template in templates for resource in template.resources}
    # Managed policies hold what exceeds inline policies; the table stores the state of security_group_revert.
    assert (ACTIVE.keys() | PASSIVE) - types <= {"AWS::IAM::ManagedPolicy", "AWS::DynamoDB::Table"}


def test_unlisted_type_is_an_error() -> None:
    template = only("AWS::Pipes::Pipe")
    with pytest.raises(NotCoveredError, match="AWS::Pipes::Pipe"):
        refused(template)


LAMBDA = "arn:aws:lambda:us-east-1:111111111111:function:f"


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::CloudWatch::Alarm", {"OKActions": [LAMBDA]}),
        ("AWS::CloudTrail::Trail", {"S3BucketName": "logs", "SnsTopicName": "files"}),
        ("AWS::Events::Rule", {"Targets": [{"Arn": "arn:aws:kinesis:us-east-1:111111111111:stream/s"}]}),
        ("AWS::Lambda::Function", {"Role": "r", "VpcConfig": {"SubnetIds": []}}),
        ("AWS::Logs::LogGroup", {"KmsKeyId": "k"}),
        ("AWS::S3::Bucket", {"NotificationConfiguration": {"LambdaConfigurations": []}}),
        ("AWS::S3::Bucket", {"ReplicationConfiguration": {}}),
        ("AWS::SNS::Subscription", {"Protocol": "https"}),
        ("AWS::SNS::Subscription", {"Protocol": "email", "RedrivePolicy": {}}),
        ("AWS::Scheduler::Schedule", {"Target": {"RoleArn": "r", "Arn": LAMBDA}}),
        ("AWS::SecretsManager::Secret", {"KmsKeyId": "k"}),
        ("AWS::EC2::FlowLog", {"LogDestinationType": "s3"}),
    ],
)
def test_unlisted_property_is_an_error(kind: str, properties: dict[str, Any]) -> None:
    template = only(kind, **properties)
    with pytest.raises(NotCoveredError, match=kind):
        list(needs(template, template.resources[0]))
