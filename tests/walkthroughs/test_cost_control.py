"""Preconditions of the walkthrough of cost_control, with botocore's stub in place of CloudFormation."""

import boto3
import pytest
from botocore.stub import Stubber

from walkthroughs.cost_control import CostControlWalkthrough
from walkthroughs.project_team import GROUP, ROLE
from walkthroughs.walkthrough import PreconditionError, SkipStep, Target

DEPLOYED = {"Mode": "enforce", "Groups": GROUP, "Roles": ROLE}


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (DEPLOYED | {"Mode": "report"}, "cost_control:mode=report; the walkthrough needs enforce"),
        (DEPLOYED | {"Groups": "developers"}, r'needs cost_control:groups=\["projectBeta"\]'),
        ({"Mode": "enforce"}, r'roles=\["projectBetaDeployer"\]'),
    ],
)
def test_other_settings_are_reported_before_anything_changes(
    outputs: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(boto3.Session(region_name="us-east-1"), 1, 1)
    client = target.client("cloudformation")
    monkeypatch.setattr(Target, "client", lambda *_: client)
    values = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
    stack = {"StackName": "CostControl", "CreationTime": "2026-01-01", "StackStatus": "CREATE_COMPLETE"}
    with Stubber(client) as stub:
        stub.add_response("describe_stacks", {"Stacks": [stack | {"Outputs": values}]}, {"StackName": "CostControl"})
        with pytest.raises(PreconditionError, match=message), CostControlWalkthrough(target):
            pass


def test_step_that_needs_a_cost_is_skipped_in_an_account() -> None:
    walkthrough = CostControlWalkthrough(Target(boto3.Session(region_name="us-east-1"), 1, 1))
    for step in walkthrough.steps[2:]:
        with pytest.raises(SkipStep, match="only AWS knows the cost"):
            step.method(walkthrough)
