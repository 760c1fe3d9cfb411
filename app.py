"""The CDK application: settings in, stacks out."""

import sys

import aws_cdk as cdk

from settings import Settings, SettingsError
from stacks.analytics_host import AnalyticsHost
from stacks.deploy_pipeline import DeployPipeline
from stacks.multi_region_api import MultiRegionApi
from stacks.security_group_revert import SecurityGroupRevert
from stacks.static_site import StaticSite


def build_app(app: cdk.App, settings: Settings) -> cdk.App:
    """Add every system's stacks to `app`."""
    DeployPipeline(app, "DeployPipeline", settings=settings.deploy_pipeline)
    SecurityGroupRevert(app, "SecurityGroupRevert", settings=settings.security_group_revert)
    StaticSite(app, "StaticSite", settings=settings.static_site)
    AnalyticsHost(app, "AnalyticsHost", settings=settings.analytics_host)
    for region in settings.multi_region_api.regions:
        MultiRegionApi(app, f"MultiRegionApi-{region}", region=region, settings=settings.multi_region_api)
    return app


if __name__ == "__main__":
    app = cdk.App()
    try:
        settings = Settings.from_context(app.node.get_all_context())
    except SettingsError as error:
        sys.exit(str(error))
    build_app(app, settings).synth()
