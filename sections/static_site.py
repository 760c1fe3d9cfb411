"""Settings of `StaticSite`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from . import WholeNumber, like, one_of
from .domain import InHostedZone

MAX_FILES = 1000  # the function at the edge reads them when it starts


class StaticSiteSettings(InHostedZone):
    """Settings of `StaticSite`."""

    site: str = Field("samples/static_site/site", description="Folder with the site to deploy.")
    allowed_files: tuple[
        Annotated[str, like(r"[^/].*", "a path or pattern below the folder, without a leading /")], ...
    ] = Field((), description="Files with suspicious names that are published, such as `downloads/*.sql`.")
    without_slash: Literal["redirect", "rewrite"] = Field(
        "redirect", description="What `/docs` gets: a redirect to `/docs/`, or its index page at once."
    )
    redirect_status: Annotated[WholeNumber, one_of(301, 308)] = Field(
        308, description="Status of redirects; 308 keeps the method."
    )
    canonical: bool = Field(False, description="Redirect `/docs/index.html` to `/docs/`.")
    files: Annotated[
        tuple[Annotated[str, like(r"/.*", "a path that begins with /")], ...], Field(max_length=MAX_FILES)
    ] = Field((), description="Files without an extension, such as `/LICENSE`.")
    caching: bool = Field(True, description="`false` is the post's TTL of 0: every request goes to the bucket.")
    content_security_policy: Annotated[
        str, like(r"\S.*", "the header's value; without the setting it is a strict one")
    ] = Field(
        "default-src 'self'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'",
        description="The Content-Security-Policy header of every answer.",
    )
    waf: bool = Field(False, description="Put a web ACL with AWS's managed rules before the site.")

    @field_validator("site")
    @classmethod
    def _folder_with_both_pages(cls, value: str) -> str:
        folder = Path(value).expanduser()
        missing = [page for page in ("index.html", "404.html") if not (folder / page).is_file()]
        if missing:
            raise ValueError(f"a folder that has an index.html and a 404.html; {' and '.join(missing)} not found")
        return str(folder)
