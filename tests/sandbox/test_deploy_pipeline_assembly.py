"""The deployed state machine deploys CDK apps from their cloud assemblies: this project's own, and another one."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ..conftest import synthesize
from .deployment import Deployment

pytestmark = pytest.mark.enable_socket
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


def packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path("cdk.out", path.relative_to(folder)))
    return buffer.getvalue()


def deploy(app: Deployment, folder: Path, stack: str) -> dict[str, Any]:
    location = {"path": "cdk.out", "stack": stack}
    return app.wait(app.start_artifact(packed(folder), assembly=location, capabilities=CAPABILITIES))


def outcome(ended: dict[str, Any]) -> str:
    assert ended["status"] == "SUCCEEDED", ended["cause"]
    return str(json.loads(ended["output"])["outcome"])


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
    assert ended["error"] == "UnsafeChanges", ended
    assert "(AWS::EC2::SecurityGroup), Remove: it is deleted" in ended["cause"]
    assert not app.left()


def test_app_with_nested_stack_and_layer_is_deployed(app: Deployment, tmp_path: Path) -> None:
    """The template of the nested stack is an asset, too. The emulator cannot update a role in a nested stack."""
    code = tmp_path / "code"
    code.mkdir()
    for number, expected in enumerate(("created", "updated")):
        (code / "index.py").write_text(f"def handler(event, context): return {number}\n")
        _synthesize_shop(code, tmp_path / expected)
        assert outcome(deploy(app, tmp_path / expected, "Shop")) == expected, "a new layer supersedes the old one"
    resources = app.cloudformation.describe_stack_resources(StackName=app.stack)["StackResources"]
    by_type = {resource["ResourceType"]: resource["PhysicalResourceId"] for resource in resources}
    assert by_type["AWS::Lambda::LayerVersion"].endswith(":2")
    response = app.target.client("lambda").invoke(FunctionName=by_type["AWS::Lambda::Function"])
    assert response["Payload"].read() == b"1"
    assert not app.left()


def _synthesize_shop(code: Path, out: Path) -> None:
    """Synthesize an app with a layer, a function, and a topic in a nested stack."""
    import aws_cdk as cdk
    from aws_cdk import aws_lambda as lambda_, aws_sns as sns

    app = cdk.App(outdir=str(out))
    stack = cdk.Stack(app, "Shop")
    asset = lambda_.Code.from_asset(str(code))
    layer = lambda_.LayerVersion(stack, "Layer", code=asset)
    lambda_.Function(
        stack, "Function", runtime=lambda_.Runtime.PYTHON_3_13, handler="index.handler", code=asset, layers=[layer]
    )
    sns.Topic(cdk.NestedStack(stack, "Topics"), "Orders", display_name="Orders")
    app.synth()
