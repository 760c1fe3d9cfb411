"""Facts about the setting `production`: data stays, and stacks cannot be removed by mistake."""

import json
from collections.abc import Iterator
from typing import Any

from app import STATEFUL_RESOURCE_TYPES

from .conftest import Assembly

KEPT = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
BOOT_LOG = "AnalyticsHost.template.json: HostsBootLog"  # which is needed when the creation has failed


def resources(assembly: Assembly) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in assembly.templates:
        for name, resource in json.loads(path.read_text())["Resources"].items():
            yield f"{path.name}: {name}, {resource['Type']},", resource


def test_every_stack_is_protected_from_termination(production: Assembly, assembly: Assembly) -> None:
    for found, protected in ((production, True), (assembly, False)):
        for path in found.templates:
            stack = path.name.removesuffix(".template.json")
            assert found.artifact(stack)["terminationProtection"] is protected, stack


def test_everything_that_holds_data_stays_when_it_is_removed_or_replaced(production: Assembly) -> None:
    types = set()
    for name, resource in resources(production):
        if resource["Type"] in STATEFUL_RESOURCE_TYPES:
            types.add(resource["Type"])
            policies = {key: resource.get(key) for key in KEPT}
            expected = KEPT | ({"DeletionPolicy": "Retain"} if BOOT_LOG in name else {})
            assert policies == expected, f"{name} has {policies}"
    assert types == set(STATEFUL_RESOURCE_TYPES), "types that no stack has"


def test_nothing_else_is_said_to_go_and_nothing_empties_a_bucket(production: Assembly) -> None:
    definitions = ("Custom::", "AWS::StepFunctions::")  # what CDK says it of, and no data is in
    for name, resource in resources(production):
        assert resource.get("DeletionPolicy") != "Delete" or resource["Type"].startswith(definitions), f"{name} goes"
        assert resource["Type"] != "Custom::S3AutoDeleteObjects", f"{name} empties a bucket"
        assert "auto-delete-objects" not in json.dumps(resource), f"{name} may be emptied"


def test_cdk_nag_and_cdk_find_nothing_unacknowledged_in_production(production: Assembly) -> None:
    assert not production.findings, "\n".join(production.findings)
