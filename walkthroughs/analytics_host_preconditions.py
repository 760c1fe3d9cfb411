"""What the walkthrough of `analytics_host` needs: a running host, the table, and songs."""

from botocore.exceptions import ClientError

from .forwarding import wait_for_session_manager
from .walkthrough import PreconditionError, Target


def preconditions(target: Target, outputs: dict[str, str]) -> None:
    """Check what the steps need, without changing anything.

    Raises:
        PreconditionError: the host is not running or not connected, the table does not exist, or `data_location` has
            no songs.
    """
    instance_id = outputs["InstanceId"]
    state = _instance_state(target, instance_id)
    if state in ("shutting-down", "terminated"):
        raise PreconditionError(
            f"the host {instance_id} is {state}; delete the stack and deploy it again, or deploy it "
            "with a setting that replaces the host"
        )
    if state != "running":
        raise PreconditionError(f"the host {instance_id} is {state}; start it: {outputs['StartCommand']}")
    if not target.instances:
        wait_for_session_manager(target, instance_id)
    database = outputs["DatabaseName"]
    try:
        target.client("glue").get_table(DatabaseName=database, Name="billboard")
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityNotFoundException":
            raise
        raise PreconditionError(
            f"Glue has no table {database}.billboard; delete the stack and deploy it again"
        ) from None
    location = outputs["SongsLocation"]
    if not location.startswith(f"s3://{outputs['DataBucketName']}/") and not count_objects(target, location):
        raise PreconditionError(
            f"no songs at {location} (analytics_host:data_location); upload some, because the walkthrough writes "
            "only to the stack's data bucket"
        )


def _instance_state(target: Target, instance_id: str) -> str:
    try:
        (reservation,) = target.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
            raise
        return "terminated"  # about an hour ago or earlier
    state: str = reservation["Instances"][0]["State"]["Name"]
    return state


def count_objects(target: Target, location: str) -> int:
    """Count the objects at an S3 location, up to 1,000."""
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    return len(target.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []))
