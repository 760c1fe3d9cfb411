"""Someone opens SSH on the web server's group; moments later it is closed again.

All addresses are from ranges reserved for documentation and benchmarks, and the group guards
nothing: this is safe to play in a real account.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from .trails import require_trail
from .walkthrough import PreconditionError, RestoringWalkthrough, Target, step

SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
HTTPS = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
BURST = 100
MAX_SWEEP_MINUTES = 10  # an account is given 15 minutes to do what a step waits for
MINUTES = {"minute": 1, "hour": 60, "day": 1440}  # units of EventBridge's rate expressions
QUIET_SECONDS = 1.5  # in which a notice that should not come would have come, in the sandbox


class SecurityGroupRevertWalkthrough(RestoringWalkthrough):
    """The post's walkthrough, and what happens in a real company besides."""

    stacks = ("SecurityGroupRevert",)

    @classmethod
    def settings(cls, _world: Target) -> dict[str, str]:
        """Deploy a trail too, without which EventBridge receives no calls."""
        return {"security_group_revert:create_trail": "true"}

    def _prepare(self) -> None:
        target, outputs = self.target, self.target.outputs("SecurityGroupRevert")
        self._check(outputs)
        self.ec2, self.events, self.sns, self.sqs = map(target.client, ("ec2", "events", "sns", "sqs"))
        self.dynamodb = target.client("dynamodb")
        self.group_id, self.state_table = outputs["WebServerGroupId"], outputs["StateTableName"]
        self._forget_reverts()
        self.cleanup.callback(self._forget_reverts)
        self.changes_rule, self.sweep_rule = outputs["ChangesRuleName"], outputs["SweepRuleName"]
        self.caller = target.client("sts").get_caller_identity()["Arn"]
        self.notices: list[dict[str, str]] = []
        self._subscribe(outputs["TopicArn"])
        for rule in (self.changes_rule, self.sweep_rule):
            self.cleanup.callback(self.events.enable_rule, Name=rule)
        self._switch(self.sweep_rule, on=False)  # so that what is seen is the work of events

    def _check(self, outputs: dict[str, str]) -> None:
        """Raise PreconditionError when the deployed settings, or the account's trails, do not allow the steps."""
        if "WebServerGroupId" not in outputs:
            raise PreconditionError(
                "the sample group is not deployed; deploy with security_group_revert:sample_group=true"
            )
        function = self.target.client("lambda").get_function_configuration(FunctionName=outputs["FunctionName"])
        variables = function["Environment"]["Variables"]
        for name, needed in (("mode", "revert"), ("restore", "true")):
            if variables[name.upper()] != needed:
                given = f"security_group_revert:{name}={variables[name.upper()]}"
                raise PreconditionError(f"the stack is deployed with {given}; the walkthrough needs {name}={needed}")
        self.max_reverts = int(variables["MAX_REVERTS"])
        rule = self.target.client("events").describe_rule(Name=outputs["SweepRuleName"])
        value, unit = rule["ScheduleExpression"].removeprefix("rate(").removesuffix(")").split()
        minutes = int(value) * MINUTES[unit.removesuffix("s")]
        if minutes > MAX_SWEEP_MINUTES:
            raise PreconditionError(
                f"the stack is deployed with security_group_revert:sweep_minutes={minutes}; the walkthrough waits for"
                f" a sweep and needs at most {MAX_SWEEP_MINUTES}"
            )
        require_trail(self.target.client("cloudtrail"))

    def _forget_reverts(self) -> None:
        """Delete the counts of the group, so that this walkthrough and the next begin with none."""
        key = {":group": {"S": self.group_id}}
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.state_table, KeyConditionExpression="group_id = :group", ExpressionAttributeValues=key
        )
        for item in [item for page in pages for item in page["Items"]]:
            self.dynamodb.delete_item(
                TableName=self.state_table, Key={"group_id": item["group_id"], "finding": item["finding"]}
            )

    @step
    def only_https_is_open(self) -> str:
        """Look at the Web Server group."""
        (rule,) = self._ingress()
        assert (rule["FromPort"], rule["CidrIpv4"]) == (443, "0.0.0.0/0"), f"not the approved rule: {rule}"
        return "one rule: tcp 443 from 0.0.0.0/0"

    @step
    def ssh_is_revoked(self) -> str:
        """Open SSH for one address."""
        started = time.monotonic()
        self._authorize(SSH | {"IpRanges": [{"CidrIp": "203.0.113.7/32", "Description": "just for a minute"}]})
        self._until_as_approved()
        seconds = time.monotonic() - started
        notice = self._notice("203.0.113.7/32")
        message = notice["Message"].replace("[.]", ".")  # links are broken up
        role, _, session = self.caller.rpartition("/") if ":assumed-role/" in self.caller else (self.caller, "", "")
        assert role in message, f"the notification does not name {role}:\n{message}"
        assert session in message, f"the notification does not name the session {session}:\n{message}"
        return f'gone after {seconds:.1f} s; notice "{notice["Subject"]}" names {self.caller.split(":")[-1]}'

    @step
    def edit_is_restored(self) -> str:
        """Edit the HTTPS rule to SSH, as the console's Edit does."""
        (before,) = self._ingress()
        request = SSH | {"CidrIpv4": "0.0.0.0/0", "Description": "edited"}
        self._modify(before["SecurityGroupRuleId"], request)
        self._until_as_approved()
        (after,) = self._ingress()
        assert after == before, f"it was {before}, it is {after}"
        self._notice("edited back")
        return f"tcp 443 again, still rule {after['SecurityGroupRuleId']}"

    @step
    def deletion_is_restored(self) -> str:
        """Delete the HTTPS rule."""
        self._revoke_https()
        self._until_as_approved()
        self._notice("restored")
        return "tcp 443 from 0.0.0.0/0 is back"

    @step
    def good_rule_of_a_mixed_call_stays(self) -> str:
        """Add an approved and a forbidden rule in one call."""
        approved = HTTPS | {"IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "HTTPS from anywhere"}]}
        forbidden = SSH | {"IpRanges": [{"CidrIp": "203.0.113.8/32"}]}

        def added_before_it_was_restored() -> dict[int, str] | None:
            """Make room for the approved rule, and be quicker than the function."""
            self._revoke_https()
            try:
                return self._authorize(approved, forbidden)
            except ClientError as error:
                if error.response["Error"]["Code"] != "InvalidPermission.Duplicate":
                    raise
            return None

        added = self.target.wait_until(added_before_it_was_restored, "a call that is quicker than the function")
        self._until_as_approved()
        (kept,) = self._ingress()
        assert kept["SecurityGroupRuleId"] == added[443], "the approved rule was replaced, not kept"
        assert "restored" not in self._notice("203.0.113.8/32")["Message"], "the approved rule was touched"
        return f"tcp 443 stayed ({kept['SecurityGroupRuleId']}), tcp 22 went"

    @step
    def every_kind_of_source_is_revoked(self) -> str:
        """Add rules for IPv6, a prefix list, another group, and all protocols."""
        lists = self.ec2.describe_prefix_lists()["PrefixLists"]
        prefix_list = next(item["PrefixListId"] for item in lists if item["PrefixListName"].endswith(".s3"))
        self._authorize(
            SSH | {"Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}]},
            SSH | {"PrefixListIds": [{"PrefixListId": prefix_list}]},
            SSH | {"UserIdGroupPairs": [{"GroupId": self.group_id}]},
            {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/1"}, {"CidrIp": "128.0.0.0/1"}]},
            {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "IpRanges": [{"CidrIp": "203.0.113.0/24"}]},
        )
        self._until_as_approved()
        message = self._notice("2001:db8::/32")["Message"]
        for source in (prefix_list, self.group_id, "0.0.0.0/1", "128.0.0.0/1", "ICMP type 8"):
            assert source in message, f"the notice does not name {source}:\n{message}"
        return "six rules gone, all named in one notice"

    @step
    def failed_call_does_nothing(self) -> str:
        """Make a call that fails, and a dry run."""
        refusals = []
        for cidr, dry_run in (("999.0.0.0/8", False), ("203.0.113.9/32", True)):
            try:
                self._authorize(SSH | {"IpRanges": [{"CidrIp": cidr}]}, DryRun=dry_run)
            except ClientError as error:
                refusals.append(error.response["Error"]["Code"])
        assert len(refusals) == 2, f"not both calls failed: {refusals}"
        time.sleep(max(QUIET_SECONDS, self.target.propagation_seconds))
        self._receive()
        came = [
            notice for notice in self.notices if "999.0.0.0" in notice["Message"] or "203.0.113.9" in notice["Message"]
        ]
        assert not came, f"a notification came: {came[0]}"
        return f"{' and '.join(refusals)}; no notice"

    @step
    def sweep_catches_what_no_event_told(self) -> str:
        """Switch events off, and open SSH again."""
        self._switch(self.changes_rule, on=False)
        self._authorize(SSH | {"IpRanges": [{"CidrIp": "203.0.113.10/32"}]})
        time.sleep(QUIET_SECONDS)
        assert len(self._ingress()) == 2, "it was reverted without event and without sweep"
        self._switch(self.sweep_rule, on=True)
        self._until_as_approved()
        assert "all guarded groups" in self._notice("203.0.113.10/32")["Message"], (
            "the notice does not speak of a look at all groups"
        )
        self._switch(self.sweep_rule, on=False)
        self._switch(self.changes_rule, on=True)
        return "gone with the next sweep, and told of"

    @step
    def endless_duel_is_ended(self) -> str:
        """Add the same rule again each time that it is reverted."""
        added = 0

        def left_in_place() -> dict[str, str] | None:
            nonlocal added
            if len(self._ingress()) == 1:
                try:
                    self._authorize(SSH | {"IpRanges": [{"CidrIp": "203.0.113.12/32"}]})
                    added += 1
                except ClientError as error:  # reads lag behind
                    if error.response["Error"]["Code"] != "InvalidPermission.Duplicate":
                        raise
            self._receive()
            return next((notice for notice in self.notices if "SUSPENDED" in notice.get("Subject", "")), None)

        seconds = self.target.timeout_seconds * (self.max_reverts + 1)
        notice = self.target.wait_until(left_in_place, "a notification that reverting is suspended", seconds)
        assert added > self.max_reverts, f"suspended after {added - 1} reverts, not {self.max_reverts}"
        self.notices.clear()
        ids = [rule["SecurityGroupRuleId"] for rule in self._ingress() if rule["FromPort"] == 22]
        assert ids, "the rule was reverted once more"
        self.ec2.revoke_security_group_ingress(GroupId=self.group_id, SecurityGroupRuleIds=ids)
        self._notice("is resolved")
        self._forget_reverts()
        return f'left after {added - 1} reverts: "{notice["Subject"]}"; removed by hand, and "Resolved"'

    @step
    def burst_leaves_nothing(self) -> str:
        """Make 100 changes at once."""
        addresses = [f"198.18.0.{number}/32" for number in range(BURST)]
        started = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._authorize_when_there_is_room, addresses))
        self._until_as_approved()
        seconds = time.monotonic() - started

        def unnamed() -> set[str]:
            self._receive()
            text = "\n".join(notice["Message"] for notice in self.notices)
            return {address for address in addresses if address not in text}

        self.target.wait_until(lambda: not unnamed(), "a notice of every one of the changes")
        self.target.wait_until(lambda: len(self._ingress()) == 1, "one rule")
        return f"none is left {seconds:.1f} s after the first; every one is named in a notice"

    def _ingress(self) -> list[dict[str, Any]]:
        pages = self.ec2.get_paginator("describe_security_group_rules").paginate(
            Filters=[{"Name": "group-id", "Values": [self.group_id]}]
        )
        return [rule for page in pages for rule in page["SecurityGroupRules"] if not rule["IsEgress"]]

    def _until_as_approved(self) -> None:
        def as_approved() -> bool:
            rules = [(r["IpProtocol"], r["FromPort"], r["ToPort"], r.get("CidrIpv4")) for r in self._ingress()]
            return rules == [("tcp", 443, 443, "0.0.0.0/0")]

        self.target.wait_until(as_approved, "only HTTPS open")

    def _authorize(self, *permissions: dict[str, Any], DryRun: bool = False) -> dict[int, str]:
        """Add rules; give their ids by port."""
        response = self.ec2.authorize_security_group_ingress(
            GroupId=self.group_id, IpPermissions=list(permissions), DryRun=DryRun
        )
        return {rule["FromPort"]: rule["SecurityGroupRuleId"] for rule in response["SecurityGroupRules"]}

    def _authorize_when_there_is_room(self, address: str) -> None:
        """A group holds 60 rules: wait while it is full."""

        def added() -> bool:
            try:
                self._authorize(SSH | {"IpRanges": [{"CidrIp": address}]})
            except ClientError as error:
                if error.response["Error"]["Code"] == "RulesPerSecurityGroupLimitExceeded":
                    return False
                raise
            return True

        self.target.wait_until(added, f"room for {address}")

    def _revoke_https(self) -> None:
        ids = [rule["SecurityGroupRuleId"] for rule in self._ingress() if rule["FromPort"] == 443]
        self.ec2.revoke_security_group_ingress(GroupId=self.group_id, SecurityGroupRuleIds=ids)

    def _modify(self, rule_id: str, request: dict[str, Any]) -> None:
        self.ec2.modify_security_group_rules(
            GroupId=self.group_id,
            SecurityGroupRules=[{"SecurityGroupRuleId": rule_id, "SecurityGroupRule": request}],
        )

    def _switch(self, rule: str, *, on: bool) -> None:
        (self.events.enable_rule if on else self.events.disable_rule)(Name=rule)
        time.sleep(self.target.propagation_seconds)

    def _subscribe(self, topic_arn: str) -> None:
        """Have the notices come to a queue as well."""
        self.queue_url = self.sqs.create_queue(QueueName=f"notices-{int(time.time())}")["QueueUrl"]
        self.cleanup.callback(self.sqs.delete_queue, QueueUrl=self.queue_url)
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["QueueArn"])
        queue_arn = attributes["Attributes"]["QueueArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=self.queue_url, Attributes={"Policy": policy})
        subscription = self.sns.subscribe(
            TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn, ReturnSubscriptionArn=True
        )
        self.cleanup.callback(self.sns.unsubscribe, SubscriptionArn=subscription["SubscriptionArn"])

    def _receive(self) -> None:
        while True:
            response = self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
            messages = response.get("Messages", [])
            for message in messages:
                self.notices.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
            if not messages:
                return

    def _notice(self, text: str) -> dict[str, str]:
        """Wait for the notice that has `text`; forget all notices up to now."""

        def found() -> dict[str, str] | None:
            self._receive()
            return next((notice for notice in self.notices if text in notice["Message"]), None)

        notice = self.target.wait_until(found, f"a notice with {text!r}")
        self.notices.clear()
        return notice
