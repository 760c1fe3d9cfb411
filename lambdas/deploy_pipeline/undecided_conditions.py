"""Conditions of nested stacks that change sets decide with placeholders.

While CloudFormation creates the change set of a nested stack, it does not know parameters that refer to resources or
outputs, and passes placeholders. It evaluates conditions with them, so the change set can omit that a condition
removes or changes a resource.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from .api_types import StackParameter
from .contexts import MASK
from .lossy_conditions import REFERENCE

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient


def undecided_parameters(
    cloudformation: "CloudFormationClient", change_set_id: str, parameters: Iterable[StackParameter]
) -> list[str]:
    """Return the parameters of a nested change set that conditions use, but whose values are not visible."""
    hidden = [parameter["ParameterKey"] for parameter in parameters if _is_hidden(parameter)]
    if not hidden:
        return []
    response = cloudformation.get_template(ChangeSetName=change_set_id, TemplateStage="Processed")
    conditions = _conditions(response["TemplateBody"])
    return [name for name in hidden if re.search(rf"\b{re.escape(name)}\b", conditions)]


def _is_hidden(parameter: StackParameter) -> bool:
    value = parameter.get("ParameterValue", "")
    return REFERENCE in value or value == MASK


def _conditions(template: Mapping[str, object] | str) -> str:
    """Return the section of a template; boto3 returns YAML as text."""
    if isinstance(template, str):
        return "\n".join(_section(template, "Conditions"))
    return str(template.get("Conditions", ""))


def _section(template: str, name: str) -> Iterator[str]:
    is_inside = False
    for line in template.splitlines():
        if line and line[0] not in " \t#":
            is_inside = line.partition(":")[0].strip("\"' ") == name
        if is_inside:
            yield line
