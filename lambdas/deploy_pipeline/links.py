"""Prevent mail programs from creating links from text that others choose."""

import re

SCHEMES = "callto|data|facetime|file|ftp|geo|https?|javascript|mailto|maps|market|news|sip|skype|sms|ssh|tel"
# Text that mail programs turn into links, and its replacement.
LINKS = (
    (re.compile(r"\.(?=[a-z])|(?<=\bwww)\.|(?<=\bftp)\.", re.IGNORECASE), "[.]"),  # names of hosts
    (re.compile(r"(?<!\d)([1-9]\d{0,2}\.\d{1,3}\.\d{1,3})\.(?=\d)"), r"\1[.]"),  # IPv4 addresses
    (re.compile(r"(?<=[a-z0-9+.-]):(?=[/\\])", re.IGNORECASE), "[:]"),  # Outlook accepts one slash
    (re.compile(rf"\b({SCHEMES}):(?!:)", re.IGNORECASE), r"\1[:]"),
    (re.compile("@"), "[@]"),
    (re.compile(r"\\\\"), r"[\\\\]"),  # network shares
)


def without_links(text: str) -> str:
    """Return text in which mail programs find no address."""
    for pattern, replacement in LINKS:
        text = pattern.sub(replacement, text)
    return text
