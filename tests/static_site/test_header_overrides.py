"""Files that need other headers than the AWS CLI would set."""

import json
from pathlib import Path

import pytest

from stacks.constructs.assets import AssetError
from stacks.static_site.header_overrides import MAX_PATTERN_CHARACTERS, HeaderOverride, header_overrides

from ..conftest import resources_of_type, synthesize

NOT_FOUND = HeaderOverride("NotFound", ["404.html"], cache_control="max-age=0")


@pytest.mark.parametrize(
    ("name", "content", "name_of_upload", "content_type"),
    [
        (".well-known/apple-app-site-association", b'{"applinks": {}}', "Json", "application/json"),
        (".well-known/openid-configuration", b"[]", "Json", "application/json"),
        (".well-known/acme-challenge/token", b"123.abc", "Text", "text/plain; charset=utf-8"),
        ("123", b"123", "Text", "text/plain; charset=utf-8"),
        ("LICENSE", "Größe".encode(), "Text", "text/plain; charset=utf-8"),
        ("module.CJS", b"// script", "Script", "text/javascript"),
    ],
)
def test_file_of_unknown_type_gets_content_type(
    tmp_path: Path, name: str, content: bytes, name_of_upload: str, content_type: str
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    assert header_overrides(tmp_path) == [NOT_FOUND, HeaderOverride(name_of_upload, [name], content_type)]


@pytest.mark.parametrize(("name", "content"), [("page.html", b"x"), ("photo", b"\xff\xd8\xff"), ("a.json", b"{}")])
def test_other_files_need_no_header_override(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert header_overrides(tmp_path) == [NOT_FOUND]


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
    assert patterns(tmp_path)["Text"] == ["api/*", "docs/LICENSE"]


def test_directory_of_two_types_has_patterns_for_its_parts(tmp_path: Path) -> None:
    write(tmp_path, "api/v1/users", "api/v1/orders")
    write(tmp_path, "api/v2[x]/users", "api/v2[x]/orders", "api/status", content="{}")
    assert patterns(tmp_path) == {
        "NotFound": ["404.html"],
        "Text": ["api/v1/*"],
        "Json": ["api/status", "api/v2[[]x]/*"],
    }


def test_site_of_override_files_is_not_covered_by_one_pattern(tmp_path: Path) -> None:
    write(tmp_path, "LICENSE")
    assert patterns(tmp_path)["Text"] == ["LICENSE"]


def many_files(folder: Path, characters: int) -> None:
    """Write text files whose names have that many characters, as JSON, next to others, so that each is named."""
    write(folder, "index.html", "404.html")
    write(folder, *(f"{number:0>100}" for number in range(characters // 104)))


@pytest.mark.reliability(
    "static_site",
    "System-specific",
    fault="a site with thousands of files without an extension",
    expected="the template and the upload function's events are below AWS's quotas, or the synthesis stops",
    observed="at the maximum, the template and an event have about a quarter of what AWS accepts",
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
