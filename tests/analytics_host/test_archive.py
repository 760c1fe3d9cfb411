"""Tests of archives of the home directory: what they contain, and hostile ones."""

import gzip
import io
import os
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from assets.analytics_host.billboard import archive
from assets.analytics_host.billboard.archive import ArchiveError, pack, unpack


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def write(home: Path, name: str, text: str = "text") -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def packed(home: Path) -> tuple[io.BytesIO, int, list[str]]:
    file = io.BytesIO()
    files, problems = pack(home, file)
    file.seek(0)
    return file, files, problems


def restored(home: Path, file: io.BytesIO) -> dict[str, str]:
    """Extract `file` next to `home`, and return the text of each file, and the target of each link."""
    folder = home.parent / "restored"
    unpack(file, folder)
    return {
        str(path.relative_to(folder)): f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def hostile(*members: tuple[str, dict[str, Any], bytes]) -> io.BytesIO:
    """Return an archive with these members: name, attributes and content."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, attributes, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            tar.addfile(info, io.BytesIO(content))
    file.seek(0)
    return file


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[str, dict[str, Any], bytes]:
    return name, {"type": kind, "linkname": target}, b""


def test_files_folders_and_links_are_restored(home: Path) -> None:
    write(home, "notebooks/Título.ipynb", "cells")
    write(home, "run.sh").chmod(0o755)
    (home / "empty").mkdir()
    (home / "notebooks/latest").symlink_to("../run.sh")
    (home / "folder").symlink_to("notebooks")
    file, files, problems = packed(home)
    assert (files, problems) == (2, [])
    assert restored(home, file) == {
        "notebooks/Título.ipynb": "cells",
        "run.sh": "text",
        "notebooks/latest": "-> ../run.sh",
        "folder": "-> notebooks",
    }
    folder = home.parent / "restored"
    assert (folder / "empty").is_dir()
    assert (folder / "run.sh").stat().st_mode & 0o777 == 0o755
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Python 3.12 and 3.13 without a filter
def test_python_without_extraction_filters_restores(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Debian 12."""
    extractall = tarfile.TarFile.extractall
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    monkeypatch.setattr(tarfile.TarFile, "extractall", lambda tar, path, members: extractall(tar, path, members))
    write(home, "notebooks/mine.txt")
    assert restored(home, packed(home)[0]) == {"notebooks/mine.txt": "text"}


def test_credentials_and_generated_files_are_excluded(home: Path) -> None:
    for name in (".ssh/id", ".aws/credentials", ".netrc", "app/.git-credentials", ".gnupg/key"):
        write(home, name, "secret")
    for name in (".cache/pip/x", "app/__pycache__/x", "project/pyvenv.cfg", "project/lib/x",
                 "R/x86_64-pc-linux-gnu-library/4.3/dplyr/x"):  # fmt: skip
        write(home, name)
    write(home, "app/main.py")
    write(home, ".Rprofile")
    file, files, _ = packed(home)
    assert files == 2
    assert sorted(restored(home, file)) == [".Rprofile", "app/main.py"]


def test_pipe_and_socket_do_not_block(home: Path) -> None:
    os.mkfifo(home / "pipe")
    write(home, "a")
    assert packed(home)[1:] == (1, [])


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc", "..", "folder/../../x"])
def test_link_out_of_home_is_reported_and_not_followed(home: Path, target: str) -> None:
    write(home, "a")
    (home / "link").symlink_to(target)
    file, files, problems = packed(home)
    assert files == 1
    assert problems == [f"{home}/link: a link out of the home directory"]
    assert restored(home, file) == {"a": "text"}


@pytest.mark.parametrize("swapped", ["link", "pipe"])
def test_file_swapped_while_it_is_archived_is_not_followed(
    home: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    secret, path = write(home.parent, "secret", "secret"), write(home, "a")
    write(home, "b")

    def swap(name: Path, flags: int) -> int:
        path.unlink(missing_ok=True)
        if swapped == "link":
            path.symlink_to(secret)
        else:
            os.mkfifo(path)
        return os_open(name, flags)

    os_open = os.open
    monkeypatch.setattr(os, "open", swap)
    file, _, _ = packed(home)
    monkeypatch.undo()
    assert "secret" not in restored(home, file).values()


@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="the home directory is empty or not mounted when it is saved",
    expected="no archive is stored, and none is deleted",
    observed="`has no files to save`",
)
def test_home_without_files_is_not_archived(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "empty").mkdir()
    with pytest.raises(ArchiveError, match="has no files to save"):
        packed(home)

    def deny(_folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(ArchiveError, match=f"has no files to save\n{home}: Permission denied"):
        packed(home)


def test_unreadable_file_is_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "a")
    write(home, "b")
    os_open = os.open

    def deny(name: Path, flags: int) -> int:
        if name.name == "a":
            raise PermissionError(13, "Permission denied")
        return os_open(name, flags)

    monkeypatch.setattr(os, "open", deny)
    _, files, problems = packed(home)
    assert (files, problems) == (1, [f"{home}/a: Permission denied"])


@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="a file changes, or the disk is full, while the home directory is saved or restored",
    expected="nothing is uploaded, and no incomplete folder is left",
    observed="`became shorter while it was read`; the folder is deleted",
)
def test_file_that_shrinks_while_it_is_read_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(home, "a", "x" * 1000)
    addfile = tarfile.TarFile.addfile

    def shrink(tar: tarfile.TarFile, member: tarfile.TarInfo, file: Any = None) -> None:
        path.write_text("")
        addfile(tar, member, file)

    monkeypatch.setattr(tarfile.TarFile, "addfile", shrink)
    with pytest.raises(ArchiveError, match="a became shorter while it was read"):
        packed(home)


def test_full_disk_is_an_error(home: Path) -> None:
    write(home, "a", "x" * 100_000)
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        pack(home, full)


@pytest.mark.parametrize(("limit", "value"), [("MAX_BYTES", 1000), ("MAX_ENTRIES", 2)])
def test_too_large_home_names_largest_folders(
    home: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    for name, size in (("data/big", 900), ("notebooks/a", 200), ("b", 1)):
        write(home, name, "x" * size)
    monkeypatch.setattr(archive, limit, value)
    with pytest.raises(ArchiveError, match=r"Largest: data \(0 MB\), notebooks"):
        packed(home)


HOSTILE = {
    "parent": (("../x", {}, b"x"), "outside of the folder"),
    "absolute": (("/tmp/x", {}, b"x"), "outside of the folder"),  # noqa: S108
    "hidden parent": (("a/../../x", {}, b"x"), "outside of the folder"),
    "absolute link": (link("x", "/etc"), "a link out of the folder"),
    "parent link": (link("a/x", "../../etc"), "a link out of the folder"),
    "link after a link": (link("a/x", "b/../../.."), "a link out of the folder"),
    "hard link": (link("x", "/etc/passwd", tarfile.LNKTYPE), "neither a file, a folder nor a symbolic link"),
    "device": (("x", {"type": tarfile.CHRTYPE}, b""), "neither a file, a folder nor a symbolic link"),
    "sparse file": (("x", {"type": tarfile.GNUTYPE_SPARSE}, b""), "neither a file, a folder nor a symbolic link"),
    "pipe": (("x", {"type": tarfile.FIFOTYPE}, b""), "neither a file, a folder nor a symbolic link"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="a hostile archive is restored",
    expected="rejected before anything is extracted",
    observed="the message names the entry; no folder is created",
)
def test_hostile_archive_is_rejected_before_extraction(home: Path, name: str) -> None:
    member, reason = HOSTILE[name]
    with pytest.raises(ArchiveError, match=f"nothing was extracted: '.*' is {reason}"):
        restored(home, hostile(("first", {}, b"text"), member))
    assert list(home.parent.iterdir()) == [home]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([link("a", "b"), ("a/x", {}, b"x")], "'a/x' is below a link"),
        ([("a/x", {}, b"x"), link("a", "b")], "'a/x' is below a link"),
        ([link("a", "b"), ("a", {}, b"x")], "'a' is a duplicate entry"),
        ([("a", {}, b"x"), ("./a", {}, b"y")], "'a' is a duplicate entry"),
    ],
)
def test_entry_that_writes_through_another_is_rejected(home: Path, members: Any, reason: str) -> None:
    with pytest.raises(ArchiveError, match=reason):
        restored(home, hostile(*members))
    assert list(home.parent.iterdir()) == [home]


def test_archive_that_expands_beyond_the_limit_is_rejected(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1_000_000)
    monkeypatch.setattr(archive, "MAX_ENTRIES", 1)
    with pytest.raises(ArchiveError, match="the archive has more than"):
        restored(home, hostile(("zeros", {}, bytes(20_000_000))))


def test_archive_with_too_many_entries_is_rejected(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two million empty entries fit into the limit of bytes, and into some megabytes of an archive."""
    monkeypatch.setattr(archive, "MAX_ENTRIES", 2)
    with pytest.raises(ArchiveError, match="the archive has more than 2 entries"):
        restored(home, hostile(*((name, {}, b"") for name in "abc")))
    assert list(home.parent.iterdir()) == [home]


def test_entry_below_many_folders_is_rejected_with_little_memory(home: Path) -> None:
    """The names of all parents of a name of 400 KB have 40 GB."""
    file = hostile(("a/" * 10_000 + "a", {}, b""))
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match=r"'a/.{98}\.\.\.' is below more than 500 folders"):
            restored(home, file)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert list(home.parent.iterdir()) == [home]


def test_file_below_many_folders_is_reported_and_not_archived(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "a")
    write(home, "deep/er/b")
    monkeypatch.setattr(archive, "MAX_LEVELS", len(home.parts) + 2)
    _, files, problems = packed(home)
    assert (files, problems) == (1, [f"{home}/deep/er/b: below more than {len(home.parts) + 2} folders"])


def test_large_header_of_an_entry_is_not_read(home: Path) -> None:
    member = ("a", {"pax_headers": {"comment": "x" * 5_000_000}}, b"")
    with pytest.raises(ArchiveError, match="not an archive of a home directory: a header of an entry has more than"):
        restored(home, hostile(member))


def test_many_large_headers_are_not_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of 1 MB each fit into the limit of bytes, and into some megabytes of an archive."""
    monkeypatch.setattr(archive, "MAX_ENTRIES", 1000)
    file = hostile(*((f"{i}/{'x' * 900_000}", {}, b"") for i in range(30)))
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match="the headers of the entries have more than 2,048,000 bytes"):
            restored(home, file)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert list(home.parent.iterdir()) == [home]


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, f"folder/{'x' * 256}/file"])
def test_name_that_no_file_can_have_is_rejected(home: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="is longer than 255 bytes") as caught:
        restored(home, hostile((name, {}, b"")))
    assert len(str(caught.value)) < 250
    assert list(home.parent.iterdir()) == [home]


@pytest.mark.parametrize(
    "content",
    [b"", b"text", gzip.compress(b"text" * 500, mtime=0), gzip.compress(b"x" * 9999, mtime=0)[:-20]],
    ids=["empty", "text", "compressed text", "truncated"],
)
def test_file_that_is_no_archive_is_rejected(home: Path, content: bytes) -> None:
    with pytest.raises(ArchiveError, match="not an archive of a home directory"):
        restored(home, io.BytesIO(content))
    assert list(home.parent.iterdir()) == [home]


def test_existing_folder_is_not_changed(home: Path) -> None:
    write(home, "a")
    mine = write(home.parent, "restored/mine", "mine")
    with pytest.raises(ArchiveError, match="exists already"):
        restored(home, packed(home)[0])
    assert [path.name for path in mine.parent.iterdir()] == ["mine"]


@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="a file changes, or the disk is full, while the home directory is saved or restored",
)
def test_failed_extraction_leaves_no_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "a")
    write(home, "b")
    file = packed(home)[0]
    makefile = tarfile.TarFile.makefile

    def fail(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Any) -> None:
        if member.name == "b":
            raise OSError(28, "No space left on device")
        makefile(tar, member, path)

    monkeypatch.setattr(tarfile.TarFile, "makefile", fail)
    with pytest.raises(OSError, match="No space left"):
        restored(home, file)
    assert not (home.parent / "restored").exists()
