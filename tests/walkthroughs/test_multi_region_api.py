"""What the walkthrough of multi_region_api needs, and how it waits. Lambda is botocore's stub."""

import boto3
import dns.exception
import pytest
from botocore.stub import Stubber

from walkthroughs import multi_region_api
from walkthroughs.multi_region_api import STEADY, Call, MultiRegionApiWalkthrough
from walkthroughs.walkthrough import PreconditionError, Target


@pytest.fixture
def walkthrough() -> MultiRegionApiWalkthrough:
    walkthrough = MultiRegionApiWalkthrough(Target(boto3.Session(region_name="eu-west-1"), 1, 1, pause=0))
    walkthrough.outputs = {"eu-west-1": {"HealthFunctionName": "Health"}}
    return walkthrough


@pytest.mark.parametrize("variables", [{"STATUS": "fail"}, {}])
def test_status_that_is_not_check_is_a_missing_precondition(
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
    def blocked(*_: object) -> list[str]:
        raise error

    monkeypatch.setattr(multi_region_api, "resolve", blocked)
    walkthrough.url, walkthrough.zone_id, walkthrough.name = (
        "https://api.example.com/v1/",
        "Z0123456789ABCDEFGHIJ",
        "api.example.com",
    )
    with pytest.raises(PreconditionError, match="UDP port 53"):
        walkthrough._check_name_servers("eu-west-1")


class Arriving(list[Call]):
    """Calls of which one more has ended whenever somebody looks."""

    def __init__(self, regions: list[str]) -> None:
        self.arriving = iter([Call(float(at), region, 200) for at, region in enumerate(regions)])

    def __len__(self) -> int:
        self.extend(call for call in [next(self.arriving, None)] if call)
        return super().__len__()


def test_answer_that_changes_back_once_is_not_a_switch(walkthrough: MultiRegionApiWalkthrough) -> None:
    calls = Arriving(["a", "b", "a"] + ["b"] * STEADY)
    assert walkthrough._until_answered_by("b", calls) == 3.0, "from the first of the answers in a row"
