"""Publish the file assets of a CDK cloud assembly: copy them from the source artifact into a bucket of the pipeline.

An object is never overwritten: CDK names assets after their hashes, which a manifest can misstate, and deployed stacks
and those that wait for approval use the objects.
"""

import hashlib
import stat
import tempfile
import zipfile
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from botocore.exceptions import ClientError

from .artifact import MAX_TEMPLATE_BYTES, check_entry, normalize_path, normalized_names, open_artifact, read_entry
from .assembly import FIELD, AssemblyStack, FileAsset, read_stack
from .errors import InvalidArtifactError
from .objects import DENIED, MISSING
from .request import AssemblyLocation, DeploymentRequest

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MAX_ASSET_BYTES = 250 * 1024 * 1024  # uncompressed: Lambda's limit; a zip file of it fits into /tmp
MAX_TOTAL_BYTES = 2 * 1024 * 1024 * 1024  # uncompressed: what the function can compress within its timeout
MAX_READ_BYTES = 1024 * 1024 * 1024  # CodePipeline's limit for most artifacts
READ_BYTES = 1024 * 1024
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time in a zip file
READABLE = 0o444  # Lambda reads the files as another user
TEMPLATE_SUFFIX = ".template.json"  # of nested stacks
# Metadata of an object: the hash of the asset's files. That of a zip file depends on the version of zlib, too.
CONTENT_HASH = "content-sha256"
# Another execution was faster, or uploads the object at the same time.
CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict")
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Published:
    """How many assets the stack has, and how many objects were uploaded."""

    assets: int
    uploaded: int


def publish(s3: "S3Client", request: DeploymentRequest, bucket: str, environment: str) -> Published:
    """Copy the file assets of the stack in `request` into `bucket`. A template without a cloud assembly has none.

    Raises:
        InvalidArtifactError: an asset is missing, too large, contains what cannot be published, or differs from a
            published asset of the same name.
    """
    if not request.assembly:
        return Published(0, 0)
    with open_artifact(s3, request.bucket, request.key, MAX_READ_BYTES, READ_BYTES) as archive:
        return _Publisher(s3, archive, request.assembly, bucket).publish(environment)


class _Publisher:
    def __init__(self, s3: "S3Client", archive: zipfile.ZipFile, location: AssemblyLocation, bucket: str) -> None:
        self.s3, self.archive, self.location, self.bucket = s3, archive, location, bucket
        self.size = 0  # of all assets
        # Sorted, so that the files of a folder are next to each other.
        self.entries = sorted(
            ((name, entry) for entry in archive.infolist() for name in normalized_names(entry)),
            key=lambda item: item[0],
        )
        self.names = [name for name, _ in self.entries]

    def publish(self, environment: str) -> Published:
        stack = read_stack(self.archive, self.location, environment)
        uploaded = 0
        for asset in stack.assets:
            with tempfile.TemporaryFile() as file:
                content_hash = self._write(asset, stack, file)
                uploaded += sum(self._upload(file, key, content_hash) for key in asset.keys)
        return Published(len(stack.assets), uploaded)

    def _write(self, asset: FileAsset, stack: AssemblyStack, target: IO[bytes]) -> str:
        """Write the content of an asset to a file, and return its hash."""
        if asset.is_folder:
            return self._write_zip(asset, target)
        ((_, entry),) = self._only(normalize_path(asset.path, FIELD), asset)
        if asset.path.endswith(TEMPLATE_SUFFIX):
            template = read_entry(self.archive, entry, f"The asset {asset.path!r}", MAX_TEMPLATE_BYTES)
            content = stack.with_bucket(template, asset.path, self.bucket)
            target.write(content)
            return hashlib.sha256(content).hexdigest()
        _, content_hash = self._copy(entry, target, asset, MAX_ASSET_BYTES)
        return content_hash

    def _write_zip(self, asset: FileAsset, target: IO[bytes]) -> str:
        """Write a zip file, and return the hash of its files' names and contents."""
        folder = normalize_path(asset.path, FIELD) + "/"
        room, previous, files = MAX_ASSET_BYTES, "", hashlib.sha256()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, entry in self._below(folder):
                if name == previous:
                    raise InvalidArtifactError(f"The asset {asset.path!r} has several files named {name!r}.")
                info = zipfile.ZipInfo(name.removeprefix(folder), EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = (stat.S_IFREG | stat.S_IMODE(entry.external_attr >> 16) | READABLE) << 16
                with archive.open(info, "w") as file:
                    size, content_hash = self._copy(entry, file, asset, room)
                room -= size
                files.update(f"{info.filename!a} {content_hash}\n".encode())
                previous = name
        if not previous:
            raise InvalidArtifactError(
                f"The asset {asset.path!r} is not in the source artifact, or is an empty folder."
            )
        return files.hexdigest()

    def _below(self, folder: str) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        """Return the files in a folder, sorted by name."""
        for name, entry in self.entries[bisect_left(self.names, folder) :]:
            if not name.startswith(folder):
                return
            if not entry.filename.endswith(("/", "\\")):
                yield name, entry

    def _only(self, name: str, asset: FileAsset) -> list[tuple[str, zipfile.ZipInfo]]:
        start = bisect_left(self.names, name)
        matches = [item for item in self.entries[start : start + 2] if item[0] == name]
        if len(matches) != 1:
            problem = "matches several files" if matches else "is not in the source artifact"
            raise InvalidArtifactError(f"The asset {asset.path!r} {problem}.")
        return matches

    def _copy(self, entry: zipfile.ZipInfo, target: IO[bytes], asset: FileAsset, room: int) -> tuple[int, str]:
        """Copy a file, and return its size, which must not exceed `room`, and its hash."""
        check_entry(entry, f"The asset {asset.path!r}: {entry.filename!r}")
        size, digest = 0, hashlib.sha256()
        with self.archive.open(entry) as source:
            while chunk := source.read(READ_BYTES):
                size += len(chunk)
                if size > room:  # the size in the central directory can be wrong
                    raise InvalidArtifactError(f"The asset {asset.path!r} has more than {MAX_ASSET_BYTES:,} bytes.")
                self.size += len(chunk)
                if self.size > MAX_TOTAL_BYTES:
                    raise InvalidArtifactError(f"The assets have more than {MAX_TOTAL_BYTES:,} bytes.")
                digest.update(chunk)
                target.write(chunk)
        return size, digest.hexdigest()

    def _upload(self, file: IO[bytes], key: str, content_hash: str, attempts: int = MAX_ATTEMPTS) -> bool:
        """Upload a file, and return True, unless the bucket already has the same content."""
        if self._is_published(key, content_hash):
            return False
        file.seek(0)
        metadata = {CONTENT_HASH: content_hash}
        try:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=file, Metadata=metadata, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in CONFLICTS or attempts == 1:
                raise
            return self._upload(file, key, content_hash, attempts - 1)
        return True

    def _is_published(self, key: str, content_hash: str) -> bool:
        """Return whether the bucket has the object; its content must be the same."""
        try:
            stored = self.s3.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            # Without s3:ListBucket, a missing object is a 403.
            if error.response["Error"]["Code"] in (*DENIED, *MISSING):
                return False
            raise
        if stored["Metadata"].get(CONTENT_HASH) != content_hash:
            raise InvalidArtifactError(
                f"The asset {key} differs from the published one of the same name, which is not overwritten. If it"
                " is created by a build that is not reproducible, set its asset_hash_type to OUTPUT."
            )
        return True
