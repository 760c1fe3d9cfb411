"""The deployed state machine deploys CDK apps from their cloud assemblies: this project's own, and three others.

Each app is created, changed harmlessly, and protected from an unsafe change.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from ..conftest import synthesize
from .cdk_apps import api_app, layer_app, packed, state_machine_app
from .deployment import Deployment

pytestmark = pytest.mark.enable_socket
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


def deploy(app: Deployment, folder: Path, stack: str, **fields: Any) -> dict[str, Any]:
    location = {"path": "cdk.out", "stack": stack}
    return app.wait(app.start_artifact(packed(folder), assembly=location, capabilities=CAPABILITIES, **fields))


def outcome(ended: dict[str, Any]) -> str:
    assert ended["status"] == "SUCCEEDED", ended["cause"]
    return str(json.loads(ended["output"])["outcome"])


def rejected(app: Deployment, ended: dict[str, Any]) -> list[str]:
    """Return the reported changes without logical IDs; check that the stack is complete and no change set is left."""
    assert ended["error"] == "UnsafeChanges", ended
    assert app.status() in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    assert not app.left()
    return sorted(line.split(maxsplit=2)[2] for line in ended["cause"].splitlines()[1:])


def resource(app: Deployment, resource_type: str) -> str:
    """Return the physical ID of the only resource of a type."""
    resources = app.cloudformation.describe_stack_resources(StackName=app.stack)["StackResources"]
    (physical_id,) = {r["PhysicalResourceId"] for r in resources if r["ResourceType"] == resource_type}
    return str(physical_id)


def test_own_stack_is_created_updated_and_protected(app: Deployment, tmp_path: Path) -> None:
    def synthesized(name: str, **settings: Any) -> Path:
        context = {f"security_group_revert:{key}": value for key, value in settings.items()}
        synthesize(tmp_path / name, context, "SecurityGroupRevert")
        return tmp_path / name

    first = synthesized("first")
    assert outcome(deploy(app, first, "SecurityGroupRevert")) == "created"
    (stack,) = app.cloudformation.describe_stacks(StackName=app.stack)["Stacks"]
    assert {"Key": "system", "Value": "security_group_revert"} in stack["Tags"], "of the assembly"
    name = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}["FunctionName"]
    code = app.target.client("lambda").get_function(FunctionName=name)["Configuration"]["CodeSize"]
    assert code > 1000, "the function has the code of the published asset"
    assert outcome(deploy(app, first, "SecurityGroupRevert")) == "unchanged"
    assert outcome(deploy(app, synthesized("second", sweep_minutes="10"), "SecurityGroupRevert")) == "updated"
    groups = [{"group_id": "sg-0123456789abcdef0", "ingress": []}]
    ended = deploy(app, synthesized("third", sample_group=False, groups=groups), "SecurityGroupRevert")
    assert "(AWS::EC2::SecurityGroup), Remove: it is deleted" in rejected(app, ended)


def test_app_with_layer_and_nested_stack(app: Deployment, tmp_path: Path) -> None:
    """The template of the nested stack is an asset, too. The emulator cannot update a role in a nested stack."""
    for version, expected in enumerate(("created", "updated")):
        layer_app(tmp_path / expected, version=version)
        ended = deploy(app, tmp_path / expected / "cdk.out", "Shop")
        assert outcome(ended) == expected, "a new layer supersedes the old one"
    assert resource(app, "AWS::Lambda::LayerVersion").endswith(":2")
    function = resource(app, "AWS::Lambda::Function")
    response = app.target.client("lambda").invoke(FunctionName=function)
    assert json.loads(response["Payload"].read())["body"] == "1"
    layer_app(tmp_path / "rejected", version=1, topic="Purchases")
    ended = deploy(app, tmp_path / "rejected" / "cdk.out", "Shop")
    assert rejected(app, ended) == ["(AWS::SNS::Topic), Remove: it is deleted"]


def test_app_with_api_and_functions(app: Deployment, tmp_path: Path) -> None:
    """An ordinary push replaces the layer, the version of the function, and the deployment of the API."""

    def push(name: str, version: int, *routes: str, **fields: Any) -> dict[str, Any]:
        api_app(tmp_path / name, version=version, routes=routes)
        return deploy(app, tmp_path / name / "cdk.out", "Api", **fields)

    assert outcome(push("first", 1, "orders")) == "created"
    revisions = ("AWS::ApiGateway::Deployment", "AWS::Lambda::Version", "AWS::Lambda::LayerVersion")
    before = [resource(app, revision) for revision in revisions]
    api = resource(app, "AWS::ApiGateway::RestApi")
    without_revisions = push("strict", 2, "orders", "customers", policy={"revisions": "reject"})
    assert rejected(app, without_revisions) == [
        "(AWS::ApiGateway::Deployment), Remove: it is deleted",
        "(AWS::Lambda::LayerVersion), Modify: it is replaced because of Content",
        "(AWS::Lambda::Version), Remove: it is deleted",
    ]
    assert outcome(push("second", 2, "orders", "customers")) == "updated"
    assert not set(before) & {resource(app, revision) for revision in revisions}
    assert resource(app, "AWS::ApiGateway::RestApi") == api
    routes = app.target.client("apigateway").get_resources(restApiId=api)["items"]
    assert {route["path"] for route in routes} == {"/", "/orders", "/customers"}
    removed = rejected(app, push("third", 2, "customers"))
    assert "(AWS::ApiGateway::Method), Remove: it is deleted" in removed
    assert "(AWS::ApiGateway::Resource), Remove: it is deleted" in removed
    assert not [line for line in removed if "Deployment" in line or "Version" in line]


def test_app_with_state_machine(app: Deployment, tmp_path: Path) -> None:
    def push(folder: str, version: int, comment: str, name: str | None = None) -> dict[str, Any]:
        state_machine_app(tmp_path / folder, version=version, comment=comment, name=name)
        return deploy(app, tmp_path / folder / "cdk.out", "Workflow")

    assert outcome(push("first", 1, "Works")) == "created"
    machine = resource(app, "AWS::StepFunctions::StateMachine")
    assert outcome(push("second", 2, "Works better")) == "updated"
    assert resource(app, "AWS::StepFunctions::StateMachine") == machine
    definition = app.step_functions.describe_state_machine(stateMachineArn=machine)["definition"]
    assert json.loads(definition)["Comment"] == "Works better"
    (reported,) = rejected(app, push("third", 2, "Works better", f"{app.name}-orders"))
    assert reported.startswith("(AWS::StepFunctions::StateMachine), Modify: it is replaced because of StateMachineName")
