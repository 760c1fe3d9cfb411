"""Reliability markers of walkthrough steps, by system and step; `tests/reliability.py` writes their rows."""

import pytest

FAULTS = {
    "deploy_pipeline-failing_update_is_rolled_back_and_explained": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "Partial failure",
            fault="a resource of an update fails",
            expected="CloudFormation rolls back; fails with the first resource that failed",
            observed="its name, type and reason, but not the resources canceled because of it",
        ),
    ],
    "deploy_pipeline-duplicate_job_starts_one_execution": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "Duplicate",
            fault="the same job is delivered twice",
            expected="one execution",
            observed="one execution in the list of the state machine",
        ),
    ],
    "deploy_pipeline-no_change_succeeds": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "Duplicate",
            fault="the same app is pushed twice",
            expected="success, no change, no change set left",
            observed='"unchanged"',
        ),
    ],
    "deploy_pipeline-invalid_input_is_reported_and_stage_retried": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "Malformed input",
            fault="input file or user parameters",
            expected="the job fails immediately and names every invalid field",
            observed="all errors in one message",
        ),
    ],
    "deploy_pipeline-missing_template_is_reported": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "Malformed input",
            fault="the template is missing, broken or empty",
            expected="fails before a change set is created",
            observed="CloudFormation's message",
        ),
    ],
    "deploy_pipeline-broken_template_is_reported": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "Malformed input",
            fault="the template is missing, broken or empty",
        ),
    ],
    "deploy_pipeline-shorter_retention_is_rejected_unless_exempted": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "System-specific",
            fault="an update in place loses data, weakens a `DeletionPolicy` or removes a `Deny` statement",
        ),
    ],
    "static_site-bucket_denies_direct_access": [
        pytest.mark.reliability(
            "static_site",
            "Access denied",
            fault="a direct request to the bucket",
            expected="access denied",
            observed="403",
        ),
    ],
    "static_site-page_is_cached_until_invalidation": [
        pytest.mark.reliability(
            "static_site", "Delayed or out of order", fault="a cached page is older than the published one"
        ),
    ],
    "static_site-missing_page_returns_404": [
        pytest.mark.reliability("static_site", "Deleted externally", fault="a page"),
    ],
    "security_group_revert-burst_is_reverted": [
        pytest.mark.reliability("security_group_revert", "Duplicate", fault="duplicate or concurrent events"),
    ],
    "security_group_revert-sweep_reverts_missed_event": [
        pytest.mark.reliability(
            "security_group_revert",
            "Lost event or response",
            fault="the event of a change",
            expected="the sweep reverts the change",
            observed="reverted without an event",
        ),
    ],
    "security_group_revert-deleted_rule_is_restored": [
        pytest.mark.reliability(
            "security_group_revert",
            "Deleted externally",
            fault="an approved rule",
            expected="restored, with its description",
            observed="restored",
        ),
    ],
    "security_group_revert-recurring_rule_is_suspended": [
        pytest.mark.reliability(
            "security_group_revert",
            "System-specific",
            fault="a controller adds its rule again after each revert",
        ),
    ],
    "multi_region_api-traffic_leaves_the_unhealthy_region": [
        pytest.mark.reliability(
            "multi_region_api",
            "Partial failure",
            fault="one Region of several is unhealthy",
            expected="its traffic moves to another Region and back",
            observed="no call failed",
        ),
    ],
    "multi_region_api-traffic_returns": [
        pytest.mark.reliability("multi_region_api", "Partial failure", fault="one Region of several is unhealthy"),
    ],
    "multi_region_api-another_region_drains_the_impaired_one": [
        pytest.mark.reliability(
            "multi_region_api",
            "System-specific",
            fault="a Region's control plane fails, and its health check does not detect it",
            expected="another Region drains it; the last Region cannot be drained",
            observed="its traffic moves, and no call failed",
        ),
    ],
    "multi_region_api-broken_health_function_is_unhealthy": [
        pytest.mark.reliability(
            "multi_region_api",
            "Timeout",
            fault="the health function times out or fails",
        ),
        pytest.mark.reliability(
            "multi_region_api",
            "Deleted externally",
            fault="the code of the health function",
            expected="unhealthy",
            observed="another Region takes over until it works again",
        ),
    ],
    "multi_region_api-name_resolves_when_every_region_is_unhealthy": [
        pytest.mark.reliability(
            "multi_region_api",
            "System-specific",
            fault="every Region is unhealthy",
            expected="Route 53 treats all as healthy, so the name still resolves",
            observed="the nearest Region responds; no call failed",
        ),
    ],
    "analytics_host-workgroup_overrides_client_settings": [
        pytest.mark.reliability("analytics_host", "Hostile input", fault="a query over the limit on scanned bytes"),
    ],
    "analytics_host-table_of_the_stack_is_not_dropped": [
        pytest.mark.reliability("analytics_host", "Deleted externally", fault="an analyst drops a table of the stack"),
    ],
    "cost_control-forged_message_has_no_effect": [
        pytest.mark.reliability(
            "cost_control", "Hostile input", fault="somebody publishes a forged message to the topic"
        ),
    ],
    "cost_control-protected_instance_is_reported": [
        pytest.mark.reliability(
            "cost_control", "Partial failure", fault="one of the instances is protected against stopping"
        ),
    ],
    "cost_control-duplicate_message_changes_nothing": [
        pytest.mark.reliability(
            "cost_control", "Duplicate", fault="Budgets, or anybody else, sends the same message again"
        ),
    ],
    "cost_control-late_message_of_last_month_has_no_effect": [
        pytest.mark.reliability(
            "cost_control", "Delayed or out of order", fault="a message of last month arrives after the release"
        ),
    ],
    "lambda_canary-broken_version_is_rolled_back": [
        pytest.mark.reliability("lambda_canary", "Partial failure", fault="A version fails some of its calls"),
    ],
    "lambda_canary-version_that_fails_smoke_test_gets_no_traffic": [
        pytest.mark.reliability("lambda_canary", "System-specific", fault="A version fails its smoke test"),
    ],
    "lambda_canary-rollout_without_calls_is_undecided": [
        pytest.mark.reliability(
            "lambda_canary", "Delayed or out of order", fault="Nobody calls the function, or its metrics are late"
        ),
    ],
    "lambda_canary-foreign_change_is_left_alone": [
        pytest.mark.reliability(
            "lambda_canary", "System-specific", fault="Somebody else changes the alias during a rollout"
        ),
    ],
    "lambda_canary-stopped_execution_is_cleaned_up": [
        pytest.mark.reliability("lambda_canary", "Timeout", fault="An execution is stopped or times out at any point"),
    ],
    "lambda_canary-second_rollout_is_refused": [
        pytest.mark.reliability("lambda_canary", "Duplicate", fault="Two rollouts of one alias start at once"),
    ],
}
