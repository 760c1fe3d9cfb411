"""Changes as CloudFormation's DescribeChangeSet returns them, and the reasons why they are unsafe."""

import json
from typing import Any

from lambdas.deploy_pipeline.inspection import Lookups, Policy, Violation, findings

MARKER = "{{changeSet:KNOWN_AFTER_APPLY}}"
ALLOW = {"Effect": "Allow", "Action": "s3:GetObject", "Principal": "*", "Resource": "arn:aws:s3:::orders/*"}


def violations(changes: Any, policy: Policy, path: str = "", lookups: Lookups | None = None) -> list[Violation]:
    """Return the unsafe changes to a stack."""
    return [unsafe for finding in findings(changes, policy, path, lookups) if (unsafe := finding.violation)]


def reasons(*changes: Any, policy: Policy | None = None, lookups: Lookups | None = None) -> str:
    """Return why the changes to a stack are unsafe, a line for each; empty if they are safe."""
    return "\n".join(violation.why for violation in violations(changes, policy or Policy(), "", lookups))


def change(action: str = "Modify", logical_id: str = "Queue", kind: str = "AWS::SQS::Queue", **more: Any) -> Any:
    resource = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind, **more}
    if action == "Modify":
        resource.setdefault("Replacement", "False")
    return {"Type": "Resource", "ResourceChange": resource}


def update(kind: str, before: Any, after: Any, logical_id: str = "Queue", **attributes: Any) -> Any:
    """Return an update in place of the properties `before` to `after`.

    `attributes` are the resource's attributes before and after, such as ``DeletionPolicy=("Retain", "Delete")``.
    """
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    details = [detail("Never", name=name) for name in names]
    details += [detail(None, name="", attribute=name) for name in attributes]
    contexts = {}
    for index, (when, properties) in enumerate((("Before", before), ("After", after))):
        others = {name: values[index] for name, values in attributes.items() if values[index]}
        contexts[f"{when}Context"] = json.dumps({"Properties": as_text(properties), **others})
    return change("Modify", logical_id, kind, Details=details, **contexts)


def as_text(value: Any) -> Any:
    """Convert numbers and booleans to text, as CloudFormation does in contexts."""
    if isinstance(value, dict):
        return {name: as_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def detail(
    recreation: str | None = "Never",
    evaluation: str = "Static",
    *,
    name: str = "QueueName",
    attribute: str = "Properties",
    source: str = "DirectModification",
    entity: str | None = None,
) -> dict[str, Any]:
    target = {"Attribute": attribute, "Name": name} | ({"RequiresRecreation": recreation} if recreation else {})
    fields = {"Target": target, "Evaluation": evaluation, "ChangeSource": source}
    return fields | ({"CausingEntity": entity} if entity else {})


def deny(*resources: str) -> list[dict[str, Any]]:
    return [{"Effect": "Deny", "Action": "s3:*", "Principal": "*", "Resource": name} for name in resources]


def bucket_policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Bucket": "orders", "PolicyDocument": {"Version": "2012-10-17", "Statement": list(statements)}}
