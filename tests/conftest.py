"""Shared by all tests: no way to a real account, or through a proxy; one synth for everything that reads templates."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from sandbox.process import ELSEWHERE

ROOT = Path(__file__).parents[1]
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(ROOT / ".cache" / "hypothesis")
for name in filter(ELSEWHERE.match, list(os.environ)):
    del os.environ[name]
os.environ |= {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "JSII_DEPRECATED": "fail",  # an API of CDK that is deprecated is an error, wherever tests synthesize
}

hypothesis.settings.register_profile(
    "project", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("project")


@dataclass(frozen=True)
class Assembly:
    """A synthesized application: its folder, and what cdk-nag and CDK's own validation found."""

    directory: Path
    findings: list[str]

    def template(self, stack: str) -> dict[str, Any]:
        """The template of one stack."""
        template: dict[str, Any] = json.loads((self.directory / f"{stack}.template.json").read_text())
        return template

    def artifact(self, name: str) -> dict[str, Any]:
        """What the assembly says of a stack, or of another thing in it."""
        found: dict[str, Any] = json.loads((self.directory / "manifest.json").read_text())["artifacts"][name]
        return found["properties"]

    @property
    def templates(self) -> list[Path]:
        return sorted(self.directory.glob("*.template.json"))


def of_type(template: dict[str, Any], resource_type: str) -> list[dict[str, Any]]:
    """The properties of every resource of a type."""
    return [r["Properties"] for r in template["Resources"].values() if r["Type"] == resource_type]


def listed(value: Any) -> list[Any]:
    """What a policy has as a list, or when it is one only by itself."""
    return value if isinstance(value, list) else [value]


def one(template: dict[str, Any], resource_type: str) -> dict[str, Any]:
    """The properties of the only resource of a type."""
    (found,) = of_type(template, resource_type)
    return found


def synthesize(directory: Path, context: dict[str, Any], *stacks: str) -> Assembly:
    """Synthesize `stacks`, or all, with `context`, and look at them with the cdk-nag rules of AwsSolutions."""
    import aws_cdk as cdk
    from cdk_nag import AwsSolutionsChecks

    from app import build_app
    from settings import Settings

    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    asked_for = {"aws:cdk:bundling-stacks": [*stacks]} if stacks else {}  # as the CDK CLI says it
    app = cdk.App(outdir=str(directory), context=flags | asked_for)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    try:
        build_app(app, Settings.from_context(context)).synth()
    except RuntimeError:  # that there are findings: they are in the report
        if not (directory / "validation-report.json").exists():
            raise
    report = json.loads((directory / "validation-report.json").read_text())
    findings = [
        f"{violation['ruleName']} at {construct['constructPath']}: {violation['description']}"
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    ]
    return Assembly(directory, findings)


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The application with no settings at all."""
    return synthesize(tmp_path_factory.mktemp("default"), {})


# Every option that adds resources or permissions.
EVERYTHING: dict[str, Any] = {
    "deploy_pipeline:source": "s3",
    "deploy_pipeline:email": "ops@example.com",
    "deploy_pipeline:ssm_parameters": ["/aws/service/ami-amazon-linux-latest/*", "/shop/vpc"],
    "deploy_pipeline:permissions_boundary": "arn:aws:iam::111111111111:policy/deployments",
    "deploy_pipeline:permissions": [
        {
            "actions": ["dynamodb:*", "ssm:GetParameter"],
            "resources": [
                "arn:{partition}:dynamodb:{region}:{account}:table/{stack}-*",
                "arn:{partition}:ssm:{region}:{account}:parameter/app",
            ],
        },
        {
            "actions": ["iam:CreateRole"],
            "resources": ["arn:{partition}:iam::{account}:role/{stack}-*"],
            "conditions": {"StringEquals": {"iam:PermissionsBoundary": ["arn:{partition}:iam::{account}:policy/app"]}},
        },
    ],
    "multi_region_api:regions": ["us-east-1", "us-west-2", "eu-west-1"],
    "multi_region_api:domain_name": "api.example.com",
    "multi_region_api:hosted_zone_id": "Z0123456789ABCDEFGHIJ",
    "multi_region_api:hosted_zone_name": "example.com",
    "multi_region_api:checks": [
        {"name": "orders", "table": "Orders", "partition_key": "order"},
        {"name": "payments", "url": "https://payments.example.com/health", "seconds": 0.5},
    ],
    "multi_region_api:email": "ops@example.com",
    "multi_region_api:waf": True,
    "multi_region_api:cloudwatch_role": True,
    "static_site:domain_name": "www.example.com",
    "static_site:hosted_zone_id": "Z0123456789ABCDEFGHIJ",
    "static_site:hosted_zone_name": "example.com",
    "static_site:waf": True,
    "analytics_host:allowed_cidr": "0.0.0.0/0",
    "analytics_host:allow_anywhere": True,
    "analytics_host:stop_schedule": "cron(0 20 * * ? *)",
    "analytics_host:email": "ops@example.com",
    "analytics_host:h2o_nodes": 3,
    "analytics_host:data_location": "s3://example-songs/billboard/",
    "security_group_revert:email": "ops@example.com",
    "security_group_revert:egress": True,
    "security_group_revert:create_trail": True,
    "security_group_revert:vpc_id": "vpc-0123456789abcdef0",
    "security_group_revert:groups": [
        {
            "group_id": "sg-0123456789abcdef0",
            "name": "Database",
            "ingress": [
                {
                    "ip_protocol": "tcp",
                    "from_port": 5432,
                    "to_port": 5432,
                    "referenced_group_id": "sg-0fedcba9876543210",
                },
                {"ip_protocol": "tcp", "from_port": 5432, "to_port": 5432, "prefix_list_id": "pl-63a5400a"},
            ],
        }
    ],
}


@pytest.fixture(scope="session")
def full_assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The application with every option that adds something."""
    return synthesize(tmp_path_factory.mktemp("everything"), EVERYTHING)


@pytest.fixture(scope="session")
def production(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The application in production, with every option, and the source that holds most."""
    settings = EVERYTHING | {"production": True, "deploy_pipeline:source": "codecommit"}
    return synthesize(tmp_path_factory.mktemp("production"), settings)


@pytest.fixture(scope="session")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The pipeline with a connected repository, the one source that the other assemblies do not have."""
    settings = {
        "deploy_pipeline:source": "codeconnections",
        "deploy_pipeline:connection_arn": "arn:aws:codeconnections:us-east-1:111111111111:connection/1234",
        "deploy_pipeline:repository": "example/app",
    }
    return synthesize(tmp_path_factory.mktemp("connected"), settings, "DeployPipeline")


@pytest.fixture(scope="session")
def every_assembly(
    assembly: Assembly, full_assembly: Assembly, production: Assembly, connected: Assembly
) -> list[Assembly]:
    """Every set of options under which a template has something that it has under no other."""
    return [assembly, full_assembly, production, connected]


@pytest.fixture(scope="module")
def template(assembly: Assembly, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The template of the module's `STACK`, with no settings at all."""
    return assembly.template(request.module.STACK)


@pytest.fixture(scope="module")
def full(full_assembly: Assembly, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The template of the module's `STACK`, with every option that adds something."""
    return full_assembly.template(request.module.STACK)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left with it alone at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/sandbox/"))


class ByCost(LoadScopeScheduling):
    """Tests of one sandbox share a worker, and so do those that read templates.

    Each worker then starts one sandbox, or synthesizes once, and not both twice.
    """

    WITH_OPTIONS = tuple(f"sandbox/test_{of}.py" for of in ("athena", "deploy_pipeline", "models", "options"))
    OF_THEIR_OWN = tuple(f"sandbox/test_{of}.py" for of in ("another_system", "cdk", "process"))
    READ_TEMPLATES = tuple(
        f"test_{of}.py"
        for of in (
            "stack",
            "exposure",
            "templates",
            "dead_letters",
            "security",
            "production",
            "quotas",
            "log_groups",
            "threat_model",
        )
    )

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::")[0]
        if path.endswith(self.OF_THEIR_OWN):
            return path
        if path.endswith(self.WITH_OPTIONS):
            return "sandbox with options"
        if path.startswith("tests/sandbox/"):
            return "sandbox"
        return "templates" if path.endswith(self.READ_TEMPLATES) else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByCost:
    return ByCost(config, log)
