"""Explain why an object in S3 cannot be read."""

from botocore.exceptions import BotoCoreError, ClientError

DENIED = ("403", "AccessDenied")
MISSING = ("404", "NoSuchKey", "NotFound")


def explain_read_error(error: BotoCoreError | ClientError, bucket: str, key: str) -> str:
    """Explain an error of S3.

    The functions do not have ``s3:ListBucket``, so S3 returns 403 for a missing object, and HeadObject
    returns no reason.
    """
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    text = f"s3://{bucket}/{key} cannot be read: "
    if code in DENIED:
        text += "the object does not exist, or access is denied (S3 returns 403 in both cases). "
    elif code in MISSING:
        text += "the object does not exist. "
    return f"{text}{error}"
