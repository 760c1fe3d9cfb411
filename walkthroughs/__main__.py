"""Play a system's walkthrough in the AWS account that the environment names."""

import argparse
import sys

import boto3

from .catalog import STORIES
from .story import Result, World, play

PATIENCE = 900  # seconds; CloudTrail delivers most records in a few, some in minutes
SETTLE = 60  # seconds; EventBridge: "allow a short period of time for changes to take effect"


def main() -> int:
    """Play the walkthrough that the command line names; 1 when a step failed."""
    parser = argparse.ArgumentParser(prog="python -m walkthroughs", description=__doc__)
    parser.add_argument("system", choices=sorted(STORIES))
    parser.add_argument("--profile", help="profile of the AWS configuration")
    parser.add_argument("--region", help="region where the stack is deployed")
    options = parser.parse_args()
    session = boto3.Session(profile_name=options.profile, region_name=options.region)
    identity = session.client("sts").get_caller_identity()
    print(f"Playing {options.system} in account {identity['Account']}, {session.region_name}.")
    with STORIES[options.system](World(session, PATIENCE, SETTLE)) as story:
        results = play(story, _tell)
    return 1 if any(result.error for result in results) else 0


def _tell(result: Result) -> None:
    mark = "FAILED" if result.error else "ok"
    print(f"  {mark:<7}{result.title} ({result.seconds:.1f} s): {result.error or result.seen}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
