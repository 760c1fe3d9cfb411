"""Why an object in S3 cannot be read, in words that help."""

from botocore.exceptions import BotoCoreError, ClientError

REFUSED = ("403", "AccessDenied")
MISSING = ("404", "NoSuchKey", "NotFound")


def unreadable(error: BotoCoreError | ClientError, bucket: str, key: str) -> str:
    """Explain an error of S3.

    S3 answers 403 for a missing object to a caller without ``s3:ListBucket``, which our functions
    do not have, and gives no reason with the answer to HeadObject.
    """
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    said = f"s3://{bucket}/{key} cannot be read: "
    if code in REFUSED:
        said += "there is no such object, or reading it is not permitted (S3 answers 403 in both cases). "
    elif code in MISSING:
        said += "there is no such object. "
    return f"{said}{error}"
