"""Text within the limits of AWS services."""

MAX_CAUSE_CHARACTERS = 30_000  # Step Functions accepts 32,768, and the state machine may add text


def truncate(text: str, limit: int) -> str:
    """Truncate `text` to at most `limit` characters, at the end of a line, and state how many lines are omitted.

    The first line, which may contain a count, is always kept as far as it fits.
    """
    if len(text) <= limit:
        return text
    lines = text.split("\n")
    room = limit - len(f"\n... and {len(lines)} more lines")
    kept = 0
    while kept < len(lines) and len(lines[kept]) + (kept > 0) <= room:
        room -= len(lines[kept]) + (kept > 0)
        kept += 1
    if not kept:
        return text[: limit - 3] + "..."
    return "\n".join([*lines[:kept], f"... and {len(lines) - kept} more lines"])
