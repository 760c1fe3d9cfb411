"""Write the attributes that identify a resource, from the schemas of CloudFormation that cfn-lint contains.

An update in place changes neither the primary identifier of a resource nor a create-only property, unless the
property is create-only under a condition. Usage: ``python -m audit.identifying_attributes``.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from lambdas.deploy_pipeline.identifying_attributes import FILE
from lambdas.deploy_pipeline.inspection import UNSTABLE_ID_TYPES

REGION = "us-east-1"
LEFT_OUT = ("AWS::Serverless::", *UNSTABLE_ID_TYPES)  # the former are never in a change set


def identifying(schema: Mapping[str, Any], attributes: Collection[str]) -> list[str]:
    """Return the ones of `attributes`, those of a type, that identify a resource."""
    read_only, create_only = _names(schema, "readOnlyProperties"), _names(schema, "createOnlyProperties")
    conditional = _names(schema, "conditionalCreateOnlyProperties")
    identifiers = _names(schema, "primaryIdentifier") & (read_only | create_only)
    return sorted((((identifiers | create_only) - conditional) & set(attributes)) - {"Arn"})


def _names(schema: Mapping[str, Any], keyword: str) -> set[str]:
    """Return the names that attributes have for JSON pointers to properties."""
    return {pointer.removeprefix("/properties/").replace("/", ".") for pointer in schema.get(keyword, ())}


def all_types() -> Iterator[tuple[str, list[str]]]:
    """Return the types that have such attributes, with the attributes."""
    for name in sorted(PROVIDER_SCHEMA_MANAGER.get_resource_types(REGION)):
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, name)
        attributes = identifying(schema.schema, list(schema.get_atts))
        if attributes and not name.startswith(LEFT_OUT):
            yield name, attributes


def main() -> None:
    """Write the file, with a line for each type."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(attributes)}" for name, attributes in all_types())
    FILE.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
