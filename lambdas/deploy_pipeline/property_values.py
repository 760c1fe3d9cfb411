"""Show the values of a property before and after an update, unless they may be secret."""

import re
from collections.abc import Mapping

from .api_types import ResourceChangeWithValues
from .contexts import MASK, UNKNOWN
from .dynamic_references import START
from .lossy_conditions import KNOWN_AFTER_APPLY

MAX_SHOWN_CHARACTERS = 60
# Names of properties whose values are omitted, whether or not they come from a parameter with NoEcho.
SECRET_NAME = re.compile(
    r"password|passphrase|passwd|secret|token|credential|privatekey|apikey|authkey|connectionstring|userdata|^value$",
    re.IGNORECASE,
)
ABSENT = object()


def shown_change(resource: ResourceChangeWithValues, name: str) -> str:
    """Return both values of a property, such as ``" (jobs -> work)"``; empty if they are not visible or may be secret.

    Only simple values are shown: objects and lists can contain anything, such as the environment of a container.
    """
    if None in (resource["Before"], resource["After"]) or SECRET_NAME.search(name):
        return ""
    before, after = (shown_value(property_value(shown, name)) for shown in (resource["Before"], resource["After"]))
    return "" if None in (before, after) or before == after else f" ({before} -> {after})"


def property_value(shown: Mapping[str, object] | None, name: str) -> object:
    """Return the value of a property of a resource; `ABSENT` if it is not set."""
    properties = (shown or {}).get("Properties")
    return properties.get(name, ABSENT) if isinstance(properties, dict) else ABSENT


def shown_value(value: object) -> str | None:
    """Return a simple value in one line; None if it must not be shown."""
    if value is ABSENT:
        return "not set"
    if isinstance(value, dict | list) or value is None:
        return None
    text = str(value)
    if any(mark in text for mark in (MASK, START, UNKNOWN)):
        return None
    if KNOWN_AFTER_APPLY in text:
        return "known after the update"
    line = text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= MAX_SHOWN_CHARACTERS else f"{line[:MAX_SHOWN_CHARACTERS]}..."
