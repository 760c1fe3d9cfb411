"""The analyst's home directory: an EFS file system, because its files must outlive the host.

On a replacement, CloudFormation creates the new host before it deletes the old one. An EBS volume would
then still be attached to the old host, and can only be attached in one Availability Zone. Several hosts can mount a
file system at the same time, in any zone of the VPC.
"""

from typing import Any

from aws_cdk import CfnDeletionPolicy, Stack, Tags, aws_ec2 as ec2, aws_efs as efs
from constructs import Construct

from .network import Network

NFS_PORT = 2049


class Home(Construct):
    """An encrypted file system with daily backups that is retained, and its mount target in the hosts' subnet."""

    def __init__(self, scope: Construct, construct_id: str, *, network: Network) -> None:
        super().__init__(scope, construct_id)
        port: dict[str, Any] = {"ip_protocol": "tcp", "from_port": NFS_PORT, "to_port": NFS_PORT}
        hosts, description = network.group.attr_group_id, "Home directory"
        group = ec2.CfnSecurityGroup(
            self,
            "Group",
            group_description="Home directory of the analytics host",
            vpc_id=network.vpc_id,
            security_group_ingress=[
                ec2.CfnSecurityGroup.IngressProperty(source_security_group_id=hosts, description=description, **port)
            ],
            security_group_egress=[  # replaces the default rule, which allows all traffic
                ec2.CfnSecurityGroup.EgressProperty(cidr_ip="127.0.0.1/32", description="None", **port)
            ],
        )
        egress = ec2.CfnSecurityGroupEgress(
            self,
            "FromHosts",
            group_id=hosts,
            destination_security_group_id=group.attr_group_id,
            description=description,
            **port,
        )
        self.file_system = efs.CfnFileSystem(
            self,
            "FileSystem",
            encrypted=True,
            throughput_mode="elastic",
            backup_policy=efs.CfnFileSystem.BackupPolicyProperty(status="ENABLED"),
        )
        self.file_system.cfn_options.deletion_policy = CfnDeletionPolicy.RETAIN_EXCEPT_ON_CREATE
        self.file_system.cfn_options.update_replace_policy = CfnDeletionPolicy.RETAIN
        Tags.of(self.file_system).add("Name", f"{Stack.of(self).stack_name} home")
        mount_target = efs.CfnMountTarget(
            self,
            "MountTarget",
            file_system_id=self.file_system.ref,
            subnet_id=network.subnet_id,
            security_groups=[group.attr_group_id],
        )
        mount_target.node.add_dependency(egress)  # hosts depend on the mount target
        self.address = mount_target.attr_ip_address
