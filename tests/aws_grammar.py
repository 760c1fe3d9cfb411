"""What AWS accepts: from botocore's models, CloudFormation's schemas and the IAM policy schema in cfn-lint.

Where these have no pattern, a function implements AWS's documentation.
"""

import ipaddress
import json
import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import botocore.session
import cfnlint
from botocore.endpoint_provider import RuleSetStandardLibrary
from cfnlint.rules.resources.events.RuleScheduleExpression import RuleScheduleExpression
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

Grammar = Callable[[Any], bool]
IAM_POLICY = json.loads((Path(cfnlint.__file__).parent / "data/schemas/other/iam/policy.json").read_text())
IAM_PATH = r"(/[\w+=,.@-]+)*/"  # of the characters that IAM accepts in a path, those without a meaning in ARNs


@cache
def api(service: str, shape: str, convert: Callable[[Any], Any] = lambda value: value) -> Grammar:
    """Constraints of a shape in botocore's model of a service."""
    found = botocore.session.get_session().get_service_model(service).shape_for(shape)
    constraints = dict(found.metadata)
    assert constraints, f"{service} {shape} has no constraint to check"
    return lambda value: _satisfies(convert(value), constraints)


def _satisfies(value: Any, constraints: dict[str, Any]) -> bool:
    size = len(value) if isinstance(value, str) else value
    return (
        constraints.get("min", size) <= size <= constraints.get("max", size)
        and ("pattern" not in constraints or bool(re.fullmatch(constraints["pattern"], value)))
        and ("enum" not in constraints or value in constraints["enum"])
    )


@cache
def cfn(resource_type: str, name: str, definition: str | None = None) -> Grammar:
    """Constraints of a property in CloudFormation's schema."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource_type).schema
    found = (schema["definitions"][definition] if definition else schema)["properties"][name]
    names = {"minLength": "min", "minimum": "min", "maxLength": "max", "maximum": "max"}
    constraints = {names.get(key, key): value for key, value in found.items()}
    assert constraints.keys() & {"min", "max", "pattern", "enum"}, f"{resource_type} {name} has no constraint"
    return lambda value: _satisfies(value, constraints)


@cache
def lint_format(name: str) -> Grammar:
    """The pattern of a format of CloudFormation's schemas."""
    pattern = getattr(import_module(f"cfnlint.rules.formats.{name}"), name)().pattern
    return lambda value: bool(re.search(pattern, value))


def iam_arn(value: str) -> bool:
    """The ARN of a policy's resource, with placeholders replaced."""
    for name, text in {"partition": "aws", "account": "111111111111", "region": "eu-west-1", "stack": "prod"}.items():
        value = value.replace(f"{{{name}}}", text)
    pattern = IAM_POLICY["definitions"]["AwsArn"]["pattern"]
    vendor = value.split(":")[2] if value != "*" else "s3"
    # "Resource vendor must be fully qualified and cannot contain regexes" (IAM)
    return bool(re.search(pattern, value)) and "*" not in vendor and printable_ascii(value)


def iam_action(value: str) -> bool:
    """ "The value must consist of a vendor and an action name, separated by a colon": IAM's grammar of policies."""
    return bool(re.fullmatch(r"[a-zA-Z0-9-]+:[a-zA-Z0-9*?]+", value)) and api("iam", "policyDocumentType")(value)


def printable_ascii(value: str) -> bool:
    return bool(re.fullmatch(r"[ -~]+", value))


def canonical(version: int) -> Grammar:
    """EC2 stores ranges without host bits, and so must the setting."""
    return lambda value: str(ipaddress.ip_network(value, strict=True)) == value and _version(value) == version


def _version(value: str) -> int:
    return ipaddress.ip_network(value).version


def schedule(value: str) -> bool:
    return not list(RuleScheduleExpression().validate(_TypeChecker(), None, value, {}))


class _TypeChecker:
    def is_type(self, value: Any, _name: str) -> bool:
        return isinstance(value, str)


def s3_bucket(value: str) -> bool:
    bucket = value.removeprefix("s3://").partition("/")[0]
    hostable = RuleSetStandardLibrary({}).aws_is_virtual_hostable_s3_bucket(bucket, allow_subdomains=True)
    return hostable and lint_format("S3BucketName")(bucket) and len(value) <= 1024


def git_branch(value: str) -> bool:
    """The rules of ``git check-ref-format --branch``, one by one."""
    parts = value.split("/")
    return (
        all(part and part[0] != "." and not part.endswith((".lock", ".")) for part in parts)
        and not any(text in value for text in ("..", "@{", "\\", " ", "~", "^", ":", "?", "*", "["))
        and not any(ord(character) < 32 or ord(character) == 127 for character in value)
        and value != "@"
        and value[0] != "-"
    )


def at_most(length: int) -> Grammar:
    return lambda value: len(value) <= length


def without_quote(value: str) -> bool:
    return "'" not in value  # the mapping of a gateway response quotes it


def new_unix_user(value: str) -> bool:
    """useradd(8): up to 32 characters, a letter or underscore first; base-passwd creates these users."""
    existing = {"root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "irc"}
    existing |= {"www-data", "backup", "list", "nobody", "adm", "tty", "disk", "kmem", "fax", "voice", "audio", "sudo"}
    return bool(re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", value)) and value not in existing


@cache
def iam_name(shape: str, kind: str) -> tuple[Grammar, ...]:
    """A name of IAM after its path, if it has one; the characters are those of a resource in a policy."""
    return (
        api("iam", shape, lambda value: value.rpartition("/")[2]),
        lambda value: bool(re.fullmatch(IAM_PATH, f"/{value}"[: -len(value.rpartition("/")[2])])),
        lambda value: iam_arn(f"arn:aws:iam::111111111111:{kind}/{value}") and not set(value) & set("*?$"),
    )


def exempt_principal(value: str) -> bool:
    kind, _, name = value.partition("/")
    shapes = {"user": "existingUserNameType", "group": "groupNameType", "role": "roleNameType"}
    return all(grammar(name) for grammar in iam_name(shapes[kind], kind))


def cost_filter(value: str) -> bool:
    """Budgets has ``user:<key>$<value>`` as text; IAM matches the tag with ``StringEquals``, which has no wildcards."""
    return "$" not in value and printable_ascii(value)
