"""Preconditions and waiting of the walkthrough of multi_region_api, with botocore's stub of Lambda."""

import boto3
import dns.exception
import pytest
from botocore.stub import Stubber

from walkthroughs import multi_region_api
from walkthroughs.multi_region_api import STEADY_CALLS, Call, MultiRegionApiWalkthrough
from walkthroughs.walkthrough import PreconditionError, SkipStep, Target


@pytest.fixture
def walkthrough() -> MultiRegionApiWalkthrough:
    walkthrough = MultiRegionApiWalkthrough(Target(boto3.Session(region_name="eu-west-1"), 1, 1, poll_seconds=0))
    walkthrough.outputs = {"eu-west-1": {"HealthFunctionName": "Health"}}
    return walkthrough


@pytest.mark.parametrize("variables", [{"STATUS": "fail"}, {}])
def test_status_other_than_check_is_a_missing_precondition(
    walkthrough: MultiRegionApiWalkthrough, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    client = walkthrough.target.client("lambda")
    monkeypatch.setattr(Target, "client", lambda *_: client)
    with Stubber(client) as stub:
        stub.add_response("get_function_configuration", {"Environment": {"Variables": variables}})
        with pytest.raises(PreconditionError, match=r"STATUS of function Health in eu-west-1.*update-function"):
            walkthrough._variables("eu-west-1")


@pytest.mark.parametrize(
    "error",
    [
        dns.exception.Timeout(),  # type: ignore[no-untyped-call]
        OSError("Network is unreachable"),
    ],
)
def test_blocked_name_servers_are_a_missing_precondition(
    walkthrough: MultiRegionApiWalkthrough, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> list[str]:
        raise error

    monkeypatch.setattr(multi_region_api, "resolve", fail)
    walkthrough.url, walkthrough.zone_id, walkthrough.name = (
        "https://api.example.com/v1/",
        "Z0123456789ABCDEFGHIJ",
        "api.example.com",
    )
    with pytest.raises(PreconditionError, match="UDP port 53"):
        walkthrough._check_name_servers("eu-west-1")


@pytest.mark.parametrize(
    "step",
    ["another_region_drains_the_impaired_one", "last_region_cannot_be_drained", "traffic_returns_after_undraining"],
)
def test_steps_with_drains_are_skipped_without_drains(walkthrough: MultiRegionApiWalkthrough, step: str) -> None:
    walkthrough.url = "https://api.example.com/v1/"
    walkthrough.outputs = {"us-east-1": {}, "us-west-2": {}}
    walkthrough._check_no_region_is_drained()
    with pytest.raises(SkipStep, match="multi_region_api:drains is false"):
        getattr(walkthrough, step)()


class GrowingCalls(list[Call]):
    """A list that gets one more call whenever its length is read."""

    def __init__(self, regions: list[str]) -> None:
        self.pending = iter([Call(float(at), region, 200) for at, region in enumerate(regions)])

    def __len__(self) -> int:
        self.extend(call for call in [next(self.pending, None)] if call)
        return super().__len__()


def test_alternating_responses_are_not_a_switch(walkthrough: MultiRegionApiWalkthrough) -> None:
    calls = GrowingCalls(["a", "b", "a"] + ["b"] * STEADY_CALLS)
    assert walkthrough._wait_for_responses_from("b", calls) == 3.0, "the first of the responses in a row"
