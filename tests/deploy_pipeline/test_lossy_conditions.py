"""Each condition of the table of lossy changes, for values on both sides of its limit."""

import json
from typing import Any

import pytest

from lambdas.deploy_pipeline.lossy_conditions import (
    ARCHIVE,
    ATTRIBUTE_OFF,
    CHANGED,
    CHANGED_ONLY,
    CHANGED_OR_REMOVED,
    DENY,
    EXPIRY,
    KNOWN_AFTER_APPLY,
    LIFECYCLE,
    LOWERED,
    OBJECT_LOCK,
    OVERWRITABLE,
    RAISED,
    REMOVED,
    REPLICAS,
    SET,
    SHORTENED,
    SHORTER_SNAPSHOTS,
    TURNED_OFF,
    TURNED_ON,
    UNLIMITED,
    WEAKENED,
    Condition,
    HiddenValueError,
    other_than,
)

REFERENCE = "{{resolve:ssm:name:1}}"
REORDERED = {"Value": "b", "Key": "a"}  # the same tag filter in another order


def denials(*sids: str, resource: Any = "*") -> dict[str, Any]:
    return {"Statement": [{"Effect": "Deny", "Sid": sid, "Resource": resource} for sid in sids]}


def deny(**fields: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "a", **fields}]}


def versioned(version: str | None, resource: str) -> dict[str, Any]:
    return denials("a", resource=resource) | ({"Version": version} if version else {})


def replica(
    region: str, *, protected: str = "true", recovery: str = "true", days: str = "", policy: Any = None
) -> dict[str, Any]:
    specification = {"PointInTimeRecoveryEnabled": recovery} | ({"RecoveryPeriodInDays": days} if days else {})
    protection = {"DeletionProtectionEnabled": protected, "PointInTimeRecoverySpecification": specification}
    return {"Region": region, **protection, "ResourcePolicy": {"PolicyDocument": policy}}


def noncurrent(*limits: tuple[int, int]) -> list[dict[str, Any]]:
    """Return rules, each with days and the number of newer versions to keep."""
    names = ("NoncurrentDays", "NewerNoncurrentVersions")
    expirations: list[dict[str, int]] = [dict(zip(names, pair, strict=True)) for pair in limits]
    return [{"Status": "Enabled", "NoncurrentVersionExpiration": item} for item in expirations]


def lock(mode: str, **period: Any) -> dict[str, Any]:
    return {"Rule": {"DefaultRetention": {"Mode": mode, **period}}}


def attribute(value: str) -> list[dict[str, str]]:
    return [
        {"Key": "idle_timeout.timeout_seconds", "Value": "60"},
        {"Key": "deletion_protection.enabled", "Value": value},
    ]


def expiration(days: int, **more: Any) -> list[dict[str, Any]]:
    return [{"Status": "Enabled", "ExpirationInDays": days, **more}]


@pytest.mark.parametrize(
    ("condition", "before", "after", "expected"),
    [
        # In the older version, which is the default, policy variables are text, so that they match nothing.
        (DENY, versioned("2012-10-17", "b/${aws:username}/*"), versioned("2008-10-17", "b/${aws:username}/*"), True),
        (DENY, versioned("2012-10-17", "b/${aws:username}/*"), versioned(None, "b/${aws:username}/*"), True),
        (DENY, versioned(None, "b/${aws:username}/*"), versioned("2008-10-17", "b/${aws:username}/*"), False),
        (DENY, versioned("2012-10-17", "b/*"), versioned("2008-10-17", "b/*"), False),
        (DENY, versioned("2012-10-17", REFERENCE), versioned("2008-10-17", REFERENCE), True),  # its value can have one
        (LOWERED, "7", "6", True),
        (LOWERED, "7", "7", False),
        (LOWERED, "7", "8", False),
        (LOWERED, "1", "0", True),
        (SHORTENED, "7", "6", True),
        (SHORTENED, "7", "7", False),
        (SHORTENED, "0", "0", False),
        (SHORTENED, "0", "7", True),
        (SHORTENED, "7", "0", False),
        (SHORTER_SNAPSHOTS, "-1", "30", True),
        (SHORTER_SNAPSHOTS, "30", "-1", False),
        (SHORTER_SNAPSHOTS, "-1", "-1", False),
        (SHORTER_SNAPSHOTS, "30", "7", True),
        (SHORTER_SNAPSHOTS, "7", "30", False),
        (RAISED, "3", "4", True),
        (RAISED, "3", UNLIMITED, True),
        (RAISED, "4", "3", False),
        (RAISED, UNLIMITED, "3", False),
        (TURNED_OFF, "true", "false", True),
        # None is an unknown default.
        (TURNED_OFF, None, "false", True),
        (TURNED_OFF, None, "true", False),
        (TURNED_OFF, "true", None, True),
        (TURNED_OFF, "false", None, False),
        (TURNED_OFF, "true", "true", False),
        (TURNED_OFF, "false", "false", False),
        (TURNED_OFF, "false", "true", False),
        (TURNED_OFF, "Enabled", "Suspended", True),
        (TURNED_OFF, "Active", "Inactive", True),
        (TURNED_OFF, "ENABLED", "DISABLED", True),
        (WEAKENED, "Retain", "Delete", True),
        (WEAKENED, "Retain", "Snapshot", True),
        (WEAKENED, "RetainExceptOnCreate", "Snapshot", True),
        (WEAKENED, "Snapshot", "Delete", True),
        (WEAKENED, "Retain", "RetainExceptOnCreate", False),
        (WEAKENED, "RetainExceptOnCreate", "Retain", False),
        (WEAKENED, "Delete", "Delete", False),
        (WEAKENED, "Delete", "Snapshot", False),
        (REMOVED, {"a": "b"}, None, True),
        (REMOVED, None, None, False),
        (REMOVED, None, {"a": "b"}, False),
        (REMOVED, {"a": "b"}, {"a": KNOWN_AFTER_APPLY}, False),
        (SET, None, "key", True),
        (SET, "key", None, False),
        (EXPIRY, {}, {"Enabled": "true", "AttributeName": "a"}, True),
        (EXPIRY, {"Enabled": "true", "AttributeName": "a"}, {"Enabled": "true", "AttributeName": "b"}, True),
        (EXPIRY, {"Enabled": "false", "AttributeName": "a"}, {"Enabled": "true", "AttributeName": "a"}, True),
        (EXPIRY, {"Enabled": "true", "AttributeName": "a"}, {"Enabled": "true", "AttributeName": "a"}, False),
        (EXPIRY, {"Enabled": "true", "AttributeName": "a"}, {"Enabled": "false", "AttributeName": "b"}, False),
        (LIFECYCLE, expiration(7), expiration(6), True),
        (LIFECYCLE, expiration(7), expiration(7), False),
        (LIFECYCLE, expiration(7), expiration(8), False),
        (LIFECYCLE, expiration(7), [{"Status": "Disabled", "ExpirationInDays": 1}], False),
        (LIFECYCLE, expiration(7), expiration(7, ObjectSizeLessThan="9"), True),
        (LIFECYCLE, expiration(7) + expiration(3), expiration(5), False),
        (LIFECYCLE, expiration(3) + expiration(7), expiration(5), False),
        (
            LIFECYCLE,
            expiration(7, TagFilters=[{"Key": "a", "Value": "b"}]),
            expiration(7, TagFilters=[REORDERED]),
            False,
        ),
        (REPLICAS, [replica("a"), replica("b")], [replica("b"), replica("a")], False),
        (REPLICAS, [replica("a")], [replica("a"), replica("b")], False),
        (REPLICAS, [replica("a"), replica("b")], [replica("a")], True),
        (REPLICAS, [replica("a")], [replica("a", protected="false")], True),
        (REPLICAS, [replica("a")], [replica("a", recovery="false")], True),
        (REPLICAS, [replica("a")], [replica("a", days="7")], True),
        (REPLICAS, [replica("a", days="7")], [replica("a", days="1")], True),
        (REPLICAS, [replica("a", days="7")], [replica("a")], False),
        (REPLICAS, [replica("a", recovery="false")], [replica("a", days="7")], False),
        (REPLICAS, [{"Region": "a"}], [], True),
        (REPLICAS, [replica("a") | {"DisassociationProtectionEnabled": "true"}], [replica("a")], False),
        (REPLICAS, [replica("a", policy=deny())], [replica("a")], True),
        (REPLICAS, [replica("a", policy=deny())], [replica("a", policy=deny(Action="s3:Get*"))], True),
        (REPLICAS, [replica("a", policy=deny())], [replica("a", policy=deny())], False),
        # Together, two rules keep what one with the lowest limit of each deletes.
        (LIFECYCLE, noncurrent((1, 100), (100, 1)), noncurrent((1, 1)), True),
        (LIFECYCLE, noncurrent((1, 100), (100, 1)), noncurrent((50, 50)), True),
        (LIFECYCLE, noncurrent((1, 100), (100, 1)), noncurrent((100, 100)), False),
        (LIFECYCLE, noncurrent((1, 100), (100, 1)), noncurrent((100, 1), (1, 100)), False),
        (LIFECYCLE, noncurrent((10, 5)), noncurrent((10, 6)), False),
        (LIFECYCLE, noncurrent((10, 5)), noncurrent((20, 4)), True),
        (LIFECYCLE, expiration(7, Filter={"Prefix": "logs/"}), expiration(7, Filter={"Prefix": ""}), True),
        (ARCHIVE, {"MessageRetentionPeriod": "30"}, None, True),
        (ARCHIVE, '{"MessageRetentionPeriod": 30}', '{"MessageRetentionPeriod": 29}', True),
        (ARCHIVE, '{"MessageRetentionPeriod": 30}', {"MessageRetentionPeriod": "30"}, False),
        (ARCHIVE, None, {"MessageRetentionPeriod": "1"}, False),
        (OBJECT_LOCK, lock("COMPLIANCE", Days=9), lock("GOVERNANCE", Days=9), True),
        (OBJECT_LOCK, lock("GOVERNANCE", Years=1), lock("COMPLIANCE", Days=364), True),
        (OBJECT_LOCK, lock("GOVERNANCE", Days=1), None, True),
        (OBJECT_LOCK, lock("GOVERNANCE", Days=1), {"ObjectLockEnabled": "Enabled"}, True),
        (OBJECT_LOCK, lock("GOVERNANCE", Days=365), lock("COMPLIANCE", Years=1), False),
        # AWS does not document how many days a year has.
        (OBJECT_LOCK, lock("GOVERNANCE", Years=1), lock("GOVERNANCE", Days=365), True),
        (OBJECT_LOCK, lock("GOVERNANCE", Years=1), lock("GOVERNANCE", Days=366), False),
        (OBJECT_LOCK, lock("GOVERNANCE", Days=366), lock("GOVERNANCE", Years=1), True),
        (OBJECT_LOCK, lock("GOVERNANCE", Years=2), lock("GOVERNANCE", Days=730), True),
        (OBJECT_LOCK, lock("GOVERNANCE", Days=1461), lock("GOVERNANCE", Years=4), True),
        (OBJECT_LOCK, lock("GOVERNANCE", Years=2), lock("GOVERNANCE", Years=1), True),
        (OBJECT_LOCK, lock("GOVERNANCE", Years=1), lock("GOVERNANCE", Years=2), False),
        (OBJECT_LOCK, lock("GOVERNANCE", Years=1), lock("COMPLIANCE", Years=1), False),
        (OBJECT_LOCK, None, lock("GOVERNANCE", Days=1), False),
        (OBJECT_LOCK, lock("GOVERNANCE", Days=9, DefaultEventHold={"Days": 9}), lock("GOVERNANCE", Days=9), True),
        (OBJECT_LOCK, lock("", DefaultEventHold={"Years": 1}), lock("", DefaultEventHold={"Days": 364}), True),
        (OBJECT_LOCK, lock("", DefaultEventHold={"Days": 365}), lock("", DefaultEventHold={"Years": 1}), False),
        (ATTRIBUTE_OFF, attribute("true"), attribute("false"), True),
        (ATTRIBUTE_OFF, attribute("true"), None, True),
        (ATTRIBUTE_OFF, attribute("false"), attribute("true"), False),
        (TURNED_ON, "false", "true", True),
        (TURNED_ON, "true", "true", False),
        (TURNED_ON, "true", "false", False),
        (OVERWRITABLE, "IMMUTABLE", "MUTABLE", True),
        (OVERWRITABLE, "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION", True),
        (OVERWRITABLE, "MUTABLE_WITH_EXCLUSION", "MUTABLE", True),
        (OVERWRITABLE, "MUTABLE", "IMMUTABLE_WITH_EXCLUSION", False),
        # The filters then name the tags that can be overwritten, instead of those that cannot.
        (OVERWRITABLE, "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION", True),
        (OVERWRITABLE, "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION", True),
        (OVERWRITABLE, "MUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION", False),
        (CHANGED, "ONE_YEAR", None, True),
        (CHANGED, None, "ONE_YEAR", True),
        (CHANGED_OR_REMOVED, "a", None, True),
        (CHANGED_OR_REMOVED, "a", "b", True),
        (CHANGED_OR_REMOVED, None, "a", False),
        (CHANGED_ONLY, "a", "b", True),
        (CHANGED_ONLY, "a", None, False),
        (CHANGED_ONLY, None, "a", False),
        (other_than("stop"), "stop", "terminate", True),
        (other_than("stop"), "terminate", "stop", False),
        (other_than("stop"), "terminate", KNOWN_AFTER_APPLY, True),
        (DENY, denials("A", "B"), denials("A"), True),
        (DENY, deny(Effect="{{resolve:ssm:/effect:1}}"), {}, True),
        (DENY, deny(), deny(Resource=KNOWN_AFTER_APPLY), True),
        (DENY, denials("A"), denials("A", "B"), False),
        (DENY, denials("A", "B"), denials("B", "A"), False),
        (DENY, denials("A", resource=["a", "b"]), denials("A", resource=["b", "a"]), True),
    ],
)
def test_condition_holds_only_if_data_can_be_lost(
    condition: Condition, before: Any, after: Any, expected: bool
) -> None:
    assert condition.holds(before, after) == expected


@pytest.mark.parametrize(
    ("condition", "before", "after"),
    [
        (LOWERED, "7", "****"),
        (LOWERED, "7", "NaN"),
        (SHORTENED, KNOWN_AFTER_APPLY, "7"),
        (TURNED_OFF, "true", "****"),
        (WEAKENED, "Retain", KNOWN_AFTER_APPLY),
        (WEAKENED, "****", "Retain"),
        (EXPIRY, {}, "****"),
        (LIFECYCLE, expiration(7), "****"),
        # AWS does not document which of the two periods applies; the first one is deprecated.
        (LIFECYCLE, noncurrent((9, 0)), [noncurrent((1, 0))[0] | {"NoncurrentVersionExpirationInDays": 9}]),
        (DENY, denials("A"), "****"),
        # Parsers differ in which of two statements they read.
        (DENY, denials("A"), '{"Statement": [], "Statement": [{"Effect": "Deny"}]}'),
        # The value of a reference in a text can end the text's string and add fields, even "Statement".
        (DENY, denials("A"), json.dumps({"Statement": [*denials("A")["Statement"], {"Sid": REFERENCE}]})),
        (DENY, denials("A"), json.dumps({"Statement": [*denials("A")["Statement"], {"Sid": KNOWN_AFTER_APPLY}]})),
        (DENY, json.dumps({"Statement": [{"Effect": "Allow", "Sid": REFERENCE}]}), {}),
        (REPLICAS, [replica("a", policy=deny())], [replica("a", policy="****")]),
        (ARCHIVE, '{"MessageRetentionPeriod": 30}', "****"),
        (OBJECT_LOCK, lock("GOVERNANCE", Days=1), lock("****", Days=1)),
        (ATTRIBUTE_OFF, attribute("true"), attribute("****")),
        # AWS does not document which of two elements with the same name applies.
        (ATTRIBUTE_OFF, attribute("true"), attribute("false") + attribute("true")),
        (REPLICAS, [replica("a")], [replica("a", protected="false"), replica("a")]),
        (ATTRIBUTE_OFF, attribute("true"), [*attribute("true"), {"Key": REFERENCE, "Value": "false"}]),
        (OVERWRITABLE, "IMMUTABLE", "****"),
    ],
)
def test_condition_on_hidden_value_raises_error(condition: Condition, before: Any, after: Any) -> None:
    with pytest.raises(HiddenValueError):
        condition.holds(before, after)
