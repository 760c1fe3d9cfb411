"""Run Checkov over every template; write docs/security.md's tables and docs/deployment_policies/.

Exits with 1 if a finding is not acknowledged, or a suppression matches no finding.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.conftest import EVERYTHING, ROOT, synthesize

from . import checkov, deployment_policies, wildcards
from .assembly import Template, templates

DOCUMENT = ROOT / "docs" / "security.md"
POLICIES = ROOT / "docs" / "deployment_policies"
SAMPLE_APP = ROOT / "assets" / "deploy_pipeline" / "app" / "template.yaml"


def main() -> int:
    """Write the tables and policies, and print what has to be corrected."""
    parser = argparse.ArgumentParser(prog="python -m audit", description=__doc__)
    parser.add_argument(
        "--checkov", type=Path, help="path of the checkov command; if omitted, the Checkov table is not updated"
    )
    program: Path | None = parser.parse_args().checkov
    with tempfile.TemporaryDirectory(prefix="audit-") as name:
        folders = [Path(name, kind) for kind in ("default", "everything")]
        for folder, settings in zip(folders, ({}, EVERYTHING), strict=True):
            synthesize(folder, settings)
        all_templates = list(templates(*folders))
        write_tables({"wildcards": wildcards.table(wildcards.statements(all_templates))})
        deployment_policies.write(POLICIES, deployment_policies.all_policies(all_templates))
        if program is None:
            return 0
        findings = checkov.findings(program.absolute(), [*all_templates, Template(SAMPLE_APP)])
    reasons, errors = checkov.match_suppressions(findings)
    write_tables({"checkov": checkov.table(reasons)})
    print("\n".join([*errors, f"{len(findings)} findings, {len(errors)} errors."]))
    return 1 if errors else 0


def write_tables(tables: dict[str, str]) -> None:
    """Replace tables in docs/security.md, which comments enclose."""
    text = DOCUMENT.read_text()
    for name, table in tables.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        text = before + start + table + end + rest.partition(end)[2]
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
