"""Updates of properties that replace a resource unless it has an update policy, whatever the change set says."""

import json

import pytest

from .changes import detail, reasons, update


@pytest.mark.parametrize(
    ("kind", "name", "policy"),
    [
        ("AWS::OpenSearchService::Domain", "EngineVersion", "EnableVersionUpgrade"),
        ("AWS::Elasticsearch::Domain", "ElasticsearchVersion", "EnableVersionUpgrade"),
        ("AWS::ElastiCache::ReplicationGroup", "NumNodeGroups", "UseOnlineResharding"),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="without an update policy, CloudFormation replaces a resource although the update needs no interruption",
    expected="rejected",
    observed='"without the update policy"',
)
def test_change_is_unsafe_without_the_update_policy_that_prevents_replacement(
    kind: str, name: str, policy: str
) -> None:
    """For a domain, AWS's reference says "Update requires: No interruption", and that the update replaces it."""
    allowed, not_allowed = {policy: "true"}, {policy: "false"}
    assert not reasons(update(kind, {name: "1"}, {name: "2"}, UpdatePolicy=(not_allowed, allowed)))
    for after in (not_allowed, None, "****"):
        changed = update(kind, {name: "1"}, {name: "2"}, UpdatePolicy=(allowed, after))
        assert f"without the update policy `{policy}`, an empty one replaces it" in reasons(changed)
    assert not reasons(update(kind, {name: "1"}, {name: "1"}, UpdatePolicy=(allowed, not_allowed)))


def test_update_policy_that_refers_to_changed_resource_is_not_visible() -> None:
    allowed = {"EnableVersionUpgrade": "true"}
    domain = update("AWS::OpenSearchService::Domain", {"EngineVersion": "1"}, {"EngineVersion": "2"})
    for when in ("BeforeContext", "AfterContext"):
        context = json.loads(domain["ResourceChange"][when]) | {"UpdatePolicy": allowed}
        domain["ResourceChange"][when] = json.dumps(context)
    assert not reasons(domain)
    changed = detail(
        "Never", "Dynamic", name="", attribute="UpdatePolicy", source="ResourceAttribute", entity="F.Value"
    )
    domain["ResourceChange"]["Details"].append(changed)
    assert "without the update policy `EnableVersionUpgrade`" in reasons(domain)
