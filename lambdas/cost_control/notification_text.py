"""Subjects and texts of notifications."""

from collections.abc import Iterable
from typing import TypedDict, final

from lambdas.mail_text import subject, without_links

from .plan import DENY_GROUP, DENY_ROLE, DONE, SCALE_TO_ZERO, STOP_CLUSTER, STOP_DATABASE, STOP_INSTANCE, PlanJson
from .record import Result

MAX_LINES = 200  # in a list; a message is at most 256 KB
DONE_TEXTS = {
    DENY_GROUP: "group {}: denied permission to start anything new",
    DENY_ROLE: "role {}: denied permission to start anything new",
    STOP_INSTANCE: "instance {}: stopped",
    SCALE_TO_ZERO: "Auto Scaling group {}: scaled to zero",
    STOP_DATABASE: "database {}: stopped",
    STOP_CLUSTER: "database cluster {}: stopped",
}
NOUNS = {kind: text.partition(" {}")[0] for kind, text in DONE_TEXTS.items()}
RELEASED = {"undone": "as before", "kept": "left as it is: somebody has changed it", "gone": "nothing is left to undo"}
DELAY = (
    "Budgets updates its figures only a few times a day, so the real cost is higher. This is not a spending cap:"
    " what is not stopped continues to cost."
)


@final
class ReleaseResults(TypedDict):
    """What a release has undone. failure: why it failed, if it did."""

    released: list[Result]
    closed: int
    open: int
    failure: str


def describe(item: str) -> str:
    """Describe an item of the record: ``instance i-0123456789abcdef0``."""
    kind, _, name = item.partition("/")
    return f"{NOUNS.get(kind, kind)} {name}"


def guard_notification(
    project: str, plan: PlanJson, results: Iterable[Result], failure: str, release_arn: str
) -> tuple[str, str]:
    """Return subject and text for what a check has found and done."""
    results, spend, unit = list(results), plan["spend"], plan["spend"]["unit"]
    percent = float(spend["actual"]) / float(spend["limit"]) * 100
    done = [result["item"] for result in results if result["status"] == DONE]
    failed = [result for result in results if result["status"] != DONE]
    forecast = f", forecast {_money(spend['forecast'], unit)}" if spend["forecast"] else ""
    sections = [
        f"Project {project}, {plan['period']}: {_money(spend['actual'], unit)} of {_money(spend['limit'], unit)}"
        f" ({percent:.0f} %){forecast}.",
        *(f"Reached: {_threshold(name)}" for name in plan["thresholds"]),
    ]
    if plan["mode"] == "report":
        would = [_done(f"{action['kind']}/{action['name']}") for action in plan["actions"]]
        sections += _list("With mode=enforce this would be done (nothing was changed)", would)
    sections += _list("Done", map(_done, done))
    sections += _list("Not done", [f"{describe(r['item'])}: {r['reason']}" for r in failed])
    sections += _list("Cannot be done", [f"{describe(p['item'])}: {p['reason']}" for p in plan["problems"]])
    if plan["leftOver"]:
        sections.append(f"{plan['leftOver']} more follow in the next check.")
    if failure:
        sections.append(f"The execution failed, and the next check tries again: {without_links(failure)}")
    if done:
        sections.append(
            "All of it is recorded, and undone when the month ends or with:\n"
            f"aws stepfunctions start-execution --state-machine-arn {release_arn}"
        )
    sections.append(DELAY)
    outcome = f"{len(done)} done, {len(failed)} failed" if results else "reported"
    return subject(f"{project}: {percent:.0f} % of the budget, {outcome}"), "\n\n".join(sections)


def release_notification(project: str, event: ReleaseResults) -> tuple[str, str]:
    """Return subject and text for what a release has undone."""
    results, total = event["released"], event["closed"] + event["open"]
    closed = [r for r in results if r["status"] in RELEASED]
    still_open = [r for r in results if r["status"] not in RELEASED]
    sections = [f"Project {project} is released: {event['closed']} of {total} recorded actions are closed."]
    if event["failure"]:
        sections.append(f"The release failed: {without_links(event['failure'])}")
    sections += _list("Undone", [f"{describe(r['item'])}: {RELEASED[r['status']]}" for r in closed])
    sections += _list("Not undone", [f"{describe(r['item'])}: {r['reason']}" for r in still_open])
    if total > len(results):
        sections.append("The log of the function Undo lists all results.")
    return subject(f"{project}: released, {event['open']} not undone"), "\n\n".join(sections)


def _money(amount: str, unit: str) -> str:
    return f"{float(amount):,.2f} {unit}"


def _threshold(name: str) -> str:
    kind, _, percent = name.partition("-")
    return f"{percent.replace('_', '.')} % of the budget ({kind.lower()})"


def _done(item: str) -> str:
    kind, _, name = item.partition("/")
    return DONE_TEXTS[kind].format(name)


def _list(title: str, lines: Iterable[str]) -> list[str]:
    lines = list(lines)
    if not lines:
        return []
    more = [f"and {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else []
    return [f"{title}:\n" + "\n".join(f"  {without_links(line)}" for line in [*lines[:MAX_LINES], *more])]
