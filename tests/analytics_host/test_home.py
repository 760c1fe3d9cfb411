"""Tests of saving and restoring the home directory, with a fake of S3 that stores objects in memory."""

import io
import os
import sys
from pathlib import Path
from typing import IO, Any

import boto3
import pytest
from boto3.exceptions import S3UploadFailedError

from assets.analytics_host.billboard import __main__ as command_line
from assets.analytics_host.billboard.archive import ArchiveError
from assets.analytics_host.billboard.home import KEPT_ARCHIVES, SavedFiles


class FakeS3:
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.page_size = 3

    def upload_fileobj(self, file: IO[bytes], bucket: str, key: str) -> None:
        self.objects[f"{bucket}/{key}"] = file.read()

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, int]:
        return {"ContentLength": len(self.objects[f"{Bucket}/{Key}"])}

    def download_fileobj(self, bucket: str, key: str, file: IO[bytes]) -> None:
        file.write(self.objects[f"{bucket}/{key}"])

    def delete_object(self, *, Bucket: str, Key: str) -> None:
        del self.objects[f"{Bucket}/{Key}"]

    def get_paginator(self, _operation: str) -> "FakeS3":
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> list[dict[str, Any]]:
        keys = sorted(name for name in self.objects if name.startswith(f"{Bucket}/{Prefix}"))
        pages = [keys[first : first + self.page_size] for first in range(0, len(keys), self.page_size)]
        contents = [[{"Key": name.removeprefix(f"{Bucket}/")} for name in page] for page in pages]
        return [{"Contents": content} for content in contents] or [{}]  # S3 omits `Contents` if there are none


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> FakeS3:
    fake = FakeS3()
    monkeypatch.setattr(boto3.Session, "client", lambda _session, _service: fake)
    monkeypatch.setenv("BILLBOARD_DATA_BUCKET", "data")
    return fake


@pytest.fixture
def user_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/mine.ipynb").write_text("cells")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 2000)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["billboard", *arguments])
    command_line.main()


def test_saved_files_are_restored_on_another_host(
    s3: FakeS3, user_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    saved = SavedFiles().save(user_home)
    assert saved.files == 1
    (name,) = s3.objects
    assert saved.location == f"s3://{name}"
    assert name.startswith("data/saved/"), "an object below songs/ would become rows of the table"
    other_home = tmp_path_factory.mktemp("other")
    folder = SavedFiles().restore(other_home)
    assert folder.parent == other_home
    assert (folder / "notebooks/mine.ipynb").read_text() == "cells"


def test_newest_archive_is_restored_by_default(s3: FakeS3, user_home: Path) -> None:
    SavedFiles().save(user_home)
    (newest,) = s3.objects.values()
    s3.objects = {"data/saved/2020-01-01T00-00-00Z.tar.gz": b"old", "data/saved/2020-01-02T00-00-00Z.tar.gz": newest}
    s3.objects["data/saved/readme.txt"] = b"not an archive"
    assert SavedFiles().restore(user_home).name == "restored-2020-01-02T00-00-00Z"


def test_archive_in_another_bucket_is_restored(s3: FakeS3, user_home: Path) -> None:
    SavedFiles().save(user_home)
    s3.objects = {"old/saved/a.tar.gz": s3.objects.popitem()[1]}
    assert SavedFiles().restore(user_home, "s3://old/saved/a.tar.gz").name == "restored-a"


@pytest.mark.parametrize("location", ["saved/a.tar.gz", "s3://old", "s3://old/a.zip", "https://old/a.tar.gz"])
@pytest.mark.usefixtures("s3")
def test_other_locations_are_rejected(user_home: Path, location: str) -> None:
    with pytest.raises(ArchiveError, match=r"accepted: s3://<bucket>/<name>\.tar\.gz"):
        SavedFiles().restore(user_home, location)


@pytest.mark.usefixtures("s3")
def test_restore_without_archive_names_location(user_home: Path) -> None:
    with pytest.raises(ArchiveError, match="s3://data/saved/ has no archive"):
        SavedFiles().restore(user_home)


def test_only_the_newest_archives_are_kept(s3: FakeS3, user_home: Path) -> None:
    old = [f"data/saved/2020-01-{day:02}T00-00-00Z.tar.gz" for day in range(1, 15)]
    s3.objects = dict.fromkeys([*old, "data/songs/songs.csv"], b"")
    SavedFiles().save(user_home)
    archives = sorted(name for name in s3.objects if name.startswith("data/saved/"))
    assert len(archives) == KEPT_ARCHIVES
    assert archives[:-1] == old[-KEPT_ARCHIVES + 1 :]
    assert "data/songs/songs.csv" in s3.objects


def test_archives_with_later_names_do_not_displace_the_saved_one(s3: FakeS3, user_home: Path) -> None:
    named = {f"data/saved/{name}{day:02}.tar.gz": b"" for day in range(12) for name in ("mine", "9999-01-")}
    future = {f"data/saved/9999-01-{day:02}T00-00-00Z.tar.gz": b"" for day in range(12)}
    s3.objects = named | future
    saved = SavedFiles().save(user_home)
    assert saved.location.removeprefix("s3://") in s3.objects
    assert named.keys() <= s3.objects.keys()
    assert len(s3.objects) == len(named) + KEPT_ARCHIVES


def test_object_that_is_too_large_is_not_downloaded(
    s3: FakeS3, user_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "head_object", lambda **_: {"ContentLength": 5_000_000_000})
    with pytest.raises(ArchiveError, match=r"the archive has 4,768 MB; accepted: 1,219 MB"):
        SavedFiles().restore(user_home, "s3://old/saved/a.tar.gz")


@pytest.mark.reliability(
    "analytics_host",
    "Partial failure",
    fault="the upload of saved files fails",
    expected="earlier archives are kept",
    observed="the error code; no archive is deleted",
)
@pytest.mark.usefixtures("user_home")
def test_failed_upload_keeps_earlier_archives(s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    old = {f"data/saved/2020-01-{day:02}T00-00-00Z.tar.gz": b"" for day in range(1, 15)}
    s3.objects = dict(old)

    def deny(*_arguments: object) -> None:
        raise S3UploadFailedError("AccessDenied")

    monkeypatch.setattr(s3, "upload_fileobj", deny)
    with pytest.raises(SystemExit, match="save: AccessDenied"):
        run(monkeypatch, "save")
    assert s3.objects == old


@pytest.mark.parametrize("command", ["save", "restore"])
@pytest.mark.reliability(
    "analytics_host",
    "Hostile input",
    fault="root saves or restores the home directory, in which the analyst plants links",
    expected="refused",
    observed="`run this as the user of the home directory, not as root`",
)
@pytest.mark.usefixtures("user_home")
def test_root_is_refused(s3: FakeS3, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(SystemExit, match="not as root"):
        run(monkeypatch, command)
    assert not s3.objects


@pytest.mark.parametrize("command", ["save", "restore", "convert"])
@pytest.mark.usefixtures("user_home")
def test_missing_variables_are_named(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    with pytest.raises(
        SystemExit, match=r"^not set: BILLBOARD_\w+(, BILLBOARD_DATABASE)?; use a terminal of JupyterLab"
    ):
        run(monkeypatch, command)


def test_commands_report_location_and_folder(
    s3: FakeS3, user_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "save")
    run(monkeypatch, "restore")
    (name,) = s3.objects
    folder = user_home / f"restored-{name.removeprefix('data/saved/').removesuffix('.tar.gz')}"
    assert capsys.readouterr().out.splitlines() == [f"Saved to s3://{name}; files: 1", f"Restored to {folder}"]


def test_incomplete_save_fails_and_names_files(s3: FakeS3, user_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (user_home / "link").symlink_to("/etc")
    with pytest.raises(SystemExit, match=r"Not saved:\n.*link: a link out of the home directory"):
        run(monkeypatch, "save")
    assert len(s3.objects) == 1, "the other files are saved"


def test_failed_download_leaves_no_folder(s3: FakeS3, user_home: Path) -> None:
    s3.objects["data/saved/a.tar.gz"] = io.BytesIO(b"no archive").getvalue()
    with pytest.raises(ArchiveError):
        SavedFiles().restore(user_home)
    assert [path.name for path in user_home.iterdir()] == ["notebooks"]
