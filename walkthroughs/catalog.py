"""Maps each system to its walkthrough."""

from .analytics_host import AnalyticsHostWalkthrough
from .cost_control import CostControlWalkthrough
from .deploy_pipeline_pull_request import PullRequestWalkthrough
from .lambda_canary import LambdaCanaryWalkthrough
from .multi_region_api import MultiRegionApiWalkthrough
from .security_group_revert import SecurityGroupRevertWalkthrough
from .static_site import StaticSiteWalkthrough
from .walkthrough import Walkthrough

WALKTHROUGHS: dict[str, type[Walkthrough]] = {
    "deploy_pipeline": PullRequestWalkthrough,
    "static_site": StaticSiteWalkthrough,
    "multi_region_api": MultiRegionApiWalkthrough,
    "security_group_revert": SecurityGroupRevertWalkthrough,
    "analytics_host": AnalyticsHostWalkthrough,
    "cost_control": CostControlWalkthrough,
    "lambda_canary": LambdaCanaryWalkthrough,
}
