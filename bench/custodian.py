"""The function that cloud-custodian (PyPI: c7n) deploys for a policy. It is in a separate environment.

Its pins conflict with the project's.
"""

import json
import shutil
from pathlib import Path

from sandbox.process import ACCOUNT, REGION, ROOT

FOLDER = ROOT / ".bench"
PYTHON = FOLDER / "bin" / "python"
INSTALLED = PYTHON.exists()
POLICY = {
    "name": "guard",
    "resource": "aws.security-group",
    "mode": {
        "type": "cloudtrail",
        "events": [
            {
                "source": "ec2.amazonaws.com",
                "event": "AuthorizeSecurityGroupIngress",
                "ids": "requestParameters.groupId",
            }
        ],
    },
    "filters": [{"type": "ingress", "Cidr": {"value": "0.0.0.0/0"}}],
    "actions": [{"type": "remove-permissions", "ingress": "matched"}],
}
EVENT = {
    "region": REGION,
    "detail-type": "AWS API Call via CloudTrail",
    "detail": {"eventSource": "ec2.amazonaws.com", "eventName": "AuthorizeSecurityGroupIngress"},
}
FIRST_EVENT = f"""from c7n import handler
handler.dispatch_event({EVENT!r}, None)
import boto3
boto3.client("ec2")"""


def package(folder: Path) -> None:
    """Write the policy and the sources of cloud-custodian to a new folder, as it packages them."""
    (source,) = FOLDER.glob("lib/python*/site-packages/c7n")
    shutil.copytree(source, folder / "c7n", ignore=shutil.ignore_patterns("__pycache__"))
    options = {"account_id": ACCOUNT, "region": REGION}
    (folder / "config.json").write_text(json.dumps({"execution-options": options, "policies": [POLICY]}))
