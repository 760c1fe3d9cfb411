"""Faults that the sandbox's API answers with, injected by a signed request."""

import json
from typing import Any

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sandbox import Sandbox


def inject(sandbox: Sandbox, *faults: dict[str, Any]) -> list[dict[str, Any]]:
    """Replace the faults of the sandbox by `faults`, and return those replaced; see `sandbox/faults.py`."""
    headers = {"X-Amz-Target": "Sandbox.Inject"}
    request = AWSRequest("POST", f"{sandbox.url}/", data=json.dumps({"faults": faults}), headers=headers)
    keys = sandbox.environment["AWS_ACCESS_KEY_ID"], sandbox.environment["AWS_SECRET_ACCESS_KEY"]
    SigV4Auth(Credentials(*keys), "sandbox", "us-east-1").add_auth(request)
    answer = urllib3.request("POST", request.url, body=request.data, headers=dict(request.headers.items()))
    assert answer.status == 200, answer.data
    replaced: list[dict[str, Any]] = json.loads(answer.data)["replaced"]
    return replaced
