"""EC2: security group rules (`rules`), instances as processes (`instances`), and their states (`instance_states`).

Implements: rules with one source and a permanent id; the calls that change rules, with AWS's errors for duplicates,
unknown rules and groups, malformed ranges, the quota of 60 rules for each direction, and dry runs. Revoking a missing
rule fails in a nondefault VPC and succeeds in the default VPC. All mutating calls, including those that MiniStack
handles, create CloudTrail events (`events`).

Source: EC2 API reference. Not implemented: groups by name, tags of rules, VPC peering, prefix list
entries counting towards the rule quota, IPv6 and prefix list ranges in DescribeSecurityGroups.
"""

from ..ministack import ec2
from . import events, instance_states, instances, rules


def install() -> None:
    """Replace operations and record calls, and extend the resource types."""
    rules.install()
    instances.install()
    instance_states.install()
    ec2.handle_request.extend(events.with_events)
