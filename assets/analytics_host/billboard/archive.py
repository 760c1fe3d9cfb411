"""Write the files of a home directory to an archive, and extract an archive, which others could have written."""

import gzip
import os
import shutil
import stat
import tarfile
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from itertools import dropwhile, islice
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO, Any

MEGABYTE = 1024**2
MAX_BYTES = 1024 * MEGABYTE  # of the files
MAX_ENTRIES = 100_000
MAX_LEVELS = 500  # of folders; Python creates and lists them recursively
MAX_NAME_BYTES = 255  # of a file or folder, on Linux
CREDENTIALS = {".aws", ".git-credentials", ".gnupg", ".netrc", ".ssh"}
MAX_SHOWN_CHARACTERS = 100  # of the name of an entry
GENERATED = {".cache", ".ipynb_checkpoints", "__pycache__", "node_modules", "x86_64-pc-linux-gnu-library"}


class ArchiveError(Exception):
    """Nothing was archived, or nothing was extracted; the message names the reason."""


def pack(home: Path, file: IO[bytes]) -> tuple[int, list[str]]:
    """Archive the files of `home`, except credentials and what programs generate again.

    Returns the number of files, and a line for each file or link that is missing in the archive.

    Raises:
        ArchiveError: there are no files, too many or too large ones, or one became shorter while it was read.
    """
    problems: list[str] = []
    paths = list(_paths(home, problems))
    _check_size(home, paths)
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        files = sum(_add(archive, path, path.relative_to(home), problems) for path in paths)
    if not files:  # otherwise an empty archive would displace an earlier one
        raise ArchiveError("\n".join([f"{home} has no files to save", *problems]))
    return files, problems


def _paths(folder: Path, problems: list[str]) -> Iterator[Path]:
    """Yield what is below `folder`, without following links; folders before their contents."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(f"{folder}: {error.strerror}")
        return
    for entry in entries:
        path = Path(entry.path)
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name in CREDENTIALS | GENERATED or (is_folder and (path / "pyvenv.cfg").exists()):
            continue
        if len(path.parts) > MAX_LEVELS:
            problems.append(f"{path}: below more than {MAX_LEVELS} folders")
            continue
        yield path
        if is_folder:
            yield from _paths(path, problems)


def _check_size(home: Path, paths: list[Path]) -> None:
    sizes: dict[str, int] = {}
    for path in paths:
        top = path.relative_to(home).parts[0]
        sizes[top] = sizes.get(top, 0) + path.lstat().st_size
    total = sum(sizes.values())
    if total > MAX_BYTES or len(paths) > MAX_ENTRIES:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        raise ArchiveError(
            f"{len(paths):,} files with {total / MEGABYTE:,.0f} MB; accepted: {MAX_ENTRIES:,} files with "
            f"{MAX_BYTES // MEGABYTE:,} MB. Largest: "
            + ", ".join(f"{name} ({sizes[name] / MEGABYTE:,.0f} MB)" for name in largest)
        )


def _add(archive: tarfile.TarFile, path: Path, name: Path, problems: list[str]) -> int:
    """Add a folder, link or file, and return the number of files: 0 or 1. Sockets and pipes are omitted."""
    member, file = tarfile.TarInfo(str(name)), None
    try:
        status = path.lstat()
        member.mode, member.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
        if stat.S_ISREG(status.st_mode):
            # Between the two calls, another process of the user can have replaced the file.
            file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
        elif stat.S_ISLNK(status.st_mode):
            member.type, member.linkname = tarfile.SYMTYPE, str(path.readlink())
        elif stat.S_ISDIR(status.st_mode):
            member.type = tarfile.DIRTYPE
        else:
            return 0
    except OSError as error:
        problems.append(f"{path}: {error.strerror}")
        return 0
    if file:
        _add_file(archive, member, file, path)
        return 1
    if member.issym() and _leads_out(member):
        problems.append(f"{path}: a link out of the home directory")
    else:
        archive.addfile(member)
    return 0


def _add_file(archive: tarfile.TarFile, member: tarfile.TarInfo, file: IO[bytes], path: Path) -> None:
    with file:
        member.size = os.fstat(file.fileno()).st_size
        try:
            archive.addfile(member, file)
        except OSError as error:
            if error.errno:  # such as a full disk
                raise
            raise ArchiveError(f"{path} became shorter while it was read; repeat the command") from None


def unpack(file: IO[bytes], folder: Path) -> None:
    """Extract an archive into `folder`, which must not exist. Nothing is extracted from an invalid archive.

    Raises:
        ArchiveError: the folder exists, or the archive is too large or has entries that `pack` does not write.
    """
    with TemporaryFile() as tar:
        reader: Any = _SmallReads(tar, max_header_bytes())  # with the methods that tarfile uses
        try:
            _decompress(file, tar)
            with tarfile.open(fileobj=reader, mode="r:") as archive:
                members = list(islice(archive, MAX_ENTRIES + 1))
                _check(members)
                reader.remaining = max_archive_bytes()
                _extract(archive, members, folder)
        except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
            raise ArchiveError(f"not an archive of a home directory: {error}") from None


def max_archive_bytes() -> int:
    return MAX_BYTES + max_header_bytes()


def max_header_bytes() -> int:
    return MAX_ENTRIES * 2048  # each entry has a header, and can be padded


class _SmallReads:
    """A file of which `tarfile` reads no large parts into memory: it reads whole headers, but files in small parts.

    It keeps the headers, so all of them together are limited too. remaining: the bytes that can still be read.
    """

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self.file, self.seek, self.tell = file, file.seek, file.tell
        self.limit = self.remaining = limit

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MEGABYTE:
            raise tarfile.ReadError(f"a header of an entry has more than {MEGABYTE:,} bytes")
        self.remaining -= size
        if self.remaining < 0:
            raise tarfile.ReadError(f"the headers of the entries have more than {self.limit:,} bytes")
        return self.file.read(size)


def _decompress(file: IO[bytes], tar: IO[bytes]) -> None:
    limit = max_archive_bytes()
    with gzip.open(file) as source:
        while chunk := source.read(MEGABYTE):
            tar.write(chunk)
            if tar.tell() > limit:
                raise ArchiveError(f"the archive has more than {limit // MEGABYTE:,} MB")
    tar.seek(0)


def _check(members: list[tarfile.TarInfo]) -> None:
    """Check that no entry is, or is written through, a link out of the folder, and that each name occurs once."""
    if len(members) > MAX_ENTRIES:
        raise ArchiveError(f"nothing was extracted: the archive has more than {MAX_ENTRIES:,} entries")
    names = [str(PurePosixPath(member.name)) for member in members]
    below_links = _first_below(sorted(names), (n for n, member in zip(names, members, strict=True) if member.issym()))
    seen: set[str] = set()
    for name, member in zip(names, members, strict=True):
        if member.issparse() or not (member.isreg() or member.isdir() or member.issym()):
            reason = "neither a file, a folder nor a symbolic link"
        elif name.count("/") > MAX_LEVELS:
            reason = f"below more than {MAX_LEVELS} folders"
        elif any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in name.split("/")):
            reason = f"longer than {MAX_NAME_BYTES} bytes"
        elif PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or name == ".":
            reason = "outside of the folder"
        elif member.issym() and _leads_out(member):
            reason = "a link out of the folder"
        elif name in below_links:
            reason = "below a link"
        elif name in seen:
            reason = "a duplicate entry"
        else:
            seen.add(name)
            continue
        shown = f"{name[:MAX_SHOWN_CHARACTERS]}..." if len(name) > MAX_SHOWN_CHARACTERS else name
        raise ArchiveError(f"nothing was extracted: {shown!r} is {reason}")


def _first_below(ordered: list[str], links: Iterator[str]) -> set[str]:
    """Return for each link the first of the sorted names below it, if any."""
    first = ((link, bisect_left(ordered, f"{link}/")) for link in links)
    return {ordered[i] for link, i in first if i < len(ordered) and ordered[i].startswith(f"{link}/")}


def _leads_out(link: tarfile.TarInfo) -> bool:
    """Return whether a link leads out of the folder. Its parent folders are not links, so `..` leads to their parents.

    After the name of another link, `..` could lead anywhere.
    """
    target = PurePosixPath(link.linkname).parts
    below = list(dropwhile(lambda part: part == "..", target))
    levels = len(PurePosixPath(link.name).parts) - 1
    return link.linkname.startswith("/") or ".." in below or len(target) - len(below) > levels


def _extract(archive: tarfile.TarFile, members: list[tarfile.TarInfo], folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise ArchiveError(f"{folder} exists already; move or delete it first") from None
    # In addition to `_check`. Python 3.11.2 of Debian 12, on which the sandbox can run, has no filters; the host has.
    archive.extraction_filter = getattr(tarfile, "data_filter", None)
    try:
        archive.extractall(folder, members)  # noqa: S202  # `_check` has checked them
    except BaseException:
        shutil.rmtree(folder)
        raise
