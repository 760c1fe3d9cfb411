"""RStudio, JupyterLab and H2O on an EC2 host without open ports, with access to Athena.

    analyst --> Session Manager, port forwarding --> host: RStudio, JupyterLab --> H2O
                                                     |
                   songs.csv --> S3 <-- Glue table <-- Athena workgroup

No port is open by default. The password is stored in Secrets Manager only. CloudFormation waits
until the host signals that all services are healthy. Based on "Predict Billboard Top 10 Hits Using
RStudio, H2O and Amazon Athena", AWS Big Data Blog, 2017.
"""

from typing import Any

from aws_cdk import Stack
from constructs import Construct

from settings.analytics_host import AnalyticsHostSettings

from ..constructs.outputs import add_outputs
from .home import Home
from .host import Hosts
from .network import Network
from .permissions import grant_permissions
from .schedule import StopOnSchedule
from .songs import SongData
from .users import users_policy


class AnalyticsHost(Stack):
    """One or more hosts, and the songs that they query."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: AnalyticsHostSettings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, description="RStudio, JupyterLab and H2O with Amazon Athena", **kwargs)
        songs = SongData(self, "Songs", settings=settings)
        network = Network(self, "Network", settings=settings)
        home = Home(self, "Home", network=network)
        hosts = Hosts(self, "Hosts", settings=settings, network=network, home=home, songs=songs)
        grant_permissions(hosts, songs)
        if settings.stop_schedule:
            StopOnSchedule(self, "Stop", schedule=settings.stop_schedule, email=settings.email, hosts=hosts)
        users = users_policy(hosts)
        outputs = songs.outputs() | hosts.outputs(public_name=settings.allowed_cidr is not None)
        outputs["HomeFileSystemId"] = (home.file_system.ref, "EFS file system with the home directory")
        outputs["UsersPolicyArn"] = (users.managed_policy_arn, "Managed policy for the users of the host")
        add_outputs(self, outputs)
