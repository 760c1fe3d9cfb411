"""Checkov's findings in the templates: each is acknowledged in `suppressions.toml`, and each suppression is used.

A suppression names a check and the resources, with a reason. It can also name a rule of cdk-nag instead: the
reason is then the one with which the stack acknowledges that rule at the same construct.
"""

import json
import subprocess
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .assembly import Template

SUPPRESSIONS = Path(__file__).with_name("suppressions.toml")
MAX_RESOURCES = 4  # in a row of the table


@dataclass(frozen=True, order=True)
class Finding:
    """A finding of Checkov at one construct."""

    check: str
    title: str
    resource: str
    cdk_nag: dict[str, str] = field(compare=False)  # the acknowledgments there: rule to reason


def findings(program: Path, templates: Iterable[Template]) -> list[Finding]:
    """Run the Checkov `program`, and return its findings in the templates, each resource once."""
    by_path = {str(template.path): template for template in templates}
    files = [argument for path in by_path for argument in ("--file", path)]
    command: list[str | Path] = [
        program,
        "--framework",
        "cloudformation",
        "--skip-download",
        "--compact",
        "--quiet",
        "-o",
        "json",
        *files,
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # it exits with 1 when it has findings
    if not run.stdout:
        raise SystemExit(f"Checkov failed: {run.stderr}")
    report = json.loads(run.stdout)
    if report["summary"]["parsing_errors"]:
        raise SystemExit(f"Checkov cannot read a template: {run.stderr}")
    return sorted({_finding(by_path[item["file_abs_path"]], item) for item in report["results"]["failed_checks"]})


def _finding(template: Template, item: dict[str, Any]) -> Finding:
    logical_id = item["resource"].rpartition(".")[2]
    resource = f"{template.stack}/{template.construct(logical_id)}"
    return Finding(item["check_id"], item["check_name"], resource, template.reasons(logical_id))


def match_suppressions(findings: list[Finding]) -> tuple[dict[Finding, str], list[str]]:
    """Return the reason for each acknowledged finding, and an error for each other finding and unused suppression."""
    suppressions = [
        (suppression, resource)
        for suppression in tomllib.loads(SUPPRESSIONS.read_text())["suppression"]
        for resource in suppression.get("resources", [None])  # None: wherever cdk-nag's rule is acknowledged
    ]
    reasons: dict[Finding, str] = {}
    used = set()
    for finding in findings:
        for number, (suppression, resource) in enumerate(suppressions):
            reason = suppression.get("reason") or finding.cdk_nag.get(suppression["cdk_nag_rule"])
            if suppression["check"] == finding.check and resource in (None, finding.resource) and reason:
                reasons[finding] = reason
                used.add(number)
    errors = [f"not acknowledged: {f.check} ({f.title}) at {f.resource}" for f in findings if f not in reasons]
    unused = [suppressions[number] for number in range(len(suppressions)) if number not in used]
    return reasons, errors + [
        f"no such finding: {suppression['check']} at {resource or suppression['cdk_nag_rule']}"
        for suppression, resource in unused
    ]


def table(reasons: dict[Finding, str]) -> str:
    """Return the acknowledged findings as a Markdown table."""
    lines = ["| Check | Resources | Reason |", "|---|---|---|"]
    resources_of: dict[tuple[str, str, str], list[str]] = {}
    for finding, reason in reasons.items():
        resources_of.setdefault((finding.check, finding.title, reason), []).append(finding.resource)
    titled = set()
    for (check, title, reason), resources in sorted(resources_of.items()):
        name = check if check in titled else f"{check}: {title}"  # the title only once
        lines.append(f"| {name} | {_listed(resources)} | {reason} |")
        titled.add(check)
    return "\n".join([*lines, ""])


def _listed(resources: list[str]) -> str:
    if len(resources) <= MAX_RESOURCES:
        return ", ".join(resources)
    stacks = sorted({resource.partition("/")[0] for resource in resources})
    return f"{len(resources)} resources of {', '.join(stacks)}"
