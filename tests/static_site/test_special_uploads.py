"""Files that need other headers than the AWS CLI would set."""

from pathlib import Path

import pytest

from stacks.static_site.special_uploads import SpecialUpload, special_uploads

NOT_FOUND = SpecialUpload("NotFound", ["404.html"], cache_control="max-age=0")


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
    assert special_uploads(tmp_path) == [NOT_FOUND, SpecialUpload(name_of_upload, [name], content_type)]


@pytest.mark.parametrize(("name", "content"), [("page.html", b"x"), ("photo", b"\xff\xd8\xff"), ("a.json", b"{}")])
def test_other_files_need_no_special_upload(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert special_uploads(tmp_path) == [NOT_FOUND]


def test_pattern_characters_in_name_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "a[b]*").write_text("x")
    assert special_uploads(tmp_path)[1].patterns == ["a[[]b][*]"]
