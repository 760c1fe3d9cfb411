"""Truncation of text to the limits of AWS services."""

MAX_CAUSE_CHARACTERS = 30_000  # Step Functions accepts 32,768, and the state machine may add text


def truncate(text: str, limit: int) -> str:
    """Truncate `text` to at most `limit` bytes, at the end of a line, and state how many lines are omitted.

    Bytes of UTF-8 are counted: some limits of AWS are bytes, and a text never has more characters than bytes. The
    first line, which may contain a count, is always kept as far as it fits.
    """
    content = text.encode(errors="replace")
    if len(content) <= limit:
        return text
    lines = text.split("\n")
    sizes = [len(line) for line in content.split(b"\n")]
    room = limit - len(f"\n... and {len(lines)} more lines")
    count = 0
    while count < len(lines) and sizes[count] + (count > 0) <= room:
        room -= sizes[count] + (count > 0)
        count += 1
    if not count:
        return content[: limit - 3].decode(errors="ignore") + "..."
    return "\n".join([*lines[:count], f"... and {len(lines) - count} more lines"])
