"""`python -m walkthroughs` uses the Region that the CDK CLI deploys to."""

import pytest

from walkthroughs.walkthrough import session_for


@pytest.fixture(autouse=True)
def _without_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")


def test_aws_region_overrides_aws_default_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 reads only AWS_DEFAULT_REGION; the CDK CLI prefers AWS_REGION, like the AWS CLI and other SDKs."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert session_for(profile=None, region=None).region_name == "eu-west-1"


def test_region_option_overrides_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert session_for(profile=None, region="us-west-2").region_name == "us-west-2"


def test_aws_default_region_is_used_without_aws_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert session_for(profile=None, region=None).region_name == "us-west-2"
