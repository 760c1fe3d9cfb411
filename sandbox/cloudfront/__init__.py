"""CloudFront: distributions of templates, and the answers that their viewers get.

The control plane is MiniStack's. Viewers reach a distribution by its own name or an alias, as
the Host of a request (`sandbox.web`). From the deployed configuration come: behaviors, viewer
protocol policy, allowed methods, default root object, the origin-request function in its
published version, its generated responses, S3 as the origin with the condition of the bucket's
policy, custom error responses, response headers policy, compression (gzip), caching with hits
and misses (`x-cache`, `age`), invalidations. A function that cannot be at the edge is refused.

Left out: origins other than S3, the other three Lambda@Edge events, CloudFront Functions, TTLs of
errors, stale answers, request collapsing, ranges, cookies, geography, signed URLs, web ACLs,
access logs (and whether their bucket takes them), KMS keys of the bucket, edge locations: there is one,
and a change is in force at once.
"""

from . import templates
from .viewer import serve

__all__ = ["install", "serve"]


def install() -> None:
    """Let templates have distributions."""
    templates.install()
