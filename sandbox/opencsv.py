"""OpenCSVSerDe: how Hive and Athena read a line of CSV, with what they do to text that no writer would produce.

Source: Athena user guide, "Open CSV SerDe"; Trino's deserializer, which keeps the behaviour of opencsv 2.3. Left out:
characters that are disabled with NUL.
"""

from collections.abc import Iterator

DEFAULTS = {"separatorChar": ",", "quoteChar": '"', "escapeChar": "\\"}


class OpenCsv:
    """Reads lines with the characters that a table's SerDe parameters set."""

    def __init__(self, parameters: dict[str, str]) -> None:
        chosen = DEFAULTS | parameters
        self.separator, self.quote = chosen["separatorChar"], chosen["quoteChar"]
        same = chosen["escapeChar"] == self.quote  # is what Hive has as its default, and reads as a backslash
        self.escape = DEFAULTS["escapeChar"] if same else chosen["escapeChar"]

    def row(self, line: str, columns: int) -> list[str | None]:
        """One value for each column: what is missing is NULL, what is more is ignored."""
        found = list(self._fields(line)) if line else []
        return [*found[:columns], *[None] * (columns - len(found))]

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
        if not in_quotes:  # a field whose quote is never closed is lost
            yield text

    def _with_quote(self, text: str, line: str, position: int) -> str:
        """A quote in the middle of a field is text, from the fourth character of the line on; after blanks, none is."""
        before, after = line[position - 1 : position], line[position + 1 : position + 2]
        if position < 3 or not after or self.separator in (before, after):
            return text
        return "" if text and text.isspace() else text + self.quote
