"""Run a system's walkthrough against its deployed stack in your AWS account (10 minutes to an hour).

It changes resources and restores them at the end. Deploy the stack first: make deploy STACK=...
"""

import argparse
import signal
import sys
from functools import partial
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from .catalog import WALKTHROUGHS
from .walkthrough import PreconditionError, Result, Target, run, session_for

TIMEOUT_SECONDS = 900  # CloudTrail delivers most events within seconds, some within minutes
POLL_SECONDS = 2  # Route 53 allows five requests per second and account
PROPAGATION_SECONDS = 60  # EventBridge: "allow a short period of time for changes to take effect"


def main() -> int:
    """Run the walkthrough of one system; return 1 if a step failed."""
    parser = argparse.ArgumentParser(
        prog="python -m walkthroughs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system", choices=sorted(WALKTHROUGHS), metavar="system", help=", ".join(WALKTHROUGHS))
    parser.add_argument("--profile", help="AWS configuration profile")
    parser.add_argument("--region", help="Region where the stack is deployed")
    parser.add_argument(
        "--propagation-seconds",
        type=int,
        default=PROPAGATION_SECONDS,
        help="seconds until a configuration change takes effect (default: %(default)s)",
    )
    parser.add_argument("--songs", type=Path, metavar="FILE", help="analytics_host: the original songs file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(options)
    except PreconditionError as error:
        print(f"The walkthrough cannot run: {error}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(f"{error}\nThe walkthrough needs AWS credentials, a Region and the deployed stack.", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nInterrupted. The walkthrough has restored what it changed.", file=sys.stderr)
    return 1


def _run(options: argparse.Namespace) -> int:
    session = session_for(options.profile, options.region)
    identity = session.client("sts").get_caller_identity()
    print(f"Running the walkthrough of {options.system} in account {identity['Account']}, {session.region_name}.")
    print(
        f"It takes 10 to 30 minutes: some steps wait up to {options.propagation_seconds} s for a change to propagate.",
        flush=True,
    )
    target = Target(
        session,
        TIMEOUT_SECONDS,
        options.propagation_seconds,
        POLL_SECONDS,
        songs_file=options.songs,
        session_with=partial(boto3.Session, region_name=session.region_name),
    )
    with WALKTHROUGHS[options.system](target) as walkthrough:
        results = run(walkthrough, on_start=_print_title, on_result=_print_result)
    return 1 if any(result.error for result in results) else 0


def _print_title(title: str) -> None:
    print(f"  {title} ...", flush=True)


def _print_result(result: Result) -> None:
    print(f"    {result.status}, {result.seconds:.1f} s: {result.error or result.observed}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
