"""Names that the users of a project choose must not become links in notifications."""

import pytest

from lambdas.cost_control.notification_text import without_links


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("evil.example", "evil[.]example"),
        ("http://16909060/login", "http[:]//16909060/login"),
        ("HTTP:/evil", "HTTP[:]/evil"),  # Outlook
        ("a@evil", "a[@]evil"),
        ("mailto:a", "mailto[:]a"),
        ("tel:+18005550199", "tel[:]+18005550199"),
        (r"\\evil\share", r"[\\]evil\share"),
        ("line\nhttps://b", "line?https[:]//b"),
        ("\u202emoc", "?moc"),
        ("AccessDenied: arn:aws:iam::111111111111:role/a", "AccessDenied: arn:aws:iam::111111111111:role/a"),
        ("i-0123456789abcdef0: 1.5 times", "i-0123456789abcdef0: 1[.]5 times"),
    ],
)
def test_text_that_mail_programs_link_is_changed(text: str, expected: str) -> None:
    assert without_links(text) == expected
