"""Inspect a change set from the command line, as the pipeline does, without executing it.

Prints the unsafe changes. Exit status: 0 if the change set is safe or has no changes, 1 if a change is unsafe, 2 if the
change set cannot be inspected. The caller needs cloudformation:DescribeChangeSet, DescribeEvents, DescribeType,
GetTemplate and ListStackResources.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from .change_set import CreationStatus, creation_status, inspect
from .errors import DeploymentError, InvalidInputError
from .inspection import Policy
from .request import parse_policy

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient

POLL_SECONDS, MAX_POLLS = 5, 120  # 10 minutes, as in the state machine
SAFE, UNSAFE, FAILED = 0, 1, 2


def main(arguments: Sequence[str] | None = None, cloudformation: "CloudFormationClient | None" = None) -> int:
    """Inspect the change set that the arguments name, and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        policy = _policy(options.input)
        client = cloudformation or boto3.client("cloudformation", region_name=options.region)
        return _inspect(client, *_find(client, options), policy, options.report)
    except (BotoCoreError, ClientError, DeploymentError, OSError) as error:
        _print(str(error), sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    summary, _, details = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m lambdas.deploy_pipeline.inspect_change_set", description=summary, epilog=details
    )
    parser.add_argument("change_set", metavar="CHANGE_SET", help="ARN of the change set, or its name with --stack-name")
    parser.add_argument("--stack-name", metavar="NAME", help="name of the stack; default: that of the change set")
    parser.add_argument("--input", type=Path, metavar="FILE", help="the state machine's input, for its `policy`")
    parser.add_argument("--report", type=Path, metavar="FILE", help="append a report of all changes as Markdown")
    parser.add_argument("--region", help="AWS Region; default: that of the AWS configuration")
    return parser


def _policy(file: Path | None) -> Policy:
    if not file:
        return Policy()
    try:
        content = json.loads(file.read_text())
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidInputError(f"{file} must be a JSON object")
    return parse_policy(content.get("policy", {}))


def _find(client: "CloudFormationClient", options: argparse.Namespace) -> tuple[str, str]:
    """Return the ARN of the change set, and the name of its stack."""
    stack = {"StackName": options.stack_name} if options.stack_name else {}
    if not stack and not options.change_set.startswith("arn:"):
        raise InvalidInputError("--stack-name: missing; required with the name of a change set instead of its ARN")
    described = client.describe_change_set(ChangeSetName=options.change_set, **stack)
    return described["ChangeSetId"], options.stack_name or described["StackName"]


def _inspect(
    client: "CloudFormationClient", change_set: str, stack_name: str, policy: Policy, report: Path | None
) -> int:
    status = _wait(client, change_set, stack_name)
    if status["status"] == "empty":
        print(f"{stack_name}: no changes")
        return SAFE
    if status["status"] != "ready":
        _print(status["reason"], sys.stderr)
        return FAILED
    if policy.drift != "ignore":
        _check_deployment_mode(client, change_set, policy.drift)
    result = inspect(client, change_set, stack_name, policy, lambda text: _append(report, text))
    safe = "\n".join(filter(None, [f"{stack_name}: no unsafe changes", result["notices"]]))
    _print(result["cause"] or safe, sys.stdout)
    return SAFE if result["safe"] else UNSAFE


def _wait(client: "CloudFormationClient", change_set: str, stack_name: str) -> CreationStatus:
    """Return the status of the change set once it has been created."""
    for _ in range(MAX_POLLS):
        status = creation_status(client, change_set, stack_name)
        if status["status"] != "pending":
            break
        time.sleep(POLL_SECONDS)
    return status


def _check_deployment_mode(client: "CloudFormationClient", change_set: str, drift: str) -> None:
    if "DeploymentMode" not in client.describe_change_set(ChangeSetName=change_set):
        raise InvalidInputError(
            f"policy.drift: given {drift}; the change set has no drift, because it was not created with"
            " --deployment-mode REVERT_DRIFT"
        )


def _print(text: str, stream: TextIO) -> None:
    """Print lines that neither a terminal nor a build service executes: templates and hooks choose parts of them.

    GitHub Actions reads commands at the start of a line (``::error::``) or anywhere in it (``##[error]``), and Azure
    Pipelines too (``##vso[...]``).
    """
    for line in text.splitlines():
        printable = "".join(letter if letter.isprintable() else " " for letter in line)
        shown = re.sub("#(?=#)", "# ", printable)
        print(f"- {shown}" if shown.lstrip().startswith("::") else shown, file=stream)


def _append(file: Path | None, text: str) -> str:
    """Append the report to a file, such as the job summary of GitHub Actions; it has no URL."""
    if file:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(text)
    return ""


if __name__ == "__main__":
    sys.exit(main())
