"""One sandbox with every stack deployed, for all tests of this folder."""

from collections.abc import Iterator

import pytest

from sandbox import Sandbox
from sandbox.__main__ import SPEED, regions_of, settings_for
from walkthroughs.catalog import STORIES


@pytest.fixture(scope="session")
def deployed() -> Iterator[Sandbox]:
    """The sandbox after `cdk bootstrap` and `cdk deploy --all`."""
    with Sandbox(speed=SPEED) as sandbox:
        sandbox.bootstrap(*regions_of(STORIES))
        sandbox.deploy("--all", settings=settings_for(sandbox, STORIES))
        yield sandbox
