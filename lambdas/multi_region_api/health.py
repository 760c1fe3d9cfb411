"""Whether a Region is healthy: decided by its dependencies, unless STATUS overrides them.

Route 53 treats a Region as healthy when a 2xx or 3xx response contains `TOKEN`, so no other response
may contain it. The token includes `TOKEN_MARKER`, which is removed from the body of an unhealthy
Region. That body has the names of the failed dependencies; the reasons are only in the log.
Based on "Building a Multi-region Serverless Application with Amazon API Gateway and AWS Lambda", AWS
Compute Blog, 2017.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from threading import Thread, active_count
from typing import NamedTuple, TypedDict

# Route 53 compares it byte for byte. Increase the number when the meaning of healthy changes.
TOKEN = "healthy=multi_region_api/1"  # noqa: S105  # no secret
TOKEN_MARKER = "="  # noqa: S105  # no secret
UNHEALTHY = "unhealthy"
HEALTHY, CHECK_DEPENDENCIES = "ok", "check"  # values of STATUS; any other means unhealthy
MAX_REASON_CHARACTERS = 200
MAX_THREADS = 100  # a Lambda function can have 1,024


class DependencyCheck(NamedTuple):
    """The check of a dependency; `run` raises an exception when it is unavailable."""

    name: str
    timeout_seconds: float
    run: Callable[[], None]


class HealthyBody(TypedDict):
    """The body of a healthy Region."""

    health: str
    region: str


class UnhealthyBody(HealthyBody):
    """The body of an unhealthy Region."""

    failed: list[str]


def evaluate(status: str, dependencies: Sequence[DependencyCheck]) -> dict[str, str]:
    """Return the reason for each failure, by name; empty when the Region is healthy.

    status: the value of STATUS. ``check`` or an empty value checks the dependencies, ``ok`` means
    healthy, any other value unhealthy.
    """
    status = status.strip().lower() or CHECK_DEPENDENCIES
    if status == HEALTHY:
        return {}
    if status != CHECK_DEPENDENCIES:
        return {"STATUS": f"is {status}"[:MAX_REASON_CHARACTERS]}
    return check_dependencies(dependencies)


def check_dependencies(dependencies: Sequence[DependencyCheck]) -> dict[str, str]:
    """Check all dependencies in parallel and return the reason for each failure, by name.

    Returns within the longest timeout, even if a check never ends. A limit on threads keeps such
    checks from piling up.
    """
    if active_count() + len(dependencies) > MAX_THREADS:
        return {dependency.name: "earlier checks have not ended" for dependency in dependencies}
    # Each check is a failure until its thread removes or replaces the reason.
    reasons = {dependency.name: f"no response within {dependency.timeout_seconds:g} s" for dependency in dependencies}
    started = time.monotonic()
    threads = [Thread(target=_run_check, args=(dependency, reasons), daemon=True) for dependency in dependencies]
    for thread in threads:
        thread.start()
    for dependency, thread in zip(dependencies, threads, strict=True):
        thread.join(max(0.0, started + dependency.timeout_seconds - time.monotonic()))
    return dict(reasons)


def _run_check(dependency: DependencyCheck, reasons: dict[str, str]) -> None:
    started = time.monotonic()
    try:
        dependency.run()
    except Exception as error:
        reasons[dependency.name] = f"{type(error).__name__}: {error}"[:MAX_REASON_CHARACTERS]
    else:
        if time.monotonic() - started <= dependency.timeout_seconds:
            reasons.pop(dependency.name, None)


def healthy_body(region: str) -> HealthyBody:
    """Return the body of a healthy Region, which contains the token."""
    return {"health": TOKEN, "region": region}


def unhealthy_body(region: str, failed: Iterable[str]) -> UnhealthyBody:
    """Return the body of an unhealthy Region, which cannot contain the token, whatever failed."""
    return {"health": UNHEALTHY, "region": region, "failed": [name.replace(TOKEN_MARKER, " ") for name in failed]}
