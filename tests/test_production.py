"""The setting `production`: data is retained, and stacks have termination protection."""

import json
from collections.abc import Iterator
from typing import Any

from app import STATEFUL_RESOURCE_TYPES

from .conftest import Assembly

RETAINED = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
BOOT_LOG = "AnalyticsHost.template.json: HostsBootLog"  # explains a failed creation


def resources(assembly: Assembly) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in assembly.templates:
        for name, resource in json.loads(path.read_text())["Resources"].items():
            yield f"{path.name}: {name}, {resource['Type']},", resource


def test_production_stack_has_termination_protection(production: Assembly, assembly: Assembly) -> None:
    for variant, protected in ((production, True), (assembly, False)):
        for path in variant.templates:
            stack = path.name.removesuffix(".template.json")
            assert variant.artifact(stack)["terminationProtection"] is protected, stack


def test_production_stateful_resources_are_retained(production: Assembly) -> None:
    types = set()
    for name, resource in resources(production):
        if resource["Type"] in STATEFUL_RESOURCE_TYPES:
            types.add(resource["Type"])
            policies = {key: resource.get(key) for key in RETAINED}
            expected = RETAINED | ({"DeletionPolicy": "Retain"} if BOOT_LOG in name else {})
            assert policies == expected, f"{name} has {policies}"
    assert types == set(STATEFUL_RESOURCE_TYPES), "a type that no stack has"


def test_production_buckets_are_not_emptied(production: Assembly) -> None:
    definitions = ("Custom::", "AWS::StepFunctions::")  # CDK sets Delete, and they hold no data
    for name, resource in resources(production):
        assert resource.get("DeletionPolicy") != "Delete" or resource["Type"].startswith(definitions), (
            f"{name} is deleted"
        )
        assert resource["Type"] != "Custom::S3AutoDeleteObjects", f"{name} empties a bucket"
        assert "auto-delete-objects" not in json.dumps(resource), f"{name} can be emptied"


def test_production_has_no_unacknowledged_findings(production: Assembly) -> None:
    assert not production.findings, "\n".join(production.findings)
