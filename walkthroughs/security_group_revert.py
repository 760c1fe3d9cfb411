"""Change the sample security group, and check that the stack reverts the changes.

It is safe to run in a real account: all addresses are from ranges reserved for documentation and
benchmarks, and no instance uses the group.
"""

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from botocore.exceptions import ClientError

from lambdas.security_group_revert.respond import MAX_LATE_NOTIFICATIONS
from lambdas.security_group_revert.state import LATE_SORT_KEY, REPORT_SORT_KEY
from settings import export_security_groups

from . import security_group_break_glass as break_glass
from .check_security_group_events import check_events
from .notifications import NotificationQueue, receive_events
from .security_group_preconditions import require_settings
from .walkthrough import RestoringWalkthrough, SkipStep, Step, Target

SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
HTTPS = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
CHECKS = {"source": ["security_group_revert"], "detail-type": ["Security Group Check"]}
BURST = 100
QUIET_SECONDS = 1.5  # enough for an unwanted notification to arrive in the sandbox
MAX_LATE_EVENTS = 10


class SecurityGroupRevertWalkthrough(RestoringWalkthrough):
    """The original post's walkthrough, with additional changes, faults and load."""

    stacks = ("SecurityGroupRevert",)

    @classmethod
    def settings(cls, target: Target) -> dict[str, str]:
        """Also create a trail, without which EventBridge receives no API calls, and name the break-glass role."""
        return {
            "security_group_revert:create_trail": "true",
            "security_group_revert:break_glass_principals": json.dumps([break_glass.role_arn(target)]),
        }

    def _prepare(self) -> None:
        target, outputs = self.target, self.target.outputs("SecurityGroupRevert")
        variables = require_settings(target, outputs)
        self.max_reverts = int(variables["MAX_REVERTS"])
        self.break_glass_principals = json.loads(variables["BREAK_GLASS_PRINCIPALS"])
        self.ec2, self.events, self.sqs = map(target.client, ("ec2", "events", "sqs"))
        self.dynamodb = target.client("dynamodb")
        self.group_id, self.state_table = outputs["SampleGroupId"], outputs["StateTableName"]
        self._delete_state()
        self.cleanup.callback(self._delete_state)
        self.changes_rule, self.sweep_rule = outputs["ChangesRuleName"], outputs["SweepRuleName"]
        self.caller = target.client("sts").get_caller_identity()["Arn"]
        self.notifications = NotificationQueue(self.target, outputs["TopicArn"], self.cleanup, name="notifications")
        self.checks_url = receive_events(self.target, CHECKS, self.cleanup, name="security-group-checks")
        for rule in (self.changes_rule, self.sweep_rule):
            self.cleanup.callback(self.events.enable_rule, Name=rule)
        self._set_enabled(self.sweep_rule, enabled=False)  # so that only events cause reverts

    def _delete_state(self) -> None:
        """Delete the revert counts of the group, so that each walkthrough starts at zero."""
        key = {":group": {"S": self.group_id}}
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.state_table, KeyConditionExpression="group_id = :group", ExpressionAttributeValues=key
        )
        for item in [item for page in pages for item in page["Items"]]:
            self.dynamodb.delete_item(
                TableName=self.state_table, Key={"group_id": item["group_id"], "finding": item["finding"]}
            )

    def sample_group_allows_only_https(self) -> str:
        (rule,) = self._ingress()
        assert (rule["FromPort"], rule["CidrIpv4"]) == (443, "0.0.0.0/0"), f"not the approved rule: {rule}"
        return "one rule: tcp 443 from 0.0.0.0/0"

    def exported_settings_are_the_approved_rules(self) -> str:
        output = io.StringIO()
        with redirect_stdout(output), redirect_stderr(io.StringIO()) as warnings:
            status = export_security_groups.main([self.group_id], self.ec2)
        assert status == 0, f"exit status {status}: {warnings.getvalue()}"
        (group,) = json.loads(output.getvalue())
        approved = {"from_port": 443, "to_port": 443, "cidr_ipv4": "0.0.0.0/0"}
        (rule,) = group["ingress"]
        assert approved.items() <= rule.items(), f"not the approved rule: {rule}"
        assert "open to the internet" in warnings.getvalue(), f"no warning: {warnings.getvalue()}"
        return f'tcp 443 of "{group["name"]}", with a warning: it is open to the internet'

    def events_arrive(self) -> str:
        return check_events(self.target)

    def added_rule_is_revoked(self) -> str:
        started = time.monotonic()
        self._authorize(SSH | {"IpRanges": [{"CidrIp": "203.0.113.7/32", "Description": "just for a minute"}]})
        self._until_as_approved()
        seconds = time.monotonic() - started
        role, _, session = self.caller.rpartition("/") if ":assumed-role/" in self.caller else (self.caller, "", "")
        # Late events of an earlier walkthrough, perhaps by another caller, can cause the revert.
        notification = self.notifications.wait_for("203.0.113.7/32", role, session)
        check = self.target.wait_until(lambda: self._check_of("203.0.113.7/32"), "the event of the check")
        assert check["status"] == "reverted", f"another result: {check}"
        who = self.caller.split(":")[-1]
        return (
            f'revoked after {seconds:.1f} s; "{notification["Subject"]}" names {who}; the event reports it as reverted'
        )

    def modified_rule_is_restored(self) -> str:
        (before,) = self._ingress()
        request = SSH | {"CidrIpv4": "0.0.0.0/0", "Description": "edited"}
        self._modify(before["SecurityGroupRuleId"], request)
        self._until_as_approved()
        (after,) = self._ingress()
        assert after == before, f"before: {before}, after: {after}"
        self.notifications.wait_for("modified: ")
        return f"tcp 443 restored with the same ID, {after['SecurityGroupRuleId']}"

    def deleted_rule_is_restored(self) -> str:
        self._revoke_https()
        self._until_as_approved()
        self.notifications.wait_for("restored")
        return "tcp 443 from 0.0.0.0/0 restored"

    def approved_rule_of_mixed_call_remains(self) -> str:
        approved = HTTPS | {"IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "HTTPS from anywhere"}]}
        unapproved = SSH | {"IpRanges": [{"CidrIp": "203.0.113.8/32"}]}

        def add_before_restore() -> dict[int, str] | None:
            """Revoke the approved rule and add it again before the function restores it."""
            self._revoke_https()
            try:
                return self._authorize(approved, unapproved)
            except ClientError as error:
                if error.response["Error"]["Code"] != "InvalidPermission.Duplicate":
                    raise
            return None

        added = self.target.wait_until(add_before_restore, "a call that is faster than the function")
        self._until_as_approved()
        (remaining,) = self._ingress()
        assert remaining["SecurityGroupRuleId"] == added[443], "the approved rule was replaced"
        assert "restored" not in self.notifications.wait_for("203.0.113.8/32")["Message"], (
            "the approved rule was changed"
        )
        return f"tcp 22 revoked, tcp 443 unchanged ({remaining['SecurityGroupRuleId']})"

    def all_source_types_are_revoked(self) -> str:
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
        message = self.notifications.wait_for("2001:db8::/32")["Message"]
        for source in (prefix_list, self.group_id, "0.0.0.0/1", "128.0.0.0/1", "ICMP type 8"):
            assert source in message, f"the notification does not name {source}:\n{message}"
        return "six rules revoked, all named in one notification"

    def failed_call_has_no_effect(self) -> str:
        errors = []
        for cidr, dry_run in (("999.0.0.0/8", False), ("203.0.113.9/32", True)):
            try:
                self._authorize(SSH | {"IpRanges": [{"CidrIp": cidr}]}, DryRun=dry_run)
            except ClientError as error:
                errors.append(error.response["Error"]["Code"])
        assert len(errors) == 2, f"expected two errors: {errors}"
        time.sleep(max(QUIET_SECONDS, self.target.propagation_seconds))
        received = self.notifications.receive()
        unwanted = [n for n in received if "999.0.0.0" in n["Message"] or "203.0.113.9" in n["Message"]]
        assert not unwanted, f"unexpected notification: {unwanted[0]}"
        return f"{' and '.join(errors)}; no notification"

    def sweep_reverts_missed_event(self) -> str:
        self._set_enabled(self.changes_rule, enabled=False)
        address = self._add_unnoticed_rule()
        self._set_enabled(self.sweep_rule, enabled=True)
        self._until_as_approved()
        assert "scheduled sweep" in self.notifications.wait_for(address)["Message"], "not detected by a sweep"
        self._set_enabled(self.sweep_rule, enabled=False)
        self._set_enabled(self.changes_rule, enabled=True)
        return "revoked by the next sweep, with a notification"

    def break_glass_change_is_reverted_at_its_end(self) -> str:
        if break_glass.role_arn(self.target) not in self.break_glass_principals:
            raise SkipStep(f"needs break_glass_principals with {break_glass.role_arn(self.target)}")
        role_ec2 = break_glass.create_role(self.target, self.group_id, self.cleanup)
        address, other = "203.0.113.40/32", "203.0.113.41/32"
        rule = SSH | {"IpRanges": [{"CidrIp": address, "Description": "INC-1234: vendor access"}]}
        self.target.wait_until(lambda: break_glass.authorize(role_ec2, self.group_id, rule), "permission of the role")
        notification = self.notifications.wait_for("Permitted as break-glass")
        message = notification["Message"]
        if self.target.pictures_folder:
            break_glass.draw(notification, self.target.pictures_folder)
        for part in (address, "INC-1234: vendor access", break_glass.ROLE):
            assert part in message, f"the notification does not contain {part}:\n{message}"
        self._authorize(SSH | {"IpRanges": [{"CidrIp": other}]})
        self.notifications.wait_for(f"revoked: inbound TCP 22 from {other}")
        sources = {rule["CidrIpv4"] for rule in self._ingress()}
        assert sources == {"0.0.0.0/0", address}, f"other rules: {sources}"
        break_glass.move_end_to_the_past(self.dynamodb, self.state_table, self.group_id)
        self._set_enabled(self.sweep_rule, enabled=True)
        self._until_as_approved()
        self.notifications.wait_for("Break-glass changes that ended")
        self._set_enabled(self.sweep_rule, enabled=False)
        return "kept while another change was reverted; revoked by the first sweep after its end, with a notification"

    def recurring_rule_is_suspended(self) -> str:
        added = 0

        def add_until_suspended() -> dict[str, str] | None:
            nonlocal added
            if len(self._ingress()) == 1:
                try:
                    self._authorize(SSH | {"IpRanges": [{"CidrIp": "203.0.113.12/32"}]})
                    added += 1
                except ClientError as error:  # the read was stale
                    if error.response["Error"]["Code"] != "InvalidPermission.Duplicate":
                        raise
            return next((n for n in self.notifications.receive() if "SUSPENDED" in n.get("Subject", "")), None)

        seconds = self.target.timeout_seconds * (self.max_reverts + 1)
        notification = self.target.wait_until(add_until_suspended, "a notification of the suspension", seconds)
        assert added > self.max_reverts, f"suspended after {added - 1} reverts, not {self.max_reverts}"
        self.notifications.received.clear()
        ids = [rule["SecurityGroupRuleId"] for rule in self._ingress() if rule["FromPort"] == 22]
        assert ids, "the rule was reverted after the suspension"
        self.ec2.revoke_security_group_ingress(GroupId=self.group_id, SecurityGroupRuleIds=ids)
        self.notifications.wait_for("are resolved")
        self.target.wait_until(self._has_no_report, "the deletion of the report from the state")
        self._delete_state()
        return f'left in place after {added - 1} reverts: "{notification["Subject"]}"; then removed manually'

    def burst_is_reverted(self) -> str:
        addresses = [f"198.18.0.{number}/32" for number in range(BURST)]
        started = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._authorize_within_quota, addresses))
        self._until_as_approved()
        seconds = time.monotonic() - started

        def missing() -> set[str]:
            text = "\n".join(n["Message"] for n in self.notifications.receive())
            return {address for address in addresses if address not in text}

        self.target.wait_until(lambda: not missing(), "notifications of all changes")
        self.target.wait_until(lambda: len(self._ingress()) == 1, "one rule")
        # Otherwise, the remaining events would be late events of the next walkthrough.
        self.target.wait_until(lambda: self._processed_events() >= BURST, "the events of all calls")
        counted = self._calls_for_next_sweep()
        if counted:
            self._set_enabled(self.sweep_rule, enabled=True)
            self.notifications.wait_for("calls since the last sweep changed the group")
            self._set_enabled(self.sweep_rule, enabled=False)
        return (
            f"all reverted {seconds:.1f} s after the first; each is named in a notification; that of the sweep lists"
            f" {counted} calls"
        )

    def _processed_events(self) -> int:
        """Return the number of calls that notifications name, or that the next sweep reports."""
        reported = sum("CloudTrail event" in n["Message"] for n in self.notifications.receive())
        return reported + self._calls_for_next_sweep()

    def _calls_for_next_sweep(self) -> int:
        """Return the number of calls about which the next sweep sends one notification."""
        key = {"group_id": {"S": self.group_id}, "finding": {"S": LATE_SORT_KEY}}
        item = self.dynamodb.get_item(TableName=self.state_table, Key=key, ConsistentRead=True).get("Item")
        return max(0, int(item["reverts"]["N"]) - MAX_LATE_NOTIFICATIONS) if item else 0

    def _check_of(self, address: str) -> dict[str, Any] | None:
        """Return the detail of the event of a check that reverted a rule with this address; discard others."""
        response = self.sqs.receive_message(QueueUrl=self.checks_url, MaxNumberOfMessages=10)
        for message in response.get("Messages", []):
            self.sqs.delete_message(QueueUrl=self.checks_url, ReceiptHandle=message["ReceiptHandle"])
            detail: dict[str, Any] = json.loads(message["Body"])["detail"]
            if any(action["rule"]["source"] == address for action in detail["actions"]):
                return detail
        return None

    def _has_no_report(self) -> bool:
        key = {"group_id": {"S": self.group_id}, "finding": {"S": REPORT_SORT_KEY}}
        return "Item" not in self.dynamodb.get_item(TableName=self.state_table, Key=key, ConsistentRead=True)

    steps = (
        Step("Read the rules of the Web Server group", sample_group_allows_only_https),
        Step("Write the group's rules as settings", exported_settings_are_the_approved_rules),
        Step("Check that events arrive, with a call that changes nothing", events_arrive),
        Step("Allow SSH from one address", added_rule_is_revoked),
        Step("Change the HTTPS rule to SSH, as the console does", modified_rule_is_restored),
        Step("Delete the HTTPS rule", deleted_rule_is_restored),
        Step("Add an approved and an unapproved rule in one call", approved_rule_of_mixed_call_remains),
        Step("Add rules with IPv6 ranges, a prefix list, a group and all protocols", all_source_types_are_revoked),
        Step("Send an invalid call and a dry run", failed_call_has_no_effect),
        Step("Disable the event rule, and allow SSH again", sweep_reverts_missed_event),
        Step("Allow SSH with the break-glass role, until its time ends", break_glass_change_is_reverted_at_its_end),
        Step("Add the same rule after each revert", recurring_rule_is_suspended),
        Step("Add 100 rules with concurrent calls", burst_is_reverted),
    )

    def _ingress(self) -> list[dict[str, Any]]:
        pages = self.ec2.get_paginator("describe_security_group_rules").paginate(
            Filters=[{"Name": "group-id", "Values": [self.group_id]}]
        )
        return [rule for page in pages for rule in page["SecurityGroupRules"] if not rule["IsEgress"]]

    def _add_unnoticed_rule(self) -> str:
        """Add a rule that is not reverted, and return its address.

        Events of earlier steps can arrive late, and cause a revert. Then add another rule.
        """
        for number in range(MAX_LATE_EVENTS):
            address = f"203.0.113.{20 + number}/32"
            self._authorize(SSH | {"IpRanges": [{"CidrIp": address}]})
            time.sleep(max(QUIET_SECONDS, self.target.propagation_seconds))
            if len(self._ingress()) == 2:
                return address
        raise AssertionError(f"{MAX_LATE_EVENTS} rules were reverted without an event or a sweep")

    def _until_as_approved(self) -> None:
        def as_approved() -> bool:
            rules = [(r["IpProtocol"], r["FromPort"], r["ToPort"], r.get("CidrIpv4")) for r in self._ingress()]
            return rules == [("tcp", 443, 443, "0.0.0.0/0")]

        self.target.wait_until(as_approved, "only the HTTPS rule")

    def _authorize(self, *permissions: dict[str, Any], DryRun: bool = False) -> dict[int, str]:
        """Add rules; return their IDs by port."""
        response = self.ec2.authorize_security_group_ingress(
            GroupId=self.group_id, IpPermissions=list(permissions), DryRun=DryRun
        )
        return {rule["FromPort"]: rule["SecurityGroupRuleId"] for rule in response["SecurityGroupRules"]}

    def _authorize_within_quota(self, address: str) -> None:
        """Add a rule, waiting while the group has the maximum of 60 rules."""

        def added() -> bool:
            try:
                self._authorize(SSH | {"IpRanges": [{"CidrIp": address}]})
            except ClientError as error:
                if error.response["Error"]["Code"] == "RulesPerSecurityGroupLimitExceeded":
                    return False
                raise
            return True

        self.target.wait_until(added, f"quota for {address}")

    def _revoke_https(self) -> None:
        ids = [rule["SecurityGroupRuleId"] for rule in self._ingress() if rule["FromPort"] == 443]
        self.ec2.revoke_security_group_ingress(GroupId=self.group_id, SecurityGroupRuleIds=ids)

    def _modify(self, rule_id: str, request: dict[str, Any]) -> None:
        self.ec2.modify_security_group_rules(
            GroupId=self.group_id,
            SecurityGroupRules=[{"SecurityGroupRuleId": rule_id, "SecurityGroupRule": request}],
        )

    def _set_enabled(self, rule: str, *, enabled: bool) -> None:
        (self.events.enable_rule if enabled else self.events.disable_rule)(Name=rule)
        time.sleep(self.target.propagation_seconds)
