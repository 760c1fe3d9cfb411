"""Invoke a version by its number, and compare its response.

A response is expected to equal a JSON value, or to match a schema. The validator supports the keywords of JSON Schema
in `KEYWORDS`; settings with any other are rejected at synthesis.
"""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, NotRequired, TypedDict

from .errors import SmokeTestError

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient

MAX_SHOWN_CHARACTERS = 200  # of a response, in messages
MAX_SHOWN_MISMATCHES = 5
WORKERS = 8
TYPES: dict[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
    ),
}
KEYWORDS = frozenset({"type", "const", "enum", "required", "properties", "items", "minimum", "maximum", "pattern"})


class Schema(TypedDict, total=False):
    """A JSON Schema with the keywords in `KEYWORDS`."""

    type: str
    const: object
    enum: list[object]
    required: list[str]
    properties: "dict[str, Schema]"
    items: "Schema"
    minimum: float
    maximum: float
    pattern: str


class SmokeTest(TypedDict):
    """The payload of an invocation, and the expected response or its schema."""

    payload: object
    expected: NotRequired[object]
    schema: NotRequired[Schema]


def unsupported_keywords(schema: object) -> Iterator[str]:
    """Yield what the validator does not support in a schema."""
    if not isinstance(schema, dict):
        yield f"{json.dumps(schema)} instead of an object"
        return
    yield from sorted(schema.keys() - KEYWORDS)
    unsupported = {name for name in VALUES.keys() & schema.keys() if not VALUES[name](schema[name])}
    yield from (f"{name} {json.dumps(schema[name])}" for name in sorted(unsupported))
    properties = {} if "properties" in unsupported else schema.get("properties", {})
    for nested in (*properties.values(), *([schema["items"]] if "items" in schema else [])):
        yield from unsupported_keywords(nested)


def _is_pattern(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except re.error:
        return False


# The values that a keyword can have.
VALUES: dict[str, Callable[[object], bool]] = {
    "type": lambda value: value in list(TYPES),
    "enum": TYPES["array"],
    "required": TYPES["array"],
    "properties": TYPES["object"],
    "minimum": TYPES["number"],
    "maximum": TYPES["number"],
    "pattern": _is_pattern,
}


def mismatches(value: object, schema: Schema, path: str = "response") -> Iterator[str]:
    """Yield where `value` does not match `schema`."""
    if "type" in schema and not TYPES[schema["type"]](value):
        yield f"{path} is {_shown(value)} instead of a value of type {schema['type']}"
        return
    if "const" in schema and not _equal(value, schema["const"]):
        yield f"{path} is {_shown(value)} instead of {_shown(schema['const'])}"
    if "enum" in schema and not any(_equal(value, choice) for choice in schema["enum"]):
        yield f"{path} is {_shown(value)} instead of one of {_shown(schema['enum'])}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from _out_of_range(value, schema, path)
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{path} is {_shown(value)}, which does not match {schema['pattern']}"
    if isinstance(value, dict):
        yield from (f"{path} has no {name}" for name in schema.get("required", []) if name not in value)
        for name, nested in schema.get("properties", {}).items():
            if name in value:
                yield from mismatches(value[name], nested, f"{path}.{name}")
    if isinstance(value, list) and "items" in schema:
        for position, item in enumerate(value):
            yield from mismatches(item, schema["items"], f"{path}[{position}]")


def _out_of_range(value: float, schema: Schema, path: str) -> Iterator[str]:
    if value < schema.get("minimum", value):
        yield f"{path} is {value}, below {schema['minimum']}"
    if value > schema.get("maximum", value):
        yield f"{path} is {value}, above {schema['maximum']}"


def _equal(first: object, second: object) -> bool:
    """Compare JSON values: 1.0 is 1, but unlike in Python, true is not."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_equal(first[name], second[name]) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_equal, first, second))
    return bool(first == second) and isinstance(first, bool) == isinstance(second, bool)


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + "..."


def _line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_SHOWN_CHARACTERS])


def smoke_test(client: "LambdaClient", function: str, version: str, test: SmokeTest) -> None:
    """Invoke `version` once. `test` has a ``payload``, and ``expected`` or ``schema`` for the response.

    Raises:
        SmokeTestError: the version failed, or its response is not the expected one.
    """
    problem = problem_of_call(client, function, version, test)
    if problem:
        raise SmokeTestError(f"Version {version} failed its smoke test and has received no traffic: {problem}")


def problem_of_call(client: "LambdaClient", function: str, version: str, test: SmokeTest) -> str | None:
    """Invoke `version`; return what is wrong with its response, or None."""
    result = client.invoke(FunctionName=function, Qualifier=version, Payload=json.dumps(test["payload"]).encode())
    text = result["Payload"].read().decode(errors="replace")  # a custom runtime can return any bytes
    if result.get("FunctionError"):
        return f"it failed with {_line(text)}"
    try:
        response = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return f"its response is not JSON: {_line(text)}"
    schema: Schema = test["schema"] if "schema" in test else {"const": test["expected"]} if "expected" in test else {}
    return "; ".join(islice(mismatches(response, schema), MAX_SHOWN_MISMATCHES)) or None


def synthetic_calls(client: "LambdaClient", function: str, version: str, test: SmokeTest, count: int) -> dict[str, int]:
    """Invoke `version` `count` times, and return the number of calls and of errors."""
    with ThreadPoolExecutor(WORKERS) as pool:
        problems = list(pool.map(lambda _: problem_of_call(client, function, version, test), range(count)))
    return {"calls": count, "errors": sum(problem is not None for problem in problems)}
