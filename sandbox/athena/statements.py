"""Athena's statements: their kind, database and table. Not implemented: comments, and SHOW with patterns."""

import re
from dataclasses import dataclass, field

from ..ministack import athena

_NAME = r"[\"`]?(?:(?P<database>\w+)[\"`]?\.[\"`]?)?(?P<table>\w+)[\"`]?"
_WITH = r"(?:WITH\s*\((?P<properties>(?:[^()']|'[^']*'|\([^()]*\))*)\)\s*)?"
_PATTERNS = {
    "SHOW DATABASES": r"SHOW\s+(?:DATABASES|SCHEMAS)",
    "SHOW TABLES": r"SHOW\s+TABLES(?:\s+(?:IN|FROM)\s+[\"`]?(?P<database>\w+)[\"`]?)?",
    "SHOW CREATE TABLE": rf"SHOW\s+CREATE\s+TABLE\s+{_NAME}",
    "DESCRIBE": rf"DESC(?:RIBE)?\s+{_NAME}",
    "DROP TABLE": rf"DROP\s+TABLE\s+(?P<optional>IF\s+EXISTS\s+)?{_NAME}",
    "CREATE TABLE AS": rf"CREATE\s+TABLE\s+(?P<optional>IF\s+NOT\s+EXISTS\s+)?{_NAME}\s+{_WITH}AS\s+(?P<select>.+)",
    "CREATE TABLE": rf"CREATE\s+EXTERNAL\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}\s*\(.+",
    "INSERT": rf"INSERT\s+INTO\s+{_NAME}\s+(?P<select>SELECT\b.*)",
}
_STATEMENTS = {kind: re.compile(rf"\s*{pattern}\s*", re.IGNORECASE | re.DOTALL) for kind, pattern in _PATTERNS.items()}
_PROPERTY = re.compile(r"(\w+)\s*=\s*(?:'([^']*)'|([^,\s]+))")
_ONE_SCHEMA = re.compile(r"\btable_schema\s*=\s*'(\w+)'", re.IGNORECASE)
INFORMATION_SCHEMA = "information_schema"


@dataclass(frozen=True)
class Statement:
    """A statement.

    current: the database of names without one. database, table: of the table that the statement creates, drops,
    describes or writes to. select: the query in it. optional: IF EXISTS or IF NOT EXISTS.
    """

    kind: str
    current: str
    database: str = ""
    table: str = ""
    select: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    optional: bool = False

    @property
    def sources(self) -> list[tuple[str, str]]:
        """The database and name of each table that the query reads, including those of the information schema."""
        references = athena.table_references(self.select)
        return sorted({((found.database or self.current).lower(), found.table.lower()) for found in references})

    @property
    def listed_database(self) -> str:
        """The database to which a query of the information schema is limited; empty if it is not limited."""
        found = _ONE_SCHEMA.search(self.select)
        return found[1] if found else ""


def parse(text: str, current: str) -> Statement:
    """Parse a statement in the context of a database; any other kind is a SELECT."""
    text = text.strip().rstrip(";")
    matches = ((kind, pattern.fullmatch(text)) for kind, pattern in _STATEMENTS.items())
    kind, found = next(((kind, found) for kind, found in matches if found), ("SELECT", None))
    if found is None:
        return Statement(kind, current, select=text)
    parts = found.groupdict(default="")
    properties = _PROPERTY.findall(parts.get("properties", ""))
    return Statement(
        kind,
        current,
        (parts.get("database") or current).lower(),
        parts.get("table", "").lower(),
        parts.get("select", ""),
        {name.lower(): quoted or bare for name, quoted, bare in properties},
        bool(parts.get("optional")),
    )
