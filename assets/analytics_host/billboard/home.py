"""Save the home directory to the data bucket, and restore it, for example on the host of another stack.

home directory --> saved/<time>.tar.gz in the data bucket --> new folder restored-<time>
"""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile

import boto3

from .archive import MEGABYTE, ArchiveError, max_archive_bytes, pack, unpack

PREFIX, SUFFIX = "saved/", ".tar.gz"
NAME = re.compile(rf"{PREFIX}\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\dZ{re.escape(SUFFIX)}", re.ASCII)
KEPT_ARCHIVES = 10


@dataclass(frozen=True)
class SavedHome:
    """Where the files were saved, how many, and a line for each file or link that was not."""

    location: str
    files: int
    problems: list[str]


class SavedFiles:
    """The archives in a data bucket. Default: that of the host, from the environment."""

    def __init__(self, session: boto3.Session | None = None, bucket: str | None = None) -> None:
        self.s3 = (session or boto3.Session()).client("s3")
        self.bucket = bucket or os.environ["BILLBOARD_DATA_BUCKET"]

    def save(self, home: Path) -> SavedHome:
        """Save the files of `home`, then delete all archives except the newest ones.

        Raises:
            ArchiveError: nothing was saved.
        """
        key = f"{PREFIX}{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}{SUFFIX}"
        with TemporaryFile() as file:
            files, problems = pack(home, file)
            file.seek(0)
            self.s3.upload_fileobj(file, self.bucket, key)
        for old in [archive for archive in self.archives() if archive != key][: 1 - KEPT_ARCHIVES]:
            self.s3.delete_object(Bucket=self.bucket, Key=old)
        return SavedHome(f"s3://{self.bucket}/{key}", files, problems)

    def restore(self, home: Path, location: str | None = None) -> Path:
        """Restore an archive, by default the newest, to a new folder in `home`, and return the folder.

        Raises:
            ArchiveError: nothing was restored.
        """
        bucket, key = self._source(location)
        folder = home / f"restored-{PurePosixPath(key).name.removesuffix(SUFFIX)}"
        size, limit = self.s3.head_object(Bucket=bucket, Key=key)["ContentLength"], max_archive_bytes()
        if size > limit:
            raise ArchiveError(f"the archive has {size / MEGABYTE:,.0f} MB; accepted: {limit // MEGABYTE:,} MB")
        with TemporaryFile() as file:
            self.s3.download_fileobj(bucket, key, file)
            file.seek(0)
            unpack(file, folder)
        return folder

    def _source(self, location: str | None) -> tuple[str, str]:
        if location:
            bucket, _, key = location.removeprefix("s3://").partition("/")
            if not location.startswith("s3://") or not key.endswith(SUFFIX):
                raise ArchiveError(f"not an archive: {location!r}; accepted: s3://<bucket>/<name>{SUFFIX}")
            return bucket, key
        archives = self.archives()
        if not archives:
            raise ArchiveError(f"s3://{self.bucket}/{PREFIX} has no archive; save files first")
        return self.bucket, archives[-1]

    def archives(self) -> list[str]:
        """Return the keys of the archives, the newest last, without those to which somebody gave another name."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=PREFIX)
        keys = (item["Key"] for page in pages for item in page.get("Contents", []))
        return sorted(key for key in keys if NAME.fullmatch(key))
