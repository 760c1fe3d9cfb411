"""Settings of `StaticSite`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from .domain import CustomDomainSettings
from .types import Conflict, matches, one_of

MAX_FILES = 1000  # the function at the edge reads them when it starts
MAX_HEADER_VALUE = 1783  # characters; CloudFront's quota
UrlPath = Annotated[str, matches(r"/[^\x00-\x1f\x7f]*", "a path that begins with /")]


class StaticSiteSettings(CustomDomainSettings):
    """Settings of `StaticSite`."""

    site: str = Field("assets/static_site/site", description="Folder with the site to deploy.")
    allowed_files: tuple[
        Annotated[str, matches(r"[^/].*", "a path or pattern below the folder, without a leading /")], ...
    ] = Field((), description="Files with suspicious names that are published, such as `downloads/*.sql`.")
    without_slash: Literal["redirect", "rewrite"] = Field(
        "redirect", description="Response to `/docs`: a redirect to `/docs/`, or its index page."
    )
    redirect_status: Annotated[int, one_of(301, 308)] = Field(
        308, description="Status of redirects; 308 keeps the method."
    )
    canonical: bool = Field(False, description="Redirect `/docs/index.html` to `/docs/`.")
    files: Annotated[
        tuple[Annotated[str, matches(r"/[^\x00-\x1f\x7f]*", "a path that begins with /")], ...],
        Field(max_length=MAX_FILES),
    ] = Field((), description="Files without an extension, such as `/LICENSE`.")
    caching: bool = Field(
        True, description="`false` is the original post's TTL of 0: every request goes to the bucket."
    )
    content_security_policy: Annotated[
        str,
        matches(
            r"[!-~]([ -~]*[!-~])?",
            f"a header value of at most {MAX_HEADER_VALUE} printable ASCII characters",
            max_length=MAX_HEADER_VALUE,
        ),
    ] = Field(
        "default-src 'self'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'",
        description="Content-Security-Policy header of every response.",
    )
    waf: bool = Field(False, description="Protect the site with a web ACL of AWS managed rules.")

    @field_validator("site")
    @classmethod
    def _folder_with_both_pages(cls, value: str) -> str:
        try:
            folder = Path(value).expanduser()
            missing = [page for page in ("index.html", "404.html") if not (folder / page).is_file()]
        except (OSError, RuntimeError, ValueError):  # too long, no such user, a null character
            raise ValueError("the path of a folder") from None
        if missing:
            lacking = " and ".join(missing) if folder.is_dir() else "folder"
            raise ValueError(f"a folder with an index.html and a 404.html; {lacking} not found")
        return str(folder)

    def conflicts(self) -> Iterator[Conflict]:
        """Find a redirect status of a site that never redirects."""
        yield from super().conflicts()
        if "redirect_status" in self.model_fields_set and self.without_slash == "rewrite" and not self.canonical:
            yield Conflict("redirect_status", "has no effect with {without_slash} and {canonical}")
