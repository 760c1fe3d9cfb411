"""One file out of a zip file in S3, read in pieces.

Only the list of files and the wanted file are fetched, whatever the size of the whole, and
nothing is unpacked to disk. Every limit is checked before memory is taken for what it limits.

Names in zip files differ by the tool that wrote them: with ``./`` in front (tar of Windows and
macOS), with backslashes (older .NET), absolute, with doubled slashes, decomposed accents (macOS),
or in UTF-8 without the flag that says so. They are compared in one form.
"""

import io
import posixpath
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .errors import InvalidArtifactError
from .objects import unreadable

LARGEST_TEMPLATE = 1024 * 1024  # bytes; CloudFormation's limit for templates in S3
LARGEST_DIRECTORY = 8 * 1024 * 1024  # bytes that the zip's list of files may take
LONGEST_NAME = 1024  # characters, as of a templatePath; the time to normalize some names grows with their square
PIECE = 64 * 1024
UTF8_FLAG = 0x800
# Others, such as bzip2 and LZMA, are unpacked whole, however little of it is asked for.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
OTHER_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard"}
# What the zip file module says of a file that is damaged, encrypted, or of a kind that it does not know.
UNUSABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)


def read_template(s3: Any, bucket: str, key: str, path: str) -> bytes:
    """Give the file `path` of the zip file at `key`.

    Raises:
        InvalidArtifactError: there is no such file, or it is none that may be read.
    """
    name = _inside(path)
    try:
        with zipfile.ZipFile(_Buffered(_Pieces(s3, bucket, key), PIECE)) as archive:
            return _content(archive, _entry(archive, name), name)
    except UNUSABLE as error:
        raise InvalidArtifactError(f"The source artifact is no usable zip file: {error}") from error


def _inside(path: str) -> str:
    normal = unicodedata.normalize("NFC", posixpath.normpath(path))
    if "\\" in path:
        raise InvalidArtifactError(f"templatePath {path!r} has a backslash: separate folders by a slash.")
    if "\0" in path or normal.startswith(("/", "../")) or normal in (".", ".."):
        raise InvalidArtifactError(f"templatePath {path!r} leads out of the source artifact.")
    return normal


def _entry(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """The one file of that name, whatever the form in which its name is written."""
    folders = {name[:end] for end, letter in enumerate(name) if letter == "/"}
    found = []
    for entry in archive.infolist():
        names = _names(entry)
        if name in names:
            found.append(entry)
        elif _is_link(entry) and not folders.isdisjoint(names):
            raise InvalidArtifactError(
                f"templatePath {name!r} is not in the source artifact: {entry.filename!r} is a symbolic link."
            )
    if not found:
        raise InvalidArtifactError(f"templatePath {name!r} is not in the source artifact.{_similar(archive, name)}")
    if len(found) > 1:
        written = ", ".join(repr(entry.filename) for entry in found[:5])
        raise InvalidArtifactError(f"templatePath {name!r} is {len(found)} times in the source artifact: {written}.")
    return found[0]


def _names(entry: zipfile.ZipInfo) -> set[str]:
    """The normal forms of an entry's name; two if its encoding is not certain, none if it is too long for a path."""
    if len(entry.filename) > LONGEST_NAME:
        return set()
    written = [entry.filename]
    if not entry.flag_bits & UTF8_FLAG and not entry.filename.isascii():
        with suppress(UnicodeError):  # it is not UTF-8
            written.append(entry.filename.encode("cp437").decode())
    slashes = (name.replace("\\", "/").lstrip("/") for name in written)
    return {unicodedata.normalize("NFC", posixpath.normpath(name)) for name in slashes}


def _similar(archive: zipfile.ZipFile, name: str) -> str:
    """Where else a file of that name is, and which names can be read in more than one way."""
    base = posixpath.basename(name).casefold()
    paths = (path for entry in archive.infolist() for path in _names(entry))
    found = sorted({path for path in paths if posixpath.basename(path).casefold() == base})
    said = f" It has {', '.join(map(repr, found[:5]))}." if found else ""
    if not name.isascii() and any(not e.filename.isascii() and not e.flag_bits & UTF8_FLAG for e in archive.infolist()):
        said += " It has names that are not in UTF-8, which are read as code page 437."
    return said


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> bytes:
    if _is_link(entry):
        raise InvalidArtifactError(f"templatePath {name!r} is a symbolic link: name the file that it leads to.")
    if entry.filename.endswith(("/", "\\")):
        raise InvalidArtifactError(f"templatePath {name!r} is a folder.")
    if entry.compress_type not in METHODS:
        method = OTHER_METHODS.get(entry.compress_type, f"method {entry.compress_type}")
        raise InvalidArtifactError(f"templatePath {name!r} is compressed by {method}; accepted: stored, deflated.")
    with archive.open(entry) as file:
        content = file.read(LARGEST_TEMPLATE + 1)  # what the list says of its size need not be true
    if len(content) > LARGEST_TEMPLATE:
        raise InvalidArtifactError(f"templatePath {name!r} has more than {LARGEST_TEMPLATE} bytes.")
    if not content.strip():
        raise InvalidArtifactError(f"templatePath {name!r} is empty.")
    return content


class _Buffered(io.BufferedReader):
    """Refuses a read that is too large before memory is taken for it, whatever the zip file asks for."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self.raw.remaining(self.tell())  # type: ignore[attr-defined]
        if size is not None and size >= 0:
            wanted = min(size, wanted)
        if wanted > LARGEST_DIRECTORY:
            raise InvalidArtifactError("The source artifact has too many files.")
        return super().read(wanted)


@contextmanager
def _reading(bucket: str, key: str) -> Iterator[None]:
    """Say what S3 has said; zipfile would take those errors of botocore that are an OSError too for a damaged file."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise InvalidArtifactError(f"The source artifact {unreadable(error, bucket, key)}") from error


class _Pieces(io.RawIOBase):
    """An object in S3 as a file that can be read from anywhere."""

    def __init__(self, s3: Any, bucket: str, key: str) -> None:
        self._s3, self._bucket, self._key = s3, bucket, key
        with _reading(bucket, key):
            self._size = s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
        self._position = 0
        self._fetched = 0

    def remaining(self, position: int) -> int:
        """Bytes from `position` to the end."""
        return max(0, int(self._size) - position)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self.remaining(self._position))
        if not wanted:
            return 0
        self._fetched += wanted
        if self._fetched > LARGEST_DIRECTORY + 2 * LARGEST_TEMPLATE:
            raise InvalidArtifactError("The source artifact has too many files.")
        piece = f"bytes={self._position}-{self._position + wanted - 1}"
        with _reading(self._bucket, self._key):
            data = self._s3.get_object(Bucket=self._bucket, Key=self._key, Range=piece)["Body"].read()
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
