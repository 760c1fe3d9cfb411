"""EC2: the instance metadata service, version 2, on a web port: the instance's ID, address and public host name.

Not implemented: other items, such as credentials, and the expiry of tokens.
"""

import os
import re

from ..emulator.web import Request, Response
from ..ministack import ec2
from ..ministack.requests import request_scope
from ..process import ACCOUNT, REGION

ITEMS = {"instance-id": "InstanceId", "local-ipv4": "PrivateIpAddress", "public-hostname": "PublicDnsName"}
PATH = re.compile(r"/metadata/(i-\w+)/latest/(?:meta-data/(.+)|api/token)")
TOKEN_HEADER = "x-aws-ec2-metadata-token"  # noqa: S105  # the name of a header


def endpoint(instance_id: str) -> str:
    """Return the URL that stands for http://169.254.169.254 on an instance."""
    return f"http://127.0.0.1:{os.environ['WEB_PORT']}/metadata/{instance_id}"


async def serve(request: Request) -> Response | None:
    """Return a token or an item; None for other paths."""
    match = PATH.fullmatch(request.path)
    if not match or request.host != "127.0.0.1":
        return None
    instance_id, item = match.groups()
    if not item:
        return Response(200 if request.method == "PUT" else 405, {}, b"token")
    if TOKEN_HEADER not in request.headers:
        return Response(401)
    with request_scope(ACCOUNT, REGION):
        value = ec2.instances.get(instance_id, {}).get(ITEMS.get(item))
    return Response(200, {"content-type": "text/plain"}, value.encode()) if value else Response(404)
