"""CloudFront: distributions in templates, and the responses of their data plane.

MiniStack implements the control plane. Requests reach a distribution by its domain name or an alias in the Host header
(`emulator.web`). Implemented here: behaviors, viewer protocol policy, allowed methods, default root object,
origin-request functions in their published version and the responses they generate, S3 origins with the conditions of
the bucket policy, custom error responses, response headers policies, gzip compression, caching (`x-cache`, `age`) and
invalidations. Functions that Lambda@Edge does not support are rejected.

Not implemented: non-S3 origins; Lambda@Edge events other than origin-request; CloudFront Functions; error caching
TTLs; stale responses; request collapsing; range requests; cookies; geographic restrictions; signed URLs; web ACLs;
CORS, Server-Timing and X-XSS-Protection headers of policies; access logs and the ACL of their bucket; KMS keys of the
bucket. There is one edge location, and changes are effective immediately.
"""

from . import resource_handlers
from .data_plane import serve

__all__ = ["install", "serve"]


def install() -> None:
    """Add the resource types."""
    resource_handlers.install()
