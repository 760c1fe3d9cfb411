"""What the walkthrough of multi_region_api needs, and how it waits. Lambda is botocore's stub."""

import boto3
import dns.exception
import pytest
from botocore.stub import Stubber

from walkthroughs import multi_region_api
from walkthroughs.multi_region_api import STEADY, Call, MultiRegionApiStory
from walkthroughs.story import PreconditionError, World


@pytest.fixture
def story() -> MultiRegionApiStory:
    story = MultiRegionApiStory(World(boto3.Session(region_name="eu-west-1"), 1, 1, pause=0))
    story.outputs = {"eu-west-1": {"HealthFunctionName": "Health"}}
    return story


@pytest.mark.parametrize("variables", [{"STATUS": "fail"}, {}])
def test_status_that_is_not_check_is_a_missing_precondition(
    story: MultiRegionApiStory, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    client = story.world.client("lambda")
    monkeypatch.setattr(World, "client", lambda *_: client)
    with Stubber(client) as stub:
        stub.add_response("get_function_configuration", {"Environment": {"Variables": variables}})
        with pytest.raises(PreconditionError, match=r"STATUS of function Health in eu-west-1.*update-function"):
            story._variables("eu-west-1")


@pytest.mark.parametrize(
    "error",
    [
        dns.exception.Timeout(),  # type: ignore[no-untyped-call]
        OSError("Network is unreachable"),
    ],
)
def test_blocked_name_servers_are_a_missing_precondition(
    story: MultiRegionApiStory, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def blocked(*_: object) -> list[str]:
        raise error

    monkeypatch.setattr(multi_region_api, "addresses", blocked)
    story.url, story.zone_id, story.name = "https://api.example.com/v1/", "Z0123456789ABCDEFGHIJ", "api.example.com"
    with pytest.raises(PreconditionError, match="UDP port 53"):
        story._check_name_servers("eu-west-1")


class Arriving(list[Call]):
    """Calls of which one more has ended whenever somebody looks."""

    def __init__(self, regions: list[str]) -> None:
        self.arriving = iter([Call(float(at), region, 200) for at, region in enumerate(regions)])

    def __len__(self) -> int:
        self.extend(call for call in [next(self.arriving, None)] if call)
        return super().__len__()


def test_answer_that_changes_back_once_is_not_a_switch(story: MultiRegionApiStory) -> None:
    calls = Arriving(["a", "b", "a"] + ["b"] * STEADY)
    assert story._until_answered_by("b", calls) == 3.0, "from the first of the answers in a row"
