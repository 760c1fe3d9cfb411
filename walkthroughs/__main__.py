"""Play a system's walkthrough in the AWS account that the environment names."""

import argparse
import os
import signal
import sys
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from .catalog import WALKTHROUGHS
from .walkthrough import PreconditionError, Result, Target, play

TIMEOUT_SECONDS = 900  # seconds; CloudTrail delivers most records in a few, some in minutes
PAUSE = 2  # seconds; Route 53 takes five requests a second of an account
PROPAGATION_SECONDS = 60  # seconds; EventBridge: "allow a short period of time for changes to take effect"


def main() -> int:
    """Play the walkthrough that the command line names; 1 when a step failed."""
    parser = argparse.ArgumentParser(prog="python -m walkthroughs", description=__doc__)
    parser.add_argument("system", choices=sorted(WALKTHROUGHS))
    parser.add_argument("--profile", help="profile of the AWS configuration")
    parser.add_argument("--region", help="region where the stack is deployed")
    parser.add_argument(
        "--propagation-seconds",
        type=int,
        default=PROPAGATION_SECONDS,
        help="seconds until a changed rule takes effect",
    )
    parser.add_argument("--songs", type=Path, help="analytics_host: the songs file of the published figures")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _play(options)
    except PreconditionError as error:
        print(f"The walkthrough cannot run: {error}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(f"{error}\nThis needs credentials, a region, and the deployed stack.", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nInterrupted; everything that the walkthrough had changed is put back.", file=sys.stderr)
    return 1


def _play(options: argparse.Namespace) -> int:
    session = session_for(options.profile, options.region)
    identity = session.client("sts").get_caller_identity()
    print(f"Playing {options.system} in account {identity['Account']}, {session.region_name}.")
    print(
        f"Some steps wait up to {options.propagation_seconds} s for AWS to apply a change. It takes 10 to 30 minutes.",
        flush=True,
    )
    target = Target(session, TIMEOUT_SECONDS, options.propagation_seconds, PAUSE, songs=options.songs)
    with WALKTHROUGHS[options.system](target) as walkthrough:
        results = play(walkthrough, _begin, _tell)
    return 1 if any(result.error for result in results) else 0


def session_for(profile: str | None, region: str | None) -> boto3.Session:
    """Return a session in the region that the CDK CLI deploys to; boto3 does not read AWS_REGION."""
    return boto3.Session(profile_name=profile, region_name=region or os.environ.get("AWS_REGION") or None)


def _begin(title: str) -> None:
    print(f"  {title} ...", flush=True)


def _tell(result: Result) -> None:
    print(f"    {result.mark}, {result.seconds:.1f} s: {result.error or result.seen}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
