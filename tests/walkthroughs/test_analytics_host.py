"""The walkthrough of analytics_host says what it lacks before it changes anything. AWS is botocore's stub."""

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from walkthroughs.analytics_host import preconditions
from walkthroughs.walkthrough import PreconditionError, Target

OUTPUTS = {
    "InstanceId": "i-0123456789abcdef0",
    "StartCommand": "aws ec2 start-instances --instance-ids i-0123456789abcdef0",
    "DatabaseName": "analytics_host",
    "DataBucketName": "own",
    "SongsLocation": "s3://elsewhere/billboard/",
}


class Account:
    """An account in which everything is as it should be, until a test says otherwise."""

    def __init__(self) -> None:
        self.state, self.table, self.songs, self.ping = "running", True, 1, "Online"
        self.stubs: dict[str, Stubber] = {}

    def client(self, service: str, _region: str | None = None) -> Any:
        client = boto3.client(service, region_name="us-east-1")
        stub = self.stubs[service] = Stubber(client)
        if service == "ec2":
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
            expected = {"Bucket": "elsewhere", "Prefix": "billboard/"}
            stub.add_response("list_objects_v2", {"Contents": [{"Key": "songs"}] * self.songs}, expected)
        stub.activate()
        return client


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    monkeypatch.setattr(Target, "client", lambda _world, *arguments: account.client(*arguments))
    return account


def check(**options: Any) -> None:
    preconditions(Target(boto3.Session(), 0.1, 0.1, **options), OUTPUTS)


def test_account_that_has_everything_is_accepted(account: Account) -> None:
    check()
    assert set(account.stubs) == {"ec2", "ssm", "glue", "s3"}


def test_stopped_host_is_named_with_the_command_that_starts_it(account: Account) -> None:
    account.state = "stopped"
    with pytest.raises(PreconditionError, match="i-0123456789abcdef0 is stopped; start it: aws ec2 start-instances"):
        check()


def test_host_that_session_manager_does_not_see_is_named(account: Account) -> None:
    account.ping = "ConnectionLost"
    with pytest.raises(PreconditionError, match="i-0123456789abcdef0 is not connected with Session Manager"):
        check()
    check(instances=Path("sandbox"))


def test_missing_table_is_named(account: Account) -> None:
    account.table = False
    with pytest.raises(PreconditionError, match=r"no table analytics_host\.billboard"):
        check()


def test_nothing_is_uploaded_to_a_bucket_that_is_not_the_stacks(account: Account) -> None:
    account.songs = 0
    with pytest.raises(PreconditionError, match=r"no songs at s3://elsewhere/billboard/.*data_location"):
        check()
