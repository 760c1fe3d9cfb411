"""The picture of both rules is current, and the benchmark counts the states of the definition."""

from bench.canary_picture import FILE, picture
from bench.lambda_canary import CALLS, visited_states

from ..conftest import need


def test_picture_of_both_rules_is_current() -> None:
    assert FILE.read_text() == picture(), "run: python -m bench.canary_picture"


def test_successful_rollout_follows_the_definition() -> None:
    need("rich")
    states = visited_states(9)
    assert states[:4] == ["Check", "New Version?", "Smoke Test", "Last Step?"]
    assert states.count("Shift") == states.count("Evaluate") == 9
    assert states[-3:] == ["Last Step?", "Finish", "Rolled Out"]
    assert CALLS.keys() <= set(states)
