"""Every walkthrough plays through in the sandbox, step by step; and so does what `make sandbox` prints to be copied."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from sandbox import Sandbox
from sandbox.__main__ import viewers_of, world_of
from sandbox.guide import guide
from walkthroughs.catalog import STORIES
from walkthroughs.story import SkippedError, Story

from ..conftest import ROOT

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


@pytest.mark.enable_socket
def test_every_call_of_the_guide_can_be_copied(deployed: Sandbox) -> None:
    lines = [line.strip() for line in guide(deployed, world_of(deployed), viewers_of(deployed), STORIES)]
    calls = [line for line in lines if line.startswith(("curl ", "dig ", "aws ", "sed "))]  # Chromium needs a screen
    assert len(calls) >= 8, f"little to try: {calls}"
    for call in calls:
        if not shutil.which(call.split()[0]):
            print(f"not tried, for the program is missing: {call}")
            continue
        done = subprocess.run(  # noqa: S602
            call, shell=True, cwd=ROOT, env=deployed.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{call}\n{done.stderr}"
        assert not call.startswith("curl") or "HTTP/2 200" in done.stdout, f"{call}\n{done.stdout}"
        assert done.stdout or call.startswith("sed"), f"{call} printed nothing"
