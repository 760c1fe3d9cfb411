"""The table of lossy changes against CloudFormation's schemas, and the documentation against the table."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import cfnlint
import pytest

from lambdas.deploy_pipeline.inspection import POLICY_TARGETS
from lambdas.deploy_pipeline.lossy_changes import ANY_TYPE, LOSSY_CHANGES, LossyChange, markdown_table

SCHEMAS = Path(cfnlint.__file__).parent / "data" / "schemas"
PAGE = Path("docs/deploy_pipeline.md")


@cache
def schema(kind: str) -> Any:
    name = json.loads((SCHEMAS / "providers/us-east-1.json").read_text())[kind]
    return json.loads((SCHEMAS / f"resources/{name}.json").read_text())


def described(kind: str, path: str) -> Any:
    """What the schema says of a property; KeyError if there is none."""
    found = schema(kind)
    for step in path.split("."):
        found = found["properties"][step]
        while "$ref" in found:
            found = schema(kind)["definitions"][found["$ref"].removeprefix("#/definitions/")]
    return found


@pytest.mark.parametrize("row", LOSSY_CHANGES, ids=lambda row: f"{row.type}-{row.path}")
def test_row_names_a_property_of_the_type(row: LossyChange) -> None:
    if row.type != ANY_TYPE:
        found = described(row.type, row.path)
        if "default" in found and row.default is not None:
            assert str(found["default"]).lower() == str(row.default).lower()


def test_policies_name_their_target_by_a_property() -> None:
    for kind, (name, _) in POLICY_TARGETS.items():
        assert described(kind, name)


def test_table_has_no_row_twice() -> None:
    keys = [(row.type, row.path) for row in LOSSY_CHANGES]
    assert len(set(keys)) == len(keys)


def test_documentation_has_the_table() -> None:
    assert markdown_table() in PAGE.read_text(), "write what markdown_table() returns into the page"
