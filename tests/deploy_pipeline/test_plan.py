"""The plan of an execution, for each status of the stack."""

from typing import Any

import pytest

from lambdas.deploy_pipeline.errors import InvalidInputError
from lambdas.deploy_pipeline.request import MAX_STACK_NAME_CHARACTERS, parse_request
from lambdas.deploy_pipeline.source import AssetTarget
from lambdas.deploy_pipeline.stack import Plan, plan

from .assemblies import assembly, packed
from .assembly_scenarios import SEVERAL, WITHOUT_PATH
from .fake_cloudformation import FakeCloudFormation
from .machine_run import APP, INPUT, FakeS3, zipped

ENVIRONMENT = "aws://111111111111/us-east-1"


def plan_of(status: str = "", **fields: Any) -> Plan:
    """Plan a deployment to a stack with this status, or to a missing one."""
    fake = FakeCloudFormation()
    if status:
        fake.add_stack(APP, status)
    s3 = FakeS3({"artifacts/App/1.zip": zipped(template_yaml="Resources: {}")})
    request, target = parse_request(INPUT | fields), AssetTarget("assets", ENVIRONMENT)
    return plan(s3, fake, request, execution_name="run-1", bucket="inputs", url="https://inputs", assets=target)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("", ("create", "CREATE")),
        ("DELETE_COMPLETE", ("create", "CREATE")),
        ("REVIEW_IN_PROGRESS", ("update", "CREATE")),
        ("UPDATE_COMPLETE", ("update", "UPDATE")),
        ("CREATE_FAILED", ("recreate", "CREATE")),
        ("ROLLBACK_COMPLETE", ("recreate", "CREATE")),
        ("ROLLBACK_FAILED", ("recreate", "CREATE")),
    ],
)
def test_plan_action_follows_status_of_stack(status: str, expected: tuple[str, str]) -> None:
    result = plan_of(status, policy={"recreate": "always"})
    assert (result["action"], result["changeSetType"]) == expected


def test_plan_passes_tags_and_capabilities() -> None:
    result = plan_of(tags={"team": "payments"})
    assert result["tags"] == [{"Key": "team", "Value": "payments"}]
    assert result["capabilities"] == list(parse_request(INPUT).capabilities)


def test_longest_stack_name_is_accepted() -> None:
    name = "a" * (MAX_STACK_NAME_CHARACTERS - len("prod-"))
    assert plan_of(stackName=name)["stackName"] == f"prod-{name}"
    with pytest.raises(InvalidInputError):
        plan_of(stackName=f"{name}a")


def test_each_of_several_stacks_gets_its_declared_parameters() -> None:
    fake = FakeCloudFormation()
    fake.declared = ["Size"]
    s3, target = FakeS3({"artifacts/App/1.zip": packed(assembly())}), AssetTarget("assets", ENVIRONMENT)
    request = parse_request(WITHOUT_PATH | SEVERAL | {"parameters": {"Size": 3, "Domain": "example.com"}})
    result = plan(s3, fake, request, execution_name="run-1", bucket="inputs", url="https://inputs", assets=target)
    assert result["parameters"] == [{"ParameterKey": "Size", "ParameterValue": "3"}]
