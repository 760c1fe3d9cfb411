"""Tests of the template's network: subnet, open ports and egress."""

import ipaddress
from typing import Any

from ..conftest import only_resource, resources_of_type
from .conftest import user_data

STACK = "AnalyticsHost"


def hosts_group(template: dict[str, Any]) -> dict[str, Any]:
    """Return the security group of the hosts. The other one is the home directory's."""
    groups = resources_of_type(template, "AWS::EC2::SecurityGroup")
    (group,) = (group for group in groups if group["GroupDescription"] == "Analytics hosts")
    return group


def test_default_network_has_no_open_port(template: dict[str, Any]) -> None:
    assert "SecurityGroupIngress" not in hosts_group(template)
    assert not resources_of_type(template, "AWS::EC2::SecurityGroupIngress")
    assert "Url" not in template["Outputs"]


def outbound(template: dict[str, Any]) -> set[tuple[str, int, int, str]]:
    rules = hosts_group(template)["SecurityGroupEgress"]
    return {(r["IpProtocol"], r["FromPort"], r["ToPort"], r.get("CidrIp") or r["CidrIpv6"]) for r in rules}


def test_default_egress_is_https_and_http(template: dict[str, Any]) -> None:
    """Security groups do not filter the Amazon DNS server and time service."""
    assert outbound(template) == {("tcp", 443, 443, "0.0.0.0/0"), ("tcp", 80, 80, "0.0.0.0/0")}


def test_existing_vpc_egress_includes_dns_and_ipv6(existing_vpc: dict[str, Any]) -> None:
    ports = [("tcp", 443), ("tcp", 80), ("udp", 53), ("tcp", 53)]
    assert outbound(existing_vpc) == {(p, port, port, cidr) for p, port in ports for cidr in ("0.0.0.0/0", "::/0")}


def test_allowed_cidr_opens_https_only(existing_vpc: dict[str, Any]) -> None:
    (rule,) = hosts_group(existing_vpc)["SecurityGroupIngress"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["CidrIp"]) == ("tcp", 443, 443, "203.0.113.0/24")
    assert "TLS=yes" in user_data(existing_vpc)[0]
    assert f"H2O_R_SHA256={'a' * 64}\n" in user_data(existing_vpc)[0], "the package would not be verified"
    assert "Url" in existing_vpc["Outputs"]


def test_existing_subnet_creates_no_vpc(existing_vpc: dict[str, Any]) -> None:
    assert not resources_of_type(existing_vpc, "AWS::EC2::VPC")
    assert existing_vpc["Resources"]["Host"]["Properties"]["SubnetId"] == "subnet-0123456789abcdef0"
    assert hosts_group(existing_vpc)["VpcId"] == "vpc-0123456789abcdef0"


def test_flow_log_leaves_out_rejected_traffic(template: dict[str, Any]) -> None:
    """The host has a public address. A flood from random ports would add a record, for 0.50 USD per GB, per packet."""
    assert only_resource(template, "AWS::EC2::FlowLog")["TrafficType"] == "ACCEPT"


def test_new_vpc_has_no_nat_gateway(template: dict[str, Any]) -> None:
    assert not resources_of_type(template, "AWS::EC2::NatGateway")
    assert len(resources_of_type(template, "AWS::EC2::Subnet")) == 1


def test_availability_zone_changes_subnet_range(template: dict[str, Any], zone_b: dict[str, Any]) -> None:
    """CloudFormation creates the new subnet before it deletes the old one, so their ranges must differ."""
    before, after = only_resource(template, "AWS::EC2::Subnet"), only_resource(zone_b, "AWS::EC2::Subnet")
    assert before["AvailabilityZone"] == {"Fn::Select": [0, {"Fn::GetAZs": ""}]}
    assert after["AvailabilityZone"] == "us-east-1b"
    ranges = [ipaddress.IPv4Network(subnet["CidrBlock"]) for subnet in (before, after)]
    assert not ranges[0].overlaps(ranges[1])
    vpc = ipaddress.IPv4Network(only_resource(zone_b, "AWS::EC2::VPC")["CidrBlock"])
    assert all(subnet.subnet_of(vpc) for subnet in ranges)
