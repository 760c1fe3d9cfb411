"""Write the tables of docs/reliability.md from the `reliability` markers on tests: ``python -m tests.reliability``.

Each row is one fault of a system: ``@pytest.mark.reliability(system, kind, fault=, expected=, observed=)``. Additional
tests of the same fault only repeat system, kind and fault. The markers are read from the source; no test is imported or
collected.
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
    "Delayed or out of order",
    "Lost event or response",
    "Timeout",
    "Deleted externally",
    "Malformed input",
    "Hostile input",
    "System-specific",
)
HEADER = "| Kind | Fault | Expected | Observed | Tests |\n|---|---|---|---|---|\n"


@dataclass(frozen=True)
class Mark:
    """A marker, with the node ID of its test."""

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
    """All markers, ordered by file and line."""
    sources = {path: path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))}
    return tuple(
        Mark(f"{path.relative_to(ROOT)}::{test}", *arguments, **keywords)
        for path, source in sources.items()
        if "pytest.mark.reliability(" in source
        for test, arguments, keywords in _markers(ast.parse(source))
    )


def _markers(module: ast.Module) -> Iterator[tuple[str, list[str], dict[str, str]]]:
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


def table(system: str, all_marks: tuple[Mark, ...]) -> str:
    """Rows of one system, ordered by kind and test."""
    rows: dict[tuple[str, str], list[Mark]] = {}
    for mark in sorted((m for m in all_marks if m.system == system), key=lambda mark: KINDS.index(mark.kind)):
        rows.setdefault((mark.kind, mark.fault), []).append(mark)
    return HEADER + "".join(_row(kind, fault, group) for (kind, fault), group in rows.items())


def _row(kind: str, fault: str, group: list[Mark]) -> str:
    described = next((mark for mark in group if mark.expected), group[0])
    tests = ", ".join(f"`{mark.test.partition('::')[2]}`" for mark in group)
    return f"| {kind} | {fault} | {described.expected} | {described.observed} | {tests} |\n"


def document() -> str:
    """docs/reliability.md, with tables generated from the markers."""
    parts = re.split(r"^(?=## )", DOCUMENT.read_text(), flags=re.MULTILINE)
    return "".join(_update(part, marks()) for part in parts)


def _update(section: str, all_marks: tuple[Mark, ...]) -> str:
    """Replace the table of a section, whose heading is the system."""
    rows = table(section[3:].partition("\n")[0], all_marks)
    return re.sub(r"(?:^\|.*\n)+", lambda _: rows, section, flags=re.MULTILINE)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
