"""The walkthrough of each system."""

from .security_group_revert import SecurityGroupRevertStory
from .story import Story

STORIES: dict[str, type[Story]] = {"security_group_revert": SecurityGroupRevertStory}
