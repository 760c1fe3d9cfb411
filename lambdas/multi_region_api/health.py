"""Whether a region is healthy: what its dependencies say, unless someone has said it.

Route 53 takes a region for healthy when the body of a 2xx or 3xx answer contains `TOKEN`, and
so nothing else may contain it. It has a character that no body of a sick region has:
`sick_body` replaces it wherever it comes from. Idea: "Building a Multi-region Serverless
Application with Amazon API Gateway and AWS Lambda", AWS Compute Blog, 2017.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Thread
from typing import Any, NamedTuple

# Route 53 compares it byte for byte. The number goes up when the meaning of healthy changes.
TOKEN = "healthy=multi_region_api/1"  # noqa: S105  # no secret
MARK = "="
HEALTHY, BY_CHECKS = "ok", "check"  # values of STATUS; every other one is sick
LONGEST_REASON = 200  # characters


class Check(NamedTuple):
    """A dependency: `ask` raises when it is not there, `seconds` is how long it may take."""

    name: str
    seconds: float
    ask: Callable[[], None]


def judge(status: str, checks: Sequence[Check]) -> dict[str, str]:
    """Give what is wrong with the region, by name; nothing when it is healthy.

    status: the drill's switch. ``check`` asks the dependencies, ``ok`` and everything else
    decide without them.
    """
    status = status.strip().lower() or BY_CHECKS
    if status == HEALTHY:
        return {}
    if status != BY_CHECKS:
        return {"STATUS": f"is {status}"[:LONGEST_REASON]}
    return failures(checks)


def failures(checks: Sequence[Check]) -> dict[str, str]:
    """Ask all dependencies side by side; give those that failed, with the reason.

    It takes as long as the longest time-out at most, also when a dependency never answers.
    """
    reasons: dict[str, str] = {check.name: f"no answer within {check.seconds:g} s" for check in checks}
    started = time.monotonic()
    threads = [Thread(target=_ask, args=(check, reasons), daemon=True) for check in checks]
    for thread in threads:
        thread.start()
    for check, thread in zip(checks, threads, strict=True):
        thread.join(max(0.0, started + check.seconds - time.monotonic()))
    return dict(reasons)


def _ask(check: Check, reasons: dict[str, str]) -> None:
    started = time.monotonic()
    try:
        check.ask()
    except Exception as error:
        reasons[check.name] = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
    else:
        if time.monotonic() - started <= check.seconds:
            reasons.pop(check.name, None)


def healthy_body(region: str) -> dict[str, Any]:
    """Give the body of a healthy region, which has the token."""
    return {"health": TOKEN, "region": region}


def sick_body(region: str, failed: Mapping[str, str]) -> dict[str, Any]:
    """Give the body of a sick region, which cannot have the token, whatever the reasons say."""
    reasons = {name.replace(MARK, " "): reason.replace(MARK, " ") for name, reason in failed.items()}
    return {"health": "sick", "region": region, "failed": reasons}
