"""OpenCSVSerDe: read a line of CSV like Hive and Athena, including malformed lines.

Sources: Athena user guide, "Open CSV SerDe"; Trino's deserializer, which behaves like opencsv 2.3. Not implemented:
characters that are disabled with NUL.
"""

from collections.abc import Iterator

DEFAULTS = {"separatorChar": ",", "quoteChar": '"', "escapeChar": "\\"}


class OpenCsv:
    """Reads lines with the separator, quote and escape characters of a table's SerDe parameters."""

    def __init__(self, parameters: dict[str, str]) -> None:
        characters = DEFAULTS | parameters
        self.separator, self.quote, self.escape = (characters[name] for name in DEFAULTS)
        if self.escape == self.quote:  # Hive's default, which it treats as a backslash
            self.escape = DEFAULTS["escapeChar"]

    def row(self, line: str, columns: int) -> list[str | None]:
        """Return one value per column: None for missing values, without extra values."""
        fields = list(self._fields(line)) if line else []
        return [*fields[:columns], *[None] * (columns - len(fields))]

    def _fields(self, line: str) -> Iterator[str]:
        text, in_quotes, in_field, position = "", False, False, 0
        while position < len(line):
            character, following = line[position], line[position + 1 : position + 2]
            inside = in_quotes or in_field
            if character == self.escape:
                if inside and following in (self.quote, self.escape):
                    text += following
                    position += 1
            elif character == self.quote:
                if inside and following == self.quote:
                    text += following
                    position += 1
                else:
                    text = self._with_quote(text, line, position)
                    in_quotes = not in_quotes
                in_field = not in_field
            elif character == self.separator and not in_quotes:
                yield text
                text, in_field = "", False
            else:
                text += character
                in_field = True
            position += 1
        if not in_quotes:  # a field with an unclosed quote is dropped
            yield text

    def _with_quote(self, text: str, line: str, position: int) -> str:
        """Keep a quote inside a field only from the line's fourth character, and only if it does not follow blanks."""
        before, after = line[position - 1 : position], line[position + 1 : position + 2]
        if position < 3 or not after or self.separator in (before, after):
            return text
        return "" if text and text.isspace() else text + self.quote
