"""Files that need other headers than the AWS CLI would set."""

import json
import time
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from settings.static_site import ContentType
from stacks.constructs.assets import AssetError
from stacks.static_site.header_overrides import (
    MAX_GROUPS,
    MAX_PATTERN_CHARACTERS,
    HeaderOverride,
    header_overrides,
    kept_patterns,
)

from ..conftest import resources_of_type, synthesize

NOT_FOUND = HeaderOverride("NotFound", ["404.html"], cache_control="max-age=0")


@pytest.mark.parametrize(
    ("name", "content", "name_of_upload", "content_type"),
    [
        (".well-known/apple-app-site-association", b'{"applinks": {}}', "ApplicationJson", "application/json"),
        (".well-known/openid-configuration", b"[]", "ApplicationJson", "application/json"),
        (".well-known/acme-challenge/token", b"123.abc", "TextPlain", "text/plain; charset=utf-8"),
        ("123", b"123", "TextPlain", "text/plain; charset=utf-8"),
        ("LICENSE", "Größe".encode(), "TextPlain", "text/plain; charset=utf-8"),
    ],
)
def test_file_of_unknown_type_gets_content_type(
    tmp_path: Path, name: str, content: bytes, name_of_upload: str, content_type: str
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    assert header_overrides(tmp_path) == [NOT_FOUND, HeaderOverride(name_of_upload, [name], content_type)]


def test_name_with_leading_hyphen_is_not_an_option_of_the_upload(tmp_path: Path) -> None:
    """The upload function passes each pattern to the AWS CLI, which exits if it looks like an option."""
    for name in ("--delete", "-assets/app.0123456f.js", "-assets/app.0123456e.js", "-app.0123456f.js"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    patterns = [p for override in header_overrides(tmp_path) for p in override.patterns] + kept_patterns(tmp_path)
    assert "[-]-delete" in patterns
    assert any(fnmatchcase("-assets/app.0123456f.js", pattern) for pattern in patterns)
    assert [pattern for pattern in patterns if pattern.startswith("-")] == []


@pytest.mark.parametrize(("name", "content"), [("page.html", b"x"), ("photo", b"\xff\xd8\xff"), ("a.json", b"{}")])
def test_other_files_need_no_header_override(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert header_overrides(tmp_path) == [NOT_FOUND]


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("module.CJS", "text/javascript"),
        ("module.mjs", "text/javascript"),
        ("fonts/inter.woff2", "font/woff2"),
        ("js/app.js.map", "application/json"),
        ("openapi.yaml", "application/yaml"),
        ("data/route.geojson", "application/geo+json"),
        ("sitemap.xml.gz", "application/gzip"),
        ("backup.tar.gz", "application/gzip"),
        ("feed.atom", "application/atom+xml"),
        ("events.ics", "text/calendar; charset=utf-8"),
        ("talk.m4a", "audio/mp4"),
        ("page.xhtml", "application/xhtml+xml"),
    ],
)
@pytest.mark.reliability(
    "static_site",
    "System-specific",
    fault="a file with a wrongly guessed type, which browsers refuse because of `nosniff`",
    expected="a content type that browsers and phones accept",
    observed="template: the files' content types",
)
def test_extension_that_the_cli_reads_wrongly_gets_content_type(tmp_path: Path, name: str, content_type: str) -> None:
    write(tmp_path, name, "index.html")
    (override,) = header_overrides(tmp_path)[1:]
    assert (override.patterns, override.content_type) == ([f"*{Path(name).suffix}"], content_type)


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("a.txt", "text/plain"), ("a.md", "text/markdown"), ("a.csv", "text/csv"), ("a.html", "text/html")],
)
def test_text_outside_ascii_gets_charset(tmp_path: Path, name: str, content_type: str) -> None:
    write(tmp_path, name, content="Größe")
    (override,) = header_overrides(tmp_path)[1:]
    assert override.content_type == f"{content_type}; charset=utf-8"
    write(tmp_path, name, content="size")
    assert header_overrides(tmp_path) == [NOT_FOUND], "without other characters, every charset is right"


@pytest.mark.parametrize("page", ["<meta charset=utf-8>Größe", '<meta content="text/html; charset=utf-8">é', "\ufeffé"])
def test_page_that_declares_its_charset_needs_no_header(tmp_path: Path, page: str) -> None:
    write(tmp_path, "index.html", content=page)
    assert header_overrides(tmp_path) == [NOT_FOUND]


def test_page_with_many_unclosed_elements_is_read_in_constant_time(tmp_path: Path) -> None:
    write(tmp_path, "index.html", content="<meta " * 170 + "charse" * 1_000_000 + "é")
    started = time.process_time()
    assert header_overrides(tmp_path)[1:] == [HeaderOverride("TextHtml", ["*.html"], "text/html; charset=utf-8")]
    assert time.process_time() - started < 2, "the search continued to the end of the page from each element"


def test_404_page_keeps_its_headers_if_other_pages_need_a_type(tmp_path: Path) -> None:
    write(tmp_path, "index.html", "404.html", content="Größe")
    not_found, pages = header_overrides(tmp_path)
    assert not_found == NOT_FOUND._replace(content_type="text/html; charset=utf-8")
    assert pages == HeaderOverride("TextHtml", ["*.html"], "text/html; charset=utf-8")


def test_404_page_is_uploaded_after_patterns_that_match_it(tmp_path: Path) -> None:
    write(tmp_path / "site", "index.html", "404.html", content="Größe")
    template = synthesize(tmp_path / "out", {"static_site:site": str(tmp_path / "site")}, "StaticSite").template(
        "StaticSite"
    )
    deployments = {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] == "Custom::CDKBucketDeployment"
    }
    names = {tuple(r["Properties"].get("Include", ())): name for name, r in deployments.items()}
    assert names["*.html",] in deployments[names["404.html",]]["DependsOn"]
    layer = next(r for r in template["Resources"].values() if r["Type"] == "AWS::Lambda::LayerVersion")
    assert "DependsOn" not in layer, "circular: every deployment uses the layer"


@pytest.mark.parametrize(
    "name",
    [
        "assets/js/main.4f6b21c9.js",
        "_next/static/chunks/app/page.js",
        "_app/immutable/entry/start.DJMIf-nk.js",
        "assets/chunks/theme.BxPl7zQw.js",
        "assets/inter.2kX9dPqL.css",
        "search-01ab89cdef23.css",
        "assets/js/main.4f6b21c9.js.map",
        "img/0123456789abcdef0123.png",
        "assets/javascripts/bundle.a5f9d56c.min.js",
        "assets/guide_index.md.DRZ_tbC8.lean.js",
    ],
)
def test_hashed_file_is_immutable(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    (override,) = header_overrides(tmp_path)[1:]
    assert override.cache_control == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "name",
    [
        "index.html",
        "release-4f6b21c9.html",
        "_next/static/page.html",
        "report-20261126.png",
        "assets/js/settings.js",
        "assets/app-settings.js",
        "assets/app.Settings.js",
        "deadbeef.js",
        "photo-12345678.jpg",
        "sw.js",
        "docs/api.4f6b21c9.pdf",
    ],
)
def test_file_that_can_change_is_not_immutable(tmp_path: Path, name: str) -> None:
    """A browser would keep it for a year."""
    write(tmp_path, name)
    assert header_overrides(tmp_path) == [NOT_FOUND]


def test_directories_of_hashed_files_have_patterns_for_earlier_files(tmp_path: Path) -> None:
    write(tmp_path, "assets/js/a.4f6b21c9.js", "assets/img/b.5f6b21c9.webp", "assets/img/c.6f6b21c9.png")
    write(tmp_path, "_astro/one.4f6b21c9.css", "mixed/a.4f6b21c9.js", "mixed/b.js", "index.html")
    assert kept_patterns(tmp_path) == ["_astro/*", "assets/*", f"mixed/a.{'[0-9a-f]' * 8}.js"]


def test_hashed_file_whose_pattern_matches_another_file_is_not_kept(tmp_path: Path) -> None:
    """The other file would not be uploaded."""
    write(tmp_path, "app.4f6b21c9.js", "app.deadbeef.js", "lib.4f6b21c9.min.js")
    assert kept_patterns(tmp_path) == [f"lib.{'[0-9a-f]' * 8}.min.js"]


def test_hashed_images_are_revalidated_if_their_names_are_too_many(tmp_path: Path) -> None:
    """A site of thousands of images must deploy; elsewhere than in their directories, each is listed."""
    write(tmp_path, "index.html", "css/a.4f6b21c9.css", "css/b.css")
    write(tmp_path, *(f"posts/{number}/photo_{number:04}4f6b21c9abcd.jpg" for number in range(10)))
    write(tmp_path, *(f"posts/{number}/index.html" for number in range(3000)))
    assert len(patterns(tmp_path)["HashedFiles"]) == 11
    write(tmp_path, *(f"posts/{number}/photo_{number:04}4f6b21c9abcd.jpg" for number in range(3000)))
    assert patterns(tmp_path)["HashedFiles"] == ["css/a.4f6b21c9.css"]
    assert kept_patterns(tmp_path) == [f"css/a.{'[0-9a-f]' * 8}.css"]


def test_directory_with_a_hash_that_looks_like_a_word_is_kept(tmp_path: Path) -> None:
    """Of Vite's hashes, one in a hundred does. Browsers still revalidate the file, in case it is a word."""
    write(tmp_path, "assets/index-DiwrgTda.js", "assets/chunks/app-settings.js")
    assert kept_patterns(tmp_path) == ["assets/*"]
    kept = HeaderOverride("KeptFiles", ["assets/chunks/app-settings.js"], is_kept=True)
    assert kept in header_overrides(tmp_path)
    write(tmp_path, "assets/logo.png")
    assert kept_patterns(tmp_path) == []


def test_content_type_of_the_settings_overrides_others(tmp_path: Path) -> None:
    write(
        tmp_path,
        "index.html",
        "a.glb",
        "x/b.glb",
        "events.ics",
        "x/LICENSE",
        "assets/js/a.4f6b21c9.glb",
        "a.md",
        "b.MD",
    )
    types = [
        ContentType(files="x/*", content_type="application/x-test"),
        ContentType(files="*.glb", content_type="model/gltf-binary"),
        ContentType(files="*.ics", content_type="text/calendar; charset=utf-8"),
        ContentType(files="[ab].[mM][dD]", content_type="Text/Plain"),
    ]
    overrides = {override.name: override for override in header_overrides(tmp_path, types)}
    assert overrides["ApplicationXTest"].patterns == ["x/*"]
    assert overrides["ModelGltfBinary"].patterns == ["a.glb", "assets/js/a.4f6b21c9.glb"]
    assert overrides["TextCalendar"].content_type == "text/calendar; charset=utf-8"
    (markdown,) = (override for override in overrides.values() if override.content_type == "Text/Plain")
    assert markdown.patterns == ["*.md", "*.MD"]
    assert len(overrides) == len(header_overrides(tmp_path, types)), "names must differ"


@pytest.mark.reliability(
    "static_site",
    "System-specific",
    fault="a page that is open during a deployment loads a script of the previous version",
    expected="the script is still there",
    observed="template: hashed files are not deleted",
)
def test_deployment_keeps_hashed_files_and_browsers_cache_them(tmp_path: Path) -> None:
    write(tmp_path / "site", "index.html", "js/a.4f6b21c9.js", "js/b.5f6b21c9.webp")
    for caching, expected in (("true", "public, max-age=31536000, immutable"), ("false", "no-cache")):
        settings = {"static_site:site": str(tmp_path / "site"), "static_site:caching": caching}
        assembly = synthesize(tmp_path / caching, settings, "StaticSite")
        assert not assembly.findings, "CDK's validation: circular dependencies, for example"
        template = assembly.template("StaticSite")
        deployments = resources_of_type(template, "Custom::CDKBucketDeployment")
        scripts, images = (d for d in deployments if d.get("Include") in (["js/a.4f6b21c9.js"], ["*.webp"]))
        assert (scripts["Prune"], scripts["SystemMetadata"]) == (False, {"cache-control": expected})
        image_headers = {"cache-control": expected, "content-type": "image/webp"}
        assert (images["Prune"], images["SystemMetadata"]) == (False, image_headers)
        (site,) = (d for d in deployments if "DistributionId" in d)
        (tags,) = (b["Tags"] for b in resources_of_type(template, "AWS::S3::Bucket") if "VersioningConfiguration" in b)
        other_tags = len(tags) - len(deployments)
        assert other_tags + MAX_GROUPS + 2 <= 50, "S3's quota, with the deployments of the 404 page and of the site"
        assert "js/*" in site["Exclude"], "it would delete hashed files of earlier deployments"


def test_site_with_too_many_content_types_is_rejected(tmp_path: Path) -> None:
    """Each deployment of a group adds a tag to the bucket, which can have 50 (S3 user guide, bucket tags)."""
    write(tmp_path, "index.html", *(f"{number}.x{number}" for number in range(MAX_GROUPS + 1)))
    types = [ContentType(files=f"*.x{number}", content_type=f"model/x{number}") for number in range(MAX_GROUPS + 1)]
    assert len(header_overrides(tmp_path, types[1:])) == MAX_GROUPS + 1, "the 404 page is not one of them"
    with pytest.raises(AssetError, match=rf"need {MAX_GROUPS + 1} .* \(valid: at most {MAX_GROUPS}\)"):
        header_overrides(tmp_path, types)


def test_pattern_characters_in_name_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "a[b]*").write_text("x")
    assert header_overrides(tmp_path)[1].patterns == ["a[[]b][*]"]


def write(folder: Path, *names: str, content: str = "text") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def patterns(folder: Path) -> dict[str, list[str]]:
    return {upload.name: upload.patterns for upload in header_overrides(folder)}


def test_directory_of_one_type_has_one_pattern(tmp_path: Path) -> None:
    write(tmp_path, "index.html", "api/v1/users", "api/v1/orders", "api/v2[x]/users", "docs/LICENSE", "docs/page.html")
    assert patterns(tmp_path)["TextPlain"] == ["api/*", "docs/LICENSE"]


def test_directory_of_two_types_has_patterns_for_its_parts(tmp_path: Path) -> None:
    write(tmp_path, "api/v1/users", "api/v1/orders")
    write(tmp_path, "api/v2[x]/users", "api/v2[x]/orders", "api/status", content="{}")
    assert patterns(tmp_path) == {
        "NotFound": ["404.html"],
        "TextPlain": ["api/v1/*"],
        "ApplicationJson": ["api/status", "api/v2[[]x]/*"],
    }


def test_site_of_override_files_is_not_covered_by_one_pattern(tmp_path: Path) -> None:
    write(tmp_path, "LICENSE")
    assert patterns(tmp_path)["TextPlain"] == ["LICENSE"]


def many_files(folder: Path, characters: int) -> None:
    """Write text files whose names have that many characters, as JSON, next to others, so that each is named."""
    write(folder, "index.html", "404.html")
    write(folder, *(f"{number:0>100}" for number in range(characters // 104)))


@pytest.mark.reliability(
    "static_site",
    "System-specific",
    fault="thousands of files without an extension",
    expected="the template and the upload function's events are below AWS's quotas, or synthesis fails",
    observed="at the maximum, both use about a quarter of the quota",
)
def test_template_and_event_at_the_maximum_are_below_their_quotas(tmp_path: Path) -> None:
    many_files(tmp_path / "site", MAX_PATTERN_CHARACTERS - 20)
    settings = {"static_site:site": str(tmp_path / "site")}
    assembly = synthesize(tmp_path / "out", settings, "StaticSite")
    assert 2 * MAX_PATTERN_CHARACTERS < (assembly.directory / "StaticSite.template.json").stat().st_size < 1_000_000
    deployments = resources_of_type(assembly.template("StaticSite"), "Custom::CDKBucketDeployment")
    event = max(len(json.dumps(properties)) for properties in deployments)
    assert event + 1000 > MAX_PATTERN_CHARACTERS, "not at the maximum"
    assert 2 * event < 256 * 1024, "an update's event has the old properties too; Lambda accepts 256 KB to 1 MB"


def test_site_over_the_maximum_is_rejected_with_the_limit(tmp_path: Path) -> None:
    many_files(tmp_path, MAX_PATTERN_CHARACTERS + 200)
    with pytest.raises(AssetError, match=r"static_site:site: the names of 963 files .* at most 100,000"):
        header_overrides(tmp_path)
