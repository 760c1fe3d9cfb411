"""Walkthroughs check the state of their stack first. CloudFormation is a botocore stub."""

import boto3
import pytest
from botocore.stub import Stubber

from walkthroughs.walkthrough import PreconditionError, Target


@pytest.fixture
def target_and_stub(monkeypatch: pytest.MonkeyPatch) -> tuple[Target, Stubber]:
    target = Target(boto3.Session(region_name="eu-west-1"), 1, 1)
    client = target.client("cloudformation")
    monkeypatch.setattr(Target, "client", lambda *_: client)
    stub = Stubber(client)
    stub.activate()
    return target, stub


def _describe(stub: Stubber, status: str) -> None:
    stack = {"StackName": "StaticSite", "CreationTime": "2026-01-01", "StackStatus": status}
    stack["Outputs"] = [{"OutputKey": "Url", "OutputValue": "https://www.example.com/"}]  # type: ignore[assignment]
    stub.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": "StaticSite"})


def test_missing_stack_error_names_region_and_command(target_and_stub: tuple[Target, Stubber]) -> None:
    target, stub = target_and_stub
    stub.add_client_error("describe_stacks", "ValidationError", "Stack with id StaticSite does not exist")
    with pytest.raises(PreconditionError, match=r"does not exist in eu-west-1.*make deploy STACK=StaticSite"):
        target.outputs("StaticSite")


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "CREATE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"])
def test_unusable_stack_status_is_an_error(target_and_stub: tuple[Target, Stubber], status: str) -> None:
    target, stub = target_and_stub
    _describe(stub, status)
    with pytest.raises(PreconditionError, match=status):
        target.outputs("StaticSite")


def test_complete_stack_returns_outputs(target_and_stub: tuple[Target, Stubber]) -> None:
    target, stub = target_and_stub
    _describe(stub, "UPDATE_ROLLBACK_COMPLETE")
    assert target.outputs("StaticSite") == {"Url": "https://www.example.com/"}
