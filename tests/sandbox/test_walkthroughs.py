"""Every walkthrough plays through in the sandbox, step by step."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from sandbox import Sandbox
from sandbox.__main__ import world_of
from walkthroughs.catalog import STORIES
from walkthroughs.story import SkippedError, Story

STEPS = [
    pytest.param(system, name, id=f"{system}-{name}")
    for system, story in STORIES.items()
    for name, function in vars(story).items()
    if getattr(function, "is_step", False)
]


@pytest.fixture(scope="module")
def begun(deployed: Sandbox) -> Iterator[Callable[[str], Story]]:
    """Gives the story of a system, which begins when it is first asked for."""
    stories: dict[str, Story] = {}
    with ExitStack() as stack:

        def story(system: str) -> Story:
            if system not in stories:
                stories[system] = stack.enter_context(STORIES[system](world_of(deployed)))
            return stories[system]

        yield story


@pytest.mark.enable_socket
@pytest.mark.parametrize(("system", "step"), STEPS)
def test_walkthrough(begun: Callable[[str], Story], system: str, step: str) -> None:
    try:
        seen = getattr(begun(system), step)()
    except SkippedError as reason:
        pytest.skip(str(reason))
    assert seen, "a step says what was seen"
