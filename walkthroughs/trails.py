"""Check whether CloudTrail delivers management write events of a Region to EventBridge.

Source: CloudTrail user guide, logging management events; API reference, AdvancedFieldSelector.
"""

from typing import Any

from botocore.exceptions import ClientError

from .walkthrough import PreconditionError


def require_trail(cloudtrail: Any) -> None:
    """Check that a trail of this Region, of all Regions or of the organization logs management write events.

    Trails are identified by ARN, because member accounts cannot use the name of an organization trail.

    Raises:
        PreconditionError: no trail does, with the reason for each trail.
    """
    region = cloudtrail.meta.region_name
    reasons = []
    for trail in cloudtrail.describe_trails()["trailList"]:
        reason = _rejection(cloudtrail, trail, region)
        if not reason:
            return
        reasons.append(f"{trail['TrailARN']} {reason}")
    raise PreconditionError(
        f"no CloudTrail trail delivers management write events of {region} to EventBridge "
        f"({'; '.join(reasons) or 'no trails exist'}); deploy with -c security_group_revert:create_trail=true"
    )


def _rejection(cloudtrail: Any, trail: dict[str, Any], region: str) -> str:
    """The reason why a trail is not sufficient; empty if it is, or if that is unknown."""
    arn = trail["TrailARN"]
    if not trail.get("IsMultiRegionTrail") and trail["HomeRegion"] != region:
        return f"covers {trail['HomeRegion']} only"
    try:
        if not cloudtrail.get_trail_status(Name=arn)["IsLogging"]:
            return "is not logging"
        selectors = cloudtrail.get_event_selectors(TrailName=arn)
    except ClientError:
        if trail.get("IsOrganizationTrail"):  # member accounts may have no access to it
            return ""
        raise
    simple, advanced = selectors.get("EventSelectors") or [], selectors.get("AdvancedEventSelectors") or []
    if any(map(_has_writes, simple)) or any(map(_has_ec2_writes, advanced)):
        return ""
    return "does not log management write events of EC2"


def _has_writes(selector: dict[str, Any]) -> bool:
    return bool(selector.get("IncludeManagementEvents")) and selector.get("ReadWriteType") != "ReadOnly"


def _has_ec2_writes(selector: dict[str, Any]) -> bool:
    fields = {field["Field"]: field for field in selector["FieldSelectors"]}
    source = fields.get("eventSource", {})
    return (
        fields.get("eventCategory", {}).get("Equals") == ["Management"]
        and fields.get("readOnly", {}).get("Equals") != ["true"]
        and "ec2.amazonaws.com" in source.get("Equals", ["ec2.amazonaws.com"])
        and "ec2.amazonaws.com" not in source.get("NotEquals", [])
    )
