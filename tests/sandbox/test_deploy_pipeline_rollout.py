"""The code of a function changes with a push, and the new version goes through a canary while clients call it.

The sandbox has both stacks, with settings for this test: the pipeline may roll out this app only. So this is not a
walkthrough, which plays the sample app.
"""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox import Sandbox
from walkthroughs.alias_traffic import observe, traffic_of
from walkthroughs.pipeline_runs import Deployment, PipelineRuns

from ..conftest import need

pytestmark = pytest.mark.enable_socket
ACCOUNT = "111111111111"
FUNCTION = "prod-shop-checkout"
FUNCTION_ARN = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{FUNCTION}"
GOOD = """
def handler(event, context):
    return {"version": context.function_version}
"""
BROKEN = """
import random

def handler(event, context):
    if event.get("name") and random.random() < 0.2:
        raise RuntimeError("one call in five fails")
    return {"version": context.function_version}
"""
# In the schema of AWS::Lambda::Function, for resources other than functions.
OTHER_LAMBDA_ACTIONS = ("AssociateRuntimeAlias", "GetCodeSigningConfig", "GetLayerVersion", "PassCapacityProvider")
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
ROLLOUT = {"steps": "4", "error_margin": "0.05", "max_wait": "1200", "sample_function": "false"}


def template(code: str, timeout: int = 10) -> str:
    """Return the app: a function whose alias stays on the first version, so that only rollouts change it."""
    role = {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [TRUST]}}
    function = {
        "FunctionName": FUNCTION,
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Code": {"ZipFile": code},
        "Timeout": timeout,
    }
    version = {"FunctionName": {"Ref": "Function"}}
    alias = version | {"FunctionVersion": {"Fn::GetAtt": ["First", "Version"]}, "Name": "live"}
    properties = {
        "Role": ("AWS::IAM::Role", role),
        "Function": ("AWS::Lambda::Function", function),
        "First": ("AWS::Lambda::Version", version),
        "Live": ("AWS::Lambda::Alias", alias),
    }
    return json.dumps({"Resources": {name: {"Type": kind, "Properties": p} for name, (kind, p) in properties.items()}})


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    need("ministack")
    from sandbox.target import SPEED, target_of

    functions = [{"arn": FUNCTION_ARN, "alias": "live"}]
    file = tmp_path_factory.mktemp("rollout") / "input.json"
    roles = ["arn:{partition}:iam::{account}:role/{stack}-*"]
    own_functions = ["arn:{partition}:lambda:{region}:{account}:function:{stack}-*"]
    permissions = [
        {"actions": ["lambda:*"], "resources": own_functions},
        {"actions": [f"lambda:{name}" for name in OTHER_LAMBDA_ACTIONS], "resources": ["*"]},
        {"actions": ["iam:*"], "resources": roles},
    ]
    with Sandbox(speed=SPEED) as started:
        started.bootstrap()
        canary = {f"lambda_canary:{name}": value for name, value in ROLLOUT.items()}
        started.deploy("LambdaCanary", settings=canary | {"lambda_canary:functions": json.dumps(functions)})
        state_machine = target_of(started).outputs("LambdaCanary")["StateMachineArn"]
        rollout = {"aliasArn": f"{FUNCTION_ARN}:live", "stateMachineArn": state_machine}
        names = {"environmentName": "prod", "stackName": "shop", "templatePath": "template.json"}
        file.write_text(json.dumps(names | {"capabilities": ["CAPABILITY_IAM"], "rollout": rollout}))
        settings = {
            "deploy_pipeline:source": "s3",
            "deploy_pipeline:input": str(file),
            "deploy_pipeline:permissions": json.dumps(permissions),
        }
        started.deploy("DeployPipeline", settings=settings)
        yield started


@dataclass
class Pushes:
    """Pushes to the pipeline, and the function that they change."""

    sandbox: Sandbox

    def __post_init__(self) -> None:
        from sandbox.target import target_of

        self.target = target_of(self.sandbox)
        self.outputs = self.target.outputs("DeployPipeline")
        self.runs = PipelineRuns(self.target, self.target.client("codepipeline"), self.outputs["PipelineName"])
        self.lambda_ = self.target.client("lambda")
        self.executions = self.target.client("stepfunctions")

    def start(self, app: str) -> str:
        """Upload an app, and return the ID of the pipeline's execution."""
        before = len(self.runs.newest_first())
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("template.json", app)
        self.target.client("s3").put_object(
            Bucket=self.outputs["SourceBucketName"], Key="app.zip", Body=buffer.getvalue()
        )

        def started() -> str | None:
            runs = self.runs.newest_first()
            return str(runs[0]["pipelineExecutionId"]) if len(runs) > before else None

        return self.target.wait_until(started, "the pipeline execution")

    def push(self, app: str) -> Deployment:
        return self.runs.wait_for_deployment(self.start(app))

    def live(self) -> str:
        alias = self.lambda_.get_alias(FunctionName=FUNCTION, Name="live")
        assert not (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights"), "the alias is half way"
        return str(alias["FunctionVersion"])

    def rollouts(self) -> list[dict[str, Any]]:
        """Return the executions of the rollout's state machine, the latest first."""
        arn = self.target.outputs("LambdaCanary")["StateMachineArn"]
        return list(self.executions.list_executions(stateMachineArn=arn)["executions"])


@pytest.mark.reliability(
    "deploy_pipeline", "Partial failure", fault="the new version of a function fails some of its calls"
)
def test_push_of_code_goes_through_canary(sandbox: Sandbox) -> None:
    pushes = Pushes(sandbox)
    target = pushes.target
    pushes.push(template(GOOD)).check_success()
    assert pushes.live() == "1"
    assert not pushes.rollouts(), "a new stack has no old version to compare with"

    with traffic_of(target, FUNCTION, "live") as traffic:
        good = pushes.push(template(f"{GOOD}# second version\n"))
        time.sleep(target.propagation_seconds + 1)
    good.check_success()
    assert "prod-shop is updated. prod-shop-checkout: all calls of alias live go to version 2." in good.message
    assert "version 2 failed 0 of" in good.message, good.message
    assert pushes.live() == "2"
    weights = [weight for weight, _, _ in traffic.phases("2")]
    assert weights == sorted(weights), weights
    assert (weights[0], weights[-1]) == (0, 1), weights
    assert len(weights) > 2, f"it got all traffic at once: {weights}"
    assert not any(response.failed for response in traffic.responses)

    with traffic_of(target, FUNCTION, "live") as traffic:
        broken = pushes.push(template(BROKEN))
    assert broken.status == "Failed", broken
    reason = "RolledBack: prod-shop is updated. Version 3 of prod-shop-checkout was rolled back at "
    assert broken.message.startswith(reason), broken.message
    assert "version 3 failed" in broken.message, broken.message
    assert "version 2 failed 0 of" in broken.message, broken.message
    assert pushes.live() == "2"
    assert {response.version for response in traffic.responses if response.failed} == {"3"}

    before = len(pushes.rollouts())
    fixed = template(f"{GOOD}# second version\n")
    with traffic_of(target, FUNCTION, "live"):
        pushes.push(fixed).check_success()
    assert pushes.live() == "4", "the corrected code is a new version"
    assert len(pushes.rollouts()) == before + 1

    unchanged = pushes.push(f"{fixed}\n")
    unchanged.check_success()
    assert f"Alias {FUNCTION_ARN}:live already has version 4" in unchanged.message
    assert len(pushes.rollouts()) == before + 1


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="the execution is stopped during a rollout",
    expected="the rollout is stopped, and the alias returns to the old version",
    observed="the alias on the old version alone",
)
def test_stopped_deployment_stops_rollout(sandbox: Sandbox) -> None:
    pushes = Pushes(sandbox)
    target = pushes.target
    old = pushes.live()
    run = pushes.start(template(f"{GOOD}# nobody calls this\n"))

    def shifted() -> bool:
        observation = observe(pushes.lambda_, FUNCTION, "live")
        return observation.share(old) < 1

    target.wait_until(shifted, "weights of the alias")
    (rollout, *_) = pushes.rollouts()
    machine = pushes.outputs["StateMachineArn"]
    (outer,) = pushes.executions.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
    pushes.executions.stop_execution(executionArn=outer["executionArn"])

    def stopped() -> bool:
        described = pushes.executions.describe_execution(executionArn=rollout["executionArn"])
        return bool(described["status"] == "ABORTED")

    target.wait_until(stopped, "the end of the rollout")
    target.wait_until(lambda: observe(pushes.lambda_, FUNCTION, "live").share(old) == 1, f"version {old} alone")
    assert pushes.runs.wait_for_deployment(run).status == "Failed"
