"""Read and validate the fields of an object, and collect all errors."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

MAX_SHOWN_CHARACTERS = 60


class FieldReader:
    """The fields of an object. `errors`: each names a field, the value given, and what is accepted."""

    def __init__(self, fields: Mapping[str, object], prefix: str = "") -> None:
        self.fields = fields
        self.prefix = prefix
        self.known: set[str] = set()
        self.errors: list[str] = []

    def text(self, name: str, pattern: re.Pattern[str] | None = None, accepted: str = "text") -> str:
        value = self._read(name)
        if not isinstance(value, str) or not value or (pattern and not pattern.fullmatch(value)):
            self._add_error(name, accepted)
            return ""
        return value

    def optional(self, name: str, default: object, is_valid: Callable[[object], bool], accepted: str) -> Any:
        value = self._read(name, default)
        if not is_valid(value):
            self._add_error(name, accepted)
            return default
        return value

    def choice(self, name: str, accepted: tuple[str, ...]) -> str:
        """Read one of the accepted values; the first one is the default."""
        return str(self.optional(name, accepted[0], lambda value: value in accepted, join_or(accepted)))

    def check_keys(self, name: str, pattern: re.Pattern[str], accepted: str, max_items: int) -> None:
        """Check the keys of an object; `mapping` checks that it is one, and its values."""
        value = self.fields.get(name)
        if not isinstance(value, dict):
            return
        if len(value) > max_items:
            accepted_size = f"an object of at most {max_items} items"
            self.errors.append(f"{self.prefix}{name}: given {len(value)} items; accepted: {accepted_size}")
        for key in sorted(key for key in value if not pattern.fullmatch(key)):
            self.errors.append(f"{self.prefix}{name}: given the key {shorten(key)}; accepted: {accepted}")

    def mapping(self, name: str, is_valid: Callable[[object], bool], accepted: str) -> dict[str, object]:
        """Read an object and check each of its values separately."""
        value = self.optional(name, {}, is_object, f"an object of {accepted}")
        for item in sorted(item for item in value if not is_valid(value[item])):
            shown = item[:MAX_SHOWN_CHARACTERS]
            self.errors.append(f"{self.prefix}{name}.{shown}: given {shorten(value[item])}; accepted: {accepted}")
        return dict(value)

    def reject_unknown_fields(self) -> None:
        unknown = sorted(set(self.fields) - self.known)
        for name in unknown:
            valid = f" (valid: {', '.join(sorted(self.known))})" if name == unknown[0] else ""
            self.errors.append(f"{self.prefix}{name[:MAX_SHOWN_CHARACTERS]}: unknown field{valid}")

    def _read(self, name: str, default: object = None) -> object:
        self.known.add(name)
        return self.fields.get(name, default)

    def _add_error(self, name: str, accepted: str) -> None:
        problem = f"given {shorten(self.fields[name])}" if name in self.fields else "missing"
        self.errors.append(f"{self.prefix}{name}: {problem}; accepted: {accepted}")


def is_object(value: object) -> bool:
    return isinstance(value, dict)


def shorten(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def join_or(accepted: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(accepted[:-1]), accepted[-1])))
