"""Names in zip files as the tools of Windows, macOS and .NET write them."""

import io
import stat
import unicodedata
import zipfile

import pytest

from lambdas.deploy_pipeline.artifact import read_template
from lambdas.deploy_pipeline.errors import InvalidArtifactError

from .machine_run import FakeS3

TEMPLATE = b"Resources: {}"


def archive_of(*names: str | zipfile.ZipInfo, content: bytes = TEMPLATE) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


def read(content: bytes, path: str = "template.yaml") -> bytes:
    return read_template(FakeS3({"bucket/key": content}), "bucket", "key", path)


def error_message(content: bytes, path: str = "template.yaml") -> str:
    with pytest.raises(InvalidArtifactError) as caught:
        read(content, path)
    return str(caught.value)


def with_raw_name(name: bytes) -> bytes:
    """Return a zip file with a file of that name, without the UTF-8 flag."""
    return archive_of("x" * len(name)).replace(b"x" * len(name), name)


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    "written",
    [
        "infra/template.yaml",
        "./infra/template.yaml",
        "infra\\template.yaml",
        ".\\infra\\template.yaml",
        "/infra/template.yaml",
        "\\infra\\template.yaml",
        "infra//template.yaml",
        "infra/./template.yaml",
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="paths in the zip file as Windows, macOS or .NET write them",
    expected="the template is found, or the reason is reported",
    observed="found in each form; symbolic links and ambiguous names are rejected",
)
def test_template_with_other_path_form_is_found(written: str) -> None:
    assert read(archive_of("other.txt", written), "infra/template.yaml") == TEMPLATE


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("path_form", ["NFC", "NFD"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="paths in the zip file as Windows, macOS or .NET write them",
)
def test_template_with_other_unicode_form_is_found(form: str, path_form: str) -> None:
    name = "größe/été.yaml"
    archive = archive_of(unicodedata.normalize(form, name))  # type: ignore[arg-type]
    assert read(archive, unicodedata.normalize(path_form, name)) == TEMPLATE  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["utf-8", "cp437"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="paths in the zip file as Windows, macOS or .NET write them",
)
def test_template_without_utf8_flag_is_found(encoding: str) -> None:
    assert read(with_raw_name("größe.yaml".encode(encoding)), "größe.yaml") == TEMPLATE


@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="paths in the zip file as Windows, macOS or .NET write them",
)
def test_name_in_other_encoding_is_explained() -> None:
    message = error_message(with_raw_name("größe.yaml".encode("cp1252")), "größe.yaml")
    assert "'größe.yaml' is not in the source artifact" in message
    assert "names that are not UTF-8" in message


@pytest.mark.parametrize(
    "names",
    [
        ("template.yaml", "./template.yaml"),
        ("template.yaml", "/template.yaml", "a/../template.yaml"),
        ("infra/template.yaml", "infra\\template.yaml"),
        (unicodedata.normalize("NFC", "é.yaml"), unicodedata.normalize("NFD", "é.yaml")),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="paths in the zip file as Windows, macOS or .NET write them",
)
def test_ambiguous_names_are_rejected(names: tuple[str, ...]) -> None:
    message = error_message(archive_of(*names), names[0])
    assert f"matches {len(names)} files in the source artifact: {', '.join(map(repr, names))}" in message


def test_duplicate_name_is_rejected() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        archive = archive_of("template.yaml", "template.yaml")
    assert "matches 2 files in the source artifact" in error_message(archive)


def test_long_names_are_truncated_in_message() -> None:
    """Step Functions truncates errors at 32,768 characters, and truncated JSON cannot be parsed."""
    message = error_message(archive_of(*("./" * number + "x" * 30_000 for number in range(4))), "x" * 30_000)
    assert len(message) <= 5000


@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="paths in the zip file as Windows, macOS or .NET write them",
)
def test_symbolic_link_error_names_link() -> None:
    assert "is a symbolic link; use the path" in error_message(archive_of(link("template.yaml"), "infra/template.yaml"))


def test_symbolic_link_folder_error_names_link() -> None:
    message = error_message(archive_of(link("./infra"), "deploy/template.yaml"), "infra/template.yaml")
    assert "'./infra' is a symbolic link" in message


@pytest.mark.parametrize("written", ["template.yaml/", "template.yaml\\"])
def test_folder_with_name_of_template_is_rejected(written: str) -> None:
    assert "is a folder" in error_message(archive_of(written, content=b""))


def test_backslash_in_template_path_is_explained() -> None:
    message = error_message(archive_of("infra/template.yaml"), "infra\\template.yaml")
    assert "contains a backslash; separate folders with slashes" in message


def test_missing_template_error_suggests_other_path() -> None:
    message = error_message(archive_of("My-App/Template.YAML", "b/template.yaml", "other.txt"))
    assert message.endswith("is not in the source artifact. It contains 'My-App/Template.YAML', 'b/template.yaml'.")


def test_folder_and_link_elsewhere_do_not_hide_template() -> None:
    assert read(archive_of("infra/", link("latest"), "infra/template.yaml"), "infra/template.yaml") == TEMPLATE
