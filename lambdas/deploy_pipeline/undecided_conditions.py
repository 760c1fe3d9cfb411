"""Conditions of nested stacks that change sets decide with placeholders.

While CloudFormation creates the change set of a nested stack, it does not know parameters that refer to resources or
outputs, and passes placeholders. It evaluates conditions with them, so the change set can omit that a condition
removes or changes a resource.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .api_types import StackParameter
from .contexts import MASK
from .lossy_conditions import REFERENCE

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient

# Of JSON and YAML, without their punctuation; also of comments, so that these are no part of a comparison.
TOKEN = re.compile(r"""!?\w[\w:]*|(?<![\w'"\\])(?:''|"")(?!['"])|[^\s\w\[\]{},:!'"-]""")
# Comparisons of a parameter with an empty text. Neither placeholders nor IDs are empty.
IS_EMPTY = re.compile(r"""(?<!\S)(?:!|Fn::)Equals:?(?: !?Ref:? \w+ (?:''|"")| (?:''|"") !?Ref:? \w+)(?!\S)""")


def undecided_parameters(
    cloudformation: "CloudFormationClient", change_set_id: str, parameters: Iterable[StackParameter]
) -> list[str]:
    """Return the parameters of a nested change set that conditions use, but whose values are not visible."""
    hidden = [parameter["ParameterKey"] for parameter in parameters if _is_hidden(parameter)]
    if not hidden:
        return []
    response = cloudformation.get_template(ChangeSetName=change_set_id, TemplateStage="Original")
    tokens = " ".join(TOKEN.findall(_conditions(response["TemplateBody"])))
    used = set(IS_EMPTY.sub("", tokens).split())
    return [name for name in hidden if name in used]


def _is_hidden(parameter: StackParameter) -> bool:
    value = parameter.get("ParameterValue", "")
    return REFERENCE in value or value == MASK


def _conditions(template: Mapping[str, object] | str) -> str:
    """Return the section of a template. boto3 returns YAML as text; a text of another form is returned whole."""
    if not isinstance(template, str):
        return json.dumps(template.get("Conditions"))
    sections: dict[str, list[str]] = defaultdict(list)
    key = ""
    text = template.removeprefix("\ufeff")
    for line in text.split("\n"):
        if line.strip() and line[0] not in " \t#":
            key = line.partition(":")[0].strip("\"' ")
        sections[key].append(line)
    is_usual = "Resources" in sections and not text.lstrip().startswith("{")
    return "\n".join(sections["Conditions"]) if is_usual else text
