"""Settings of static_site: accepted values and error messages."""

from typing import Any

import pytest

from settings import Settings, SettingsError

from ..test_settings import error_message

CUSTOM_DOMAIN = {"domain_name": "www.example.com", "hosted_zone_id": "Z1", "hosted_zone_name": "example.com"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"site": "tests"}, "a folder with an index.html; index.html not found"),
        ({"site": "~/no/such/folder"}, "a folder with an index.html; folder not found"),
        ({"site": "~no-such-user/site"}, "the path of a folder"),
        ({"site": "x" * 5000}, "the path of a folder"),
        ({"redirect_status": "302"}, "301 or 308"),
        ({"redirect_status": "301", "trailing_slash": "rewrite"}, "has no effect with static_site:trailing_slash="),
        (
            {"additional_sources": "img-src https:", "content_security_policy": "x"},
            "has no effect with static_site:con",
        ),
        ({"content_security_policy": ""}, "a header value"),
        ({"content_security_policy": "default-src 'self'\nX: y"}, "a header value"),
        ({"content_security_policy": "x" * 1784}, "at most 1783"),
        (
            {"content_types": [{"files": "*.glb", "content_type": "model"}]},
            "content_types[0].content_type: invalid value",
        ),
        (
            {"content_types": [{"files": "*.glb", "content_type": "text/plain\n"}]},
            "a media type, such as text/calendar",
        ),
        ({"content_types": [{"files": "/a", "content_type": "a/b"}]}, "a path or pattern below the folder"),
        ({"content_types": [{"files": "*.glb"}]}, "content_types[0].content_type: required"),
        ({"content_types": "*.glb"}, "a JSON list"),
        ({"additional_sources": "img-src"}, "directives of a Content-Security-Policy, such as img-src https:"),
        ({"additional_sources": "img-src https:, *"}, "directives of a Content-Security-Policy"),
        ({"additional_sources": "frame-ancestors *"}, "directives of a Content-Security-Policy"),
        ({"additional_sources": "img-src a\u00e9"}, "directives of a Content-Security-Policy"),
        ({"additional_sources": f"img-src {'x' * 1000}"}, "at most 1000 characters"),
        (
            {"additional_sources": "img-src https:", "content_security_policy": "default-src *"},
            "has no effect with static_site:content_security_policy=",
        ),
        ({"domain_name": "-www-.example.com"}, "a domain name of at most 64 lowercase characters"),
        ({"domain_name": "*.example.com"}, "without *"),
        ({"domain_name": f"{'a' * 53}.example.com"}, "at most 64"),
        ({"domain_name": "www.example.com."}, "a trailing dot"),
        ({"domain_name": "www.example.xn--"}, "a domain name"),
        ({"hosted_zone_id": "/hostedzone/Z1"}, "the ID of a hosted zone"),
        ({"domain_name": "www.example.com"}, "needs static_site:hosted_zone_id and static_site:hosted_zone_name"),
        ({"alternate_domain_names": ["example.com"]}, "needs static_site:domain_name"),
        ({"alternate_domain_names": ["*.example.com"]}, "a domain name in lowercase"),
        (CUSTOM_DOMAIN | {"alternate_domain_names": ["www.example.com"]}, "each name once, and not static_site:domain"),
        (CUSTOM_DOMAIN | {"alternate_domain_names": ["example.com", "example.com"]}, "each name once"),
        (CUSTOM_DOMAIN | {"alternate_domain_names": ["example.org"]}, "not in the zone static_site:hosted_zone_name="),
        (
            {"domain_name": "evilexample.com", "hosted_zone_id": "Z1", "hosted_zone_name": "example.com"},
            '="evilexample.com" is not in the zone static_site:hosted_zone_name="example.com"',
        ),
    ],
)
def test_invalid_setting_error_names_accepted_values(fields: dict[str, Any], message: str) -> None:
    text = error_message({f"static_site:{name}": value for name, value in fields.items()})
    assert message in text, text


@pytest.mark.parametrize(
    "fields",
    [
        {"additional_sources": "img-src https:"},
        {"content_security_policy": "default-src 'self'"},
        {"redirect_status": "301", "trailing_slash": "rewrite", "redirect_index_html": "true"},
        CUSTOM_DOMAIN | {"alternate_domain_names": ["example.com", "shop.example.com"]},
    ],
)
def test_settings_that_have_an_effect_together_are_accepted(fields: dict[str, Any]) -> None:
    settings = Settings.from_context({f"static_site:{name}": value for name, value in fields.items()})
    assert settings.static_site.model_fields_set == fields.keys()


def test_alternate_names_without_domain_name_cause_one_error() -> None:
    text = error_message({"static_site:alternate_domain_names": ["example.com"]})
    assert len(text.splitlines()) == 2, "a heading, and the error"


def test_redirect_status_from_command_line_is_converted() -> None:
    assert Settings.from_context({"static_site:redirect_status": "301"}).static_site.redirect_status == 301


@pytest.mark.parametrize("name", ["www.example.xn--p1ai", "xn--bcher-kva.example.xn--fiqs8s", "a.b-c.museum"])
def test_international_domain_name_is_accepted(name: str) -> None:
    fields = {
        "domain_name": name,
        "hosted_zone_id": "Z0123456789ABCDEFGHIJ",
        "hosted_zone_name": name.partition(".")[2],
    }
    settings = Settings.from_context({f"static_site:{field}": value for field, value in fields.items()})
    assert settings.static_site.domain_name == name


def test_longest_domain_names_are_accepted() -> None:
    """64 characters in a certificate's first name, 253 in a hosted zone's name."""
    zone = {"static_site:hosted_zone_id": "Z0123456789ABCDEFGHIJ", "static_site:hosted_zone_name": "example.com"}
    name = f"{'a' * 52}.example.com"
    assert len(name) == 64
    assert Settings.from_context(zone | {"static_site:domain_name": name}).static_site.domain_name == name
    longest = f"{'a' * 61}.{'b' * 63}.{'c' * 63}.{'d' * 63}"
    assert len(longest) == 253
    for zone_name, message in ((longest, "is not in the zone"), (f"a{longest}", "a domain name in lowercase")):
        context = zone | {"static_site:domain_name": name, "static_site:hosted_zone_name": zone_name}
        with pytest.raises(SettingsError, match=message):
            Settings.from_context(context)
