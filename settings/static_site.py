"""Settings of `StaticSite`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from .custom_domain import DOMAIN, MAX_DOMAIN, CustomDomainSettings
from .types import Conflict, Email, SettingsModel, matches, one_of

MAX_ALTERNATE_NAMES = 9  # ACM's quota is ten names per certificate
MAX_CONTENT_TYPE = 255  # characters
MAX_HEADER_VALUE = 1783  # characters, CloudFront's quota
HeaderValue = Annotated[
    str,
    matches(
        r"[!-~]([ -~]*[!-~])?",
        f"a header value of at most {MAX_HEADER_VALUE} printable ASCII characters",
        max_length=MAX_HEADER_VALUE,
    ),
]

MAX_ADDITIONAL_SOURCES = 1000  # characters, so that the default policy and some hashes fit into the header too
DIRECTIVE = r"(script|style|img|font|connect|media|object|frame|worker|manifest)-src|form-action"
SOURCE = r"[!-+\--:<-~]+"  # visible characters, except those that separate directives and policies
SOURCES = rf"({DIRECTIVE})( {SOURCE})+"


class ContentType(SettingsModel):
    """The content type of some files of the site."""

    files: Annotated[str, matches(r"[^/].*", "a path or pattern below the folder, without a leading /")]
    content_type: Annotated[
        str,
        matches(
            r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(; ?[A-Za-z0-9-]+=[A-Za-z0-9_.+-]+)*",
            "a media type, such as text/calendar; charset=utf-8",
            max_length=MAX_CONTENT_TYPE,
        ),
    ]


class StaticSiteSettings(CustomDomainSettings):
    """Settings of `StaticSite`."""

    stack_name: Annotated[
        str,
        matches(
            r"[A-Za-z][A-Za-z0-9-]*",
            "a stack name: a letter, then letters, digits and hyphens, at most 128 characters",
            max_length=128,
        ),
    ] = Field("StaticSite", description="Name of the stack, to deploy several sites to one account.")
    site: str = Field("assets/static_site/site", description="Folder of the site to deploy.")
    allowed_files: tuple[
        Annotated[str, matches(r"[^/].*", "a path or pattern below the folder, without a leading /")], ...
    ] = Field((), description="Files to publish despite their suspicious names, such as `downloads/*.sql`.")
    content_types: tuple[ContentType, ...] = Field(
        (), description="Content types of files, such as `text/calendar` for `*.ics`; the first match counts."
    )
    edge: Literal["lambda", "function"] = Field(
        "lambda", description="What rewrites URIs: a Lambda@Edge function, or a CloudFront Function."
    )
    trailing_slash: Literal["redirect", "rewrite"] = Field(
        "redirect", description="Response to a path with a missing or superfluous slash: a redirect, or the page."
    )
    redirect_status: Annotated[int, one_of(301, 308)] = Field(
        308, description="Status code of redirects. 308 preserves the request method."
    )
    redirect_index_html: bool = Field(False, description="Redirect `/docs/index.html` to `/docs/`.")
    caching: bool = Field(True, description="Cache pages in CloudFront. `false` sends every request to the bucket.")
    content_security_policy: HeaderValue = Field(
        "default-src 'self'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'",
        description="Content-Security-Policy header of every response. The default is extended with what the site's "
        "files need, such as the hashes of inline scripts and styles.",
    )
    additional_sources: (
        Annotated[
            str,
            matches(
                rf"{SOURCES}(; ?{SOURCES})*",
                f"directives of a Content-Security-Policy, such as img-src https:; form-action https://a.example, at "
                f"most {MAX_ADDITIONAL_SOURCES} characters",
                max_length=MAX_ADDITIONAL_SOURCES,
            ),
        ]
        | None
    ) = Field(None, description="Sources to add to the directives of the default Content-Security-Policy.")
    permissions_policy: HeaderValue = Field(
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        description="Permissions-Policy header of every response.",
    )
    alternate_domain_names: Annotated[
        tuple[
            Annotated[str, matches(DOMAIN, "a domain name in lowercase, such as example.com", max_length=MAX_DOMAIN)],
            ...,
        ],
        Field(max_length=MAX_ALTERNATE_NAMES),
    ] = Field((), description="Further names in the hosted zone, which redirect to domain_name.")
    email: Email | None = Field(
        None, description="Recipient of the alarms; AWS first sends a confirmation request. Without it, no alarms."
    )
    waf: bool = Field(False, description="Protect the site with a web ACL that uses AWS managed rules.")

    @field_validator("site")
    @classmethod
    def _check_index_page_exists(cls, value: str) -> str:
        try:
            folder = Path(value).expanduser()
            exists = (folder / "index.html").is_file()
        except (OSError, RuntimeError, ValueError):  # path too long, unknown user, or null character
            raise ValueError("the path of a folder") from None
        if not exists:
            lacking = "index.html" if folder.is_dir() else "folder"
            raise ValueError(f"a folder with an index.html; {lacking} not found")
        return str(folder)

    def conflicts(self) -> Iterator[Conflict]:
        """Yield a redirect status without redirects, and alternate names without a domain name or outside its zone."""
        yield from super().conflicts()
        yield from self._conflicts_of_names()
        if self.additional_sources and "content_security_policy" in self.model_fields_set:
            yield Conflict(
                "additional_sources", "has no effect with {content_security_policy}, which is used unchanged"
            )
        never_redirects = self.trailing_slash == "rewrite" and not self.redirect_index_html
        if never_redirects and "redirect_status" in self.model_fields_set:
            yield Conflict("redirect_status", "has no effect with {trailing_slash} and {redirect_index_html}")

    def _conflicts_of_names(self) -> Iterator[Conflict]:
        names, zone = self.alternate_domain_names, self.hosted_zone_name
        if names and not self.domain_name:
            yield Conflict("alternate_domain_names", "needs {domain_name}")
        if self.domain_name in names or len(set(names)) < len(names):
            yield Conflict("alternate_domain_names", "must contain each name once, and not {domain_name}")
        if zone and not all(f".{name}".endswith(f".{zone}") for name in names):
            yield Conflict("alternate_domain_names", "has names that are not in the zone {hosted_zone_name}")
