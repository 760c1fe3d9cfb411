"""Check that API calls reach the function of SecurityGroupRevert.

The command calls UpdateSecurityGroupRuleDescriptionsIngress for one inbound rule of a guarded group, with the
description that the rule already has, and waits until the function logs the event of this call. Nothing changes, so no
notification is sent. Exit status: 0 if the event arrives, 1 if it does not, 2 if it cannot be checked.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .trails import require_trail
from .walkthrough import PreconditionError, Target, session_for

ARRIVED, MISSING, NOT_CHECKED = 0, 1, 2
TIMEOUT_SECONDS = 900  # CloudTrail delivers most events within seconds, some within minutes
POLL_SECONDS = 5
CLOCK_SKEW_SECONDS = 300  # AWS rejects requests with a larger difference (IAM user guide, Signature Version 4)
REASONS = (
    "Check that the group is in the settings, and the alarms Errors, Throttles and DeadLetters. CloudTrail may also be "
    "late: run the command again."
)


def check_events(target: Target, group_id: str = "") -> str:
    """Call EC2 without changing the group, by default the sample group, and return how long its event took.

    Raises:
        PreconditionError: no event can arrive, or the group has no inbound rule.
        AssertionError: the event did not arrive within the target's timeout.
    """
    outputs = target.outputs("SecurityGroupRevert")
    group_id = group_id or outputs.get("SampleGroupId", "")
    if not group_id:
        raise PreconditionError("the sample group is not deployed; give the ID of a guarded group")
    _require_rule(target.client("events"), outputs["ChangesRuleName"])
    require_trail(target.client("cloudtrail"))
    logs, log_group = target.client("logs"), outputs["LogGroupName"]
    started = time.time()
    request_id = _call(target.client("ec2"), group_id)
    search = {
        "logGroupName": log_group,
        "filterPattern": json.dumps(request_id),  # a quoted term
        "startTime": int((started - CLOCK_SKEW_SECONDS) * 1000),
    }

    def is_logged() -> bool:
        pages = logs.get_paginator("filter_log_events").paginate(**search)
        return any(page["events"] for page in pages)

    target.wait_until(is_logged, f"the event of request {request_id} for {group_id} in the log {log_group}")
    return f"the event of a call for {group_id} arrived after {time.time() - started:.0f} s"


def _require_rule(events: Any, name: str) -> None:
    state = events.describe_rule(Name=name)["State"]
    if state == "DISABLED":
        raise PreconditionError(f"the EventBridge rule is disabled; enable it: aws events enable-rule --name {name}")


def _call(ec2: Any, group_id: str) -> str:
    """Set the description of an inbound rule to its present value, and return the ID of the request."""
    pages = ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": [group_id]}]
    )
    rules = [rule for page in pages for rule in page["SecurityGroupRules"] if not rule["IsEgress"]]
    if not rules:
        raise PreconditionError(
            f"{group_id} does not exist or has no inbound rule; give the ID of another guarded group"
        )
    chosen = next((rule for rule in rules if rule.get("Description")), rules[0])
    rule = {key: chosen[key] for key in ("SecurityGroupRuleId", "Description") if chosen.get(key)}
    response = ec2.update_security_group_rule_descriptions_ingress(
        GroupId=group_id, SecurityGroupRuleDescriptions=[rule]
    )
    request_id: str = response["ResponseMetadata"]["RequestId"]
    return request_id


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    summary, _, details = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m walkthroughs.check_security_group_events", description=summary, epilog=details
    )
    parser.add_argument("group_id", nargs="?", default="", help="ID of a guarded group (default: the sample group)")
    parser.add_argument("--profile", help="AWS configuration profile")
    parser.add_argument("--region", help="Region where the stack is deployed")
    parser.add_argument(
        "--timeout", type=int, default=TIMEOUT_SECONDS, metavar="SECONDS", help="time to wait (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        session = session_for(options.profile, options.region)
        target = Target(session, options.timeout, propagation_seconds=0, poll_seconds=POLL_SECONDS)
        print(f"Waiting up to {options.timeout} s for the event of a call that changes nothing ...", flush=True)
        print(check_events(target, options.group_id))
    except AssertionError as error:
        print(f"{error}. {REASONS}", file=sys.stderr)
        return MISSING
    except (PreconditionError, BotoCoreError, ClientError) as error:
        print(f"The events cannot be checked: {error}", file=sys.stderr)
        return NOT_CHECKED
    except KeyboardInterrupt:
        return NOT_CHECKED
    return ARRIVED


if __name__ == "__main__":
    sys.exit(main())
