"""CloudFormation resource handlers for policies, as IAM, Lambda and SNS store them, and for secrets.

MiniStack stores an inline policy as a managed one, which collides with those of the same name in other stacks, and
ignores boundaries, the roles of managed policies, conditions of Lambda permissions, and the condition of the default
policy of topics. It returns the name of a secret instead of the ARN, so policies would name it wrongly.
"""

import json
from collections.abc import Callable
from typing import Any

from ministack.services import iam, lambda_svc, sns
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]


def install() -> None:
    """Replace the handlers."""
    handlers = provisioners._RESOURCE_HANDLERS
    create_role, create_topic = handlers["AWS::IAM::Role"]["create"], handlers["AWS::SNS::Topic"]["create"]

    def create_bounded_role(logical_id: str, properties: Properties, stack: str) -> Created:
        name, attributes = create_role(logical_id, properties, stack)
        iam._roles[name]["PermissionsBoundary"] = properties.get("PermissionsBoundary")
        return name, attributes

    def update_role(name: str, old: Properties, new: Properties, stack: str) -> Created:
        before = iam._roles[name]
        added = {k: v for k, v in before["InlinePolicies"].items() if k not in _inline(old)}
        name, attributes = create_bounded_role(name, new | {"RoleName": name}, stack)
        iam._roles[name]["InlinePolicies"] |= added  # by resources of the type AWS::IAM::Policy
        attached = [a for a in before["AttachedPolicies"] if _arn(a) not in old.get("ManagedPolicyArns", [])]
        iam._roles[name]["AttachedPolicies"] += attached
        return name, attributes

    def create_topic_with_default_policy(logical_id: str, properties: Properties, stack: str) -> Created:
        arn, attributes = create_topic(logical_id, properties, stack)
        stored = sns._topics[arn]["attributes"]
        policy = json.loads(stored["Policy"])
        policy["Statement"][0]["Condition"] = {"StringEquals": {"AWS:SourceOwner": arn.split(":")[4]}}
        stored["Policy"] = json.dumps(policy)
        return arn, attributes

    secret = handlers["AWS::SecretsManager::Secret"]
    handlers["AWS::SecretsManager::Secret"] = {
        "create": lambda *arguments: (secret["create"](*arguments)[1]["Arn"], {}),
        "update": lambda arn, _old, _new, _stack: (arn, {}),
        "delete": lambda arn, properties: secret["delete"](arn.rpartition(":")[2].rpartition("-")[0], properties),
    }
    handlers["AWS::IAM::Role"] |= {"create": create_bounded_role, "update": update_role}
    handlers["AWS::SNS::Topic"] |= {"create": create_topic_with_default_policy}
    handlers["AWS::IAM::Policy"] = _replacing(_put_policy, _delete_policy)
    handlers["AWS::IAM::ManagedPolicy"] = _replacing(_attach_policy(handlers["AWS::IAM::ManagedPolicy"]), _detach)
    handlers["AWS::Lambda::Permission"] = _replacing(_add_permission, _remove_permission)


def _inline(properties: Properties) -> set[str]:
    return {policy["PolicyName"] for policy in properties.get("Policies", [])}


def _arn(attached: Any) -> str:
    return attached if isinstance(attached, str) else str(attached["PolicyArn"])


def _replacing(create: Callable[..., Created], delete: Callable[[str, Properties], None]) -> dict[str, Any]:
    """Return handlers whose update deletes and creates."""

    def update(physical_id: str, old: Properties, new: Properties, stack: str) -> Created:
        delete(physical_id, old)
        return create(physical_id, new, stack)

    return {"create": create, "update": update, "delete": delete}


def _put_policy(logical_id: str, properties: Properties, _stack: str) -> Created:
    name = properties.get("PolicyName", logical_id)
    for role in properties.get("Roles", []):
        iam._roles[role]["InlinePolicies"][name] = json.dumps(properties["PolicyDocument"])
    return name, {"Id": name}


def _delete_policy(_physical_id: str, properties: Properties) -> None:
    for role in filter(None, map(iam._roles.get, properties.get("Roles", []))):
        role["InlinePolicies"].pop(properties["PolicyName"], None)


def _attach_policy(handler: dict[str, Any]) -> Callable[..., Created]:
    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        created: Created = handler["create"](logical_id, properties, stack)
        arn = created[0]
        record = iam._policies[arn]
        record["Versions"] = record.pop("PolicyVersions")
        for role in properties.get("Roles", []):
            iam._roles[role]["AttachedPolicies"].append(arn)
        return arn, created[1] | {"PolicyArn": arn}

    return create


def _detach(arn: str, properties: Properties) -> None:
    iam._policies.pop(arn, None)
    for role in filter(None, map(iam._roles.get, properties.get("Roles", []))):
        role["AttachedPolicies"] = [attached for attached in role["AttachedPolicies"] if _arn(attached) != arn]


def _add_permission(logical_id: str, properties: Properties, stack: str) -> Created:
    function, _, _, qualifier = provisioners._lambda_function_for_cfn_ref(properties["FunctionName"])
    if function is None:
        raise ValueError(f"Function not found: {properties['FunctionName']}")
    name, statement_id = function["config"]["FunctionName"], f"{stack}-{logical_id}"
    _remove(function, statement_id)
    lambda_svc._add_permission(name, properties | {"StatementId": statement_id}, None, qualifier)
    return statement_id, {"Id": statement_id}


def _remove_permission(statement_id: str, properties: Properties) -> None:
    function, *_ = provisioners._lambda_function_for_cfn_ref(properties["FunctionName"])
    if function:
        _remove(function, statement_id)


def _remove(function: dict[str, Any], statement_id: str) -> None:
    kept = [statement for statement in function["policy"]["Statement"] if statement["Sid"] != statement_id]
    function["policy"]["Statement"] = kept
