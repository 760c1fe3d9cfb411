"""What CloudFormation checks in a template before it creates or changes anything.

The messages are AWS's. Not implemented: types of property values (see `early_validation`), and most types of arguments
of intrinsic functions.
"""

import graphlib
import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from ..ministack import cloudformation
from .schemas import attributes, functions, resource_types, template_members

FORMAT_ERROR = "Template format error: "
PSEUDO_PARAMETERS = {
    f"AWS::{name}"
    for name in ("AccountId", "NoValue", "NotificationARNs", "Partition", "Region", "StackId", "StackName", "URLSuffix")
}
# The short forms of functions that MiniStack does not parse.
SHORT_FORMS = (
    *("Contains", "EachMemberEquals", "EachMemberIn", "RefAll", "ValueOf", "ValueOfAll"),
    *("Length", "ToJsonString", "Transform"),
)
TWO_ARGUMENTS = {
    "Fn::Equals": "Template error: every Fn::Equals object requires a list of 2 string parameters.",
    "Fn::GetAtt": "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and "
    "the resource attribute",
    "Fn::Join": "Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list "
    "of strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined.",
    "Fn::Select": "Template error: Fn::Select requires a list argument with two elements: an integer index and a list",
    "Fn::Split": "Template error: every Fn::Split object requires two parameters, (1) a string delimiter and (2) a "
    "string to be split or a function that returns a string to be split.",
}
EVENT_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is faster
Template = dict[str, Any]


class TemplateError(ValueError):
    """A template that CloudFormation refuses, with its message."""


def parse(body: str) -> Template:
    """Return the template in `body`: JSON, or YAML without aliases."""
    try:
        events = () if body.lstrip().startswith("{") else yaml.parse(body, Loader=EVENT_LOADER)
        if any(isinstance(event, yaml.AliasEvent) for event in events):
            raise TemplateError(f"{FORMAT_ERROR}YAML aliases are not allowed in CloudFormation templates")
        template: Template = cloudformation.parse_template(body)
    except json.JSONDecodeError as error:
        where = f"(line {error.lineno}, column {error.colno})"
        raise TemplateError(f"{FORMAT_ERROR}JSON not well-formed. {where}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise TemplateError(f"{FORMAT_ERROR}YAML not well-formed.{where}") from None
    except TemplateError:
        raise
    except ValueError:
        raise TemplateError(f"{FORMAT_ERROR}unsupported structure.") from None
    return template


def check_sections(template: Template) -> None:
    """Check the top level of a template.

    Raises:
        TemplateError: CloudFormation refuses the template.
    """
    unknown = sorted(template.keys() - template_members("Template") - {"Globals"})
    if unknown:
        raise TemplateError(f"Invalid template property or properties [{', '.join(unknown)}]")
    version = template.get("AWSTemplateFormatVersion", "2010-09-09")
    if str(version) != "2010-09-09":
        raise TemplateError(f"{FORMAT_ERROR}{version} is not a supported value for AWSTemplateFormatVersion.")
    if not isinstance(template.get("Resources"), dict) or not template["Resources"]:
        raise TemplateError(f"{FORMAT_ERROR}At least one Resources member must be defined.")


def check_members(template: Template) -> None:
    """Check each parameter, mapping, resource and output of a template whose transforms are processed.

    Raises:
        TemplateError: CloudFormation refuses the template.
    """
    for section, kind in (("Parameters", "Parameter"), ("Resources", "Resource"), ("Outputs", "Output")):
        for name, member in (template.get(section) or {}).items():
            if not re.fullmatch("[A-Za-z0-9]+", str(name)):
                raise TemplateError(f"{FORMAT_ERROR}{kind} name {name} is non alphanumeric.")
            if not isinstance(member, dict):
                raise TemplateError(f"{FORMAT_ERROR}Any {section} member must be an object.")
            for unknown in sorted(map(str, member.keys() - template_members(section))):
                raise TemplateError(f"Invalid template {kind.lower()} property '{unknown}'")
            if section != "Outputs" and not member.get("Type"):
                raise TemplateError(
                    f"{FORMAT_ERROR}[/{section}/{name}] Every {section} object must contain a Type member."
                )
            if section == "Outputs" and "Value" not in member:
                raise TemplateError(f"{FORMAT_ERROR}Every Outputs member must contain a Value object")
    for name, mapping in (template.get("Mappings") or {}).items():
        if not isinstance(mapping, dict) or not all(isinstance(entry, dict) for entry in mapping.values()):
            raise TemplateError(f"{FORMAT_ERROR}Every Mappings member {name} must be a map")
        for value in (value for entry in mapping.values() for value in entry.values()):
            if isinstance(value, dict):
                raise TemplateError(f"{FORMAT_ERROR}Every Mappings attribute must be a String or a List.")
    for section in ("Conditions", "Resources", "Outputs"):
        _check_values(template.get(section), f"/{section}")


def check_references(template: Template, conditions: dict[str, bool] | None = None) -> None:
    """Check that references have a target, which is created under these conditions.

    `conditions` is None if the values of the parameters are not known.

    Raises:
        TemplateError: CloudFormation refuses the template.
    """
    _check_conditions(template)
    resources = active(template["Resources"], conditions)
    parameters = set(template.get("Parameters") or {}) | PSEUDO_PARAMETERS
    for section in ("Resources", "Outputs"):
        unresolved = set()
        for member in active(template.get(section) or {}, conditions).values():
            for name, attribute in cloudformation.references(member):
                if attribute and name not in resources:
                    reason = f"Fn::GetAtt references undefined resource {name}"
                    if f"${{{name}.{attribute}}}" in json.dumps(member):
                        reason = f"Fn::Sub references invalid resource attribute {name}.{attribute}"
                    raise TemplateError(f"Template error: instance of {reason}")
                if not resources.get(name) and (attribute or name not in parameters):
                    unresolved.add(name)
            depends_on = member.get("DependsOn", [])
            if not isinstance(depends_on, str | list):
                raise TemplateError(f"{FORMAT_ERROR}DependsOn must be a string or list of strings.")
            unresolved |= set([depends_on] if isinstance(depends_on, str) else depends_on) - resources.keys()
        if unresolved:
            prefix = FORMAT_ERROR if section == "Resources" else ""
            names = ", ".join(sorted(unresolved))
            raise TemplateError(
                f"{prefix}Unresolved resource dependencies [{names}] in the {section} block of the template"
            )
    _check_attributes(resources)
    _check_order(resources)


def active(value: Any, conditions: dict[str, bool] | None) -> Any:
    """Return a part of a template without what does not apply under `conditions`; members become empty."""
    if conditions is None:
        return value
    if isinstance(value, list):
        return [active(item, conditions) for item in value]
    if not isinstance(value, dict):
        return value
    branches = value.get("Fn::If")
    if isinstance(branches, list) and len(branches) == 3:
        return active(branches[1 if conditions.get(str(branches[0])) else 2], conditions)
    is_inactive = isinstance(value.get("Condition"), str) and not conditions.get(value["Condition"], True)
    return {} if is_inactive else {key: active(item, conditions) for key, item in value.items()}


def unsupported_attribute(template: Template, conditions: dict[str, bool]) -> str | None:
    """Return why the stack fails because of ``Fn::GetAtt`` in an output, or None.

    CloudFormation notices it only when it starts to create or update the stack.
    """
    for name, output in active(template.get("Outputs") or {}, conditions).items():
        for target, attribute in cloudformation.references(output):
            kind = template["Resources"].get(target, {}).get("Type", "")
            if attribute and not _may_have(kind, attribute):
                where = f"/Outputs/{name}/Value/Fn::GetAtt"
                return f"[Error] {where}: Resource type {kind} does not support attribute {{{attribute}}}."
    return None


def changed_types(old: Template, new: Template) -> str | None:
    """Return why CloudFormation refuses an update from template `old` to `new` that changes types, or None."""
    before, after = (template.get("Resources") or {} for template in (old, new))
    names = [name for name in after if name in before and before[name].get("Type") != after[name].get("Type")]
    if not names:
        return None
    reason = "Update of resource type is not permitted. The new template modifies resource type of the following"
    return f"{reason} resources: [{', '.join(names)}]"


def _check_values(value: Any, path: str) -> None:
    if value is None and path.count("/") > 1:
        raise TemplateError(f"[{path}] 'null' values are not allowed in templates")
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_values(item, f"{path}/{index}")
    for key, item in value.items() if isinstance(value, dict) else ():
        name = str(key)
        is_function = len(value) == 1 and name.startswith("Fn::")
        if is_function and name != "Fn::Transform" and name[4:].lower() not in functions():
            raise TemplateError(f"Template error: Encountered unsupported function: {name}")
        arguments = item.partition(".")[::2] if name == "Fn::GetAtt" and isinstance(item, str) else item
        if is_function and name in TWO_ARGUMENTS:
            has_two = isinstance(arguments, list | tuple) and len(arguments) == 2
            if not has_two or (name == "Fn::GetAtt" and not all(arguments)):
                raise TemplateError(TWO_ARGUMENTS[name])
        _check_values(item, f"{path}/{name}")


def _check_conditions(template: Template) -> None:
    """Check the definitions of conditions, and the uses of their names."""
    conditions = template.get("Conditions") or {}
    parameters = set(template.get("Parameters") or {}) | PSEUDO_PARAMETERS
    unresolved = sorted({name for name, _ in cloudformation.references(conditions)} - parameters)
    if unresolved:
        reason = "Cannot reference resources in the Conditions block of the template"
        raise TemplateError(f"{FORMAT_ERROR}Unresolved dependencies [{', '.join(unresolved)}]. {reason}")
    undefined = sorted(set(_named(conditions, "Condition")) - conditions.keys())
    if undefined:
        where = "in the Conditions block of the template"
        raise TemplateError(f"{FORMAT_ERROR}Unresolved condition dependency {undefined[0]} {where}")
    members = [*template["Resources"].values(), *(template.get("Outputs") or {}).values()]
    for name in (member["Condition"] for member in members if "Condition" in member):
        if not isinstance(name, str):
            raise TemplateError(f"{FORMAT_ERROR}Every Condition member must be a string.")
        if name not in conditions:
            raise TemplateError(f"{FORMAT_ERROR}Condition {name} is not defined.")
    for name in _named(members, "Fn::If"):
        if name not in conditions:
            raise TemplateError(f"Template error: unresolved condition dependency {name} in Fn::If")


def _named(value: Any, function: str) -> Iterator[str]:
    """Yield the first argument of each call of `function` in a value, if it is text."""
    if isinstance(value, list):
        for item in value:
            yield from _named(item, function)
    for key, item in value.items() if isinstance(value, dict) else ():
        first = item[0] if isinstance(item, list) and item else item
        if key == function and isinstance(first, str):
            yield first
        yield from _named(item, function)


def _check_attributes(resources: dict[str, Any]) -> None:
    for name, attribute in cloudformation.references(resources):
        if attribute and not _may_have(resources[name].get("Type", ""), attribute):
            reason = f"does not support attribute type {attribute} in Fn::GetAtt"
            raise TemplateError(f"Template error: resource {name} {reason}")


def _may_have(kind: str, attribute: str) -> bool:
    """Return whether a resource can have an attribute; those of custom resources and nested stacks are not known."""
    is_known = kind in resource_types() and not kind.startswith("AWS::CloudFormation::")
    return not is_known or attribute in attributes(kind)


def _check_order(resources: dict[str, Any]) -> None:
    graph = {name: cloudformation.dependencies(resource, resources.keys()) for name, resource in resources.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        names = ", ".join(sorted(set(error.args[1])))
        raise TemplateError(f"Circular dependency between resources: [{names}]") from None
