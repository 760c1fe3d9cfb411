"""A rollout that starts when a version is published, and is decided by synthetic calls."""

import pytest

from walkthroughs.alias_traffic import observe

from .conftest import OptionsSandbox

pytestmark = pytest.mark.enable_socket


def test_published_version_is_rolled_out_by_synthetic_calls(options_sandbox: OptionsSandbox) -> None:
    target = options_sandbox.target
    outputs = target.outputs("LambdaCanary")
    client, function = target.client("lambda"), outputs["SampleFunctionName"]
    client.update_function_configuration(FunctionName=function, Description="second version")
    client.get_waiter("function_updated_v2").wait(FunctionName=function)
    version = client.publish_version(FunctionName=function)["Version"]
    target.wait_until(lambda: observe(client, function, "live").share(version) == 1, f"version {version} alone")
    executions = target.client("stepfunctions")
    (execution,) = executions.list_executions(stateMachineArn=outputs["StateMachineArn"])["executions"]
    ended = target.wait_until(
        lambda: (
            (found := executions.describe_execution(executionArn=execution["executionArn"]))["status"] != "RUNNING"
            and found
        ),
        "the end of the rollout",
    )
    assert ended["status"] == "SUCCEEDED"
    assert f"5%, with synthetic calls: version {version} failed 0 of 60 calls" in ended["output"]
