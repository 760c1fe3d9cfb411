"""A cluster of two analytics hosts in the sandbox."""

from collections.abc import Iterator

import pytest
import urllib3

from sandbox import Sandbox
from sandbox.target import session

from .conftest import deployable

pytestmark = pytest.mark.enable_socket


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    if "analytics_host" not in deployable():
        pytest.skip("needs H2O and Java: make analysis")
    from sandbox.target import SPEED

    with Sandbox(speed=SPEED) as running:
        running.bootstrap()
        running.deploy("AnalyticsHost", settings={"analytics_host:h2o_nodes": "2"})
        yield running


@pytest.mark.reliability(
    "analytics_host", "Delayed or out of order", fault="one host of a cluster boots later than the others"
)
def test_hosts_of_a_cluster_find_each_other(sandbox: Sandbox) -> None:
    """Each host signals success only when its H2O has both nodes."""
    resources = session(sandbox).client("cloudformation").describe_stack_resources(StackName="AnalyticsHost")
    hosts = {
        r["LogicalResourceId"]: r for r in resources["StackResources"] if r["ResourceType"] == "AWS::EC2::Instance"
    }
    assert {name: host["ResourceStatus"] for name, host in hosts.items()} == {
        "Host": "CREATE_COMPLETE",
        "Worker1": "CREATE_COMPLETE",
    }
    for host in hosts.values():
        log = sandbox.directory / "instances" / host["PhysicalResourceId"] / "var/log/analytics-host.log"
        assert "H2O: 2 nodes, healthy, 401 without the password" in log.read_text()


def test_metadata_service_requires_a_token(sandbox: Sandbox) -> None:
    ec2 = session(sandbox).client("ec2")
    (instance, *_) = (i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"])
    url = f"http://127.0.0.1:{sandbox.ports['http']}/metadata/{instance['InstanceId']}/latest"
    token = (
        urllib3.PoolManager()
        .request("PUT", f"{url}/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        .data
    )
    headers = {"X-aws-ec2-metadata-token": token.decode()}
    address = urllib3.PoolManager().request("GET", f"{url}/meta-data/local-ipv4", headers=headers)
    assert address.data.decode() == instance["PrivateIpAddress"]
    assert urllib3.PoolManager().request("GET", f"{url}/meta-data/local-ipv4").status == 401
    assert urllib3.PoolManager().request("GET", f"{url}/meta-data/spot", headers=headers).status == 404
