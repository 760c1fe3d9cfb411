"""Settings of `StaticSite`."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from . import Section


class StaticSiteSettings(Section):
    """Settings of `StaticSite`."""

    site: str = Field("samples/static_site/site", description="Folder with the site to deploy.")
    without_slash: Literal["redirect", "rewrite"] = Field(
        "redirect", description="What `/docs` gets: a redirect to `/docs/`, or its index page at once."
    )
    redirect_status: Literal[301, 308] = Field(308, description="Status of redirects; 308 keeps the method.")
    canonical: bool = Field(False, description="Redirect `/docs/index.html` to `/docs/`.")
    files: tuple[Annotated[str, Field(pattern=r"^/")], ...] = Field(
        (), description="Files without an extension, such as `/LICENSE`."
    )
    caching: bool = Field(True, description="`false` is the post's TTL of 0: every request goes to the bucket.")
    content_security_policy: str = Field(
        "default-src 'self'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'",
        description="The Content-Security-Policy header of every answer.",
    )
    domain_name: Annotated[str, Field(pattern=r"^([a-z0-9-]+\.)+[a-z]{2,}$")] | None = Field(
        None, description="Domain name of the site; needs hosted_zone_id and hosted_zone_name."
    )
    hosted_zone_id: Annotated[str, Field(pattern=r"^Z[A-Z0-9]+$")] | None = Field(
        None, description="Route 53 hosted zone of the domain name."
    )
    hosted_zone_name: Annotated[str, Field(pattern=r"^([a-z0-9-]+\.)+[a-z]{2,}$")] | None = Field(
        None, description="Name of that zone, such as `example.com`."
    )
    waf: bool = Field(False, description="Put a web ACL with AWS's managed rules before the site.")

    @field_validator("redirect_status", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.isdigit() else value

    @field_validator("site")
    @classmethod
    def _folder_with_both_pages(cls, value: str) -> str:
        folder = Path(value).expanduser()
        missing = [page for page in ("index.html", "404.html") if not (folder / page).is_file()]
        if missing:
            raise ValueError(f"a folder that has an index.html and a 404.html; {' and '.join(missing)} not found")
        return str(folder)

    @model_validator(mode="after")
    def _domain_with_its_zone(self) -> Self:
        given = [self.domain_name, self.hosted_zone_id, self.hosted_zone_name]
        if any(given) and not all(given):
            raise ValueError("domain_name, hosted_zone_id and hosted_zone_name together, or none of them")
        name, zone = self.domain_name, self.hosted_zone_name
        if name and zone and name != zone and not name.endswith(f".{zone}"):
            raise ValueError("a domain_name in the zone hosted_zone_name")
        return self
