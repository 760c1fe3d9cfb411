"""Read CSV as Athena's OpenCSVSerDe does, which differs from Python's csv module.

A backslash escapes a quote or a backslash inside a field, and is dropped before any other character: `AC\\DC` becomes
`ACDC`, `\\N` becomes `N`. A line break always ends the row. The stack's table sets the same characters.
"""

from pathlib import Path

SEPARATOR, QUOTE, ESCAPE = ",", '"', "\\"


def read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the column names in the first line, in lowercase as in Athena, and the rows."""
    with path.open(encoding="utf-8") as file:
        names, *rows = (fields(line.removesuffix("\n")) for line in file)
    return [name.lower() for name in names], [row[: len(names)] for row in rows]


def fields(line: str) -> list[str]:
    """Return the fields of one line, without the last one if its quote is never closed."""
    result, text, quoted, started = [], "", False, False
    characters = enumerate(line)
    for position, character in characters:
        following = line[position + 1 : position + 2]
        special = (quoted or started) and (following == QUOTE or (character == ESCAPE and following == ESCAPE))
        if character in (ESCAPE, QUOTE) and special:
            text += following
            next(characters)
            started = started if character == ESCAPE else not started
        elif character == QUOTE:
            if _is_text(line, position):
                text = "" if text.isspace() else text + QUOTE
            quoted, started = not quoted, not started
        elif character == SEPARATOR and not quoted:
            result.append(text)
            text, started = "", False
        elif character != ESCAPE:
            text += character
            started = True
    return result if quoted else [*result, text]


def _is_text(line: str, position: int) -> bool:
    """Return whether a quote is text because it neither starts nor ends a field."""
    inside = SEPARATOR not in (line[position - 1 : position], line[position + 1 : position + 2])
    return position > 2 and position + 1 < len(line) and inside
