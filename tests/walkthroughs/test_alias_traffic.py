"""Shares of a version in the responses of an alias, and the chart of them."""

import random
import xml.etree.ElementTree as ET

import pytest

from walkthroughs.alias_traffic import Observation, Response, Traffic
from walkthroughs.line_chart import Axis, Series, line_chart

WEIGHTS = ((), (("2", 0.25),), (("2", 0.5),), ())


def traffic(share: float, seconds: int = 10) -> Traffic:
    """Weights of 0, 25, 50 and 100 %, for `seconds` each, and 40 responses a second, `share` of them of version 2."""
    generator = random.Random(1)  # noqa: S311  # not for cryptography
    found = Traffic()
    for number, weights in enumerate(WEIGHTS):
        version = "2" if number == 3 else "1"
        for tenth in range(seconds * 10):
            moment = number * seconds + tenth / 10
            found.observations.append(Observation(moment, moment, version, weights))
            for _ in range(4):
                expected = found.observations[-1].share("2")
                chosen = "2" if generator.random() < (expected if expected in (0, 1) else share) else "1"
                found.responses.append(Response(moment, moment + 0.01, chosen, failed=False))
    return found


def test_observation_has_the_share_of_each_version() -> None:
    observation = Observation(0, 0, "1", (("2", 0.25),))
    assert [observation.share(version) for version in ("1", "2", "3")] == [0.75, 0.25, 0]


def test_phases_have_the_weights_as_observed() -> None:
    assert [(weight, round(start), round(end)) for weight, start, end in traffic(0.25).phases("2")] == [
        (0, 0, 10),
        (0.25, 10, 20),
        (0.5, 20, 30),
        (1, 30, 40),
    ]


def test_share_within_the_band_is_described() -> None:
    found = traffic(0.25)
    found.responses = [response for response in found.responses if not 20 <= response.started < 30]
    described = found.check_shares("2", 0)
    assert [text.split(" at ")[1] for text in described] == ["0%", "25%", "100%"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_share_outside_of_the_band_is_an_error(share: float) -> None:
    with pytest.raises(AssertionError, match="at 25%; accepted: 25% ±"):
        traffic(share).check_shares("2", 0)


def test_responses_while_a_change_propagates_do_not_count() -> None:
    found = traffic(0.25)
    found.responses.append(Response(30.5, 30.6, "1", failed=False))  # shortly after the last change
    found.responses = [response for response in found.responses if not 20 <= response.started < 30]
    with pytest.raises(AssertionError, match="at 100%"):
        found.check_shares("2", 0)
    found.check_shares("2", 2)


def test_responses_while_the_alias_was_read_do_not_count() -> None:
    """The weights can have changed before the response to GetAlias."""
    read = [
        Observation(0, 1, "1", ()),
        Observation(2, 3, "1", ()),
        Observation(4, 9, "2", ()),
        Observation(10, 11, "2", ()),
    ]
    assert Traffic(observations=read).phases("2") == [(0, 1, 2), (1, 9, 10)]


def test_chart_is_an_svg_document_with_every_series() -> None:
    chart = line_chart(
        "Shares <by time>",
        Axis("seconds", [(0, "0"), (10, "10")]),
        Axis("share", [(0, "0 %"), (1, "100 %")]),
        [Series("weight", [(0, 0), (5, 0.5), (10, 1)], stepped=True), Series("measured", [(5, 0.4)], dots=True)],
    )
    root = ET.fromstring(chart)  # noqa: S314  # our own text
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Shares <by time>", "weight", "measured", "seconds", "share"} <= set(texts)
    (circle,) = root.iter("{http://www.w3.org/2000/svg}circle")
    assert circle.attrib["cx"] == "380.0"
