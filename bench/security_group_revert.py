"""security_group_revert: time to revert, AWS calls, and cold start."""

import contextlib
import io
import json
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import count, cycle, islice
from typing import Any

from rich.progress import Progress

from lambdas.security_group_revert.approved import guarded_groups
from lambdas.security_group_revert.respond import Responder
from lambdas.security_group_revert.revert import GuardedGroup
from lambdas.security_group_revert.rules import Rule, plan
from lambdas.security_group_revert.state import StateTable
from sandbox.process import ACCOUNT, REGION, Sandbox
from sandbox.target import session, settings_for, target_of

from . import cold_start
from .report import Row, Section, at_most, milliseconds
from .security_group_changes import SWEEP, Group, change_of_another_group
from .timing import BenchError, in_turn

STACK = "SecurityGroupRevert"
CHANGES = 100
PAUSE = 0.05  # seconds before a change, so that the function is idle
POLL = 0.002  # seconds between calls
TIMEOUT_SECONDS = 60  # seconds
CALLS_LIMIT = 6
SWEEP_GROUPS, SWEEP_RULES = (50, 200, 500), 40  # 500 groups of 40 rules are the limits of the settings
BURSTS, BURST_RULES = (10, 100, 1000), 50  # a group has at most 60 rules
PLANS, PLAN_ROUNDS = (60, 250, 1000), 5  # the default and the largest quota of rules per group
CLIENTS = """import boto3
from botocore.config import Config
config = Config(retries={"mode": "standard", "max_attempts": 6}, connect_timeout=3, read_timeout=10)
boto3.client("ec2", config=config)
boto3.client("dynamodb", config=config)
boto3.client("sns", config=config)
boto3.client("events", config=config)"""
NOTES = (
    "Time to revert: from the call that adds the rule until DescribeSecurityGroupRules, repeated after "
    f"{POLL * 1000:.0f} ms, no longer returns it. The sandbox delivers CloudTrail's record to EventBridge at once. "
    "**CloudTrail's delivery time is not included, and on AWS it dominates**: seconds, sometimes minutes.",
    "AWS calls: counted in boto3 (`before-call`), including the notification, while the function's code runs locally "
    "against the sandbox with the stack's approved rules. The deployed function's event rule and sweep are disabled.",
    "Sweeps: every group has its approved rules. The time includes the sandbox's responses; the memory is the peak of "
    "Python's objects during the sweep (`tracemalloc`), without boto3.",
    f"Bursts: the calls have added at most {BURST_RULES} different rules, all of which exist when the first event is "
    "processed. A sweep follows, which reports what is left.",
    "Comparisons: no existing rule is approved, and no approved rule exists. The largest size is EC2's maximum.",
    cold_start.NOTE,
)


class Deployed:
    """The stack in the sandbox, without its schedule."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.session = session(sandbox)
        self.outputs = target_of(sandbox).outputs(STACK)
        self.group = Group(self.session.client("ec2"), self.outputs["SampleGroupId"])
        (handler,) = (sandbox.directory / "cdk.out").glob("asset.*/security_group_revert/handler.py")
        self.package = handler.parent  # as the stack staged it, with the approved rules
        self.eventbridge = self.session.client("events")
        self.eventbridge.disable_rule(Name=self.outputs["SweepRuleName"])

    def switch_events(self, *, on: bool) -> None:
        switch = self.eventbridge.enable_rule if on else self.eventbridge.disable_rule
        switch(Name=self.outputs["ChangesRuleName"])
        time.sleep(PAUSE)

    def responder(self, guarded: list[GuardedGroup] | None = None) -> tuple[Callable[[Any], None], list[str]]:
        """Return the deployed function's logic, by default for its groups, and the list that records its AWS calls."""
        calls: list[str] = []
        ec2, sns, events, dynamodb = (self.session.client(name) for name in ("ec2", "sns", "events", "dynamodb"))
        for client in (ec2, sns, events, dynamodb):
            client.meta.events.register("before-call", lambda model, **_: calls.append(model.name))
        table = StateTable(dynamodb, self.outputs["StateTableName"], 24 * 3600)
        responder = Responder(
            ec2=ec2,
            sns=sns,
            events=events,
            table=table,
            topic_arn=self.outputs["TopicArn"],
            account=ACCOUNT,
            max_reverts=1000,
        )
        approved = json.loads((self.package / "approved.json").read_text())
        groups = guarded or guarded_groups(approved, {"SAMPLE_GROUP_ID": self.group.group_id})

        def respond(event: Any) -> None:
            with contextlib.redirect_stdout(io.StringIO()):  # the function's log
                responder.respond(event, groups)
            if not self.group.is_as_approved():
                raise BenchError(f"The group is not as approved after {event}")

        return respond, calls


def measure(progress: Progress) -> Section:
    """Deploy the stack to a separate sandbox and measure it there."""
    with Sandbox() as sandbox:
        settings = settings_for(sandbox, ["security_group_revert"])
        steps: tuple[Callable[[], object], ...] = (sandbox.bootstrap, lambda: sandbox.deploy(STACK, settings=settings))
        for perform in progress.track(steps, description="Bootstrap and deploy in the sandbox"):
            perform()
        deployed = Deployed(sandbox)
        rows = [*_time_rows(progress, deployed), *_call_rows(progress, deployed)]
        rows += [*_burst_rows(progress, deployed), *_plan_rows(), *_sweep_rows(progress, deployed)]
        rows += cold_start.cold_start(
            progress,
            deployed.package,
            module="security_group_revert.handler",
            event=change_of_another_group(),
            clients=CLIENTS,
            environment={
                "TOPIC_ARN": f"arn:aws:sns:{REGION}:{ACCOUNT}:notifications",
                "MODE": "revert",
                "RESTORE": "true",
                "SAMPLE_GROUP_ID": "sg-0fedcba9876543210",
                "STATE_TABLE": "state",
                "MAX_REVERTS": "10",
                "REVERT_WINDOW_HOURS": "24",
                "BREAK_GLASS_PRINCIPALS": "[]",
                "BREAK_GLASS_MINUTES": "60",
                "LOG_LEVEL": "INFO",
            },
        )
    return Section("security_group_revert", tuple(rows), NOTES)


def _time_rows(progress: Progress, deployed: Deployed) -> tuple[Row, ...]:
    """Measure single changes; leaves the events of the deployed stack off."""
    group = deployed.group
    addresses = (f"198.18.{number // 250}.{number % 250}/32" for number in count())

    def seconds(perform: Callable[[Group, str], None], *, events: bool) -> float:
        deployed.switch_events(on=events)
        started = time.perf_counter()
        perform(group, next(addresses))
        return time.perf_counter() - started

    first = seconds(_until_gone, events=True)
    by_stack = partial(seconds, _until_gone, events=True)
    by_hand = partial(seconds, _open_and_close, events=False)
    times = in_turn(progress, "Single changes", CHANGES, {"stack": by_stack, "hand": by_hand})
    deployed.switch_events(on=False)
    median, worst, alone = times.median("stack"), max(times.figures["stack"]), times.median("hand")
    without = "sandbox, without CloudTrail's delivery time"
    return (
        Row(
            "Time to revert, median",
            milliseconds(median),
            compared_with=f"the calls alone (authorize, describe, revoke, describe): {milliseconds(alone)}",
            ratio=times.ratio("stack", "hand"),
            conditions=f"{CHANGES} single changes, interleaved; {without}",
        ),
        Row(
            "Time to revert, maximum",
            milliseconds(worst),
            compared_with=f"the median: {milliseconds(median)}",
            ratio=worst / median,
            conditions=f"{CHANGES} single changes; {without}",
        ),
        Row(
            "Time to revert, first change after deployment",
            milliseconds(first),
            conditions=f"one change, including a cold start; {without}",
        ),
    )


def _until_gone(group: Group, address: str) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    group.open_ssh(address)
    while len(group.ingress()) > 1:
        if time.monotonic() > deadline:
            raise BenchError(f"SSH from {address} was not revoked within {TIMEOUT_SECONDS} s.")
        time.sleep(POLL)


def _open_and_close(group: Group, address: str) -> None:
    group.open_ssh(address)
    group.close_ssh()
    if not group.is_as_approved():
        raise BenchError(f"SSH from {address} was not revoked.")


def _call_rows(progress: Progress, deployed: Deployed) -> list[Row]:
    """Count calls; the events of the deployed stack must be off."""
    group = deployed.group
    ten = [f"198.18.2.{number}/32" for number in range(10)]
    changes: dict[str, Callable[[], dict[str, Any]]] = {
        "one forbidden rule": lambda: group.open_ssh("198.18.1.1/32"),
        "one modified rule": group.edit,
        "one deleted rule": group.delete,
        "ten forbidden rules of one call": lambda: group.open_ssh(*ten),
        "an event about another group": change_of_another_group,
        "a sweep with nothing to do": lambda: SWEEP,
    }
    respond, calls = deployed.responder()
    rows = []
    for what, change in progress.track(list(changes.items()), description="AWS calls"):
        event = change()
        calls.clear()
        respond(event)
        conditions = ", ".join(calls) or "none"
        if what == "one forbidden rule":
            conditions += f"; {at_most(CALLS_LIMIT, len(calls))}"
        rows.append(Row(f"AWS calls for {what}", str(len(calls)), conditions=conditions))
    return rows


def _burst_rows(progress: Progress, deployed: Deployed) -> list[Row]:
    """Count the calls for many events about one group; the events of the deployed stack must be off."""
    rows = []
    for size in progress.track(BURSTS, description="Bursts"):
        addresses = [f"198.18.3.{number}/32" for number in range(min(size, BURST_RULES))]
        events = [deployed.group.open_ssh(address) for address in addresses]
        respond, calls = deployed.responder()
        for event in islice(cycle(events), size):
            respond(event)
        respond(SWEEP)
        counts = {name: calls.count(name) for name in ("DescribeSecurityGroupRules", "RevokeSecurityGroupIngress")}
        details = ", ".join(f"{number:,} {name}" for name, number in counts.items())
        notifications = f"{calls.count('Publish')} notifications, {calls.count('PutEvents')} EventBridge events"
        rows.append(
            Row(
                f"EC2 calls for a burst of {size:,} changes",
                f"{sum(counts.values()):,}",
                conditions=f"{details}; {notifications}",
            )
        )
    return rows


def _plan_rows() -> list[Row]:
    rows = []
    for size in PLANS:
        existing, approved = (
            [Rule(False, protocol, port, port, "CidrIpv4", "10.0.0.0/8") for port in range(size)]
            for protocol in ("tcp", "udp")
        )
        times = []
        for _ in range(PLAN_ROUNDS):
            started = time.perf_counter()
            plan(existing, approved, restore=True)
            times.append(time.perf_counter() - started)
        conditions = f"{1e6 * min(times) / size:.0f} µs per rule; shortest of {PLAN_ROUNDS} runs"
        rows.append(Row(f"Comparison of {size:,} rules", f"{1000 * min(times):.1f} ms", conditions=conditions))
    return rows


def _sweep_rows(progress: Progress, deployed: Deployed) -> list[Row]:
    """Measure sweeps of groups with their approved rules."""
    ec2 = deployed.session.client("ec2")
    permissions: list[Any] = [
        {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
        for port in range(1, SWEEP_RULES + 1)
    ]
    rules = tuple(Rule(False, "tcp", port, port, "CidrIpv4", "10.0.0.0/8") for port in range(1, SWEEP_RULES + 1))
    groups = []
    for number in progress.track(range(max(SWEEP_GROUPS)), description="Create groups"):
        created = ec2.create_security_group(GroupName=f"sweep-{number}", Description="of a benchmark")
        ec2.authorize_security_group_ingress(GroupId=created["GroupId"], IpPermissions=permissions)
        groups.append(GuardedGroup(created["GroupId"], f"sweep-{number}", rules, None))
    rows = []
    for size in progress.track(SWEEP_GROUPS, description="Sweeps"):
        respond, calls = deployed.responder(groups[:size])
        started = time.perf_counter()
        respond(SWEEP)
        seconds, reads = time.perf_counter() - started, calls.count("DescribeSecurityGroupRules")
        tracemalloc.start()
        respond(SWEEP)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        conditions = f"{size * SWEEP_RULES:,} rules; {seconds:.1f} s, {peak / 1024**2:.0f} MB"
        rows.append(Row(f"EC2 calls for a sweep of {size} groups", str(reads), conditions=conditions))
    return rows
