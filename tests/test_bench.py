"""Parts of the benchmarks that need no measurement."""

import json
import re
from pathlib import Path

import pytest

from bench.bar_chart import Bar, bar_chart

from .conftest import need


def test_bar_chart_draws_bars_in_proportion() -> None:
    svg = bar_chart("Times", [Bar("a & b", 10, "10 ms"), Bar("c", 40, "40 ms", is_other=True)])
    short, long = (float(width) for width in re.findall(r'<rect x="\d+" y="\d+" width="([\d.]+)"', svg))
    assert long == pytest.approx(4 * short)
    assert "a &amp; b" in svg


def test_benchmarked_functions_are_those_of_the_project(tmp_path: Path) -> None:
    need("rich")
    from bench.functions import ARN, functions_of

    def function(handler: str, **variables: object) -> dict[str, object]:
        properties = {"Handler": handler, "Code": {"S3Key": "abc.zip"}, "Environment": {"Variables": variables}}
        return {"Type": "AWS::Lambda::Function", "Properties": properties}

    resources = {
        "Own": function("system.handler.handle", MODE="report", TOPIC={"Ref": "Topic"}),
        "CustomResource": function("index.handler"),
        "Topic": {"Type": "AWS::SNS::Topic"},
    }
    (tmp_path / "A.template.json").write_text(json.dumps({"Resources": resources}))
    ((module, found),) = functions_of(tmp_path)
    assert module == "system.handler"
    assert found.package == tmp_path / "asset.abc"
    assert found.variables == {"MODE": "report", "TOPIC": ARN}
