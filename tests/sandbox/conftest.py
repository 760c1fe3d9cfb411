"""Two sandboxes with every stack deployed: one with the default settings, one with optional settings."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox
from walkthroughs.walkthrough import Target

from ..conftest import ROOT, need
from .attacker import attacker as attacker

if TYPE_CHECKING:
    from .deployment import Deployment
    from .stacks import Stacks

DOMAIN = "www.example.com"
PGSQL = {"ip_protocol": "tcp", "from_port": 5432, "to_port": 5432, "cidr_ipv4": "10.0.0.0/8"}


def deployable() -> list[str]:
    """Return the systems that can run here: analytics_host needs H2O and Java; all need the CDK CLI."""
    for package in ("ministack", "rich"):
        need(package)
    if not (ROOT / "node_modules" / ".bin" / "cdk").exists():
        pytest.skip("needs the CDK CLI: npm ci")
    from sandbox.ec2.instances import java
    from walkthroughs.catalog import WALKTHROUGHS

    try:
        java()
    except RuntimeError:
        has_h2o = False
    else:
        has_h2o = bool(find_spec("h2o"))
    selected = os.environ.get("ONLY", "").split() or WALKTHROUGHS  # set by `make e2e SYSTEM=...`
    return [name for name in WALKTHROUGHS if name in selected and (has_h2o or name != "analytics_host")]


def stacks_of(systems: list[str]) -> list[str]:
    from walkthroughs.catalog import WALKTHROUGHS

    return [stack for system in systems for stack in WALKTHROUGHS[system].stacks]


@pytest.fixture(scope="session")
def deployed() -> Iterator[Sandbox]:
    """A sandbox with every stack that can run here, deployed with the default settings."""
    systems = deployable()
    from sandbox.target import SPEED, regions_of, settings_for

    with Sandbox(speed=SPEED) as sandbox:
        sandbox.bootstrap(*regions_of(systems))
        sandbox.deploy(*stacks_of(systems), settings=settings_for(sandbox, systems))
        yield sandbox


SERVICES_OF_TEST_APPS = (
    "apigateway", "cloudformation", "cloudwatch", "dynamodb", "ec2", "events", "iam", "kms", "lambda", "logs", "sns",
    "sqs", "ssm", "states"
)  # fmt: skip


@dataclass(frozen=True)
class OptionsSandbox:
    """A sandbox whose stacks have optional settings, and a security group created before the stacks."""

    sandbox: Sandbox
    group_id: str

    @cached_property
    def target(self) -> Target:
        from sandbox.target import target_of

        return target_of(self.sandbox)


@pytest.fixture(scope="session")
def options_sandbox() -> Iterator[OptionsSandbox]:
    """A second sandbox, with a hosted zone and a security group created before the stacks."""
    systems = deployable()
    from sandbox.target import SPEED, regions_of, session

    with Sandbox(speed=SPEED) as sandbox:
        clients = session(sandbox)
        zone = clients.client("route53").create_hosted_zone(Name="example.com", CallerReference="test")
        group = clients.client("ec2").create_security_group(
            GroupName="database", Description="created before the stack"
        )
        settings = {
            "static_site:domain_name": DOMAIN,
            "static_site:hosted_zone_id": zone["HostedZone"]["Id"].rsplit("/", 1)[-1],
            "static_site:hosted_zone_name": "example.com",
            "static_site:alternate_domain_names": '["example.com"]',
            "static_site:waf": "true",
            "static_site:trailing_slash": "rewrite",
            "static_site:redirect_index_html": "true",
            "static_site:redirect_status": "301",
            "static_site:caching": "false",
            # The tests deploy other resources than the sample app.
            "deploy_pipeline:permissions": json.dumps(
                [
                    {"actions": [f"{service}:*" for service in SERVICES_OF_TEST_APPS], "resources": ["*"]},
                    {"actions": ["s3:GetObject", "kms:Decrypt"], "resources": ["*"]},  # templates of nested stacks
                ]
            ),
            "deploy_pipeline:allow_service_wide_permissions": "true",
            "multi_region_api:regions": '["us-east-1"]',
            "multi_region_api:request_interval": "10",
            "multi_region_api:cloudwatch_role": "true",
            "multi_region_api:waf": "true",
            "multi_region_api:dependencies": '[{"name": "orders", "table": "Orders", "partition_key": "order"}]',
            "lambda_canary:start_on_publish": "true",
            "lambda_canary:type": "canary",
            "lambda_canary:max_wait": "0",
            "lambda_canary:error_margin": "0.1",
            "lambda_canary:synthetic_calls": "60",
            "security_group_revert:create_trail": "true",
            "security_group_revert:sample_group": "false",
            "security_group_revert:guard_egress": "true",
            "security_group_revert:email": "ops@example.com",
            "security_group_revert:groups": json.dumps([{"group_id": group["GroupId"], "ingress": [PGSQL]}]),
        }
        sandbox.bootstrap(*regions_of(systems))
        sandbox.deploy(*stacks_of(systems), settings=settings)
        yield OptionsSandbox(sandbox, group["GroupId"])


@pytest.fixture(scope="session")
def sandbox_with_options(options_sandbox: OptionsSandbox) -> Sandbox:
    """The second sandbox, for long tests of stacks with default settings: it is less busy than `deployed`."""
    return options_sandbox.sandbox


@pytest.fixture(scope="session")
def stacks() -> "Iterator[Stacks]":
    """A sandbox without stacks, and what creates them there."""
    for package in ("ministack", "dns"):
        need(package)
    from .stacks import Stacks

    with Sandbox() as sandbox:
        yield Stacks(sandbox)


@pytest.fixture(scope="module")
def state_machine(sandbox_with_options: Sandbox) -> str:
    """The ARN of the state machine of `DeployPipeline`."""
    from sandbox.target import target_of

    return target_of(sandbox_with_options).outputs("DeployPipeline")["StateMachineArn"]


@pytest.fixture
def app(sandbox_with_options: Sandbox, state_machine: str) -> "Iterator[Deployment]":
    """An app that is deployed with the state machine, and deleted after the test."""
    from .deployment import Deployment

    deployment = Deployment(sandbox_with_options, state_machine)
    yield deployment
    deployment.inject()
    deployment.cloudformation.delete_stack(StackName=deployment.stack)
