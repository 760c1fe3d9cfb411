"""Write the current rules of security groups as the setting `security_group_revert:groups`.

The list is written to the standard output, and what to review before you deploy it to the standard error: rules that
are open to the internet, rules without a description, groups whose rules a controller may change, and what the
settings do not accept. Exit status: 0 if the settings accept the list, 1 if a rule is left out or the settings reject
the list, 2 if the groups cannot be read. The caller needs ec2:DescribeSecurityGroups and DescribeSecurityGroupRules.
"""

import argparse
import ipaddress
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

from lambdas.security_group_revert.revert import MAX_FILTER_VALUES, read_rules
from lambdas.security_group_revert.rules import WITH_PORTS, Rule

from . import Settings, SettingsError
from .security_group_revert import ApprovedRule

EXPORTED, INCOMPLETE, FAILED = 0, 1, 2
PAGE_SIZE = 1000  # EC2 API reference, DescribeSecurityGroups
MAX_NAME_CHARACTERS = 60  # of a guarded group
# A larger range is open to the internet, also if it is split into parts, as 0.0.0.0/1 and 128.0.0.0/1.
MIN_PREFIX_LENGTHS = {4: 8, 6: 16}
UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")  # private IPv6 addresses
SOURCE_FIELDS = {
    "CidrIpv4": "cidr_ipv4",
    "CidrIpv6": "cidr_ipv6",
    "PrefixListId": "prefix_list_id",
    "ReferencedGroupId": "referenced_group_id",
}
# Prefixes of the tag keys of controllers that change rules at run time: Kubernetes and Amazon EKS.
CONTROLLER_TAGS = ("aws:eks:", "elbv2.k8s.aws/", "kubernetes.io/")


def main(arguments: Sequence[str] | None = None, ec2: Any = None) -> int:
    """Write the rules of the groups that the arguments name, and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not (options.group_ids or options.vpc_id or options.tag):
        parser.error("name groups by ID, or with --vpc-id or --tag")
    if options.group_ids and (options.vpc_id or options.tag):
        parser.error("--vpc-id and --tag cannot be combined with group IDs")
    try:
        client = ec2 or boto3.client("ec2", region_name=options.region)
        groups = sorted(_read_groups(client, options), key=lambda group: group["GroupId"])
        ids = [group["GroupId"] for group in groups]
        rules: dict[str, tuple[Rule, ...]] = {}
        for start in range(0, len(ids), MAX_FILTER_VALUES):
            rules |= read_rules(client, ids[start : start + MAX_FILTER_VALUES])
    except (BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return FAILED
    if not groups:
        print("no security groups match", file=sys.stderr)
        return FAILED
    exports = [_Export(group, rules[group["GroupId"]], with_egress=options.egress) for group in groups]
    setting = [export.setting for export in exports]
    print("[\n" + ",\n".join(_format(group) for group in setting) + "\n]")
    errors = [error for export in exports for error in export.errors] + _settings_errors(setting, options.egress)
    for line in [*(warning for export in exports for warning in export.warnings), *errors]:
        print(line, file=sys.stderr)
    return INCOMPLETE if errors else EXPORTED


def _parser() -> argparse.ArgumentParser:
    summary, _, details = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m settings.export_security_groups", description=summary, epilog=details
    )
    parser.add_argument("group_ids", nargs="*", metavar="GROUP_ID", help="ID of a security group")
    parser.add_argument("--vpc-id", metavar="ID", help="all security groups of a VPC")
    parser.add_argument(
        "--tag", type=_tag, metavar="KEY=VALUE", help="security groups with this tag, in all VPCs or in --vpc-id"
    )
    parser.add_argument("--egress", action="store_true", help="also write egress rules; they need guard_egress=true")
    parser.add_argument("--region", help="AWS Region; default: that of the AWS configuration")
    return parser


def _tag(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not (key and separator):
        raise argparse.ArgumentTypeError(f"invalid value {text} (valid: KEY=VALUE)")
    return key, value


def _read_groups(ec2: Any, options: argparse.Namespace) -> list[dict[str, Any]]:
    pages = ec2.get_paginator("describe_security_groups")
    if options.group_ids:  # not as a filter, so that an unknown ID is an error
        selection: dict[str, Any] = {"GroupIds": list(dict.fromkeys(options.group_ids))}
    else:
        filters = [("vpc-id", options.vpc_id)] if options.vpc_id else []
        filters += [(f"tag:{options.tag[0]}", options.tag[1])] if options.tag else []
        selection = {
            "Filters": [{"Name": name, "Values": [value]} for name, value in filters],
            "PaginationConfig": {"PageSize": PAGE_SIZE},
        }
    return [group for page in pages.paginate(**selection) for group in page["SecurityGroups"]]


class _Export:
    """A group as the settings accept it, and what to review.

    warnings: the settings accept it. errors: rules that the settings cannot express and that are left out.
    """

    def __init__(self, group: dict[str, Any], rules: Sequence[Rule], *, with_egress: bool) -> None:
        self.warnings: list[str] = []
        self.errors: list[str] = []
        self._owner = group["OwnerId"]
        self._tags = {tag["Key"]: tag["Value"] for tag in group.get("Tags", [])}
        name = self._tags.get("Name") or group["GroupName"]
        self._label = f"{group['GroupId']} ({_printable(name)})"
        rules = sorted((rule for rule in rules if with_egress or not rule.is_egress), key=_order)
        self.setting = {
            "group_id": group["GroupId"],
            "name": _printable(name)[:MAX_NAME_CHARACTERS],
            "ingress": list(self._fields(rules, is_egress=False)),
        }
        if with_egress:
            self.setting["egress"] = list(self._fields(rules, is_egress=True))
        self._review(rules)

    def _fields(self, rules: Sequence[Rule], *, is_egress: bool) -> Iterator[dict[str, Any]]:
        """Yield the rules that the settings can express, and collect an error for each other rule."""
        for rule in rules:
            if rule.is_egress != is_egress:
                continue
            fields = _rule_fields(rule, self._owner)
            try:
                ApprovedRule.model_validate(fields)
            except ValidationError as error:
                reason = "; ".join(str(detail["msg"]) for detail in error.errors())
                self.errors.append(
                    f"{self._label}: left out {rule.rule_id}, {_printable(str(rule))}: {reason}."
                    " With mode=revert it would be revoked"
                )
            else:
                yield fields

    def _review(self, rules: Sequence[Rule]) -> None:
        self.warnings += [
            f"{self._label}: open to the internet: {_printable(str(rule))}" for rule in rules if _is_open(rule)
        ]
        undescribed = sum(not rule.description for rule in rules)
        if undescribed:
            self.warnings.append(f"{self._label}: {undescribed} of {len(rules)} rules have no description")
        controllers = sorted(key for key in self._tags if key.startswith(CONTROLLER_TAGS))
        if controllers:
            self.warnings.append(
                f"{self._label}: a controller may change its rules, which would be reverted (tag {controllers[0]})"
            )


def _rule_fields(rule: Rule, owner: str) -> dict[str, Any]:
    """Return the rule with the field names of `ApprovedRule`."""
    fields: dict[str, Any] = {"ip_protocol": rule.protocol}
    if rule.protocol in WITH_PORTS:
        fields |= {"from_port": rule.from_port, "to_port": rule.to_port}
    if rule.source_type in SOURCE_FIELDS:
        is_peer = rule.account not in (None, owner)
        fields[SOURCE_FIELDS[rule.source_type]] = f"{rule.account}/{rule.source}" if is_peer else rule.source
    if rule.description:
        fields["description"] = rule.description
    return fields


def _is_open(rule: Rule) -> bool:
    if rule.is_egress or not rule.source_type.startswith("Cidr"):
        return False
    network = ipaddress.ip_network(rule.source)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(UNIQUE_LOCAL):
        return False
    return network.prefixlen < MIN_PREFIX_LENGTHS[network.version]


def _settings_errors(groups: list[dict[str, Any]], with_egress: bool) -> list[str]:
    """Return the errors of the application's own settings for this list, such as limits."""
    values = {"groups": groups, "sample_group": "false", "guard_egress": str(with_egress).lower()}
    try:
        Settings.from_context({f"security_group_revert:{name}": value for name, value in values.items()})
    except SettingsError as error:
        return [line.strip() for line in str(error).splitlines()[1:]]
    return []


def _order(rule: Rule) -> tuple[Any, ...]:
    """Sort rules, so that two exports can be compared."""
    return rule.protocol, rule.from_port, rule.to_port, rule.source_type, rule.source


def _format(group: dict[str, Any]) -> str:
    """Format a group with one line for each rule, which is easy to review and to compare."""
    lines = []
    for key, value in group.items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(f"      {json.dumps(rule)}" for rule in value) + "\n    ]"
        lines.append(f"    {json.dumps(key)}: {text}")
    return "  {\n" + ",\n".join(lines) + "\n  }"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


if __name__ == "__main__":
    sys.exit(main())
