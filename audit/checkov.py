"""Checkov over templates: each finding has an answer, and each answer a finding.

`answers.toml` has the answers: a check, where it was found, and why it stays. An answer can also
name the rule of cdk-nag that was answered in the stack, at the same construct, for the same reason.
"""

import json
import subprocess
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .assembly import Template

ANSWERS = Path(__file__).with_name("answers.toml")


@dataclass(frozen=True, order=True)
class Finding:
    """What Checkov says of one construct."""

    check: str
    title: str
    place: str
    nag: dict[str, str] = field(compare=False)  # the answers to cdk-nag there: rule to reason


def findings(program: Path, found: Iterable[Template]) -> list[Finding]:
    """Run the Checkov `program`; give what it finds in the templates, each place once."""
    by_path = {str(template.path): template for template in found}
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
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # it ends with 1 when it finds something
    if not run.stdout:
        raise SystemExit(f"Checkov failed: {run.stderr}")
    report = json.loads(run.stdout)
    if report["summary"]["parsing_errors"]:
        raise SystemExit(f"Checkov cannot read a template: {run.stderr}")
    return sorted({_finding(by_path[item["file_abs_path"]], item) for item in report["results"]["failed_checks"]})


def _finding(template: Template, item: dict[str, Any]) -> Finding:
    logical_id = item["resource"].rpartition(".")[2]
    place = f"{template.stack}/{template.construct(logical_id)}"
    return Finding(item["check_id"], item["check_name"], place, template.reasons(logical_id))


def answered(found: list[Finding]) -> tuple[dict[Finding, str], list[str]]:
    """Give the reason for each finding that has one; and what is wrong: too few answers, or too many."""
    given = [
        (answer, at)
        for answer in tomllib.loads(ANSWERS.read_text())["answer"]
        for at in answer.get("at", [None])  # none: wherever cdk-nag has the answer
    ]
    reasons: dict[Finding, str] = {}
    used = set()
    for finding in found:
        for number, (answer, at) in enumerate(given):
            reason = answer.get("why") or finding.nag.get(answer["nag"])
            if answer["check"] == finding.check and at in (None, finding.place) and reason:
                reasons[finding] = reason
                used.add(number)
    wrong = [f"no answer: {f.check} ({f.title}) at {f.place}" for f in found if f not in reasons]
    unused = [given[number] for number in range(len(given)) if number not in used]
    return reasons, wrong + [f"no such finding: {answer['check']} at {at or answer['nag']}" for answer, at in unused]


def table(reasons: dict[Finding, str]) -> str:
    """Give the findings and answers as Markdown."""
    lines = ["| check | found at | why it stays |", "|---|---|---|"]
    together: dict[tuple[str, str, str], list[str]] = {}
    for finding, reason in reasons.items():
        together.setdefault((finding.check, finding.title, reason), []).append(finding.place)
    for (check, title, reason), places in sorted(together.items()):
        lines.append(f"| {check}: {title} | {', '.join(places)} | {reason} |")
    return "\n".join([*lines, ""])
