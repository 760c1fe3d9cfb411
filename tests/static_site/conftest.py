"""Fixtures of the tests of static_site."""

from typing import Any

import pytest

from ..conftest import synthesize

STACK = "StaticSite"


@pytest.fixture(scope="session")
def uncached(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    settings = {"static_site:caching": "false", "static_site:email": "ops@example.com"}
    return synthesize(tmp_path_factory.mktemp("uncached"), settings, STACK).template(STACK)
