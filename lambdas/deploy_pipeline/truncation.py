"""Truncation of text to the limits of AWS services."""

MAX_CAUSE_CHARACTERS = 30_000  # Step Functions accepts 32,768, and the state machine may add text


def truncate(text: str, limit: int) -> str:
    """Truncate `text` to at most `limit` characters, at the end of a line, and state how many lines are omitted.

    The first line, which may contain a count, is always kept as far as it fits.
    """
    if len(text) <= limit:
        return text
    lines = text.split("\n")
    room = limit - len(f"\n... and {len(lines)} more lines")
    count = 0
    while count < len(lines) and len(lines[count]) + (count > 0) <= room:
        room -= len(lines[count]) + (count > 0)
        count += 1
    if not count:
        return text[: limit - 3] + "..."
    return "\n".join([*lines[:count], f"... and {len(lines) - count} more lines"])
