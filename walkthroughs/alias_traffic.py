"""Call a Lambda alias from several threads, watch its weights, and compare both."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .walkthrough import Target

THREADS = 4
PAUSE = 0.02  # seconds between calls of a thread
DEVIATIONS = 4.5  # a share is outside of this band with a probability below 1 in 100,000
Weights = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Response:
    """A call of the alias: its start and end (monotonic), the version that ran, and whether it failed."""

    started: float
    ended: float
    version: str
    failed: bool


@dataclass(frozen=True)
class Observation:
    """The alias between two times (monotonic), before and after it was read: the share of each version."""

    before: float
    after: float
    version: str
    weights: Weights

    def share(self, version: str) -> float:
        shares = dict(self.weights)
        return shares.get(version, 1 - sum(shares.values()) if version == self.version else 0.0)


@dataclass
class Traffic:
    """Responses and observations, in the order of their time."""

    responses: list[Response] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)

    def phases(self, version: str) -> list[tuple[float, float, float]]:
        """Return share of `version`, start and end of each phase in which the weights were certainly the same."""
        periods: list[tuple[float, float, float]] = []
        for observation in self.observations:
            share = observation.share(version)
            if periods and periods[-1][0] == share:
                periods[-1] = (share, periods[-1][1], observation.before)
            else:
                periods.append((share, observation.after, observation.before))
        return periods

    def responses_between(self, start: float, end: float) -> list[Response]:
        """Return the responses whose calls were entirely in this time."""
        return [response for response in self.responses if start <= response.started and response.ended <= end]

    def check_shares(self, version: str, propagation_seconds: float) -> list[str]:
        """Compare the share of `version` in the responses of each phase with its weight; describe each.

        Raises:
            AssertionError: a share is outside of the band that its weight allows.
        """
        described = []
        for weight, start, end in self.phases(version):
            responses = self.responses_between(start + propagation_seconds, end)
            if not responses:
                continue
            count = sum(response.version == version for response in responses)
            band = DEVIATIONS * math.sqrt(weight * (1 - weight) / len(responses))
            share = count / len(responses)
            text = f"{share:.1%} of {len(responses)} responses at {weight:.0%}"
            assert abs(share - weight) <= band, f"{text}; accepted: {weight:.0%} ± {band:.1%}"
            described.append(text)
        return described


@contextmanager
def traffic_of(target: Target, function: str, alias: str) -> Iterator[Traffic]:
    """Call the alias until the context is left, and watch its weights."""
    traffic, stop = Traffic(), Event()
    client = target.client("lambda")

    def call() -> None:
        payload = json.dumps({"name": "walkthrough"})
        while not stop.wait(PAUSE):
            started = time.monotonic()
            try:
                response = client.invoke(FunctionName=function, Qualifier=alias, Payload=payload)
            except (BotoCoreError, ClientError):
                continue  # throttled, for example
            failed = "FunctionError" in response
            traffic.responses.append(Response(started, time.monotonic(), response["ExecutedVersion"], failed))

    def watch() -> None:
        while not stop.wait(min(target.poll_seconds, 1)):
            traffic.observations.append(observe(client, function, alias))

    threads = [*(Thread(target=call, daemon=True) for _ in range(THREADS)), Thread(target=watch, daemon=True)]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def observe(client: Any, function: str, alias: str) -> Observation:
    before = time.monotonic()
    response = client.get_alias(FunctionName=function, Name=alias)
    weights = (response.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return Observation(before, time.monotonic(), response["FunctionVersion"], tuple(sorted(weights.items())))
