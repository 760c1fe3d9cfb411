"""Texts that have to fit."""

LARGEST_CAUSE = 30_000  # characters; Step Functions takes 32,768, and the machine may have something to add


def fit(text: str, limit: int) -> str:
    """Cut `text` to at most `limit` characters, at the end of a line, saying how much is left out.

    What the first line says, such as a count, is kept whatever comes after.
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
