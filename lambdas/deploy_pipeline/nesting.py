"""The nesting of JSON from outside, which can exceed Python's recursion limit."""

MAX_VALUE_LEVELS = 100  # of a resource's values and policies; recursive functions inspect them


def is_too_deeply_nested(value: object, max_levels: int) -> bool:
    """Return whether objects and lists have more than `max_levels` levels, without recursion."""
    level = [value]
    for _ in range(max_levels):
        containers = [item for item in level if isinstance(item, dict | list)]
        level = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
    return any(isinstance(item, dict | list) for item in level)
