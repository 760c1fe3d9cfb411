"""Small CDK apps of different shapes, which tests synthesize in several versions and deploy from their assemblies."""

import io
import zipfile
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import (
    aws_apigateway as apigateway,
    aws_lambda as lambda_,
    aws_sns as sns,
    aws_sqs as sqs,
    aws_stepfunctions as sfn,
    aws_stepfunctions_tasks as tasks,
)


def packed(folder: Path) -> bytes:
    """Return a cloud assembly as a zip file that contains the folder cdk.out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path("cdk.out", path.relative_to(folder)))
    return buffer.getvalue()


def layer_app(out: Path, *, version: int, topic: str = "Orders") -> None:
    """Synthesize the stack Shop: a layer, a function, and a topic in a nested stack."""
    app, code = cdk.App(outdir=str(out / "cdk.out")), _code(out, version)
    stack = cdk.Stack(app, "Shop")
    layer = lambda_.LayerVersion(stack, "Layer", code=code)
    _function(stack, "Function", code, layers=[layer])
    sns.Topic(cdk.NestedStack(stack, "Topics"), topic, display_name="Orders")
    app.synth()


def api_app(out: Path, *, version: int, routes: tuple[str, ...]) -> None:
    """Synthesize the stack Api: a REST API whose routes invoke an alias of a function with a layer.

    Each `version` of the code has another layer version, function version and, with other `routes`, API deployment.
    """
    app, code = cdk.App(outdir=str(out / "cdk.out")), _code(out, version)
    stack = cdk.Stack(app, "Api")
    function = _function(stack, "Function", code, layers=[lambda_.LayerVersion(stack, "Layer", code=code)])
    live = lambda_.Alias(stack, "Live", alias_name="live", version=function.current_version)
    api = apigateway.RestApi(stack, "Orders", cloud_watch_role=False)
    for route in routes:
        api.root.add_resource(route).add_method("GET", apigateway.LambdaIntegration(live))
    app.synth()


def state_machine_app(out: Path, *, version: int, comment: str, name: str | None = None) -> None:
    """Synthesize the stack Workflow: a state machine that invokes a function, with a name or a generated one."""
    app, code = cdk.App(outdir=str(out / "cdk.out")), _code(out, version)
    stack = cdk.Stack(app, "Workflow")
    task = tasks.LambdaInvoke(stack, "Work", lambda_function=_function(stack, "Function", code))
    machine = sfn.StateMachine(
        stack,
        "Machine",
        state_machine_name=name,
        comment=comment,
        definition_body=sfn.DefinitionBody.from_chainable(task),
    )
    cdk.CfnOutput(stack, "MachineArn", value=machine.state_machine_arn)
    app.synth()


def two_stack_app(out: Path, *, topic: str, queue: str) -> None:
    """Synthesize the stacks Events and Jobs, with a topic's display name and a queue's name.

    Jobs imports the ARN of the topic.
    """
    app = cdk.App(outdir=str(out / "cdk.out"))
    orders = sns.Topic(cdk.Stack(app, "Events"), "Orders", display_name=topic)
    jobs = cdk.Stack(app, "Jobs")
    cdk.CfnOutput(jobs, "Topic", value=orders.topic_arn)
    sqs.Queue(jobs, "Queue", queue_name=queue)
    app.synth()


def _code(out: Path, version: int) -> lambda_.Code:
    folder = out / "code"
    folder.mkdir(parents=True)
    (folder / "index.py").write_text(
        f"def handler(event, context):\n    return {{'statusCode': 200, 'body': '{version}'}}\n"
    )
    return lambda_.Code.from_asset(str(folder))


def _function(
    stack: cdk.Stack, name: str, code: lambda_.Code, layers: list[lambda_.ILayerVersion] | None = None
) -> lambda_.Function:
    return lambda_.Function(
        stack, name, runtime=lambda_.Runtime.PYTHON_3_13, handler="index.handler", code=code, layers=layers
    )
