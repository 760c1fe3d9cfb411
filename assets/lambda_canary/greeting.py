"""The sample function: greets, and returns its version."""

from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    return {"greeting": f"Hello, {event.get('name', 'world')}", "version": context.function_version}
