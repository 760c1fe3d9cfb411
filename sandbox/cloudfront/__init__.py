"""CloudFront: distributions in templates, and the responses of their data plane.

MiniStack implements the control plane and the processing of a request; the modules of this package add the rest.
Requests reach a distribution by its domain name or an alias in the Host header (`emulator.web`). Lambda@Edge functions
run on origin requests in their published version. Functions that CloudFront does not support are rejected.

Not implemented: non-S3 origins; other events of Lambda@Edge; error caching TTLs; stale responses; request collapsing;
range requests; geographic restrictions; signed URLs; web ACLs; Server-Timing headers of policies; access logs. There is
one edge location, and changes are effective immediately.
"""

from . import data_plane, resource_handlers
from .data_plane import serve

__all__ = ["install", "serve"]


def install() -> None:
    """Add the resource types, and extend the processing of requests."""
    resource_handlers.install()
    data_plane.install()
