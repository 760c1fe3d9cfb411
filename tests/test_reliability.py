"""docs/reliability.md matches the markers on the tests and has every kind of fault."""

from collections import Counter

from settings import Settings
from settings.types import nested_model

from .reliability import DOCUMENT, KINDS, document, marks

SYSTEMS = [name for name, field in Settings.model_fields.items() if nested_model(field.annotation)]


def test_reliability_document_is_current() -> None:
    assert DOCUMENT.read_text() == document(), "docs/reliability.md is out of date: make docs"


def test_reliability_row_has_one_expectation_and_one_observation() -> None:
    for name in ("expected", "observed"):
        texts = Counter({mark.row: 0 for mark in marks()})
        texts.update(mark.row for mark in marks() if getattr(mark, name))
        wrong = {row: count for row, count in texts.items() if count != 1}
        assert not wrong, f"each row needs one marker with `{name}`: {wrong}"


def test_reliability_every_system_has_every_kind_of_fault() -> None:
    kinds: dict[str, set[str]] = {}
    for mark in marks():
        kinds.setdefault(mark.system, set()).add(mark.kind)
    assert kinds == {system: set(KINDS) for system in SYSTEMS}
