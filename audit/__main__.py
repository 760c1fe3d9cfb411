"""Run the second tool over every template, and write docs/security.md's tables.

Exits with 1 when a finding has no answer, or an answer no finding.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.conftest import EVERYTHING, ROOT, synthesize

from . import checkov, wildcards
from .assembly import Template, templates

DOCUMENT = ROOT / "docs" / "security.md"
SAMPLE_APP = ROOT / "samples" / "deploy_pipeline" / "app" / "template.yaml"


def main() -> int:
    """Run, say what is wrong, write the tables."""
    parser = argparse.ArgumentParser(prog="python -m audit", description=__doc__)
    parser.add_argument("--checkov", type=Path, required=True, help="the program")
    program: Path = parser.parse_args().checkov.absolute()
    with tempfile.TemporaryDirectory(prefix="audit-") as name:
        folders = [Path(name, kind) for kind in ("default", "everything")]
        for folder, settings in zip(folders, ({}, EVERYTHING), strict=True):
            synthesize(folder, settings)
        found = list(templates(*folders))
        tables = {"wildcards": wildcards.table(wildcards.statements(found))}
        findings = checkov.findings(program, [*found, Template(SAMPLE_APP)])
    reasons, wrong = checkov.answered(findings)
    tables["checkov"] = checkov.table(reasons)
    _write(tables)
    print(
        "\n".join([*wrong, f"{len(findings)} findings, {len(wrong)} without an answer or answers without a finding."])
    )
    return 1 if wrong else 0


def _write(tables: dict[str, str]) -> None:
    text = DOCUMENT.read_text()
    for name, table in tables.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        text = before + start + table + end + rest.partition(end)[2]
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
