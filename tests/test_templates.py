"""Facts that hold for the templates of all stacks."""

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


def test_cdk_nag_and_cdk_find_nothing_unacknowledged(any_assembly: Assembly) -> None:
    assert not any_assembly.findings, "\n".join(any_assembly.findings)


def test_cfn_lint_finds_nothing(any_assembly: Assembly) -> None:
    """In one template of each system: those of further regions are the same to cfn-lint, which checks for us-east-1."""
    need("cfnlint")
    by_system = {path.name.partition(".")[0].partition("-")[0]: path for path in any_assembly.templates}
    # W3005: CDK adds DependsOn where a GetAtt is enough.
    command = ["cfn-lint", "--ignore-checks=W3005", *map(str, by_system.values())]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_parameter_is_cdks_own(any_assembly: Assembly) -> None:
    for path in any_assembly.templates:
        parameters = set(json.loads(path.read_text()).get("Parameters", {}))
        assert parameters <= {"BootstrapVersion"}, f"{path.name} has parameters: {parameters}"


def test_outputs_are_named_and_described(any_assembly: Assembly) -> None:
    for path in any_assembly.templates:
        for name, output in json.loads(path.read_text()).get("Outputs", {}).items():
            assert not re.search(r"[0-9A-F]{8}$", name), f"{path.name}: output {name} has a name made up by CDK"
            assert output.get("Description"), f"{path.name}: output {name} has no description"


def test_stacks_and_everything_in_them_that_takes_tags_say_project_and_system(any_assembly: Assembly) -> None:
    need("ministack")
    from sandbox.cloudformation.diff import schema

    for path in any_assembly.templates:
        stack = path.name.removesuffix(".template.json")
        system = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", stack.split("-")[0]).lower()
        tags = {"project": PROJECT, "system": system}
        assert any_assembly.artifact(stack)["tags"] == tags
        for name, resource in json.loads(path.read_text())["Resources"].items():
            tagging = schema(resource["Type"]).get("tagging", {})
            # aws-cdk-lib writes these without tags; CloudFormation gives them the stack's.
            if not tagging.get("taggable") or name.startswith("CustomS3AutoDeleteObjectsCustomResourceProvider"):
                continue
            found = resource["Properties"].get(tagging["tagProperty"].removeprefix("/properties/"), {})
            given = found if isinstance(found, dict) else {tag["Key"]: tag["Value"] for tag in found}
            assert given.items() >= tags.items(), f"{path.name}: {name} has the tags {given}"


def test_feature_flags_have_the_values_that_aws_cdk_lib_recommends(assembly: Assembly) -> None:
    flags = assembly.artifact("aws-cdk-lib/feature-flag-report")["flags"]
    wrong = [name for name, flag in flags.items() if flag.get("userValue") != flag["recommendedValue"]]
    assert not wrong, f"cdk.json has another value for, or lacks: {', '.join(wrong)} (see `cdk flags --unstable=flags`)"


def test_synth_looks_nothing_up_and_warns_of_nothing(any_assembly: Assembly) -> None:
    """Of no deprecated API either: that is an error here."""
    manifest = json.loads((any_assembly.directory / "manifest.json").read_text())
    assert not manifest.get("missing"), f"looked up in an account: {manifest['missing']}"
    for path in any_assembly.directory.glob("*.metadata.json"):
        warnings = re.findall(r'"aws:cdk:(?:warning|error)",\s*"data": (.*)', path.read_text())
        assert not warnings, f"{path.name}: {warnings}"


STAYS_ALWAYS = (
    # An account has one role for API Gateway's logs in each region, and keeps its ARN when this resource is deleted:
    # without the role, the logs of every other API of the region would stop.
    "ApiAccount",
    "ApiCloudWatchRole",
    "HostsBootLog",  # it says why the creation failed
)


@pytest.mark.reliability(
    "security_group_revert",
    "Partial failure",
    fault="the creation of a stack fails (any of the systems)",
    expected="what is retained otherwise is deleted; the next try starts from nothing",
    observed="read from every template; the trail is created last, so that its bucket is still empty",
)
def test_retained_resources_go_when_their_creation_fails(every_assembly: list[Assembly]) -> None:
    """Each further try would leave another bucket, key or function."""
    for path in (path for assembly in every_assembly for path in assembly.templates):
        for name, resource in json.loads(path.read_text())["Resources"].items():
            policies = resource.get("DeletionPolicy", "Delete"), resource.get("UpdateReplacePolicy", "Delete")
            if not name.startswith(STAYS_ALWAYS):
                accepted = {("Delete", "Delete"), ("RetainExceptOnCreate", "Retain")}
                assert policies in accepted, f"{path.name}: {name} has {policies}"


@pytest.mark.parametrize(
    ("named", "made"),
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
def test_stacks_that_the_cli_names_exclusively_are_made_and_no_other(named: list[str] | None, made: list[str]) -> None:
    app = cdk.App(context={} if named is None else {"aws:cdk:bundling-stacks": named})
    assert selected_stacks(app, ["A", "B", "Region-1", "Region-2"]) == made


def test_unknown_stack_is_refused_with_the_valid_ones() -> None:
    app = cdk.App(context={"aws:cdk:bundling-stacks": ["static_site"]})
    with pytest.raises(UnknownStackError, match=r"^static_site: unknown stack \(valid: A, B\)$"):
        selected_stacks(app, ["A", "B"])


def test_app_annotations_name_no_temporary_file(tmp_path: Path) -> None:
    """The CLI prints where an annotation was added; from Python that is a file of jsii's in a temporary folder."""
    context = {"aws:cdk:bundling-stacks": ["MultiRegionApi-us-east-1"]}
    environment = {**os.environ, "CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": str(tmp_path)}
    subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=environment, check=True, capture_output=True)
    annotations = (tmp_path / "MultiRegionApi-us-east-1.metadata.json").read_text()
    assert "No domain name" in annotations
    assert "program.js" not in annotations


def test_wrong_settings_give_one_message_and_no_traceback() -> None:
    context = {"security_group_revert:mode": "cleanup", "security_group_revert:sweep_minutes": "0"}
    environment = {**os.environ, "CDK_CONTEXT_JSON": json.dumps(context)}
    command = [sys.executable, "app.py"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr, run.stderr
    assert "security_group_revert:mode" in run.stderr
    assert "security_group_revert:sweep_minutes" in run.stderr
