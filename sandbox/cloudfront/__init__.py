"""CloudFront: distributions in templates, and the responses of their data plane.

MiniStack implements the control plane. Requests reach a distribution by its domain name or an alias in the Host header
(`emulator.web`). Implemented here: behaviors, viewer protocol policy, allowed methods, CloudFront Functions on viewer
requests, default root object, Lambda@Edge functions on origin requests in their published version, the responses that
functions generate, S3 origins with the conditions of the bucket policy, custom error responses, response headers
policies, gzip compression, caching (`x-cache`, `age`) and invalidations. Functions that CloudFront does not support
are rejected.

Not implemented: non-S3 origins; other events of functions; error caching TTLs; stale responses; request collapsing;
range requests; cookies; geographic restrictions; signed URLs; web ACLs; Server-Timing headers of policies;
access logs; KMS keys of the bucket. There is one edge location, and changes are effective immediately.
"""

from . import access_logs, resource_handlers
from .data_plane import serve

__all__ = ["install", "serve"]


def install() -> None:
    """Add the resource types."""
    resource_handlers.install()
    access_logs.install()
