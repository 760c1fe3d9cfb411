"""Write the tables of docs/reliability.md from the `reliability` markers on tests: ``python -m tests.reliability``.

A row is one fault of a system: ``@pytest.mark.reliability(system, kind, fault=, expected=, observed=)``. Further
tests of the same fault repeat system, kind and fault only. The markers are read from the source: nothing is
imported or collected.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "reliability.md"
KINDS = (
    "Throttling",
    "Access denied",
    "Partial failure",
    "Duplicate",
    "Late",
    "Lost",
    "Timeout mid-way",
    "Deleted by somebody else",
    "Malformed input",
    "Hostile input",
    "Only here",
)
HEADER = "| kind | fault | expected | observed | tests |\n|---|---|---|---|---|\n"


@dataclass(frozen=True)
class Mark:
    """One marker, and the test that it is on, by its node id."""

    test: str
    system: str
    kind: str
    fault: str
    expected: str = ""
    observed: str = ""

    @property
    def row(self) -> tuple[str, str, str]:
        return self.system, self.kind, self.fault


@cache
def marks() -> tuple[Mark, ...]:
    """All markers, by file and line."""
    sources = {path: path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))}
    return tuple(
        Mark(f"{path.relative_to(ROOT)}::{test}", *arguments, **named)
        for path, source in sources.items()
        if "pytest.mark.reliability(" in source
        for test, arguments, named in _marked(ast.parse(source))
    )


def _marked(module: ast.Module) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    for statement in ast.walk(module):
        if isinstance(statement, ast.FunctionDef):
            # A scenario is a parameter of its test.
            name = statement.name if statement.name.startswith("test_") else f"test_state_machine[{statement.name}]"
            yield from ((name, *found) for found in map(_arguments, statement.decorator_list) if found)
        elif isinstance(statement, ast.Dict):  # the steps of walkthroughs
            for key, value in zip(statement.keys, statement.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str) and isinstance(value, ast.List):
                    yield from (
                        (f"test_walkthrough[{key.value}]", *found) for found in map(_arguments, value.elts) if found
                    )


def _arguments(node: ast.expr) -> tuple[list[str], dict[str, str]] | None:
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "pytest.mark.reliability":
        return None
    return (
        [ast.literal_eval(argument) for argument in node.args],
        {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords},
    )


def table(system: str, found: tuple[Mark, ...]) -> str:
    """The rows of one system, by kind, then in the order of the tests."""
    rows: dict[tuple[str, str], list[Mark]] = {}
    for mark in sorted((m for m in found if m.system == system), key=lambda mark: KINDS.index(mark.kind)):
        rows.setdefault((mark.kind, mark.fault), []).append(mark)
    return HEADER + "".join(_row(kind, fault, group) for (kind, fault), group in rows.items())


def _row(kind: str, fault: str, group: list[Mark]) -> str:
    told = next((mark for mark in group if mark.expected), group[0])
    tests = ", ".join(f"`{mark.test.partition('::')[2]}`" for mark in group)
    return f"| {kind} | {fault} | {told.expected} | {told.observed} | {tests} |\n"


def document() -> str:
    """docs/reliability.md with its tables as the markers have them."""
    found, parts = marks(), re.split(r"^(?=## )", DOCUMENT.read_text(), flags=re.MULTILINE)
    return "".join(_updated(part, found) for part in parts)


def _updated(section: str, found: tuple[Mark, ...]) -> str:
    """A section with its table replaced; its heading is the system."""
    written = table(section[3:].partition("\n")[0], found)
    return re.sub(r"(?:^\|.*\n)+", lambda _: written, section, flags=re.MULTILINE)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
