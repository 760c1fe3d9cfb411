"""Reading the template from the artifact, within the limits of memory and time."""

import io
import os
import struct
import time
import tracemalloc
import zipfile
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.stub import Stubber
from hypothesis import given, strategies as st

from lambdas.deploy_pipeline import artifact
from lambdas.deploy_pipeline.artifact import MAX_TEMPLATE_BYTES, read_template
from lambdas.deploy_pipeline.errors import InvalidArtifactError

from .machine_run import FakeS3, zipped


class CountingS3(FakeS3):
    """Counts the bytes that are read."""

    fetched = 0

    def get_object(self, Bucket: str, Key: str, Range: str = "") -> dict[str, io.BytesIO]:
        response = super().get_object(Bucket, Key, Range)
        self.fetched += len(response["Body"].getvalue())
        return response


def read(content: bytes, path: str) -> bytes:
    return read_template(FakeS3({"bucket/key": content}), "bucket", "key", path)


def error_message(content: bytes, path: str = "template.yaml") -> str:
    with pytest.raises(InvalidArtifactError) as caught:
        read(content, path)
    return str(caught.value)


@pytest.mark.parametrize("path", ["template.yaml", "./template.yaml", "infra/../template.yaml"])
def test_read_template_normalizes_path(path: str) -> None:
    assert read(zipped(template_yaml="Resources: {}", other_txt="x"), path) == b"Resources: {}"


def test_read_template_in_folder_is_read() -> None:
    assert read(zipped(**{"infra/template_json": "{}"}), "infra/template.json") == b"{}"


@pytest.mark.parametrize("path", ["../template.yaml", "/etc/passwd", "a/../../b", "..", ".", "a\0b"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a path outside the artifact; very many files",
    expected="rejected",
    observed='"is outside", "too many files"',
)
def test_template_path_outside_artifact_is_rejected(path: str) -> None:
    assert "is outside the source artifact" in error_message(zipped(template_yaml="x"), path)


def test_missing_template_error_names_path() -> None:
    assert "'other.yaml' is not in the source artifact" in error_message(zipped(template_yaml="x"), "other.yaml")


def test_large_artifact_is_not_downloaded_completely() -> None:
    ballast = os.urandom(20_000_000)
    s3 = CountingS3({"bucket/key": zipped(ballast_bin=ballast, template_yaml="Resources: {}")})
    assert read_template(s3, "bucket", "key", "template.yaml") == b"Resources: {}"
    assert s3.fetched < 1_000_000, f"{s3.fetched} bytes were fetched"


def test_template_above_size_limit_is_rejected() -> None:
    assert read(zipped(template_yaml=b"x" * MAX_TEMPLATE_BYTES), "template.yaml")
    assert "more than" in error_message(zipped(template_yaml=b"x" * (MAX_TEMPLATE_BYTES + 1)))


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a zip bomb, even with a false size, bzip2 or LZMA, or a huge central directory",
    expected="rejected with little memory",
    observed="less than 20 MB for 100 MB decompressed, less than 5 MB for a directory of 2 GB",
)
def test_zip_bomb_is_not_decompressed() -> None:
    bomb = zipped(template_yaml=b"\0" * 100_000_000)
    assert len(bomb) < 1_000_000
    assert "more than" in error_within_memory_limit(bomb)


@pytest.mark.parametrize("declared", [10, MAX_TEMPLATE_BYTES, 2**32 - 2])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a zip bomb, even with a false size, bzip2 or LZMA, or a huge central directory",
)
def test_zip_bomb_with_false_size_is_not_decompressed(declared: int) -> None:
    bomb = bytearray(zipped(template_yaml=b"\0" * 100_000_000))
    size = (100_000_000).to_bytes(4, "little")
    assert bomb.count(size) == 2, "in the central directory, and in the header of the file"
    assert error_within_memory_limit(bytes(bomb.replace(size, declared.to_bytes(4, "little"))))


def error_within_memory_limit(bomb: bytes) -> str:
    tracemalloc.start()
    try:
        message = error_message(bomb)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 20_000_000, f"{most} bytes of memory were used"
    return message


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "LZMA"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a zip bomb, even with a false size, bzip2 or LZMA, or a huge central directory",
)
def test_zip_bomb_with_other_method_is_not_decompressed(method: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("template.yaml", b"\0" * 50_000_000)
    assert "; accepted: stored, deflated" in error_within_memory_limit(buffer.getvalue())


class SparseS3(FakeS3):
    """An object of 3 GiB of which only the end has content."""

    size = 3 * 2**30

    def head_object(self, Bucket: str, Key: str, **_: str) -> dict[str, Any]:
        assert f"{Bucket}/{Key}" in self.objects
        return {"ContentLength": self.size}

    def get_object(self, Bucket: str, Key: str, Range: str = "") -> dict[str, io.BytesIO]:
        end = self._at(Bucket, Key)
        first, last = map(int, Range.removeprefix("bytes=").split("-"))
        start = self.size - len(end)
        return {"Body": io.BytesIO(bytes(max(0, min(last + 1, start) - first)) + end[max(0, first - start) :])}


@pytest.mark.parametrize("claimed", [9 * 2**20, 2**31])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a zip bomb, even with a false size, bzip2 or LZMA, or a huge central directory",
)
def test_central_directory_with_false_size_uses_no_memory(claimed: int) -> None:
    """zipfile allocates the size in the end record before it reads."""
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, claimed, 0, 0)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidArtifactError, match="too many files"):
            read_template(SparseS3({"bucket/key": end}), "bucket", "key", "template.yaml")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5_000_000, f"{most} bytes of memory were used"


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a zip bomb, even with a false size, bzip2 or LZMA, or a huge central directory",
)
def test_large_central_directory_uses_bounded_memory() -> None:
    """An eighth of the largest central directory, because tracing memory is slow; the function has 512 MB."""
    header = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, *[0] * 15)
    many = artifact.MAX_DIRECTORY_BYTES // len(header) // 8
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, many % 65536, many % 65536, many * len(header), 0, 0)
    tracemalloc.start()
    try:
        assert "not in the source artifact" in error_message(header * many + end)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 300_000_000 / 8, f"{most} bytes of memory were used"


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a path outside the artifact; very many files",
)
def test_artifact_with_too_many_files_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact, "MAX_DIRECTORY_BYTES", 1000)
    monkeypatch.setattr(artifact, "MAX_TEMPLATE_BYTES", 1000)
    many = zipped(**{f"file{number}_txt": "" for number in range(1000)})
    assert "too many files" in error_message(many)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a path outside the artifact; very many files",
)
def test_names_with_many_accents_take_linear_time() -> None:
    """Normalizing the accents of one letter takes quadratic time: minutes for a central directory of 8 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(30):
            archive.writestr(f"{number}e" + "\u0300\u0327" * 16_000, "")
        archive.writestr("template.yaml", "Resources: {}")
    started = time.process_time()
    assert read(buffer.getvalue(), "template.yaml") == b"Resources: {}"
    assert "is not in the source artifact" in error_message(buffer.getvalue(), "other.yaml")
    assert time.process_time() - started < 3


@pytest.mark.parametrize("content", [b"", b"no zip file", zipped(template_yaml="Resources: {}")[:-30]])
def test_invalid_zip_file_is_reported(content: bytes) -> None:
    assert "not a valid zip file" in error_message(content)


def test_damaged_member_is_reported() -> None:
    content = bytearray(zipped(template_yaml="Resources: {}" * 1000))
    content[60] ^= 0xFF
    assert "not a valid zip file" in error_message(bytes(content))


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 300))
@pytest.mark.reliability(
    "deploy_pipeline",
    "Malformed input",
    fault="the artifact is damaged or encrypted",
    expected="fails with this reason",
    observed="any damage is reported or harmless",
)
def test_any_damage_is_reported_or_harmless(damage: list[tuple[int, int]], cut: int) -> None:
    content = bytearray(zipped(template_yaml="Resources: {}" * 20, other_txt="x"))
    for position, value in damage:
        content[position % len(content)] = value
    try:
        read(bytes(content[: max(1, len(content) - cut)]), "template.yaml")
    except InvalidArtifactError:
        return


@pytest.mark.reliability("deploy_pipeline", "Malformed input", fault="the artifact is damaged or encrypted")
def test_encrypted_member_is_reported() -> None:
    content = bytearray(zipped(template_yaml="Resources: {}"))
    directory = content.index(b"PK\x01\x02")
    content[6] |= 1
    content[directory + 8] |= 1
    assert "not a valid zip file" in error_message(bytes(content))


@pytest.mark.reliability("deploy_pipeline", "Malformed input", fault="the template is missing, broken or empty")
def test_empty_template_is_reported() -> None:
    assert "is empty" in error_message(zipped(template_yaml=" \n"))


@pytest.mark.reliability(
    "deploy_pipeline",
    "Deleted externally",
    fault="the artifact, or the input file",
    expected="fails, and names the object; S3 returns 403 because the functions cannot list the bucket",
    observed="`s3://... cannot be read: the object does not exist, or access is denied`",
)
def test_missing_artifact_with_403_is_explained() -> None:
    with pytest.raises(InvalidArtifactError, match="s3://bucket/key cannot be read: the object does not exist, or"):
        read_template(FakeS3(), "bucket", "key", "template.yaml")


@pytest.mark.parametrize(
    ("operation", "code", "message", "expected"),
    [
        ("HeadObject", "404", "Not Found", r"s3://bucket/key cannot be read: the object does not exist\. "),
        ("GetObject", "AccessDenied", "not authorized to perform: kms:Decrypt", "kms:Decrypt"),
    ],
)
@pytest.mark.reliability("deploy_pipeline", "Deleted externally", fault="the artifact, or the input file")
def test_other_s3_error_is_reported_verbatim(operation: str, code: str, message: str, expected: str) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    with Stubber(s3) as stubber:
        if operation == "GetObject":
            stubber.add_response("head_object", {"ContentLength": 100})
        stubber.add_client_error(xform_name(operation), code, message)
        with pytest.raises(InvalidArtifactError, match=expected):
            read_template(s3, "bucket", "key", "template.yaml")


def test_folder_as_template_is_rejected() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.mkdir("template.yaml")
    assert "template.yaml" in error_message(buffer.getvalue())
