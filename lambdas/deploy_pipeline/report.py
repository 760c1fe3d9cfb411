"""The report of a change set: each change with its effect and reasons, as Markdown in S3."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError

from .inspection import EFFECTS, Finding

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PREFIX = "reports/"
CONSOLES = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}  # by prefix of the Region
logger = logging.getLogger(__name__)

ESCAPED = str.maketrans({"\\": "\\\\", "|": "\\|", "<": "&lt;", "`": "'", "[": "\\["})
HEADER = ("| resource | type | result | details |", "|---|---|---|---|")


def markdown(stack_name: str, findings: Sequence[Finding]) -> str:
    """Return the report: the number of unsafe changes, the number of changes by effect, and a table for each effect."""
    unsafe = sum(1 for finding in findings if finding.violation)
    accepted = sum(1 for finding in findings if finding.accepted)
    by_effect = {effect: [finding for finding in findings if finding.effect == effect] for effect in EFFECTS}
    counts = ", ".join(f"{len(group)} {effect}" for effect, group in by_effect.items() if group)
    lines = [
        f"# Changes to {stack_name.translate(ESCAPED)}",
        "",
        f"{unsafe} unsafe, {accepted} accepted by the policy, {len(findings)} in total ({counts or 'no changes'}).",
    ]
    if drifted := sum(1 for finding in findings if finding.drift):
        lines.append(f"{drifted} {'was' if drifted == 1 else 'were'} changed outside CloudFormation.")
    for effect, group in by_effect.items():
        if group:
            lines += ["", f"## {effect.capitalize()}", "", *HEADER]
            # Unsafe changes first.
            lines += map(_row, sorted(group, key=lambda finding: (not finding.violation, not finding.why)))
    return "\n".join(lines) + "\n"


def _row(finding: Finding) -> str:
    result = "unsafe" if finding.violation else f"accepted: {finding.accepted}" if finding.accepted else "safe"
    details = finding.why or finding.properties
    if finding.drift not in details:
        details = f"{details}; {finding.drift}".removeprefix("; ")
    cells = (finding.logical_id, finding.type, result, details)
    return f"| {' | '.join(' '.join(cell.splitlines()).translate(ESCAPED) for cell in cells)} |"


def put_report(s3: "S3Client", bucket: str, change_set_id: str, text: str) -> str:
    """Store the report of a change set, and return its URL in the console; empty if it cannot be stored.

    Without it, a safe change set is still executed, and the violations of an unsafe one are still reported.
    """
    name = change_set_id.split("/")[1] if change_set_id.startswith("arn:") else change_set_id
    key = f"{PREFIX}{name}.md"
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=text.encode(), ContentType="text/markdown; charset=utf-8")
    except (BotoCoreError, ClientError) as error:
        logger.warning("The report could not be stored", extra={"change_set_id": change_set_id, "reason": str(error)})
        return ""
    region = s3.meta.region_name
    return f"{console_address(region)}/s3/object/{bucket}?region={region}&prefix={quote(key)}"


def console_address(region: str) -> str:
    """Return the address of the console in the partition of a Region."""
    host = next((host for prefix, host in CONSOLES.items() if region.startswith(prefix)), "console.aws.amazon.com")
    return f"https://{region}.{host}"
