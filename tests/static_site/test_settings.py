"""Facts about the settings of static_site."""

from typing import Any

import pytest

from settings import Settings

from ..test_settings import mistakes


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"site": "tests"}, "index.html and 404.html not found"),
        ({"site": "~/no/such/folder"}, "index.html and 404.html not found"),
        ({"files": ["LICENSE"]}, "a path that begins with /"),
        ({"redirect_status": "302"}, "301 or 308"),
        ({"content_security_policy": ""}, "the header's value"),
        ({"domain_name": "-www-.example.com"}, "a domain name in small letters"),
        ({"domain_name": "www.example.com"}, "domain_name, hosted_zone_id and hosted_zone_name together"),
        (
            {"domain_name": "evilexample.com", "hosted_zone_id": "Z1", "hosted_zone_name": "example.com"},
            "a domain_name in the zone hosted_zone_name",
        ),
    ],
)
def test_wrong_site_is_refused_with_what_is_accepted(fields: dict[str, Any], said: str) -> None:
    text = mistakes({f"static_site:{name}": value for name, value in fields.items()})
    assert said in text, text


def test_status_of_the_command_line_is_a_number() -> None:
    assert Settings.from_context({"static_site:redirect_status": "301"}).static_site.redirect_status == 301
