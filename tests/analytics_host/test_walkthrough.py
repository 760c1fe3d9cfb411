"""Facts about the walkthrough where it can be played in parts only."""

from types import SimpleNamespace
from typing import Any

import pytest

from walkthroughs.analytics_host import AnalyticsHostWalkthrough
from walkthroughs.walkthrough import SkipStep


@pytest.mark.needs("h2o", "pandas")
@pytest.mark.parametrize("step", ["figures_are_compared", "hits_are_predicted", "report_is_written", "report_is_seen"])
def test_what_needs_models_is_skipped_where_none_could_be_trained(step: str) -> None:
    """As without Session Manager's plugin, without which H2O cannot be reached."""
    target: Any = SimpleNamespace(songs=None)
    walkthrough = AnalyticsHostWalkthrough(target)
    walkthrough.results = []
    with pytest.raises(SkipStep, match="no models were trained"):
        getattr(walkthrough, step)()
