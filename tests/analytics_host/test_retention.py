"""Facts about the template: what stays after a failed creation and after a removal, and what does not."""

import json
from typing import Any

import pytest

from ..conftest import one, synthesize
from .conftest import user_data

STACK = "AnalyticsHost"


@pytest.fixture(scope="session")
def production(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return synthesize(tmp_path_factory.mktemp("production"), {"production": "true"}, STACK).template(STACK)


@pytest.mark.parametrize("name", ["template", "production"])
@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="the creation of the stack fails",
    expected="the boot log stays; no bucket is left behind",
    observed="`Retain` on the log group alone; hosts write to the bucket that is emptied",
)
def test_boot_log_outlives_failed_creation_and_expires(name: str, request: pytest.FixtureRequest) -> None:
    """RetainExceptOnCreate would delete it in the one case in which it is needed."""
    resources = request.getfixturevalue(name)["Resources"]
    (boot_log,) = (r for key, r in resources.items() if key.startswith("HostsBootLog"))
    assert boot_log["DeletionPolicy"] == "Retain"
    assert boot_log["Properties"]["RetentionInDays"] == 30
    assert "LogGroupName" not in boot_log["Properties"], "the next deployment would fail on the one that is left"


@pytest.mark.reliability("analytics_host", "Partial failure", fault="the creation of the stack fails")
def test_hosts_write_nothing_to_bucket_that_failed_creation_deletes(full: dict[str, Any]) -> None:
    """CloudFormation cannot delete a bucket with objects; the results bucket is emptied first."""
    (cluster,) = {text.split("CLUSTER_BUCKET=")[1].split("\n")[0] for text in user_data(full)}
    emptied = one(full, "Custom::S3AutoDeleteObjects")["BucketName"]
    assert json.loads(cluster.strip("<>")) == emptied
    rules = full["Resources"][emptied["Ref"]]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [rule["Prefix"] for rule in rules] == ["queries/"], "addresses that expire leave a cluster that cannot start"


@pytest.mark.reliability("analytics_host", "Deleted by somebody else", fault="the songs file")
def test_songs_of_the_user_stay_when_the_stack_goes(template: dict[str, Any]) -> None:
    policies = {
        name: r["DeletionPolicy"] for name, r in template["Resources"].items() if r["Type"] == "AWS::S3::Bucket"
    }
    assert sorted((name.startswith("SongsData"), policy) for name, policy in policies.items()) == [
        (False, "Delete"),
        (True, "RetainExceptOnCreate"),
    ]
