"""Storage of aws-cdk-lib's upload function, which keeps the site's archive and its contents in one temporary folder."""

from collections.abc import Iterable

from ..constructs.assets import AssetError

MIB = 1024 * 1024
BLOCK_BYTES = 4096  # of the file system
RESERVED_MIB = 32  # for the archive's directory and the AWS CLI's files
# Few sizes, because each one is a separate function.
SIZES_MIB = (512, 1024, 2048, 4096, 8192, 10240)  # from Lambda's default to its maximum
MAX_MIB = SIZES_MIB[-1]


def required_mib(file_sizes: Iterable[int]) -> int:
    """Return the size of the storage for an archive that does not compress, and its contents.

    Raises:
        AssetError: Lambda has no such storage.
    """
    blocks = sum(-(-size // BLOCK_BYTES) for size in file_sizes)
    content_mib = -(-blocks * BLOCK_BYTES // MIB)
    for size in SIZES_MIB:
        if 2 * content_mib + RESERVED_MIB <= size:
            return size
    raise AssetError(
        f"static_site:site: the files have {content_mib:,} MiB; the function that uploads them has room for at most "
        f"{(MAX_MIB - RESERVED_MIB) // 2:,} MiB. Keep large files in a separate bucket."
    )
