"""Walkthroughs retry throttled calls and pause between polls. A botocore handler responds for EC2."""

from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from walkthroughs.walkthrough import Target

THROTTLED = b"<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>"
SUCCESS = b"<DescribeRegionsResponse><regionInfo/></DescribeRegionsResponse>"


class Body:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def stream(self, **_options: Any) -> list[bytes]:
        return [self.content]


def test_call_throttled_six_times_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    client, calls = Target(boto3.Session(region_name="eu-west-1"), 1, 1).client("ec2"), []

    def respond(request: Any, **_: Any) -> AWSResponse:
        calls.append(request.url)
        status, content = (503, THROTTLED) if len(calls) <= 6 else (200, SUCCESS)
        return AWSResponse(request.url, status, HTTPHeaders(), Body(content))

    client.meta.events.register("before-send.ec2", respond)
    assert client.describe_regions()["Regions"] == []
    assert len(calls) == 7


def test_wait_until_pauses_between_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    results = iter([False, False, True])
    Target(boto3.Session(region_name="eu-west-1"), 900, 1, poll_seconds=2).wait_until(
        lambda: next(results), "the third result"
    )
    assert slept == [2, 2]
