"""Attacks of a principal with few permissions: queries of Athena."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from .attacker import JSON, Attacker

pytestmark = pytest.mark.enable_socket


def send(attacker: Attacker, operation: str, **parameters: Any) -> tuple[int, str]:
    headers = JSON | {"X-Amz-Target": f"AmazonAthena.{operation}"}
    return attacker.send("athena", headers, json.dumps(parameters))


def run(attacker: Attacker, query: str) -> dict[str, Any]:
    """Run a query, and return its status after the end."""
    location = {"OutputLocation": "s3://results/"}
    status, text = send(attacker, "StartQueryExecution", QueryString=query, ResultConfiguration=location)
    assert status == 200, text
    while True:
        _, described = send(attacker, "GetQueryExecution", QueryExecutionId=json.loads(text)["QueryExecutionId"])
        execution: dict[str, Any] = json.loads(described)["QueryExecution"]["Status"]
        if execution["State"] not in ("QUEUED", "RUNNING"):
            return execution
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("query", "location", "action"),
    [
        ("SELECT * FROM victim.victim", "s3://results/", "glue:GetTable"),
        ("DROP TABLE victim.victim", "s3://results/", "glue:GetTable"),
        ("SELECT 1", "s3://bucket/", "s3:GetBucketLocation"),
    ],
    ids=["table", "drop", "place of the result"],
)
def test_query_without_location_of_the_workgroup_needs_permissions(
    attacker: Attacker, query: str, location: str, action: str
) -> None:
    place = {"OutputLocation": location}
    status, text = send(attacker, "StartQueryExecution", QueryString=query, ResultConfiguration=place)
    assert status == 400, text
    assert f"is not authorized to perform: {action}" in text


@pytest.mark.parametrize(
    "query",
    [
        "SELECT content FROM read_text('{file}')",
        "COPY (SELECT 1) TO '{file}'",
        "SELECT 1; SET enable_external_access = true; SELECT * FROM read_text('{file}')",
        "SET log_query_path = '{file}'; SELECT 1",
        "ATTACH '{file}'",
        "/* a comment */ DROP TABLE victim.victim",
        "DROP TABLE victim.victim -- a comment",
    ],
)
def test_query_reaches_only_tables(attacker: Attacker, tmp_path: Path, query: str) -> None:
    """DuckDB has functions for files, and MiniStack reads statements in another way than authorization."""
    file = tmp_path / "file"
    file.write_text("text")
    assert run(attacker, query.format(file=file))["State"] == "FAILED"
    assert file.read_text() == "text"
