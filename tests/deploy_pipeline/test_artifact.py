"""The template comes out of the artifact, and nothing else does."""

import io
import os
import tracemalloc
import zipfile

import pytest
from hypothesis import given, strategies as st

from lambdas.deploy_pipeline import artifact
from lambdas.deploy_pipeline.artifact import LARGEST_TEMPLATE, read_template
from lambdas.deploy_pipeline.errors import InvalidArtifactError

from .machine_run import FakeS3, zipped


class CountingS3(FakeS3):
    """Counts the bytes that are fetched."""

    fetched = 0

    def get_object(self, Bucket: str, Key: str, Range: str = "") -> dict[str, io.BytesIO]:
        answer = super().get_object(Bucket, Key, Range)
        self.fetched += len(answer["Body"].getvalue())
        return answer


def read(content: bytes, path: str) -> bytes:
    return read_template(FakeS3({"bucket/key": content}), "bucket", "key", path)


def refusal(content: bytes, path: str = "template.yaml") -> str:
    with pytest.raises(InvalidArtifactError) as caught:
        read(content, path)
    return str(caught.value)


@pytest.mark.parametrize("path", ["template.yaml", "./template.yaml", "infra/../template.yaml"])
def test_template_is_read(path: str) -> None:
    assert read(zipped(template_yaml="Resources: {}", other_txt="x"), path) == b"Resources: {}"


def test_template_in_a_folder_is_read() -> None:
    assert read(zipped(**{"infra/template_json": "{}"}), "infra/template.json") == b"{}"


@pytest.mark.parametrize("path", ["../template.yaml", "/etc/passwd", "a/../../b", "..", ".", "a\\b", "a\0b"])
def test_path_that_leads_out_is_refused(path: str) -> None:
    assert "leads out" in refusal(zipped(template_yaml="x"), path)


def test_missing_template_is_named() -> None:
    assert "'other.yaml' is not in the source artifact" in refusal(zipped(template_yaml="x"), "other.yaml")


def test_large_artifact_is_read_in_pieces() -> None:
    ballast = os.urandom(20_000_000)
    s3 = CountingS3({"bucket/key": zipped(ballast_bin=ballast, template_yaml="Resources: {}")})
    assert read_template(s3, "bucket", "key", "template.yaml") == b"Resources: {}"
    assert s3.fetched < 1_000_000, f"{s3.fetched} bytes were fetched"


def test_template_larger_than_cloudformation_takes_is_refused() -> None:
    assert read(zipped(template_yaml=b"x" * LARGEST_TEMPLATE), "template.yaml")
    assert "more than" in refusal(zipped(template_yaml=b"x" * (LARGEST_TEMPLATE + 1)))


def test_bomb_is_not_unpacked() -> None:
    bomb = zipped(template_yaml=b"\0" * 100_000_000)
    assert len(bomb) < 1_000_000
    assert "more than" in refusal_in_little_memory(bomb)


@pytest.mark.parametrize("declared", [10, LARGEST_TEMPLATE, 2**32 - 2])
def test_bomb_that_lies_about_its_size_is_not_unpacked(declared: int) -> None:
    bomb = bytearray(zipped(template_yaml=b"\0" * 100_000_000))
    size = (100_000_000).to_bytes(4, "little")
    assert bomb.count(size) == 2, "in the list of files, and before the file"
    assert refusal_in_little_memory(bytes(bomb.replace(size, declared.to_bytes(4, "little"))))


def refusal_in_little_memory(bomb: bytes) -> str:
    tracemalloc.start()
    try:
        said = refusal(bomb)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 20_000_000, f"{most} bytes of memory were taken"
    return said


def test_artifact_with_too_many_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "LARGEST_DIRECTORY", 1000)
    monkeypatch.setattr(artifact, "LARGEST_TEMPLATE", 1000)
    many = zipped(**{f"file{number}_txt": "" for number in range(1000)})
    assert "too many files" in refusal(many)


@pytest.mark.parametrize("content", [b"", b"no zip file", zipped(template_yaml="Resources: {}")[:-30]])
def test_what_is_no_zip_file_is_told(content: bytes) -> None:
    assert "no usable zip file" in refusal(content)


def test_damaged_file_is_told() -> None:
    content = bytearray(zipped(template_yaml="Resources: {}" * 1000))
    content[60] ^= 0xFF
    assert "no usable zip file" in refusal(bytes(content))


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 300))
def test_any_damage_is_told_or_harmless(damage: list[tuple[int, int]], cut: int) -> None:
    content = bytearray(zipped(template_yaml="Resources: {}" * 20, other_txt="x"))
    for position, value in damage:
        content[position % len(content)] = value
    try:
        read(bytes(content[: max(1, len(content) - cut)]), "template.yaml")
    except InvalidArtifactError:
        return


def test_encrypted_file_is_told() -> None:
    content = bytearray(zipped(template_yaml="Resources: {}"))
    directory = content.index(b"PK\x01\x02")
    content[6] |= 1
    content[directory + 8] |= 1
    assert "no usable zip file" in refusal(bytes(content))


def test_empty_template_is_told() -> None:
    assert "is empty" in refusal(zipped(template_yaml=" \n"))


def test_artifact_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidArtifactError, match=r"cannot be read: .*\(404\)"):
        read_template(FakeS3(), "bucket", "key", "template.yaml")


def test_folder_is_no_template() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.mkdir("template.yaml")
    assert "template.yaml" in refusal(buffer.getvalue())
