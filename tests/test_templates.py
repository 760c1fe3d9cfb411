"""Templates of all stacks."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
import pytest

from app import PROJECT, UnknownStackError, selected_stacks

from .conftest import ROOT, Assembly, need

pytestmark = pytest.mark.xdist_group("templates")


@pytest.fixture(params=["assembly", "full_assembly"])
def any_assembly(request: pytest.FixtureRequest) -> Assembly:
    found: Assembly = request.getfixturevalue(request.param)
    return found


def test_template_has_no_unacknowledged_findings(any_assembly: Assembly) -> None:
    assert not any_assembly.findings, "\n".join(any_assembly.findings)


def test_cfn_lint_finds_nothing(any_assembly: Assembly) -> None:
    """In one template of each system, because cfn-lint checks each Region's as for us-east-1."""
    need("cfnlint")
    by_system = {path.name.partition(".")[0].partition("-")[0]: path for path in any_assembly.templates}
    # W3005: CDK adds DependsOn where a GetAtt is enough.
    command = ["cfn-lint", "--ignore-checks=W3005,E3601", *map(str, by_system.values())]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_template_has_only_cdk_parameters(any_assembly: Assembly) -> None:
    for path in any_assembly.templates:
        parameters = set(json.loads(path.read_text()).get("Parameters", {}))
        assert parameters <= {"BootstrapVersion"}, f"{path.name} has parameters: {parameters}"


def test_outputs_are_named_and_described(any_assembly: Assembly) -> None:
    for path in any_assembly.templates:
        for name, output in json.loads(path.read_text()).get("Outputs", {}).items():
            assert not re.search(r"[0-9A-F]{8}$", name), f"{path.name}: output {name} has a generated name"
            assert output.get("Description"), f"{path.name}: output {name} has no description"


def test_taggable_resources_have_project_and_system_tags(any_assembly: Assembly) -> None:
    need("ministack")
    from sandbox.cloudformation.schemas import schema

    for path in any_assembly.templates:
        stack = path.name.removesuffix(".template.json")
        system = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", stack.split("-")[0]).lower()
        tags = {"project": PROJECT, "system": system}
        assert any_assembly.artifact(stack)["tags"] == tags
        for name, resource in json.loads(path.read_text())["Resources"].items():
            tagging = schema(resource["Type"]).get("tagging", {})
            # aws-cdk-lib writes these without tags; CloudFormation adds the stack's.
            if not tagging.get("taggable") or name.startswith("CustomS3AutoDeleteObjectsCustomResourceProvider"):
                continue
            value = resource["Properties"].get(tagging["tagProperty"].removeprefix("/properties/"), {})
            actual = value if isinstance(value, dict) else {tag["Key"]: tag["Value"] for tag in value}
            assert actual.items() >= tags.items(), f"{path.name}: {name} has the tags {actual}"


def test_feature_flags_have_recommended_values(assembly: Assembly) -> None:
    flags = assembly.artifact("aws-cdk-lib/feature-flag-report")["flags"]
    wrong = [name for name, flag in flags.items() if flag.get("userValue") != flag["recommendedValue"]]
    assert not wrong, f"cdk.json lacks the recommended value of: {', '.join(wrong)} (see `cdk flags --unstable=flags`)"


def test_synth_has_no_lookups_and_no_warnings(any_assembly: Assembly) -> None:
    """Deprecated APIs are errors in tests."""
    manifest = json.loads((any_assembly.directory / "manifest.json").read_text())
    assert not manifest.get("missing"), f"needs lookups: {manifest['missing']}"
    for path in any_assembly.directory.glob("*.metadata.json"):
        warnings = re.findall(r'"aws:cdk:(?:warning|error)",\s*"data": (.*)', path.read_text())
        assert not warnings, f"{path.name}: {warnings}"


ALWAYS_RETAINED = (
    # An account has one role for API Gateway's logs in each Region and keeps its ARN after this resource is deleted.
    # Without the role, all APIs of the Region would stop logging.
    "ApiAccount",
    "ApiCloudWatchRole",
    "HostsBootLog",  # explains a failed creation
)


@pytest.mark.reliability(
    "security_group_revert",
    "Partial failure",
    fault="the creation of a stack fails (any of the systems)",
    expected="resources that are otherwise retained are deleted; the next attempt starts empty",
    observed="in every template; the trail is created last, so its bucket is empty",
)
def test_retained_resources_are_deleted_after_failed_creation(every_assembly: list[Assembly]) -> None:
    """Otherwise each attempt would leave another bucket, key or function."""
    for path in (path for assembly in every_assembly for path in assembly.templates):
        for name, resource in json.loads(path.read_text())["Resources"].items():
            policies = resource.get("DeletionPolicy", "Delete"), resource.get("UpdateReplacePolicy", "Delete")
            if not name.startswith(ALWAYS_RETAINED):
                accepted = {("Delete", "Delete"), ("RetainExceptOnCreate", "Retain")}
                assert policies in accepted, f"{path.name}: {name} has {policies}"


@pytest.mark.parametrize(
    ("selection", "synthesized"),
    [
        (["B"], ["B"]),
        (["Region-*"], ["Region-1", "Region-2"]),
        (["B", "Region-2"], ["B", "Region-2"]),
        (["**"], ["A", "B", "Region-1", "Region-2"]),
        ([], ["A", "B", "Region-1", "Region-2"]),
        (None, ["A", "B", "Region-1", "Region-2"]),
        (["B", "No-*"], ["A", "B", "Region-1", "Region-2"]),
    ],
    ids=str,
)
def test_exclusive_stacks_are_the_only_ones_synthesized(selection: list[str] | None, synthesized: list[str]) -> None:
    app = cdk.App(context={} if selection is None else {"aws:cdk:bundling-stacks": selection})
    assert selected_stacks(app, ["A", "B", "Region-1", "Region-2"]) == synthesized


def test_selected_stack_imports_neither_other_systems_nor_boto3() -> None:
    """Importing all of them takes longer than synthesizing one stack."""
    program = """
import sys
import aws_cdk as cdk
from app import build_app
from settings import Settings
build_app(cdk.App(context={"aws:cdk:bundling-stacks": ["MultiRegionApi-us-east-1"]}), Settings())
print(*sys.modules)
"""
    command = [sys.executable, "-O", "-c", program]
    modules = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    systems = {module for module in modules if re.fullmatch(r"stacks\.(?!constructs)\w+", module)}
    assert systems == {"stacks.multi_region_api"}
    assert not {"boto3", "botocore.loaders"} & set(modules)


def test_unknown_stack_is_rejected_with_the_valid_ones() -> None:
    app = cdk.App(context={"aws:cdk:bundling-stacks": ["static_site"]})
    with pytest.raises(UnknownStackError, match=r"^static_site: unknown stack \(valid: A, B\)$"):
        selected_stacks(app, ["A", "B"])


def test_documented_bootstrap_regions_are_those_of_the_stacks(assembly: Assembly) -> None:
    """Without arguments, `cdk bootstrap` prepares every Region of the app."""
    found = {assembly.environment(path.name.removesuffix(".template.json")) for path in assembly.templates}
    regions = {name.rpartition("/")[2] for name in found} - {"unknown-region"}
    text = (ROOT / "docs" / "deployment.md").read_text()
    section = text.partition("## Credentials")[2].partition("\n## ")[0]
    assert set(re.findall(r"[a-z]{2}-[a-z]+-\d", section)) == regions == {"us-east-1", "us-west-2"}


def test_app_annotations_name_no_temporary_file(tmp_path: Path) -> None:
    """The CLI prints where an annotation was added, which in Python is a temporary file of jsii."""
    context = {"aws:cdk:bundling-stacks": ["MultiRegionApi-us-east-1"]}
    variables = {"CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": str(tmp_path), "CDK_VALIDATION": "false"}
    environment = {**os.environ, **variables}
    subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=environment, check=True, capture_output=True)
    annotations = (tmp_path / "MultiRegionApi-us-east-1.metadata.json").read_text()
    assert "Without a domain name" in annotations
    assert "program.js" not in annotations


def test_invalid_settings_print_no_traceback() -> None:
    context = {"security_group_revert:mode": "cleanup", "security_group_revert:sweep_minutes": "0"}
    environment = {**os.environ, "CDK_CONTEXT_JSON": json.dumps(context)}
    command = [sys.executable, "app.py"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr, run.stderr
    assert "security_group_revert:mode" in run.stderr
    assert "security_group_revert:sweep_minutes" in run.stderr
