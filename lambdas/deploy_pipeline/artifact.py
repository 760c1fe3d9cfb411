"""Read files from a zip file in S3, without downloading the whole object.

Only the central directory of the zip file and the requested files are fetched, and nothing is
written to disk. Every limit is checked before memory is allocated.

Tools write names in zip files differently: with a leading ``./`` (tar on Windows and macOS), with
backslashes (older .NET), as absolute paths, with doubled slashes, with decomposed accents (macOS), or
in UTF-8 without the UTF-8 flag. All names are normalized before they are compared.
"""

import io
import posixpath
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .errors import InvalidArtifactError
from .objects import explain_read_error

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MAX_TEMPLATE_BYTES = 1024 * 1024  # CloudFormation's limit for templates in S3
MAX_DIRECTORY_BYTES = 8 * 1024 * 1024  # of the zip file's central directory
MAX_READ_BYTES = MAX_DIRECTORY_BYTES + 2 * MAX_TEMPLATE_BYTES
MAX_NAME_LENGTH = 1024  # characters, as in templatePath; normalizing some names takes quadratic time
CHUNK_BYTES = 64 * 1024
UTF8_FLAG = 0x800
# zipfile decompresses files of the other methods, such as bzip2 and LZMA, completely, even for a short read.
SUPPORTED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
UNSUPPORTED_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard"}
# Errors of the zipfile module for a file that is damaged, encrypted or of an unsupported kind.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)


def read_template(s3: "S3Client", bucket: str, key: str, path: str) -> bytes:
    """Return the content of the file `path` in the zip file at `key`.

    Raises:
        InvalidArtifactError: the file does not exist or cannot be used as a template.
    """
    with open_artifact(s3, bucket, key) as archive:
        return read_file(archive, path, "templatePath", MAX_TEMPLATE_BYTES)


@contextmanager
def open_artifact(
    s3: "S3Client", bucket: str, key: str, max_read_bytes: int = MAX_READ_BYTES, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[zipfile.ZipFile]:
    """Open the zip file at `key`, of which at most `max_read_bytes` are read, in requests of `chunk_bytes`.

    Raises:
        InvalidArtifactError: it is not a valid zip file, or cannot be read.
    """
    reader = _S3RangeReader(s3, bucket, key, max_read_bytes)
    try:
        with zipfile.ZipFile(_BoundedReader(reader, chunk_bytes)) as archive:
            yield archive
    except ZIP_ERRORS as error:
        raise InvalidArtifactError(f"The source artifact is not a valid zip file: {error}") from error


def read_file(archive: zipfile.ZipFile, path: str, field: str, max_bytes: int) -> bytes:
    """Return the content of the file `path`, which is the value of `field` of the input.

    Raises:
        InvalidArtifactError: the file does not exist, is empty, a link or too large, or has an unsupported compression.
    """
    name = normalize_path(path, field)
    label = f"{field} {name!r}"
    return read_entry(archive, _find_entry(archive, name, label), label, max_bytes)


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, label: str, max_bytes: int) -> bytes:
    """Return the content of an entry, which messages call `label`.

    Raises:
        InvalidArtifactError: it is empty, a link or too large, or has an unsupported compression.
    """
    check_entry(entry, label)
    with archive.open(entry) as file:
        content = file.read(max_bytes + 1)  # the size in the central directory can be wrong
    if len(content) > max_bytes:
        raise InvalidArtifactError(f"{label} has more than {max_bytes} bytes.")
    if not content.strip():
        raise InvalidArtifactError(f"{label} is empty.")
    return content


def normalize_path(path: str, field: str) -> str:
    """Return the normal form of a path in the artifact, which is the value of `field`."""
    normal = unicodedata.normalize("NFC", posixpath.normpath(path))
    if "\\" in path:
        raise InvalidArtifactError(f"{field} {path!r} contains a backslash; separate folders with slashes.")
    if "\0" in path or normal.startswith(("/", "../")) or normal in (".", ".."):
        raise InvalidArtifactError(f"{field} {path!r} is outside the source artifact.")
    return normal


def check_entry(entry: zipfile.ZipInfo, label: str) -> None:
    """Accept only a file with a supported compression."""
    if _is_link(entry):
        raise InvalidArtifactError(f"{label} is a symbolic link; use the path of its target.")
    if entry.filename.endswith(("/", "\\")):
        raise InvalidArtifactError(f"{label} is a folder.")
    if entry.compress_type not in SUPPORTED_METHODS:
        method = UNSUPPORTED_METHODS.get(entry.compress_type, f"method {entry.compress_type}")
        raise InvalidArtifactError(f"{label} is compressed with {method}; accepted: stored, deflated.")


def _find_entry(archive: zipfile.ZipFile, name: str, label: str) -> zipfile.ZipInfo:
    """Return the only entry whose normalized name is `name`."""
    folders = {name[:end] for end, letter in enumerate(name) if letter == "/"}
    matches = []
    for entry in archive.infolist():
        names = normalized_names(entry)
        if name in names:
            matches.append(entry)
        elif _is_link(entry) and not folders.isdisjoint(names):
            raise InvalidArtifactError(f"{label} is not in the source artifact: {entry.filename!r} is a symbolic link.")
    if not matches:
        raise InvalidArtifactError(f"{label} is not in the source artifact.{_suggestions(archive, name)}")
    if len(matches) > 1:
        names_in_file = ", ".join(repr(entry.filename) for entry in matches[:5])
        raise InvalidArtifactError(f"{label} matches {len(matches)} files in the source artifact: {names_in_file}.")
    return matches[0]


def normalized_names(entry: zipfile.ZipInfo) -> set[str]:
    """Return the normalized name of an entry; two if its encoding is ambiguous, none if it is too long for a path."""
    if len(entry.filename) > MAX_NAME_LENGTH:
        return set()
    candidates = [entry.filename]
    if not entry.flag_bits & UTF8_FLAG and not entry.filename.isascii():
        with suppress(UnicodeError):  # not UTF-8
            candidates.append(entry.filename.encode("cp437").decode())
    with_slashes = (name.replace("\\", "/").lstrip("/") for name in candidates)
    return {unicodedata.normalize("NFC", posixpath.normpath(name)) for name in with_slashes}


def _suggestions(archive: zipfile.ZipFile, name: str) -> str:
    """List files of the same name in other folders, and mention names with an ambiguous encoding."""
    base = posixpath.basename(name).casefold()
    paths = {path for entry in archive.infolist() for path in normalized_names(entry)}
    similar = sorted(path for path in paths if posixpath.basename(path).casefold() == base)
    text = f" It contains {', '.join(map(repr, similar[:5]))}." if similar else ""
    if any(path.casefold() == name.casefold() for path in similar):
        text += " Upper and lower case differ."
    folders = {path.partition("/")[0] for path in paths}
    if len(folders) == 1 and not paths <= folders:
        text += f" All its files are in the folder {folders.pop()!r}, which is part of their paths."
    if not name.isascii() and any(not e.filename.isascii() and not e.flag_bits & UTF8_FLAG for e in archive.infolist()):
        text += " It contains names that are not UTF-8, which are read as code page 437."
    return text


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(entry.external_attr >> 16)


class _BoundedReader(io.BufferedReader):
    """Rejects a read that is too large before memory is allocated, whatever size the zip file declares."""

    def read(self, size: int | None = -1, /) -> bytes:
        requested = self.raw.remaining(self.tell())  # type: ignore[attr-defined]
        if size is not None and size >= 0:
            requested = min(size, requested)
        if requested > MAX_DIRECTORY_BYTES:
            raise InvalidArtifactError(
                f"The source artifact has too many files: their list has {requested:,} bytes,"
                f" more than {MAX_DIRECTORY_BYTES:,}."
            )
        return super().read(requested)


@contextmanager
def _translate_s3_errors(bucket: str, key: str) -> Iterator[None]:
    """Report S3 errors as such: some botocore errors are OSErrors, which would look like a damaged file."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise InvalidArtifactError(f"The source artifact {explain_read_error(error, bucket, key)}") from error


class _S3RangeReader(io.RawIOBase):
    """A seekable file that reads byte ranges of an object in S3."""

    def __init__(self, s3: "S3Client", bucket: str, key: str, max_read_bytes: int) -> None:
        self._s3, self._bucket, self._key, self._max_read_bytes = s3, bucket, key, max_read_bytes
        with _translate_s3_errors(bucket, key):
            self._size = s3.head_object(Bucket=bucket, Key=key)["ContentLength"]
        self._position = 0
        self._fetched = 0

    def remaining(self, position: int) -> int:
        """Return the number of bytes from `position` to the end."""
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
        requested = min(len(buffer), self.remaining(self._position))
        if not requested:
            return 0
        self._fetched += requested
        if self._fetched > self._max_read_bytes:
            raise InvalidArtifactError(
                f"The source artifact is damaged, or has too many or too large files: reading it would take"
                f" more than {self._max_read_bytes:,} bytes."
            )
        byte_range = f"bytes={self._position}-{self._position + requested - 1}"
        with _translate_s3_errors(self._bucket, self._key):
            data = self._s3.get_object(Bucket=self._bucket, Key=self._key, Range=byte_range)["Body"].read()
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
