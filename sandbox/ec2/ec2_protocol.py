"""The EC2 protocol: parameters of the query protocol, XML, errors, and handlers that MiniStack calls."""

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from ..ministack import ec2

Request = dict[str, Any]


class ApiError(Exception):
    """An error response: code, message and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


def implement(name: str, operate: Callable[[Request], dict[str, Any] | None]) -> None:
    """Replace or extend an operation of MiniStack.

    operate: returns the elements of the response, or None to let MiniStack handle the request.
    """
    original = ec2.operations.get(name)

    def handle(parameters: dict[str, Any]) -> Any:
        request = parse_query({key: value[0] for key, value in parameters.items()})
        try:
            if request.pop("DryRun", "false") == "true":
                raise ApiError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
            elements = operate(request)
        except ApiError as error:
            return ec2.error_response(error.code, escape(str(error)), error.status)
        if elements is None:
            return original(parameters)
        return ec2.xml_response(200, f"{name}Response", "".join(to_xml(key, value) for key, value in elements.items()))

    ec2.operations[name] = handle


def parse_query(values: dict[str, str]) -> Request:
    """Convert ``a.1.b=x`` of the query protocol to ``{"a": [{"b": "x"}]}``, without the name of the operation."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        parent = result
        for key in path:
            parent = parent.setdefault(key, {})
        parent[last] = value
    return {key: _numbered_to_lists(value) for key, value in result.items() if key not in ("Action", "Version")}


def _numbered_to_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if all(key.isdigit() for key in value):
        return [_numbered_to_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _numbered_to_lists(inner) for key, inner in value.items()}


def to_xml(name: str, value: Any) -> str:
    """Return an element of the EC2 API, with lists as <item>s and booleans in lower case."""
    if isinstance(value, dict):
        inner = "".join(to_xml(lower_first(key), item) for key, item in value.items())
    elif isinstance(value, list):
        inner = "".join(to_xml("item", item) for item in value)
    else:
        inner = str(value).lower() if isinstance(value, bool) else escape(str(value))
    return f"<{name}>{inner}</{name}>"


def parse_xml(body: bytes) -> dict[str, Any]:
    """Parse the XML of a response, with <item>s as lists."""

    def value(element: ElementTree.Element) -> Any:
        names = [child.tag.rpartition("}")[2] for child in element]
        if not names:
            return {"true": True, "false": False, None: {}}.get(element.text, element.text)
        if set(names) <= {"item", "Error"}:
            return [value(child) for child in element]
        return {lower_first(name): value(child) for name, child in zip(names, element, strict=True)}

    content = value(ElementTree.fromstring(body))  # noqa: S314  # the emulator's response
    return content if isinstance(content, dict) else {}


def lower_first(key: str) -> str:
    return key[:1].lower() + key[1:]
