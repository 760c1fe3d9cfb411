"""Client of the sandbox's fault injection."""

import json
from typing import Any

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sandbox import Sandbox


def inject(sandbox: Sandbox, *faults: dict[str, Any]) -> list[dict[str, Any]]:
    """Replace the faults of the sandbox, and return the previous ones; see `sandbox/emulator/fault_injection.py`."""
    return call(sandbox, faults=faults)


def call(sandbox: Sandbox, **parameters: Any) -> list[dict[str, Any]]:
    """Call `Sandbox.Inject`, and return the remaining faults."""
    headers = {"X-Amz-Target": "Sandbox.Inject"}
    request = AWSRequest("POST", f"{sandbox.url}/", data=json.dumps(parameters), headers=headers)
    keys = sandbox.environment["AWS_ACCESS_KEY_ID"], sandbox.environment["AWS_SECRET_ACCESS_KEY"]
    SigV4Auth(Credentials(*keys), "sandbox", "us-east-1").add_auth(request)
    response = urllib3.request("POST", f"{sandbox.url}/", body=request.data, headers=dict(request.headers.items()))
    assert response.status == 200, response.data
    replaced: list[dict[str, Any]] = json.loads(response.data)["replaced"]
    return replaced
