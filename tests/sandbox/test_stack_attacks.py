"""Attacks of a principal with few permissions: templates that use what the principal may not use."""

import json
import re
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from sandbox.process import ACCOUNT

from .attacker import ADMIN, FORM, Attacker

pytestmark = pytest.mark.enable_socket
MACHINE = f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:any"
METRIC = {"MetricName": "metric", "MetricNamespace": "own", "MetricValue": "1"}
HANDLE = {"Type": "AWS::CloudFormation::WaitConditionHandle"}


def send(attacker: Attacker, action: str, **parameters: str) -> tuple[int, str]:
    return attacker.send("cloudformation", FORM, urlencode({"Action": action} | parameters))


def reasons(attacker: Attacker, stack: str, **sections: Any) -> str:
    """Create a stack, and return the response or, after the end, the reasons of its events."""
    parameters = {"StackName": stack, "TemplateBody": json.dumps(sections), "Capabilities.member.1": "CAPABILITY_IAM"}
    status, text = send(attacker, "CreateStack", **parameters)
    while status == 200:
        status, text = send(attacker, "DescribeStacks", StackName=stack)
        if not re.search("<StackStatus>.*_IN_PROGRESS<", text):
            return send(attacker, "DescribeStackEvents", StackName=stack)[1]
        time.sleep(0.05)
    return text


@pytest.mark.parametrize(
    ("kind", "properties", "action"),
    [
        ("AWS::CertificateManager::Certificate", {"DomainName": "example.com"}, "acm:RequestCertificate"),
        ("AWS::Cognito::IdentityPool", {"AllowUnauthenticatedIdentities": False}, "cognito:*"),
        ("AWS::StepFunctions::StateMachine", {"RoleArn": ADMIN, "DefinitionString": "{}"}, "states:CreateStateMachine"),
        ("AWS::CloudFormation::Stack", {"TemplateURL": "{url}/bucket/key"}, "s3:GetObject"),
        ("AWS::CloudFormation::Stack", {"TemplateURL": "{url}/bucket/own"}, "sns:CreateTopic"),
        (
            "AWS::Events::Rule",
            {
                "Name": "rule-own",
                "EventPattern": {"source": ["own"]},
                "Targets": [{"Id": "1", "Arn": MACHINE, "RoleArn": ADMIN}],
            },
            "iam:PassRole",
        ),
        (
            "AWS::Events::Rule",
            {"Name": "victim", "EventPattern": {"source": ["own"]}},
            f"events:DescribeRule on resource: arn:aws:events:us-east-1:{ACCOUNT}:rule/victim",
        ),
        ("AWS::IAM::InstanceProfile", {"Roles": ["Admin"]}, f"iam:PassRole on resource: {ADMIN}"),
        ("AWS::Lambda::LayerVersion", {"Content": {"S3Bucket": "bucket", "S3Key": "key"}}, "s3:GetObject"),
        (
            "AWS::Logs::MetricFilter",
            {"LogGroupName": "victim", "FilterPattern": "", "MetricTransformations": [METRIC]},
            f"logs:PutMetricFilter on resource: arn:aws:logs:us-east-1:{ACCOUNT}:log-group:victim",
        ),
        ("AWS::SNS::Topic", {"DisplayName": "{{resolve:secretsmanager:secret}}"}, "secretsmanager:GetSecretValue"),
        ("AWS::SNS::Topic", {"DisplayName": "{{resolve:ssm:/parameter}}"}, "ssm:GetParameters"),
    ],
    ids=[
        "service of another name",
        "unknown actions",
        "state machine",
        "template",
        "nested stack",
        "target",
        "name",
        "instance profile",
        "code",
        "log group",
        "secret",
        "parameter",
    ],
)
def test_resource_needs_permission(
    attacker: Attacker, request: pytest.FixtureRequest, kind: str, properties: dict[str, Any], action: str
) -> None:
    stack = f"own-{request.node.callspec.id.replace(' ', '-')}"
    resource = json.loads(json.dumps({"Type": kind, "Properties": properties}).replace("{url}", attacker.url))
    text = reasons(attacker, stack, Resources={"Resource": resource})
    assert f"is not authorized to perform: {action}" in text


def test_included_snippet_needs_permission(attacker: Attacker) -> None:
    snippet = {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": "s3://bucket/key"}}}
    text = reasons(attacker, "own-snippet", Resources={"Handle": HANDLE}, Outputs={"Output": snippet})
    assert "is not authorized to perform: s3:GetObject" in text


def test_arn_of_own_change_set_does_not_select_the_stack_of_a_new_one(attacker: Attacker) -> None:
    template = {"ChangeSetType": "CREATE", "TemplateBody": json.dumps({"Resources": {"Handle": HANDLE}})}
    status, text = send(attacker, "CreateChangeSet", StackName="own-changes", ChangeSetName="own", **template)
    own = re.search("<Id>(.*?)</Id>", text)
    assert own, text
    status, text = send(attacker, "CreateChangeSet", StackName="victim", ChangeSetName=own[1], **template)
    assert status == 403, text
