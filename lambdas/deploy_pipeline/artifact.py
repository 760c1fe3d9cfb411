"""One file out of a zip file in S3, read in pieces.

Only the list of files and the wanted file are fetched, whatever the size of the whole, and
nothing is unpacked to disk.
"""

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .errors import InvalidArtifactError

LARGEST_TEMPLATE = 1024 * 1024  # bytes; CloudFormation's limit for templates in S3
LARGEST_DIRECTORY = 8 * 1024 * 1024  # bytes that the zip's list of files may take
PIECE = 64 * 1024
# What the zip file module says of a file that is damaged, encrypted, or of a kind that it does not know.
UNUSABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)


def read_template(s3: Any, bucket: str, key: str, path: str) -> bytes:
    """Give the file `path` of the zip file at `key`.

    Raises:
        InvalidArtifactError: there is no such file, or it is none that may be read.
    """
    name = _inside(path)
    try:
        with zipfile.ZipFile(io.BufferedReader(_Pieces(s3, bucket, key), PIECE)) as archive:
            return _entry(archive, name)
    except UNUSABLE as error:
        raise InvalidArtifactError(f"The source artifact is no usable zip file: {error}") from error


def _inside(path: str) -> str:
    normal = posixpath.normpath(path)
    if "\\" in path or "\0" in path or normal.startswith(("/", "../")) or normal in (".", ".."):
        raise InvalidArtifactError(f"templatePath {path!r} leads out of the source artifact.")
    return normal


def _entry(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise InvalidArtifactError(f"templatePath {name!r} is not in the source artifact.") from None
    with archive.open(entry) as file:
        content = file.read(LARGEST_TEMPLATE + 1)  # what the list says of its size need not be true
    if len(content) > LARGEST_TEMPLATE:
        raise InvalidArtifactError(f"templatePath {name!r} has more than {LARGEST_TEMPLATE} bytes.")
    if not content.strip():
        raise InvalidArtifactError(f"templatePath {name!r} is empty.")
    return content


@contextmanager
def _reading() -> Iterator[None]:
    """Say what S3 has said; zipfile would take those errors of botocore that are an OSError too for a damaged file."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise InvalidArtifactError(f"The source artifact cannot be read: {error}") from error


class _Pieces(io.RawIOBase):
    """An object in S3 as a file that can be read from anywhere."""

    def __init__(self, s3: Any, bucket: str, key: str) -> None:
        self._s3 = s3
        self._object = {"Bucket": bucket, "Key": key}
        with _reading():
            self._size = s3.head_object(**self._object)["ContentLength"]
        self._position = 0
        self._fetched = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        self._fetched += wanted
        if self._fetched > LARGEST_DIRECTORY + 2 * LARGEST_TEMPLATE:
            raise InvalidArtifactError("The source artifact has too many files.")
        piece = f"bytes={self._position}-{self._position + wanted - 1}"
        with _reading():
            data = self._s3.get_object(**self._object, Range=piece)["Body"].read()
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
