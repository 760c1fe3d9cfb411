"""The network of the hosts: a small VPC or an existing subnet, and their security group."""

from typing import Any

from aws_cdk import RemovalPolicy, aws_ec2 as ec2, aws_logs as logs
from constructs import Construct, IConstruct

from assets.analytics_host.host.idle import CLUSTER_PORT
from settings.analytics_host import AnalyticsHostSettings

from ..constructs.acknowledgments import acknowledge
from ..constructs.cfn_resource import cfn_resource

ANYWHERE, ANYWHERE_IPV6 = "0.0.0.0/0", "::/0"


class Network(Construct):
    """The subnet and the security group of the hosts."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: AnalyticsHostSettings) -> None:
        super().__init__(scope, construct_id)
        self.internet_dependencies: list[IConstruct] = []  # resources that a host needs to reach the internet
        if settings.vpc_id and settings.subnet_id:
            self.vpc_id, self.subnet_id = settings.vpc_id, settings.subnet_id
        else:
            self.vpc_id, self.subnet_id = self._create_vpc(settings.availability_zone)
        self.group = ec2.CfnSecurityGroup(
            self,
            "Group",
            group_description="Analytics hosts",
            vpc_id=self.vpc_id,
            security_group_egress=_egress(existing=settings.vpc_id is not None),
            security_group_ingress=[_rule("tcp", 443, "RStudio behind TLS", settings.allowed_cidr)]
            if settings.allowed_cidr
            else None,
        )
        if settings.allow_anywhere:
            acknowledge(self.group, {"AwsSolutions-EC23": "Requested with the setting allow_anywhere."})
        if settings.h2o_nodes > 1:
            self._allow_cluster_traffic()

    def _create_vpc(self, zone: str | None) -> tuple[str, str]:
        """Create a VPC with one public subnet.

        A NAT gateway would cost more than the host, and no inbound port is open. Each zone has a separate CIDR
        range, because on a change of `zone` CloudFormation creates the new subnet before it deletes the old one.
        """
        vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr("10.90.0.0/20"),
            availability_zones=[zone] if zone else None,
            max_azs=None if zone else 1,
            nat_gateways=0,
            restrict_default_security_group=False,  # avoids a function and a role for a group that is not used
            subnet_configuration=[ec2.SubnetConfiguration(name="Hosts", subnet_type=ec2.SubnetType.PUBLIC)],
            gateway_endpoints={"S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3)},
        )
        log_group = logs.LogGroup(
            self, "FlowLog", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        # Accepted traffic only: anyone can send packets that the security group rejects, and each would cost money.
        vpc.add_flow_log(
            "Traffic",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(log_group),
            traffic_type=ec2.FlowLogTrafficType.ACCEPT,
        )
        (subnet,) = vpc.public_subnets
        resource = cfn_resource(subnet, ec2.CfnSubnet)
        resource.cidr_block = f"10.90.{1 + ord(zone[-1]) - ord('a') if zone else 0}.0/24"
        self.internet_dependencies.append(subnet)
        return vpc.vpc_id, subnet.subnet_id

    def _allow_cluster_traffic(self) -> None:
        """Allow H2O's cluster port between the hosts. H2O's REST port listens on the loopback address only."""
        port: dict[str, Any] = {"ip_protocol": "tcp", "from_port": CLUSTER_PORT, "to_port": CLUSTER_PORT}
        group_id, description = self.group.attr_group_id, "H2O between the hosts"
        ec2.CfnSecurityGroupIngress(
            self,
            "FromHosts",
            group_id=group_id,
            source_security_group_id=group_id,
            description=description,
            **port,
        )
        ec2.CfnSecurityGroupEgress(
            self,
            "ToHosts",
            group_id=group_id,
            destination_security_group_id=group_id,
            description=description,
            **port,
        )


def _egress(*, existing: bool) -> list[dict[str, Any]]:
    """Allow HTTPS, and HTTP for Ubuntu's package archive, whose packages are signed.

    Security groups do not filter the Amazon DNS server and time service. An existing VPC can use other name
    servers and IPv6.
    """
    rules = [_rule("tcp", 443, "HTTPS"), _rule("tcp", 80, "Ubuntu archive")]
    if existing:
        rules += [_rule(protocol, 53, "Name servers of the VPC") for protocol in ("udp", "tcp")]
        rules += [_rule(rule["ipProtocol"], rule["fromPort"], rule["description"], ANYWHERE_IPV6) for rule in rules]
    return rules


def _rule(protocol: str, port: int, description: str, cidr: str = ANYWHERE) -> dict[str, Any]:
    field = "cidrIpv6" if ":" in cidr else "cidrIp"
    return {"ipProtocol": protocol, "fromPort": port, "toPort": port, field: cidr, "description": description}
