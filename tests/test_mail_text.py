"""Untrusted text in notifications: mail programs create no links from it, and SNS accepts it as a subject."""

import re

import pytest

from lambdas.mail_text import one_line, subject, without_links


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Names of hosts
        ("evil.example", "evil[.]example"),  # Gmail
        ("EVIL.EXAMPLE", "EVIL[.]EXAMPLE"),
        ("evil.xn--p1ai/login?a=b", "evil[.]xn--p1ai/login?a=b"),
        ("a.b.c.example.", "a[.]b[.]c[.]example."),
        ("www.evil", "www[.]evil"),
        ("www.1", "www[.]1"),  # Outlook
        ("_WWW.1", "_WWW[.]1"),
        ("ftp.1", "ftp[.]1"),
        # Other dots, letters and invisible characters
        ("www\u3002evil\uff0eexample", "www?evil?example"),
        ("evil\uff61example", "evil?example"),
        ("evil\u2024example", "evil?example"),
        ("evil.\u0440\u0444", "evil.??"),
        ("\u0435vil.example", "?vil[.]example"),
        ("ex\u00adample.com", "ex?ample[.]com"),
        ("evil\u200b.example", "evil?[.]example"),
        ("https\uff1a//evil", "https?//evil"),
        ("a\uff20evil", "a?evil"),
        ("\u202emoc.live", "?moc[.]live"),
        # IPv4 addresses: Android
        ("1.2.3.4", "1.2.3[.]4"),
        ("1.2.3.4:8080/login", "1.2.3[.]4:8080/login"),
        (".1.2.3.4", ".1.2.3[.]4"),
        ("010.1.1.1", "010.1.1[.]1"),
        ("1234.1.1.1", "1234.1.1[.]1"),
        ("0.0.0.0.8.8.8.8", "0.0.0.0[.]8.8.8[.]8"),
        ("10.0.0.0", "10.0.0[.]0"),
        ("0.0.0.01", "0.0.0[.]01"),
        # Addresses with a scheme
        ("https://evil.example/login", "https[:]//evil[.]example/login"),
        ("HTTPS://EVIL.EXAMPLE", "HTTPS[:]//EVIL[.]EXAMPLE"),
        ("http:/evil", "http[:]/evil"),  # Outlook
        ("http://1.2.3.4/", "http[:]//1.2.3[.]4/"),
        ("http://16909060/", "http[:]//16909060/"),
        ("http://[2001:db8::1]/", "http[:]//[2001:db8::1]/"),
        ("app+x://evil", "app+x[:]//evil"),  # any app's scheme
        (r"file:\\evil\share", r"file[:][\\]evil\share"),
        ("ms-word:ofe|u|https://x", "ms-word[:]ofe|u|https[:]//x"),
        ("search-ms:query=x", "search-ms[:]query=x"),
        ("mailto:evil", "mailto[:]evil"),
        ("_mailto:evil", "_mailto[:]evil"),  # Thunderbird: an underscore is not part of a scheme
        ("slack:x zoommtg:x bitcoin:x vscode:x", "slack[:]x zoommtg[:]x bitcoin[:]x vscode[:]x"),
        ("MAILTO:a@evil.example?subject=x", "MAILTO[:]a[@]evil[.]example?subject=x"),
        ("tel:+18005550199", "tel[:]+18005550199"),
        ("sms:12345 skype:evil?call", "sms[:]12345 skype[:]evil?call"),
        ("javascript:alert(1)", "javascript[:]alert(1)"),
        ("data:text/html,x", "data[:]text/html,x"),
        ("arn:aws:tel:1", "arn:aws:tel[:]1"),
        # Email addresses and network shares
        ("a@evil", "a[@]evil"),
        ("a@evil.example", "a[@]evil[.]example"),
        ("a@1.2.3.4", "a[@]1.2.3[.]4"),
        (r"\\evil\share", r"[\\]evil\share"),  # Outlook
        # Markup
        ("<https://evil.example>", "<https[:]//evil[.]example>"),
        ("[report](https://evil.example)", "[report](https[:]//evil[.]example)"),
        ("[report](//evil.example)", "[report](//evil[.]example)"),
        ('<a href="http://16909060">report</a>', '<a href="http[:]//16909060">report</a>'),
        ("a\nhttps://b", "a?https[:]//b"),
    ],
)
def test_form_of_link_is_neutralized(text: str, expected: str) -> None:
    assert without_links(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:iam::111111111111:user/alice",
        "AccessDenied: arn:aws:iam::111111111111:role/a",
        "aws-cli/2.31.0 md/awscrt#0.28.4 ua/2.1 os/linux#6.1 lang/python#3.13.7",
        "inbound TCP 443 from 0.0.0.0/0",
        "inbound TCP 22 from 2001:db8::/32",
        "2026-11-21T07:08:26Z",
        "30 -> 1.5 seconds, Child/Queue: AWS::SQS::Queue",
        "i-0123456789abcdef0: 1.5 times",
        "metadata: hotel: profile: x",
        "User is not authorized to perform: s3:GetObject.",
    ],
)
def test_text_without_links_is_unchanged(text: str) -> None:
    assert without_links(text) == text


@pytest.mark.parametrize(
    "character", ["\n", "\r", "\t", "\x1b", "\x7f", "\u2028", "\u202e", "\ud800", "\xe9", "\U0001f600"]
)
def test_other_character_is_replaced(character: str) -> None:
    assert one_line(f"a{character}b") == subject(f"a{character}b") == without_links(f"a{character}b") == "a?b"


@pytest.mark.parametrize("suffix", ["", " version 12"])
def test_subject_is_shortened_before_its_suffix(suffix: str) -> None:
    """SNS accepts fewer than 100 characters (API reference, Publish)."""
    assert subject("a" * 300, suffix) == "a" * (99 - len(suffix)) + suffix
    assert subject("a" * (99 - len(suffix)), suffix) == "a" * (99 - len(suffix)) + suffix
    assert subject("short", suffix) == f"short{suffix}"


def test_long_text_takes_linear_time() -> None:
    """The input of an execution can have 256 KB."""
    for text in ("1." * 100_000, "9" * 200_000, "." * 200_000, "ms-" * 60_000, "\\" * 200_000, "w" * 200_000):
        assert re.sub(r"\[|\]", "", without_links(text)) == text
