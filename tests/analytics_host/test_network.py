"""Facts about the template: where the hosts are, what is open, and what they reach."""

import ipaddress
from typing import Any

from ..conftest import of_type, one
from .conftest import user_data

STACK = "AnalyticsHost"


def test_no_port_is_open(template: dict[str, Any]) -> None:
    assert "SecurityGroupIngress" not in one(template, "AWS::EC2::SecurityGroup")
    assert not of_type(template, "AWS::EC2::SecurityGroupIngress")
    assert "Url" not in template["Outputs"]


def outbound(template: dict[str, Any]) -> set[tuple[str, int, int, str]]:
    rules = one(template, "AWS::EC2::SecurityGroup")["SecurityGroupEgress"]
    return {(r["IpProtocol"], r["FromPort"], r["ToPort"], r.get("CidrIp") or r["CidrIpv6"]) for r in rules}


def test_host_reaches_packages_and_aws_only(template: dict[str, Any]) -> None:
    """Amazon's name server and time service are not subject to security groups."""
    assert outbound(template) == {("tcp", 443, 443, "0.0.0.0/0"), ("tcp", 80, 80, "0.0.0.0/0")}


def test_host_in_existing_vpc_reaches_its_name_servers_over_ipv4_and_ipv6(elsewhere: dict[str, Any]) -> None:
    ports = [("tcp", 443), ("tcp", 80), ("udp", 53), ("tcp", 53)]
    assert outbound(elsewhere) == {(p, port, port, cidr) for p, port in ports for cidr in ("0.0.0.0/0", "::/0")}


def test_allowed_range_reaches_rstudio_behind_tls_only(elsewhere: dict[str, Any]) -> None:
    (rule,) = one(elsewhere, "AWS::EC2::SecurityGroup")["SecurityGroupIngress"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["CidrIp"]) == ("tcp", 443, 443, "203.0.113.0/24")
    assert "TLS=yes" in user_data(elsewhere)[0]
    assert f"H2O_R_SHA256={'a' * 64}\n" in user_data(elsewhere)[0], "the package would not be checked"
    assert "Url" in elsewhere["Outputs"]


def test_existing_subnet_is_used_and_no_vpc_made(elsewhere: dict[str, Any]) -> None:
    assert not of_type(elsewhere, "AWS::EC2::VPC")
    assert elsewhere["Resources"]["Host"]["Properties"]["SubnetId"] == "subnet-0123456789abcdef0"
    assert one(elsewhere, "AWS::EC2::SecurityGroup")["VpcId"] == "vpc-0123456789abcdef0"


def test_own_vpc_has_no_nat_gateway_and_a_flow_log(template: dict[str, Any]) -> None:
    assert not of_type(template, "AWS::EC2::NatGateway")
    assert one(template, "AWS::EC2::FlowLog")["TrafficType"] == "ALL"
    assert len(of_type(template, "AWS::EC2::Subnet")) == 1


def test_availability_zone_setting_moves_subnet_to_another_range(
    template: dict[str, Any], in_zone_b: dict[str, Any]
) -> None:
    """CloudFormation creates the new subnet before it deletes the old one, so their ranges must differ."""
    before, after = one(template, "AWS::EC2::Subnet"), one(in_zone_b, "AWS::EC2::Subnet")
    assert before["AvailabilityZone"] == {"Fn::Select": [0, {"Fn::GetAZs": ""}]}
    assert after["AvailabilityZone"] == "us-east-1b"
    ranges = [ipaddress.IPv4Network(subnet["CidrBlock"]) for subnet in (before, after)]
    assert not ranges[0].overlaps(ranges[1])
    vpc = ipaddress.IPv4Network(one(in_zone_b, "AWS::EC2::VPC")["CidrBlock"])
    assert all(subnet.subnet_of(vpc) for subnet in ranges)
