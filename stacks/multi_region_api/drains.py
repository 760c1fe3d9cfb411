"""Drains: each Region reports which other Regions it drains, and Route 53 reads all reports.

Each Region has a health check for each other Region, which passes only if that one reports it as drained: with status
200 and, unless `string_matching` is off, the exact text. The result is inverted, so a Region that does not respond, or
sends anything else, drains nothing.
A calculated health check is healthy if the Region's own health check and all of these are.
"""

from typing import TYPE_CHECKING

from aws_cdk import (
    Stack,
    Tags,
    aws_apigateway as apigateway,
    aws_lambda as lambda_,
    aws_route53 as route53,
    aws_ssm as ssm,
)
from constructs import Construct

from lambdas.multi_region_api.drains import NO_REGIONS, drained_token
from settings.multi_region_api import MultiRegionApiSettings

from ..constructs.grants import grant
from .domain_names import BASE_PATH, other_regions, regional_name
from .health_checks import create_endpoint_check

if TYPE_CHECKING:
    from . import MultiRegionApi

RATE_LIMIT = 60  # enough for 25 other Regions with all health checkers every 30 s


def drained_path(settings: MultiRegionApiSettings) -> str:
    """Return the path that reports drained Regions: known to all stacks, and not public."""
    return f"healthcheck-{settings.hosted_zone_id}"


def drain_urls(settings: MultiRegionApiSettings) -> dict[str, str]:
    """Return the URL of each Region, to which the name of another Region is appended; {} without drains."""
    if not settings.drains or not settings.domain_name or len(settings.regions) < 2:
        return {}
    return {
        region: f"https://{regional_name(settings, region)}/{BASE_PATH}/{drained_path(settings)}/"
        for region in settings.regions
    }


class Drains(Construct):
    """The list of Regions that this Region drains, the command that changes it, and the path that reports it."""

    def __init__(
        self, stack: "MultiRegionApi", construct_id: str, *, api: apigateway.RestApi, code: lambda_.Code
    ) -> None:
        super().__init__(stack, construct_id)
        self.settings, self.region = stack.settings, stack.region
        self.others = other_regions(stack.settings, stack.region)
        parameter = ssm.StringParameter(
            self,
            "Drained",
            description="Other Regions that this Region drains; change it with the function Drain",
            string_value=NO_REGIONS,
            # Not the names of the other Regions: CloudFormation would write the value again if they changed.
            allowed_pattern="^[a-z0-9-]+(,[a-z0-9-]+)*$",
        )
        variables = {"DRAINED_PARAMETER": parameter.parameter_name}
        self.report = stack.create_function("ReportDrained", "drained", "Reports drained Regions to Route 53", code)
        self.function = stack.create_function(
            "Drain",
            "drain",
            "Drains or undrains another Region",
            code,
            function_name=drain_function_name(stack),
            timeout_seconds=10,
        )
        for function, actions in ((self.report, []), (self.function, ["ssm:PutParameter"])):
            grant(function, ["ssm:GetParameter", *actions], parameter.parameter_arn)
            for key, value in variables.items():
                function.add_environment(key, value)
        path = api.root.add_resource(drained_path(stack.settings)).add_resource("{region}")
        path.add_method("GET", apigateway.LambdaIntegration(self.report, allow_test_invoke=False))

    def create_health_check(self, own: route53.HealthCheck) -> route53.HealthCheck:
        """Return a health check that is healthy if `own` is and no other Region reports this one as drained."""
        children = [own, *map(self._create_drain_check, self.others)]
        check = route53.HealthCheck(
            self,
            "HealthCheck",
            type=route53.HealthCheckType.CALCULATED,
            child_health_checks=children,
            health_threshold=len(children),
        )
        Tags.of(check).add("Name", f"{Stack.of(self).node.id} is healthy and not drained")
        return check

    def _create_drain_check(self, other: str) -> route53.HealthCheck:
        check = create_endpoint_check(
            self,
            f"DrainedBy{other}",
            settings=self.settings,
            fqdn=regional_name(self.settings, other),
            resource_path=f"/{BASE_PATH}/{drained_path(self.settings)}/{self.region}",
            token=drained_token(self.region),
            failure_threshold=1,  # the response is unambiguous, so one is enough
            inverted=True,
        )
        Tags.of(check).add("Name", f"{Stack.of(self).node.id} drained by {other}")
        return check


def drain_function_name(stack: Stack) -> str:
    """Return the name of the function, which operators must know during an outage."""
    return f"{stack.node.id}-drain"
