"""Scenarios with a CDK cloud assembly in the artifact."""

from typing import Any

import pytest

from .assemblies import BOOTSTRAP, CODE, assembly, packed
from .changes import change
from .machine_run import INPUT, Ended, Machine
from .scenarios import failed, scenario, succeeded, with_app

WITHOUT_PATH = {name: value for name, value in INPUT.items() if name != "templatePath"}
LOCATION = {"assembly": {"path": "cdk.out", "stack": "Shop"}}


def with_assembly(machine: Machine, files: dict[str, Any]) -> Machine:
    machine.input = WITHOUT_PATH | LOCATION
    machine.s3.objects["artifacts/App/1.zip"] = packed(files)
    return machine


@scenario
def assets_are_published_before_change_set(machine: Machine) -> Ended:
    fake = with_app(with_assembly(machine, assembly()), change())
    published: list[bool] = []
    fake.before["create_change_set"] = lambda: published.append(f"assets/{CODE}.zip" in machine.s3.objects)
    ended = succeeded(machine.run(tags={"team": "payments", "stage": "prod"}), "updated")
    assert published == [True]
    beginning = ["Check Stack Existence", "Does Stack Exist?", "Publish Assets", "Does Stack Exist?"]
    assert ended.states[:5] == [*beginning, "Create Change Set"]
    (change_set,) = fake.change_sets.values()
    assert {tag["Key"]: tag["Value"] for tag in change_set["Tags"]} == {"team": "payments", "stage": "prod"}
    (key,) = [key for key in machine.s3.objects if key.startswith("inputs/templates/")]
    assert BOOTSTRAP.encode() not in machine.s3.objects[key]
    return ended


@scenario
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="an asset is missing, too large, ambiguous, or contains a symbolic link",
)
def missing_asset_fails_before_change_set(machine: Machine) -> Ended:
    files = {name: content for name, content in assembly().items() if f"/asset.{CODE}/" not in name}
    with_app(with_assembly(machine, files), change())
    ended = failed(
        machine.run(), "InvalidArtifactError", f"The asset 'cdk.out/asset.{CODE}' is not in the source artifact"
    )
    assert "create_change_set" not in machine.cloudformation.calls
    return ended
