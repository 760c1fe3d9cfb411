"""CloudFormation: validation, change sets, failures, exports, replacement, service roles and signals.

MiniStack executes stacks and change sets. Implemented here:

- Templates, parameters and capabilities are refused as by CloudFormation (`validation`, `template_validation`),
  properties and names before deployment (`early_validation`), policies by IAM (`policy_quotas`).
- Change sets report replacements by the create-only properties of the resource schemas and property values (`diff`),
  errors that validation finds, nested stacks and pages (`change_sets`), and revert drift (`drift`).
- Stack operations fail, replace resources and clean up as in CloudFormation (`deployment`), and exports in use stay
  (`exports`).
- Virtual-hosted S3 URLs of templates.
- Service roles, and waiting requests of the CDK CLI (`stack_requests`), signals (`signals`).

Not implemented: replacement that depends on more than the schema, effects of stack policies, hooks, signals of updates,
types and formats of property values, validation of AWS-specific parameter types. In change sets, attributes of existing
resources are known only after the update.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from ..ministack import cloudformation
from . import (
    change_sets,
    deployment,
    diff,
    early_validation,
    exports,
    policy_quotas,
    signals,
    stack_requests,
    validation,
)
from .schemas import resource_types

Operation = Callable[[dict[str, Any]], Any]


def install() -> None:
    """Replace and extend MiniStack's operations."""
    cloudformation.resolve_template.extend(_with_virtual_hosted_urls)
    change_sets.install(cloudformation.operations)
    deployment.install()
    diff.install()
    early_validation.install()
    exports.install()
    policy_quotas.install()
    signals.install()
    stack_requests.install(cloudformation.operations)
    validation.install(cloudformation.operations)
    for resource_type in resource_types() - cloudformation.resource_handlers.keys():
        cloudformation.resource_handlers[resource_type] = {"create": _fail_creation}


def _fail_creation(_logical_id: str, _properties: Any, _stack: str) -> None:
    """Fail the resource, because CloudFormation itself would accept the template."""
    raise ValueError("The sandbox does not support this resource type")


def _with_virtual_hosted_urls(original_resolve: Operation, parameters: dict[str, Any]) -> Any:
    url = urlsplit(cloudformation.parameter(parameters, "TemplateURL"))
    bucket, is_virtual_hosted, _ = (url.hostname or "").partition(".s3.")
    if is_virtual_hosted:
        parameters = {**parameters, "TemplateURL": [f"https://s3.amazonaws.com/{bucket}{unquote(url.path)}"]}
    return original_resolve(parameters)
