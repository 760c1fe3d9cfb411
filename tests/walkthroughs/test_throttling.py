"""AWS throttles an account's calls; a walkthrough waits. The answers of EC2 come from a handler of botocore's."""

from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from walkthroughs.walkthrough import Target

THROTTLED = b"<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>"
ANSWERED = b"<DescribeRegionsResponse><regionInfo/></DescribeRegionsResponse>"


class Body:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def stream(self, **_options: Any) -> list[bytes]:
        return [self.content]


def test_call_that_is_throttled_six_times_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    client, calls = Target(boto3.Session(region_name="eu-west-1"), 1, 1).client("ec2"), []

    def answer(request: Any, **_: Any) -> AWSResponse:
        calls.append(request.url)
        status, content = (503, THROTTLED) if len(calls) <= 6 else (200, ANSWERED)
        return AWSResponse(request.url, status, {}, Body(content))

    client.meta.events.register("before-send.ec2", answer)
    assert client.describe_regions()["Regions"] == []
    assert len(calls) == 7


def test_wait_looks_again_after_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    looks = iter([False, False, True])
    Target(boto3.Session(region_name="eu-west-1"), 900, 1, pause=2).wait_until(lambda: next(looks), "the third look")
    assert slept == [2, 2]
