"""The models of templates and resource types that are bundled with cfn-lint."""

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

PROVIDERS = "providers/us-east-1.json"
SAM_MEMBERS = {"Connectors", "Globals", "IgnoreGlobals"}  # the transform removes them


def _folder() -> Path:
    spec = importlib.util.find_spec("cfnlint")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("cfn-lint, which contains the resource schemas, is not installed")
    return Path(spec.origin).parent / "data" / "schemas"


@cache
def _read(path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((_folder() / path).read_text())
    return content


def resource_types() -> set[str]:
    """Return the resource types that have a schema."""
    return set(_read(PROVIDERS))


@cache
def schema(kind: str) -> dict[str, Any]:
    """Return the schema of a resource type, or an empty one if it is unknown."""
    if kind.startswith("AWS::CDK::"):  # this schema is not CloudFormation's
        return {}
    name = _read(PROVIDERS).get(kind)
    return _read(f"resources/{name}.json") if name else {}


def template_members(section: str) -> set[str]:
    """Return the names that `section` of a template can contain: in ``Resources``, those of each resource."""
    model = _read(f"other/{section.lower()}/configuration.json")
    if section == "Resources":
        model = model["definitions"]["ResourceConfiguration"]
    elif "patternProperties" in model:
        (model,) = model["patternProperties"].values()
    return set(model["properties"]) - SAM_MEMBERS


@cache
def functions() -> set[str]:
    """Return the names of the intrinsic functions, in lower case and without ``Fn::``."""
    return {path.stem for path in (_folder() / "other" / "functions").glob("*.json")}


@cache
def attributes(kind: str) -> set[str]:
    """Return the attributes of a resource type that ``Fn::GetAtt`` can return."""
    from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # slow to import

    return set(PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).get_atts)
