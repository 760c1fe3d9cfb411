"""The hosts: one with every service and, if `h2o_nodes` is above 1, workers of the H2O cluster."""

import hashlib
import json
import re
from pathlib import Path

from aws_cdk import (
    CfnCreationPolicy,
    CfnResourceSignal,
    Fn,
    RemovalPolicy,
    Stack,
    Tags,
    aws_ec2 as ec2,
    aws_iam as iam,
    aws_logs as logs,
    aws_s3_assets as assets,
    aws_secretsmanager as secretsmanager,
)
from constructs import Construct

from assets.analytics_host.host.idle import PORTS
from settings.analytics_host import DATABASE, AnalyticsHostSettings

from ..constructs.acknowledgments import acknowledge
from ..constructs.assets import stage_files
from ..constructs.cfn_resource import cfn_resource
from ..constructs.outputs import Outputs
from .home import Home
from .network import Network
from .songs import SongData

ASSETS = Path(__file__).parents[2] / "assets" / "analytics_host"
IMAGE = "resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
BOOT_MINUTES = 45
BURSTABLE = re.compile(r"t\d+[a-z]*\.")


class Hosts(Construct):
    """The instances, their password and their boot log.

    Each instance signals CloudFormation when it is healthy.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: AnalyticsHostSettings,
        network: Network,
        home: Home,
        songs: SongData,
    ) -> None:
        super().__init__(scope, construct_id)
        self.settings, self.network, self.home, self.songs = settings, network, home, songs
        self.log_group = self._create_boot_log()
        self.password = self._create_password()
        folder = stage_files(
            str(ASSETS), setting="analytics_host", allowed=["billboard/queries/*.sql"], allow_setting=None
        )
        self.package = assets.Asset(self, "Package", path=folder)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
        self.profile = iam.CfnInstanceProfile(self, "Profile", roles=[self.role.role_name])
        names = ["Host", *(f"Worker{number}" for number in range(1, settings.h2o_nodes))]
        self.instances = [self._create_instance(name) for name in names]

    def outputs(self, *, public_name: bool) -> Outputs:
        """Return the stack's outputs about the hosts."""
        host = self.instances[0]
        outputs = {
            "InstanceId": (host.ref, "Instance ID of the host"),
            "LogGroupName": (self.log_group.log_group_name, "Log group of the boot log"),
            "SecretArn": (self.password.secret_arn, "Secret with the user name and password"),
            "PasswordCommand": (
                f"aws secretsmanager get-secret-value --secret-id {self.password.secret_arn} "
                "--query SecretString --output text",
                "Command that prints the user name and password",
            ),
            "StartCommand": (
                f"aws ec2 start-instances --instance-ids {' '.join(instance.ref for instance in self.instances)}",
                "Command that starts stopped hosts",
            ),
        }
        for service, port in PORTS.items():
            outputs[f"{service}Command"] = (
                f"aws ssm start-session --target {host.ref} --document-name AWS-StartPortForwardingSession "
                f"--parameters portNumber={port},localPortNumber={port}",
                f"Command that forwards {service} to http://localhost:{port}",
            )
        if public_name:
            outputs["Url"] = (
                f"https://{host.attr_public_dns_name}/",
                "RStudio; the DNS name changes when the host stops",
            )
        return outputs

    def _create_boot_log(self) -> logs.LogGroup:
        """Create the boot log. It is retained even when stack creation fails, because that is when it is needed."""
        log_group = logs.LogGroup(
            self, "BootLog", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.RETAIN
        )
        # An override, because `production` sets RetainExceptOnCreate on every log group.
        cfn_resource(log_group, logs.CfnLogGroup).add_override("DeletionPolicy", "Retain")
        return log_group

    def _create_password(self) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            self,
            "Password",
            description="User name and password of RStudio, JupyterLab and H2O",
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=json.dumps({"username": self.settings.user_name}),
                generate_string_key="password",
                password_length=32,
                exclude_punctuation=True,
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        acknowledge(
            secret,
            {"AwsSolutions-SMG4": "The host reads it at boot; to change it, run `boot.sh password` on the host."},
        )
        return secret

    def _create_instance(self, name: str) -> ec2.CfnInstance:
        template = self._create_launch_template(name)
        instance = ec2.CfnInstance(
            self,
            name,
            launch_template=ec2.CfnInstance.LaunchTemplateSpecificationProperty(
                launch_template_id=template.ref, version=template.attr_latest_version_number
            ),
            subnet_id=self.network.subnet_id,
            block_device_mappings=[self._volume()],
            propagate_tags_to_volume_on_creation=True,  # only to the volumes mapped here, not in the launch template
        )
        Tags.of(instance).add("Name", f"{Stack.of(self).stack_name} {name}")
        instance.override_logical_id(name)  # the host's signal names it
        instance.cfn_options.creation_policy = CfnCreationPolicy(
            resource_signal=CfnResourceSignal(count=1, timeout=f"PT{BOOT_MINUTES}M")
        )
        for dependency in (*self.network.internet_dependencies, self.role):
            instance.node.add_dependency(dependency)
        reasons = {
            "AwsSolutions-EC28": "Detailed monitoring is not worth its cost for one person's host.",
            "AwsSolutions-EC29": "The host can be recreated. The home directory is on a retained file system.",
        }
        acknowledge(instance, reasons)
        return instance

    def _volume(self) -> ec2.CfnInstance.BlockDeviceMappingProperty:
        return ec2.CfnInstance.BlockDeviceMappingProperty(
            device_name="/dev/sda1",
            ebs=ec2.CfnInstance.EbsProperty(
                volume_size=self.settings.volume_gb, volume_type="gp3", encrypted=True, delete_on_termination=True
            ),
        )

    def _create_launch_template(self, name: str) -> ec2.CfnLaunchTemplate:
        """Create a launch template for one instance; its user data contains the logical ID.

        The image is resolved when the instance starts, not when the stack is updated, so a new
        Ubuntu image alone does not replace a host in use.
        """
        return ec2.CfnLaunchTemplate(
            self,
            f"{name}Template",
            launch_template_data=ec2.CfnLaunchTemplate.LaunchTemplateDataProperty(
                image_id=IMAGE,
                instance_type=self.settings.instance_type,
                iam_instance_profile=ec2.CfnLaunchTemplate.IamInstanceProfileProperty(arn=self.profile.attr_arn),
                security_group_ids=[self.network.group.attr_group_id],
                instance_initiated_shutdown_behavior="stop",
                metadata_options=ec2.CfnLaunchTemplate.MetadataOptionsProperty(
                    http_tokens="required", http_put_response_hop_limit=1
                ),
                credit_specification=self._credits(),
                user_data=Fn.base64(self._user_data(name)),
            ),
        )

    def _credits(self) -> ec2.CfnLaunchTemplate.CreditSpecificationProperty | None:
        """Set unlimited credits, because a new T3 instance can have none and booting uses many."""
        if not BURSTABLE.match(self.settings.instance_type):
            return None
        return ec2.CfnLaunchTemplate.CreditSpecificationProperty(cpu_credits="unlimited")

    def _user_data(self, name: str) -> str:
        """Return a script with the host's settings that downloads the package and starts its boot script."""
        lines = "\n".join(f"{key}={value}" for key, value in self._host_settings(name).items())
        fetch = (ASSETS / "host" / "fetch.sh").read_text()
        return fetch.replace("@SETTINGS@", lines)

    def _host_settings(self, name: str) -> dict[str, str]:
        stack, settings = Stack.of(self), self.settings
        options = {
            "USER_NAME": settings.user_name,
            "IDLE_MINUTES": str(settings.idle_minutes),
            "TLS": "yes" if settings.allowed_cidr else "no",
            "H2O_NODES": str(settings.h2o_nodes),
            "H2O_R_SHA256": settings.h2o_r_sha256 or "",
        }
        return {
            "AWS_DEFAULT_REGION": stack.region,
            "STACK": stack.stack_id,
            "LOGICAL_ID": name,
            "PACKAGE": self.package.s3_object_url,
            "LOG_GROUP": self.log_group.log_group_name,
            "SECRET": self.password.secret_arn,
            "WORK_GROUP": self.songs.workgroup.ref,
            "DATABASE": DATABASE,
            "HOME_ADDRESS": self.home.address,
            "CLUSTER_BUCKET": self.songs.results_bucket.bucket_name,
            "DATA_BUCKET": self.songs.data_bucket.bucket_name,
            **options,
            "CLUSTER_ID": self._cluster_id(options),
        }

    def _cluster_id(self, options: dict[str, str]) -> str:
        """Return an identifier for the hosts of one deployment, which form a cluster.

        It depends only on settings that replace the hosts, because a new value in the user data replaces them.
        """
        instance_settings = self.settings.model_dump_json(
            include={"instance_type", "volume_gb", "vpc_id", "subnet_id", "availability_zone"}
        )
        return hashlib.sha256(f"{instance_settings}{options}{self.package.asset_hash}".encode()).hexdigest()[:16]
