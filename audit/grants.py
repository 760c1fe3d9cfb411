"""Grants of the deployed roles, and the permissions of the walkthroughs, from the sandbox's record of decisions.

By default, runs the walkthroughs in the sandbox and writes docs/walkthrough_policies/, the smallest policy that each
needs, and the table of unused grants in docs/security.md. Exits with 1 if an unused grant has no reason in
unused_grants.toml, or a reason has no such grant.

With ``--remove``, runs each walkthrough once for every grant that it uses, without that grant. Exits with 1 if a
walkthrough still succeeds and no event is in a dead-letter queue, unless only logs or traces need the grant.
It takes about half a minute per grant.
"""

import argparse
import json
import re
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandbox.cloudtrail import USER
from sandbox.iam.authorization import AUTHORIZATION_LOG
from sandbox.iam.conditions import as_list
from sandbox.iam.policy import Request, applicable_statements
from sandbox.process import ACCOUNT, Sandbox, remove_aws_variables
from sandbox.target import SPEED, SandboxSession, regions_of, settings_for, target_of
from walkthroughs.catalog import WALKTHROUGHS
from walkthroughs.walkthrough import PreconditionError, Target, run

from .__main__ import DOCUMENT, write_tables

POLICIES = DOCUMENT.parent / "walkthrough_policies"
REASONS = Path(__file__).with_name("unused_grants.toml")
# A walkthrough succeeds without these actions.
NOT_NEEDED = {
    "iam:GetAccountSummary": "without the quotas, IAM itself reports a full one when a policy is attached",
    "logs:CreateLogStream": "the service writes no logs",
    "logs:PutLogEvents": "the service writes no logs",
    "sts:AssumeRole": "a role that a trust policy names can assume the role without a policy that allows it",
    "xray:PutTelemetryRecords": "the service writes no traces",
    "xray:PutTraceSegments": "the service writes no traces",
}
TIMEOUT_SECONDS = 20  # of a step that cannot succeed without a grant
RETRY_SECONDS = 8  # until Lambda no longer retries failed invocations
# What is different in each deployment.
GENERATED = (
    (r"arn:aws:(\w+):[a-z]{2}-[a-z]+-\d:\d{12}:", r"arn:aws:\1:*:*:"),
    (r"(arn:aws:(?:iam|cloudfront)::)\d{12}:", r"\1*:"),
    (r"(arn:aws:s3:::)([^/]+?)-[0-9a-f]{13}", r"\1\2-*"),
    (r"(arn:aws:s3:::[^/]+/).+", r"\1*"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "*"),
    (r"-[0-9A-F]{12,13}\b", "-*"),
    (r"((?:distribution|hostedzone|change|restapis|domainnames)/)[^/]+", r"\1*"),
    (r"\b(sg|sgr|pl|i|vpc|subnet)-[0-9a-f]{8,17}\b", r"\1-*"),
    (r"(:function:[^:]+):\d+$", r"\1:*"),
    (r"-\d{10}\b", "-*"),
    (r"-[0-9a-f]{8}\b(?!-)", "-*"),
)


@dataclass(frozen=True, order=True)
class Grant:
    """One action that one statement of a role's inline policy allows."""

    stack: str
    role: str
    policy: str
    statement: int
    action: str
    resources: tuple[str, ...]

    @property
    def construct(self) -> str:
        """The stack and the logical id of the role, without what is generated."""
        logical_id = self.role.removeprefix(f"{self.stack}-").partition("-")[0]
        stack = re.sub(r"-[a-z]{2}-[a-z]+-\d$", "", self.stack)
        return f"{stack}/{re.sub('[0-9A-F]{8,}$', '', logical_id)}"

    @property
    def in_every_region(self) -> tuple[str, int, str]:
        """What identifies the same grant in the stacks of all Regions."""
        return self.construct, self.statement, self.action

    def uses(self, record: dict[str, Any]) -> bool:
        """Return whether a decision of the record is due to this grant; conditions are not considered."""
        document = {"Statement": [{"Effect": "Allow", "Action": self.action, "Resource": list(self.resources)}]}
        request = Request(record["principal"], record["action"], record["resource"])
        is_own = record["principal"].endswith(f":role/{self.role}") and record["decision"] == "ALLOWED"
        return is_own and any(applicable_statements(document, request))


def stack_names(system: str) -> tuple[str, ...]:
    """Return the names of a system's stacks; one with ``*`` is deployed in every Region of the system."""
    regions = regions_of([system])
    return tuple({stack.replace("*", region): None for stack in WALKTHROUGHS[system].stacks for region in regions})


def grants(iam: Any, stacks: tuple[str, ...]) -> Iterator[Grant]:
    """Yield the grants of the roles of some stacks."""
    for page in iam.get_paginator("list_roles").paginate():
        for role in (role["RoleName"] for role in page["Roles"] if role["RoleName"].startswith(stacks)):
            for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                statements = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]["Statement"]
                for number, statement in enumerate(as_list(statements)):
                    for action in as_list(statement["Action"]) if statement["Effect"] == "Allow" else ():
                        resources = tuple(as_list(statement["Resource"]))
                        yield Grant(stack_of(role, stacks), role, policy, number, action, resources)


def stack_of(role: str, stacks: tuple[str, ...]) -> str:
    """Return the stack of a role, by its name."""
    return max((stack for stack in stacks if role.startswith(f"{stack}-")), key=len, default="")


def take_record(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return the decisions since the last call."""
    file = sandbox.directory / AUTHORIZATION_LOG
    if not file.exists():
        return []
    lines = file.read_text().splitlines()
    file.unlink()
    return [json.loads(line) for line in lines]


@contextmanager
def deployed(*systems: str) -> Iterator[Sandbox]:
    """Run a sandbox in which the stacks of the systems are deployed."""
    with Sandbox(speed=SPEED) as sandbox:
        sandbox.bootstrap(*regions_of(systems))
        stacks = [stack for system in systems for stack in WALKTHROUGHS[system].stacks]
        sandbox.deploy(*stacks, settings=settings_for(sandbox, systems))
        yield sandbox


def play(system: str, target: Target) -> str:
    """Run a walkthrough, and return the error of the step that failed, if one did."""
    try:
        with WALKTHROUGHS[system](target) as walkthrough:
            results = run(walkthrough, lambda _title: None, lambda _result: None)
    except PreconditionError:
        raise
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return next((f"{result.title}: {result.error[:300]}" for result in results if result.error), "")


def report(systems: list[str]) -> int:
    """Write the policies and the table, and return the number of problems."""
    unused: set[tuple[str, str, str]] = set()
    problems: list[str] = []
    with deployed(*systems) as sandbox:
        target = target_of(sandbox)
        records = take_record(sandbox)
        for system in systems:
            print(f"{system}: running the walkthrough", flush=True)
            problems += [f"{system}: {error}" for error in [play(system, target)] if error]
            played = take_record(sandbox)
            records += played
            policy = walkthrough_policy(played)
            POLICIES.mkdir(exist_ok=True)
            (POLICIES / f"{system}.json").write_text(f"{json.dumps(policy, indent=2)}\n")
            time.sleep(RETRY_SECONDS)
            error = play(system, restricted(sandbox, target, policy))
            problems += [f"{system} with its policy: {error}"] if error else []
            take_record(sandbox)
        stacks = tuple(stack for system in systems for stack in stack_names(system))
        granted = sorted(grants(target.client("iam"), stacks))
        used = {grant.in_every_region for grant in granted if any(map(grant.uses, records))}
        for grant in granted:
            if grant.in_every_region not in used:
                unused |= {(grant.construct, grant.action, generalize(resource)) for resource in grant.resources}
    problems += _write_unused(unused) if set(systems) == set(WALKTHROUGHS) else []
    print("\n".join([*problems, *map(str, sorted(unused)), f"{len(unused)} unused grants"]))
    return len(problems)


def reasons() -> dict[tuple[str, str], str]:
    """Return the reason for each unused grant, by role and action."""
    return {
        (role, action): entry["reason"]
        for entry in tomllib.loads(REASONS.read_text())["grant"]
        for role in entry["roles"]
        for action in entry["actions"]
    }


def _write_unused(unused: set[tuple[str, str, str]]) -> list[str]:
    """Write the table of unused grants, and return the errors in the reasons."""
    reason_of = reasons()
    actions: dict[tuple[str, str], list[str]] = {}
    for role, action in sorted({(role, action) for role, action, _ in unused}):
        actions.setdefault((role, reason_of.get((role, action), "")), []).append(f"`{action}`")
    lines = ["| role | actions | reason |", "|---|---|---|"]
    lines += [f"| {role} | {', '.join(names)} | {reason} |" for (role, reason), names in sorted(actions.items())]
    write_tables({"unused grants": "\n".join([*lines, ""])})
    unused_actions = {(role, action) for role, action, _ in unused}
    errors = [
        f"unused, without a reason: {action} of {role}" for role, action in sorted(unused_actions - reason_of.keys())
    ]
    roles = {role for role, _ in unused_actions}  # a reason may name several roles with different actions
    actions_of_all = {action for _, action in unused_actions}
    return errors + [
        f"used, or not granted: {action} of {role}"
        for role, action in sorted(reason_of)
        if role not in roles or action not in actions_of_all
    ]


def walkthrough_policy(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the smallest policy of the caller: the actions of the record by resource."""
    actions: dict[str, set[str]] = {}
    for record in records:
        if record["principal"] == USER and record["decision"] == "ALLOWED":
            actions.setdefault(generalize(record["resource"]), set()).add(record["action"])
    resources: dict[tuple[str, ...], list[str]] = {}
    for resource, names in sorted(actions.items()):
        resources.setdefault(tuple(sorted(names)), []).append(resource)
    statements = [
        {"Effect": "Allow", "Action": list(names), "Resource": places} for names, places in sorted(resources.items())
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def generalize(resource: str) -> str:
    """Replace the parts of an ARN that are different in each deployment."""
    for pattern, replacement in GENERATED:
        resource = re.sub(pattern, replacement, resource)
    return resource


def restricted(sandbox: Sandbox, target: Target, policy: dict[str, Any]) -> Target:
    """Return a target whose caller has only `policy`."""
    iam, name = target.client("iam"), "Walkthrough"
    trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    if name not in [role["RoleName"] for role in iam.list_roles()["Roles"]]:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    role = f"arn:aws:iam::{ACCOUNT}:role/{name}"
    issued = target.client("sts").assume_role(RoleArn=role, RoleSessionName="walkthrough")["Credentials"]
    credentials = {
        "AWS_ACCESS_KEY_ID": issued["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": issued["SecretAccessKey"],
        "AWS_SESSION_TOKEN": issued["SessionToken"],
    }
    return replace(
        target, session=SandboxSession(sandbox, credentials), environment={**target.environment, **credentials}
    )


def remove_each(system: str) -> int:
    """Run the walkthrough without each grant that it uses, and return without how many it did not fail as it should."""
    with deployed(system) as sandbox:
        take_record(sandbox)
        error = play(system, target_of(sandbox))
        if error:
            raise SystemExit(f"{system} fails with all grants: {error}")
        records = take_record(sandbox)
        granted = sorted(grants(target_of(sandbox).client("iam"), stack_names(system)))
    # Names contain parts that are generated from the stack and the logical id, so they are the same in every sandbox.
    waiting = [grant for grant in granted if any(map(grant.uses, records)) and grant.action not in NOT_NEEDED]
    proven: dict[tuple[str, int, str], bool] = {}  # by grant; in several Regions, one is enough
    while waiting:
        with deployed(system) as sandbox:
            _play_without_each(system, sandbox, waiting, proven)
    return sum(not is_proven for is_proven in proven.values())


def _play_without_each(
    system: str, sandbox: Sandbox, waiting: list[Grant], proven: dict[tuple[str, int, str], bool]
) -> None:
    """Run the walkthrough without each grant until a new sandbox is needed, and move those grants to `proven`.

    A failure can leave something behind that makes the next walkthrough fail for another reason. Only the result in
    a new sandbox counts then.
    """
    is_new = True
    while waiting:
        grant = waiting[0]
        try:
            is_proven = _play_without(system, sandbox, grant)
        except PreconditionError:
            is_proven = False
        if not is_proven and not is_new:
            print("      (again, in a new sandbox)", flush=True)
            return
        waiting.pop(0)
        proven[grant.in_every_region] = is_proven or proven.get(grant.in_every_region, False)
        if not is_proven:
            return
        is_new = False


def _play_without(system: str, sandbox: Sandbox, grant: Grant) -> bool:
    """Run the walkthrough without a grant; return whether it fails, and AWS's message is in the record."""
    target = replace(target_of(sandbox), timeout_seconds=TIMEOUT_SECONDS)
    iam, names = target.client("iam"), {"RoleName": grant.role, "PolicyName": grant.policy}
    document = iam.get_role_policy(**names)["PolicyDocument"]
    without = deepcopy(document)
    statement = without["Statement"][grant.statement]
    statement["Action"] = [action for action in as_list(statement["Action"]) if action != grant.action] or "none:none"
    iam.put_role_policy(**names, PolicyDocument=json.dumps(without))
    try:
        error = play(system, target)
    finally:
        time.sleep(RETRY_SECONDS)
        iam.put_role_policy(**names, PolicyDocument=json.dumps(document))
    log = sandbox.log.read_text()
    error = error or _dead_letter(target, grant.stack)
    denied = re.findall(rf"User: \S+/{re.escape(grant.role)}\S* is not authorized to perform: \S+ .*", log)
    words = [line for line in denied if re.search(f"perform: {re.escape(grant.action)} ".replace(r"\*", ".*"), line)]
    is_proven = bool(error and words)
    print(f"{'ok' if is_proven else 'NOT NEEDED'}  {grant.construct}: {grant.action}", flush=True)
    print(
        f"      {(error or 'the walkthrough succeeds')[:160]}\n      {words[-1] if words else 'not denied'}", flush=True
    )
    return is_proven


def _dead_letter(target: Target, stack: str) -> str:
    """Return the name of a dead-letter queue with an event that a function could not process, and empty it."""
    sqs = target.client("sqs")
    for url in sqs.list_queues(QueueNamePrefix=stack).get("QueueUrls", []):
        if sqs.receive_message(QueueUrl=url).get("Messages"):
            sqs.purge_queue(QueueUrl=url)
            return f"an event is in the dead-letter queue {url.rsplit('/', 1)[-1]}"
    return ""


def main() -> int:
    """Run the command on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m audit.grants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--remove", action="store_true", help="run the walkthroughs without each grant")
    parser.add_argument("systems", nargs="*", help=f"systems (default: all): {', '.join(WALKTHROUGHS)}")
    options = parser.parse_args()
    systems = options.systems or list(WALKTHROUGHS)
    unknown = set(systems) - set(WALKTHROUGHS)
    if unknown:
        parser.error(f"unknown system: {', '.join(sorted(unknown))} (valid: {', '.join(WALKTHROUGHS)})")
    remove_aws_variables()
    failures = sum(map(remove_each, systems)) if options.remove else report(systems)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
