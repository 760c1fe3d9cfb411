"""Scenarios with a CDK cloud assembly in the artifact."""

from typing import Any

import pytest

from .assemblies import BOOTSTRAP, CODE, assembly, packed
from .changes import change
from .machine_run import APP, INPUT, Ended, Machine
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


SEVERAL = {"assembly": {"path": "cdk.out", "stacks": ["Shop", "Web"]}, "stack": "Shop"}
SHOP = f"{APP}-Shop"


def inspect_shop(machine: Machine, *changes: Any, **fields: Any) -> Ended:
    """Inspect one of several stacks; it exists if there are changes."""
    machine = with_assembly(machine, assembly())
    machine.input = WITHOUT_PATH | SEVERAL | {"inspectOnly": True}
    machine.stack_names = f"{SHOP},{APP}-Web"
    if changes:
        machine.cloudformation.add_stack(SHOP, "UPDATE_COMPLETE")
        machine.cloudformation.changes = list(changes)
    ended = machine.run(**fields)
    assert not machine.cloudformation.executed
    return ended


@scenario
def safe_stack_is_inspected_and_not_changed(machine: Machine) -> Ended:
    ended = succeeded(inspect_shop(machine, change()), "inspected", SHOP)
    assert ended.output["summary"].startswith(f"{SHOP} is inspected. All changes: ")
    return ended


@scenario
def missing_stack_is_new_and_not_created(machine: Machine) -> Ended:
    ended = succeeded(inspect_shop(machine), "new", SHOP)
    assert "create_stack" not in machine.cloudformation.calls
    return ended


@scenario
def unsafe_stack_fails_inspection(machine: Machine) -> Ended:
    return failed(inspect_shop(machine, change("Remove")), "UnsafeChanges", f"1 unsafe change to {SHOP}")
