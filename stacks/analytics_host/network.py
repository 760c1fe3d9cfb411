"""Where the hosts are: a small VPC of their own, or a subnet that exists; and who reaches them."""

from typing import Any

from aws_cdk import RemovalPolicy, aws_ec2 as ec2, aws_logs as logs
from constructs import Construct

from sections.analytics_host import AnalyticsHostSettings

from ..acknowledgments import acknowledge

CLUSTER_PORT = 54322  # H2O's own traffic; its REST port never leaves a host
ANYWHERE = "0.0.0.0/0"


class Network(Construct):
    """A subnet, and the security group of the hosts."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: AnalyticsHostSettings) -> None:
        super().__init__(scope, construct_id)
        self.ready: list[Construct] = []  # what must be there before a host can reach the internet
        if settings.vpc_id and settings.subnet_id:
            vpc_id, self.subnet_id = settings.vpc_id, settings.subnet_id
        else:
            vpc_id, self.subnet_id = self._vpc()
        self.group = ec2.CfnSecurityGroup(
            self,
            "Group",
            group_description="Analytics hosts",
            vpc_id=vpc_id,
            # Packages and AWS's own services; the archives of Ubuntu are signed and use plain HTTP.
            security_group_egress=[_tcp(443, "HTTPS"), _tcp(80, "Ubuntu's archive")],
            security_group_ingress=[_tcp(443, "RStudio behind TLS", settings.allowed_cidr)]
            if settings.allowed_cidr
            else None,
        )
        if settings.allow_anywhere:
            acknowledge(self.group, {"AwsSolutions-EC23": "Asked for with allow_anywhere."})
        if settings.h2o_nodes > 1:
            self._cluster_traffic()

    def _vpc(self) -> tuple[str, str]:
        """One public subnet: a NAT gateway would cost more than the host, and nothing is open inbound."""
        vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr("10.90.0.0/24"),
            max_azs=1,
            nat_gateways=0,
            restrict_default_security_group=False,  # a function and a role, for a group that nothing uses
            subnet_configuration=[ec2.SubnetConfiguration(name="Hosts", subnet_type=ec2.SubnetType.PUBLIC)],
            gateway_endpoints={"S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3)},
        )
        log_group = logs.LogGroup(
            self, "FlowLog", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        vpc.add_flow_log("Traffic", destination=ec2.FlowLogDestination.to_cloud_watch_logs(log_group))
        (subnet,) = vpc.public_subnets
        self.ready.append(subnet)
        return vpc.vpc_id, subnet.subnet_id

    def _cluster_traffic(self) -> None:
        port: dict[str, Any] = {"ip_protocol": "tcp", "from_port": CLUSTER_PORT, "to_port": CLUSTER_PORT}
        group_id, description = self.group.attr_group_id, "H2O among the hosts"
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


def _tcp(port: int, description: str, cidr: str = ANYWHERE) -> dict[str, Any]:
    return {"ipProtocol": "tcp", "fromPort": port, "toPort": port, "cidrIp": cidr, "description": description}
