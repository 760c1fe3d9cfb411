"""The total size of the permissions of the service role, which are policies of one role."""

import pytest

from settings import Settings, SettingsError
from settings.deploy_pipeline import MAX_PERMISSION_CHARACTERS, MAX_PERMISSIONS_CHARACTERS


def permission(characters: int) -> dict[str, list[str]]:
    """A permission of at least three quarters of `characters`."""
    resources = [f"arn:aws:sqs:us-east-1:111111111111:queue-{number:010}" for number in range(characters // 60)]
    return {"actions": ["sqs:CreateQueue"], "resources": resources}


def test_permissions_over_total_size_are_rejected() -> None:
    half = MAX_PERMISSIONS_CHARACTERS // 2
    assert half < MAX_PERMISSION_CHARACTERS
    assert Settings.from_context({"deploy_pipeline:permissions": [permission(half)] * 2})
    with pytest.raises(SettingsError, match=f"and {MAX_PERMISSIONS_CHARACTERS} in total"):
        Settings.from_context({"deploy_pipeline:permissions": [permission(half)] * 3})
