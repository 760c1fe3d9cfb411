"""Each condition of the table of lossy changes, for values on both sides of its limit."""

import json
from typing import Any

import pytest

from lambdas.deploy_pipeline.lossy_conditions import (
    ATTRIBUTE_OFF,
    CHANGED,
    CHANGED_OR_REMOVED,
    DENY,
    EXPIRY,
    KNOWN_AFTER_APPLY,
    LIFECYCLE,
    LOWERED,
    REPLICAS,
    SET,
    TURNED_OFF,
    TURNED_ON,
    WEAKENED,
    Condition,
    HiddenValueError,
    other_than,
)

REFERENCE = "{{resolve:ssm:name:1}}"


def denials(*sids: str, resource: Any = "*") -> dict[str, Any]:
    return {"Statement": [{"Effect": "Deny", "Sid": sid, "Resource": resource} for sid in sids]}


def deny(**fields: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "a", **fields}]}


def versioned(version: str | None, resource: str) -> dict[str, Any]:
    return denials("a", resource=resource) | ({"Version": version} if version else {})


def replica(region: str, **fields: Any) -> dict[str, Any]:
    return {"Region": region, **fields}


def attribute(value: str) -> list[dict[str, str]]:
    return [
        {"Key": "idle_timeout.timeout_seconds", "Value": "60"},
        {"Key": "deletion_protection.enabled", "Value": value},
    ]


def expiration(days: int | str, **more: Any) -> list[dict[str, Any]]:
    return [{"Status": "Enabled", "ExpirationInDays": str(days), **more}]


TRANSITION = [{"Status": "Enabled", "Transitions": [{"StorageClass": "GLACIER", "TransitionInDays": "1"}]}]


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
        (TURNED_OFF, "true", "false", True),
        (TURNED_OFF, None, "false", True),  # None is an unknown default
        (TURNED_OFF, None, "true", False),
        (TURNED_OFF, "true", None, True),
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
        (SET, None, "key", True),
        (SET, "key", None, False),
        (EXPIRY, {}, {"Enabled": "true", "AttributeName": "a"}, True),
        (EXPIRY, {"Enabled": "true", "AttributeName": "a"}, {"Enabled": "true", "AttributeName": "b"}, True),
        (EXPIRY, {"Enabled": "false", "AttributeName": "a"}, {"Enabled": "true", "AttributeName": "a"}, True),
        (EXPIRY, {"Enabled": "true", "AttributeName": "a"}, {"Enabled": "false", "AttributeName": "b"}, False),
        (LIFECYCLE, expiration(7), expiration(7), False),
        (LIFECYCLE, expiration(7), expiration(8), True),
        (LIFECYCLE, expiration(7), [], False),
        (LIFECYCLE, expiration(7) + expiration(3), expiration(3) + TRANSITION, False),
        (LIFECYCLE, expiration(7), [{"Status": "Disabled", "ExpirationInDays": "1"}], False),
        (LIFECYCLE, [{"Status": "Disabled", "ExpirationInDays": "7"}], expiration(7), True),
        (LIFECYCLE, expiration(7), expiration(7, ObjectSizeLessThan="9"), True),
        (LIFECYCLE, [], [{"Status": "Enabled", "ExpirationDate": "2020-01-01"}], True),
        (LIFECYCLE, [], [{"Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": "1"}}], True),
        (LIFECYCLE, [], [{"Status": "Enabled", "NoncurrentVersionExpirationInDays": "1"}], True),
        (LIFECYCLE, [], [{"Status": KNOWN_AFTER_APPLY, "ExpirationInDays": "1"}], True),
        (LIFECYCLE, expiration(7), expiration(KNOWN_AFTER_APPLY), True),
        (REPLICAS, [replica("a"), replica("b")], [replica("b"), replica("a")], False),
        (REPLICAS, [replica("a")], [replica("a"), replica("b")], False),
        (REPLICAS, [replica("a"), replica("b")], [replica("a")], True),
        (REPLICAS, [replica("a")], [replica("a", Tags=["team"], TableClass="STANDARD")], False),
        (REPLICAS, [replica("a", Tags=["team"])], [replica("a")], False),
        (REPLICAS, [replica("a", DeletionProtectionEnabled="true")], [replica("a")], True),
        (REPLICAS, [replica("a")], [replica("a", DeletionProtectionEnabled="true")], True),
        (REPLICAS, [replica("a")], [replica("a", PointInTimeRecoverySpecification={})], True),
        (REPLICAS, [replica("a", ResourcePolicy=deny())], [replica("a")], True),
        (REPLICAS, [replica("a", ReplicaStreamSpecification=deny())], [replica("a")], True),
        (ATTRIBUTE_OFF, attribute("true"), attribute("false"), True),
        (ATTRIBUTE_OFF, attribute("true"), None, True),
        (ATTRIBUTE_OFF, attribute("false"), attribute("true"), False),
        (TURNED_ON, "false", "true", True),
        (TURNED_ON, "disabled", "enabled", True),
        (TURNED_ON, "true", "false", False),
        (TURNED_ON, "false", None, True),
        (CHANGED, "ONE_YEAR", None, True),
        (CHANGED, None, "ONE_YEAR", True),
        (CHANGED_OR_REMOVED, "a", None, True),
        (CHANGED_OR_REMOVED, "a", "b", True),
        (CHANGED_OR_REMOVED, None, "a", False),
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
        (LOWERED, KNOWN_AFTER_APPLY, "7"),
        (LOWERED, None, "7"),
        (TURNED_OFF, "true", "****"),
        (TURNED_ON, "false", KNOWN_AFTER_APPLY),
        (WEAKENED, "Retain", KNOWN_AFTER_APPLY),
        (WEAKENED, "****", "Retain"),
        (EXPIRY, {}, "****"),
        (LIFECYCLE, expiration(7), "****"),
        (LIFECYCLE, expiration(7), ["****"]),
        (DENY, denials("A"), "****"),
        # Parsers differ in which of two statements they read.
        (DENY, denials("A"), '{"Statement": [], "Statement": [{"Effect": "Deny"}]}'),
        # The value of a reference in a text can end the text's string and add fields, even "Statement".
        (DENY, denials("A"), json.dumps({"Statement": [*denials("A")["Statement"], {"Sid": REFERENCE}]})),
        (DENY, denials("A"), json.dumps({"Statement": [*denials("A")["Statement"], {"Sid": KNOWN_AFTER_APPLY}]})),
        (DENY, json.dumps({"Statement": [{"Effect": "Allow", "Sid": REFERENCE}]}), {}),
        (REPLICAS, [replica("a")], ["****"]),
        (ATTRIBUTE_OFF, attribute("true"), attribute("****")),
        # AWS does not document which of two elements with the same name applies.
        (ATTRIBUTE_OFF, attribute("true"), attribute("false") + attribute("true")),
        (REPLICAS, [replica("a")], [replica("a", DeletionProtectionEnabled="false"), replica("a")]),
        (ATTRIBUTE_OFF, attribute("true"), [*attribute("true"), {"Key": REFERENCE, "Value": "false"}]),
    ],
)
def test_condition_on_hidden_value_raises_error(condition: Condition, before: Any, after: Any) -> None:
    with pytest.raises(HiddenValueError):
        condition.holds(before, after)
