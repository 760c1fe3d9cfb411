"""Tests of the analytics_host walkthrough: its preconditions, with botocore's stubs for AWS, and printed paths."""

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from walkthroughs.analytics_host import short_path
from walkthroughs.analytics_host_preconditions import preconditions
from walkthroughs.walkthrough import ROOT, PreconditionError, Target

OUTPUTS = {
    "InstanceId": "i-0123456789abcdef0",
    "StartCommand": "aws ec2 start-instances --instance-ids i-0123456789abcdef0",
    "DatabaseName": "analytics_host",
    "DataBucketName": "data",
    "SongsLocation": "s3://example-songs/billboard/",
}


class Account:
    """An account that meets every precondition, unless a test changes it."""

    def __init__(self) -> None:
        self.state, self.table, self.songs, self.ping = "running", True, 1, "Online"
        self.stubs: dict[str, Stubber] = {}

    def client(self, service: str, _region: str | None = None) -> Any:
        client = boto3.client(service, region_name="us-east-1")
        stub = self.stubs[service] = Stubber(client)
        if service == "ec2" and self.state == "deleted":
            stub.add_client_error("describe_instances", "InvalidInstanceID.NotFound")
        elif service == "ec2":
            instances = [{"Instances": [{"State": {"Name": self.state}}]}]
            stub.add_response(
                "describe_instances", {"Reservations": instances}, {"InstanceIds": [OUTPUTS["InstanceId"]]}
            )
        elif service == "glue" and self.table:
            stub.add_response("get_table", {"Table": {"Name": "billboard"}})
        elif service == "glue":
            stub.add_client_error("get_table", "EntityNotFoundException")
        elif service == "ssm":
            stub.add_response("describe_instance_information", {"InstanceInformationList": [{"PingStatus": self.ping}]})
        else:
            expected = {"Bucket": "example-songs", "Prefix": "billboard/"}
            stub.add_response("list_objects_v2", {"Contents": [{"Key": "songs"}] * self.songs}, expected)
        stub.activate()
        return client


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    monkeypatch.setattr(Target, "client", lambda _target, *arguments: account.client(*arguments))
    return account


def check(**options: Any) -> None:
    preconditions(Target(boto3.Session(), 0.1, 0.1, **options), OUTPUTS)


def test_preconditions_of_ready_account_pass(account: Account) -> None:
    check()
    assert set(account.stubs) == {"ec2", "ssm", "glue", "s3"}


def test_preconditions_report_stopped_host(account: Account) -> None:
    account.state = "stopped"
    with pytest.raises(PreconditionError, match="i-0123456789abcdef0 is stopped; start it: aws ec2 start-instances"):
        check()


@pytest.mark.parametrize("state", ["shutting-down", "terminated", "deleted"])
def test_preconditions_report_terminated_host(account: Account, state: str) -> None:
    """EC2 describes a terminated instance for about an hour, and then returns InvalidInstanceID.NotFound."""
    account.state = state
    with pytest.raises(PreconditionError, match=r"i-0123456789abcdef0 is (shutting-down|terminated); delete the stack"):
        check()


def test_preconditions_report_disconnected_host(account: Account) -> None:
    account.ping = "ConnectionLost"
    with pytest.raises(PreconditionError, match="i-0123456789abcdef0 is not connected to Session Manager"):
        check()
    check(instances=Path("sandbox"))


def test_preconditions_report_missing_table(account: Account) -> None:
    account.table = False
    with pytest.raises(PreconditionError, match=r"no table analytics_host\.billboard"):
        check()


def test_preconditions_report_empty_data_location(account: Account) -> None:
    account.songs = 0
    with pytest.raises(PreconditionError, match=r"no songs at s3://example-songs/billboard/.*data_location"):
        check()


@pytest.mark.parametrize("path", [".cache/reports/report.html", "/elsewhere/report.html"])
def test_short_path_is_relative_only_below_the_project(path: str) -> None:
    assert short_path(ROOT / path) == Path(path)
