"""Changes as CloudFormation's DescribeChangeSet gives them."""

import json
from typing import Any


def change(action: str = "Modify", logical_id: str = "Queue", kind: str = "AWS::SQS::Queue", **more: Any) -> Any:
    resource = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind, **more}
    if action == "Modify":
        resource.setdefault("Replacement", "False")
    return {"Type": "Resource", "ResourceChange": resource}


def update(kind: str, before: Any, after: Any, logical_id: str = "Queue", **attributes: Any) -> Any:
    """An update in place of the properties `before` to `after`, with values as CloudFormation gives them.

    `attributes` are those of the resource before and after, such as ``DeletionPolicy=("Retain", "Delete")``.
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
    """Numbers and switches are text in a context."""
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
    found = {"Target": target, "Evaluation": evaluation, "ChangeSource": source}
    return found | ({"CausingEntity": entity} if entity else {})
