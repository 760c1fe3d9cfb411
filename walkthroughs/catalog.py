"""The walkthrough of each system."""

from .analytics_host import AnalyticsHostStory
from .deploy_pipeline import DeployPipelineStory
from .multi_region_api import MultiRegionApiStory
from .security_group_revert import SecurityGroupRevertStory
from .static_site import StaticSiteStory
from .story import Story

STORIES: dict[str, type[Story]] = {
    "deploy_pipeline": DeployPipelineStory,
    "static_site": StaticSiteStory,
    "multi_region_api": MultiRegionApiStory,
    "security_group_revert": SecurityGroupRevertStory,
    "analytics_host": AnalyticsHostStory,
}
