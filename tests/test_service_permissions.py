"""Facts about what AWS services must be allowed, judged by the policies of every template.

The sandbox does not show these: there no service is refused by a policy of a resource.
"""

import json
from typing import Any

import pytest
from cfnlint.decode import decode as decode_yaml

from .conftest import ROOT, Assembly
from .deployed_template import DeployedTemplate, grants
from .service_permissions import ACTIVE, PASSIVE, NotJudgedError, described, needs, refused, requests

SAMPLE_APP = ROOT / "assets" / "deploy_pipeline" / "app" / "template.yaml"
# Grants to a service that no resource of the template uses by itself.
USED_OTHERWISE = {
    "cloudformation.amazonaws.com": "the role is passed with the app's stack, by the state machine",
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


def test_every_service_may_do_what_the_template_configures(templates: list[DeployedTemplate]) -> None:
    found = [f"{template.name}: {line}" for template in templates for line in refused(template)]
    assert not found, "\n".join(found)


def test_every_request_of_a_service_is_refused_without_its_grant(templates: list[DeployedTemplate]) -> None:
    for template in templates:
        expected = {described(*request) for request in requests(template)}
        without_grant = set().union(*(refused(grant.without) for grant in grants(template)))
        assert expected == without_grant, f"{template.name}: granted otherwise: {expected - without_grant}"


def test_every_grant_to_a_service_is_needed(templates: list[DeployedTemplate]) -> None:
    """Taking it away must be noticed; and what no service needs should not be granted."""
    unnoticed = [
        str(grant)
        for template in templates
        for grant in grants(template)
        if grant.principal.endswith(".amazonaws.com") and grant.principal not in USED_OTHERWISE
        if not refused(grant.without)
    ]
    assert not unnoticed, "\n".join(unnoticed)


# Types whose service uses its permissions, or checks them, when the resource is created.
ACTS_AT_ONCE = (
    "AWS::CloudTrail::Trail",
    "AWS::CodePipeline::Pipeline",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Scheduler::Schedule",
    "AWS::StepFunctions::StateMachine",
)


def created_before(template: DeployedTemplate, name: str) -> set[str]:
    """The resources that CloudFormation creates before this one: those that it refers to or depends on."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        resource = json.dumps(template.body["Resources"][waiting.pop()])
        named = {other for other in template.body["Resources"] if f'"{other}"' in resource} - found
        found |= named
        waiting += named
    return found


def test_policies_are_created_before_the_service_needs_them(templates: list[DeployedTemplate]) -> None:
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


def test_every_judged_type_is_in_a_template(templates: list[DeployedTemplate]) -> None:
    types = {resource.type for template in templates for resource in template.resources}
    # A managed policy is where a role's own policies have no room; a table keeps the guard's state.
    assert (ACTIVE.keys() | PASSIVE) - types <= {"AWS::IAM::ManagedPolicy", "AWS::DynamoDB::Table"}


def test_type_that_is_not_known_is_an_error() -> None:
    template = only("AWS::Pipes::Pipe")
    with pytest.raises(NotJudgedError, match="AWS::Pipes::Pipe"):
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
def test_property_that_is_not_judged_is_an_error(kind: str, properties: dict[str, Any]) -> None:
    template = only(kind, **properties)
    with pytest.raises(NotJudgedError, match=kind):
        list(needs(template, template.resources[0]))
