"""How much of an artifact is read, and what the error message suggests."""

import io
import struct
import zipfile
import zlib

import pytest

from lambdas.deploy_pipeline.artifact import MAX_DIRECTORY_BYTES, MAX_TEMPLATE_BYTES, read_template
from lambdas.deploy_pipeline.errors import InvalidArtifactError

from .machine_run import FakeS3, zipped

EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"  # of a deflated file, RFC 1951


class CountingS3(FakeS3):
    """Counts the bytes that are read."""

    fetched = 0

    def get_object(self, Bucket: str, Key: str, Range: str = "") -> dict[str, io.BytesIO]:
        response = super().get_object(Bucket, Key, Range)
        self.fetched += len(response["Body"].getvalue())
        return response


def zip_file(name: bytes, deflated: bytes, content: bytes, flags: int = 0) -> bytes:
    """Return a zip file with one file, with these compressed bytes."""
    common = (20, flags, zipfile.ZIP_DEFLATED, 0, 0, zlib.crc32(content), len(deflated), len(content), len(name), 0)
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", *common) + name + deflated
    directory = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, *common, 0, 0, 0, 0, 0) + name
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), len(local), 0)
    return local + directory + end


def error_message(s3: FakeS3, path: str = "template.yaml") -> str:
    with pytest.raises(InvalidArtifactError) as caught:
        read_template(s3, "bucket", "key", path)
    return str(caught.value)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="an endless compressed file without content",
    expected="rejected before it is read to the end",
    observed="at most 10 MiB are read",
)
def test_endless_file_without_content_is_not_read_completely() -> None:
    endless = EMPTY_BLOCK * (4 * MAX_DIRECTORY_BYTES // len(EMPTY_BLOCK))
    s3 = CountingS3({"bucket/key": zip_file(b"template.yaml", endless, b"a")})
    assert "source artifact" in error_message(s3)
    assert s3.fetched <= MAX_DIRECTORY_BYTES + 2 * MAX_TEMPLATE_BYTES


def test_missing_template_error_suggests_only_equal_names() -> None:
    s3 = FakeS3({"bucket/key": zip_file(b"zebra.yaml", zlib.compress(b"a")[2:-4], b"a")})
    assert error_message(s3) == "templatePath 'template.yaml' is not in the source artifact."


def test_missing_template_error_names_case_and_top_folder() -> None:
    s3 = FakeS3({"bucket/key": zipped(**{"app-main/Template_yaml": "a", "app-main/README_md": "a"})})
    assert error_message(s3) == (
        "templatePath 'template.yaml' is not in the source artifact. It contains 'app-main/Template.yaml'."
        " All its files are in the folder 'app-main', which is part of their paths."
    )
    assert "It contains 'app-main/Template.yaml'. Upper and lower case differ." in error_message(
        s3, "app-main/template.yaml"
    )
    flat = FakeS3({"bucket/key": zipped(Template_yaml="a", README_md="a")})
    assert error_message(flat).endswith("It contains 'Template.yaml'. Upper and lower case differ.")


def test_too_many_files_error_names_limit() -> None:
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 2 * MAX_DIRECTORY_BYTES, 0, 0)
    message = error_message(FakeS3({"bucket/key": bytes(2 * MAX_DIRECTORY_BYTES) + end}))
    assert "their list has 16,777,216 bytes, more than 8,388,608" in message


@pytest.mark.parametrize(("flags", "explained"), [(0, True), (0x8, True), (0x800, False)])
def test_missing_template_error_explains_names_without_utf8(flags: int, explained: bool) -> None:
    """0x800 marks the name as UTF-8; 0x8 puts the size after the content."""
    s3 = FakeS3({"bucket/key": zip_file("caf\u00e9.txt".encode(), zlib.compress(b"a")[2:-4], b"a", flags)})
    message = error_message(s3, "pi\u00f1a.yaml")
    assert ("names that are not UTF-8" in message) == explained
