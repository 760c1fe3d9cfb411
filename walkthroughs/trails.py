"""Whether CloudTrail delivers management write events of a region to EventBridge.

Source: CloudTrail user guide, logging management events; API reference, AdvancedFieldSelector.
"""

from typing import Any

from botocore.exceptions import ClientError

from .walkthrough import PreconditionError


def require_trail(cloudtrail: Any) -> None:
    """Check that a trail of this region, of all regions, or of the organization logs management write events.

    Trails are named by their ARNs: the name of an organization's trail means nothing in a member account.

    Raises:
        PreconditionError: there is none, with what each trail lacks.
    """
    region = cloudtrail.meta.region_name
    reasons = []
    for trail in cloudtrail.describe_trails()["trailList"]:
        reason = _lacks(cloudtrail, trail, region)
        if not reason:
            return
        reasons.append(f"{trail['TrailARN']} {reason}")
    raise PreconditionError(
        f"no CloudTrail trail delivers management write events of {region} to EventBridge "
        f"({'; '.join(reasons) or 'there is no trail'}); deploy with -c security_group_revert:create_trail=true"
    )


def _lacks(cloudtrail: Any, trail: dict[str, Any], region: str) -> str:
    """What keeps a trail from being enough; empty when nothing is known."""
    arn = trail["TrailARN"]
    if not trail.get("IsMultiRegionTrail") and trail["HomeRegion"] != region:
        return f"is of {trail['HomeRegion']} only"
    try:
        if not cloudtrail.get_trail_status(Name=arn)["IsLogging"]:
            return "does not log"
        selectors = cloudtrail.get_event_selectors(TrailName=arn)
    except ClientError:
        if trail.get("IsOrganizationTrail"):  # which a member account may not be allowed to look at
            return ""
        raise
    simple, advanced = selectors.get("EventSelectors") or [], selectors.get("AdvancedEventSelectors") or []
    if any(map(_has_writes, simple)) or any(map(_has_ec2_writes, advanced)):
        return ""
    return "logs no management write events of EC2"


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
