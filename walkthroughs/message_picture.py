"""Pictures of notifications in SVG, for docs/."""

import textwrap
from collections.abc import Sequence
from xml.sax.saxutils import escape

WIDTH, MARGIN, LINE_HEIGHT = 800, 20, 18
CHARACTERS = 100  # per line of the text
TEXT, BORDER, BOX = "#242424", "#d0d0d0", "#f6f6f6"


def message_picture(headings: Sequence[str], text: str) -> str:
    """Return an SVG document with the headings of a message, the last one in bold, and its text in a box."""
    lines = [part for line in text.splitlines() for part in _wrapped(line)]
    top = MARGIN + LINE_HEIGHT * len(headings) + 8
    box_height = LINE_HEIGHT * len(lines) + MARGIN
    height = top + box_height + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' fill="{TEXT}" font-size="13" role="img">',
        f"<title>{escape(headings[-1])}</title>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" fill="#ffffff" stroke="{BORDER}"/>',
        f'<rect x="{MARGIN}" y="{top}" width="{WIDTH - 2 * MARGIN}" height="{box_height}" fill="{BOX}"/>',
        '<g font-family="sans-serif">',
    ]
    for number, heading in enumerate(headings, 1):
        weight = ' font-weight="bold"' if number == len(headings) else ""
        parts.append(f'<text x="{MARGIN}" y="{MARGIN + LINE_HEIGHT * number - 6}"{weight}>{escape(heading)}</text>')
    parts.append('</g><g font-family="monospace" font-size="12">')
    for number, line in enumerate(lines, 1):
        y = top + LINE_HEIGHT * number + 2
        parts.append(f'<text x="{MARGIN + 10}" y="{y}" xml:space="preserve">{escape(line)}</text>')
    return "\n".join([*parts, "</g></svg>", ""])


def _wrapped(line: str) -> list[str]:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(line, CHARACTERS, subsequent_indent=indent, drop_whitespace=False) or [""]
