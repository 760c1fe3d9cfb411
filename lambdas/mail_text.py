"""Subjects and lines of notifications that contain untrusted text: names, reasons and input that others choose.

Mail programs turn text into links. A reader trusts a link in a notification of this account, so none may come from
untrusted text. Each program recognizes some of the forms below, some of them only Outlook, Android or Thunderbird.
"""

import re

MAX_SUBJECT_CHARACTERS = 99  # SNS API reference, Publish: less than 100
# Thunderbird links every scheme for which a program is installed; these are common, or start a program without asking.
SCHEMES = (
    "bitcoin|callto|cid|data|facetime|feed|file|ftp|geo|git|gopher|https?|imap|intent|irc|itms-[a-z]{1,20}|javascript"
    "|ldap|magnet|mailto|maps|market|mid|ms-[a-z-]{1,30}|msteams|news|nntp|onenote|outlook|search-ms|sftp|sip|skype"
    "|slack|smb|sms|smsto|snews|ssh|steam|tel|telnet|vnc|vscode|wais|webcal|whatsapp|xmpp|zoommtg"
)
LINKS = (
    # Names of hosts; Outlook accepts any text after www. or ftp.
    (re.compile(r"\.(?=[a-z])|(?<=www)\.|(?<=ftp)\.", re.IGNORECASE), "[.]"),
    # IPv4 addresses, except 0.0.0.0. Android accepts leading zeros.
    (re.compile(r"(?<!\d)(?!0\.0\.0\.0(?!\d))(\d+\.\d+\.\d+)\.(?=\d)"), r"\1[.]"),
    # Addresses with any scheme, or with one that needs no slashes; Outlook accepts one slash.
    (re.compile(r"(?<=[a-z0-9+.-]):(?=[/\\])", re.IGNORECASE), "[:]"),
    (re.compile(rf"(?<![a-z0-9])({SCHEMES}):", re.IGNORECASE), r"\1[:]"),
    (re.compile("@"), "[@]"),
    (re.compile(r"\\\\"), r"[\\\\]"),  # network shares: Outlook, and Windows sends the user's login there
)


def subject(text: str, suffix: str = "") -> str:
    """Return text as a subject that SNS accepts, shortened before `suffix`."""
    return one_line(text)[: MAX_SUBJECT_CHARACTERS - len(suffix)] + suffix


def without_links(text: str) -> str:
    """Return text as one line that mail programs do not turn into links.

    They can still recognize phone numbers and dates, which look like account IDs and times, and postal addresses.
    """
    line = one_line(text)
    for pattern, replacement in LINKS:
        line = pattern.sub(replacement, line)
    return line


def one_line(text: str) -> str:
    """Return text with ``?`` for control characters and all that is not ASCII.

    So it cannot look like another part of the notification, or like another name, and has no other dots.
    """
    return "".join(character if character.isascii() and character.isprintable() else "?" for character in text)
