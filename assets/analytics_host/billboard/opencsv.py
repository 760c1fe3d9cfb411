"""CSV as Athena's OpenCSVSerDe reads it, which is not as Python's csv module does.

A backslash escapes only a quote or a backslash inside a field, and disappears before anything else: `AC\\DC` is `ACDC`,
`\\N` is `N`. A line break always ends the row. The table in the stack sets the same characters.
"""

from pathlib import Path

SEPARATOR, QUOTE, ESCAPE = ",", '"', "\\"


def read(path: Path) -> tuple[list[str], list[list[str]]]:
    """The names in the first line of a file, in lower case as Athena has them, and the rows."""
    with path.open(encoding="utf-8") as file:
        names, *rows = (fields(line.removesuffix("\n")) for line in file)
    return [name.lower() for name in names], [row[: len(names)] for row in rows]


def fields(line: str) -> list[str]:
    """The fields of one line; the last one is left out when its quote is never closed."""
    found, text, quoted, started = [], "", False, False
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
            found.append(text)
            text, started = "", False
        elif character != ESCAPE:
            text += character
            started = True
    return found if quoted else [*found, text]


def _is_text(line: str, position: int) -> bool:
    """Whether a quote is kept as text, because it neither begins nor ends a field."""
    inside = SEPARATOR not in (line[position - 1 : position], line[position + 1 : position + 2])
    return position > 2 and position + 1 < len(line) and inside
