"""Shapes of the events and CloudTrail records that EventBridge delivers.

CloudTrail and the caller choose the values, and a record can lack any key.
Source: EventBridge user guide, AWS service events delivered via CloudTrail; CloudTrail user guide, record contents.
"""

from typing import TypeAlias, TypedDict

Json: TypeAlias = "JsonObject | list[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, Json]


class SessionIssuer(TypedDict, total=False):
    """The role of a session."""

    arn: str


class SessionContext(TypedDict, total=False):
    """The role session of a caller."""

    sourceIdentity: str
    sessionIssuer: SessionIssuer


class UserIdentity(TypedDict, total=False):
    """The caller."""

    type: str
    principalId: str
    arn: str
    userName: str
    accessKeyId: str
    invokedBy: str
    sessionContext: SessionContext


class CloudTrailRecord(TypedDict, total=False):
    """The keys of a record that are read here. Each API call has its own parameters and response."""

    eventID: str
    requestID: str
    eventName: str
    eventTime: str
    errorCode: str
    sourceIPAddress: str
    userAgent: str
    userIdentity: UserIdentity
    requestParameters: Json
    responseElements: Json


# An "AWS API Call via CloudTrail" event, or the "Scheduled Event" of the sweep, whose detail is empty.
Event = TypedDict("Event", {"detail-type": str, "detail": CloudTrailRecord}, total=False)
