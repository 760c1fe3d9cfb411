"""Changes as CloudFormation's DescribeChangeSet gives them."""

from typing import Any


def change(action: str = "Modify", logical_id: str = "Queue", kind: str = "AWS::SQS::Queue", **more: Any) -> Any:
    resource = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind, **more}
    if action == "Modify":
        resource.setdefault("Replacement", "False")
    return {"Type": "Resource", "ResourceChange": resource}


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
    found = {"Target": target, "Evaluation": evaluation, "ChangeSource": source}
    return found | ({"CausingEntity": entity} if entity else {})
