"""CloudFront (in work)."""

from . import templates


def install() -> None:
    templates.install()
