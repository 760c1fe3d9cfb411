"""Names in zip files as the tools of Windows, macOS and .NET write them: found, or refused with the reason."""

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


def refusal(content: bytes, path: str = "template.yaml") -> str:
    with pytest.raises(InvalidArtifactError) as caught:
        read(content, path)
    return str(caught.value)


def with_raw_name(name: bytes) -> bytes:
    """An archive with a file of that name, without the flag that says that it is UTF-8."""
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
    fault="the zip file spells its paths as Windows, macOS or .NET do",
    expected="the template is found, or it is said why not",
    observed="found in each form; a link and two names for one path are refused",
)
def test_template_is_found_however_its_path_is_written(written: str) -> None:
    assert read(archive_of("other.txt", written), "infra/template.yaml") == TEMPLATE


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("path_form", ["NFC", "NFD"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="the zip file spells its paths as Windows, macOS or .NET do",
)
def test_template_is_found_with_composed_and_decomposed_accents(form: str, path_form: str) -> None:
    name = "größe/été.yaml"
    archive = archive_of(unicodedata.normalize(form, name))  # type: ignore[arg-type]
    assert read(archive, unicodedata.normalize(path_form, name)) == TEMPLATE  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["utf-8", "cp437"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="the zip file spells its paths as Windows, macOS or .NET do",
)
def test_template_is_found_whose_name_has_no_flag_of_utf_8(encoding: str) -> None:
    assert read(with_raw_name("größe.yaml".encode(encoding)), "größe.yaml") == TEMPLATE


@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="the zip file spells its paths as Windows, macOS or .NET do",
)
def test_name_in_another_encoding_is_explained() -> None:
    said = refusal(with_raw_name("größe.yaml".encode("cp1252")), "größe.yaml")
    assert "'größe.yaml' is not in the source artifact" in said
    assert "names that are not in UTF-8" in said


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
    fault="the zip file spells its paths as Windows, macOS or .NET do",
)
def test_names_that_mean_the_same_file_are_refused(names: tuple[str, ...]) -> None:
    said = refusal(archive_of(*names), names[0])
    assert f"is {len(names)} times in the source artifact: {', '.join(map(repr, names))}" in said


def test_same_name_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        archive = archive_of("template.yaml", "template.yaml")
    assert "is 2 times in the source artifact" in refusal(archive)


def test_very_long_names_fit_into_the_message() -> None:
    """Step Functions keeps 32,768 characters of an error, and cut JSON cannot be read."""
    said = refusal(archive_of(*("./" * number + "x" * 30_000 for number in range(4))), "x" * 30_000)
    assert len(said) <= 5000


@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="the zip file spells its paths as Windows, macOS or .NET do",
)
def test_symbolic_link_is_named() -> None:
    assert "is a symbolic link: name the file" in refusal(archive_of(link("template.yaml"), "infra/template.yaml"))


def test_folder_that_is_a_symbolic_link_is_named() -> None:
    said = refusal(archive_of(link("./infra"), "deploy/template.yaml"), "infra/template.yaml")
    assert "'./infra' is a symbolic link" in said


@pytest.mark.parametrize("written", ["template.yaml/", "template.yaml\\"])
def test_folder_of_the_templates_name_is_named(written: str) -> None:
    assert "is a folder" in refusal(archive_of(written, content=b""))


def test_backslash_in_the_path_is_explained() -> None:
    said = refusal(archive_of("infra/template.yaml"), "infra\\template.yaml")
    assert "has a backslash: separate folders by a slash" in said


def test_template_in_another_place_is_pointed_out() -> None:
    said = refusal(archive_of("My-App/Template.YAML", "b/template.yaml", "other.txt"))
    assert said.endswith("is not in the source artifact. It has 'My-App/Template.YAML', 'b/template.yaml'.")
