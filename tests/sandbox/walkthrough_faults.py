"""Reliability markers of walkthrough steps, by system and step; `tests/reliability.py` writes their rows."""

import pytest

FAULTS = {
    "deploy_pipeline-failing_update_is_rolled_back_and_explained": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "Partial failure",
            fault="a resource of an update fails",
            expected="CloudFormation rolls back; fails with the first resource that failed",
            observed="its name, type and reason, not the resources that were cancelled because of it",
        ),
    ],
    "deploy_pipeline-job_that_comes_twice_is_one_execution": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "Duplicate",
            fault="the same job comes twice",
            expected="one execution",
            observed="one in the state machine's list",
        ),
    ],
    "deploy_pipeline-no_change_is_a_success": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "Duplicate",
            fault="the same app is pushed twice",
            expected="success, no change, no change set left",
            observed='"unchanged"',
        ),
    ],
    "deploy_pipeline-bad_input_is_told_and_the_stage_tried_again": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "Malformed input",
            fault="input file or user parameters",
            expected="the job fails at once, with every field that is wrong",
            observed="all mistakes in one message",
        ),
    ],
    "deploy_pipeline-missing_template_is_told": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "Malformed input",
            fault="the template is missing, broken or empty",
            expected="fails before there is a change set",
            observed="CloudFormation's words",
        ),
    ],
    "deploy_pipeline-broken_template_is_told": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "Malformed input",
            fault="the template is missing, broken or empty",
        ),
    ],
    "deploy_pipeline-shorter_retention_is_rejected_unless_exempted": [
        pytest.mark.reliability(
            "deploy_pipeline",
            "Only here",
            fault="an update in place loses data, weakens a `DeletionPolicy`, or drops a `Deny` statement",
        ),
    ],
    "static_site-bucket_refuses_everyone_else": [
        pytest.mark.reliability(
            "static_site",
            "Access denied",
            fault="somebody asks the bucket directly",
            expected="refused",
            observed="403",
        ),
    ],
    "static_site-cache_hits_until_it_is_cleared": [
        pytest.mark.reliability("static_site", "Late", fault="a cached answer is older than the page"),
    ],
    "static_site-missing_page_is_a_true_404": [
        pytest.mark.reliability("static_site", "Deleted by somebody else", fault="a page"),
    ],
    "security_group_revert-burst_is_reverted": [
        pytest.mark.reliability("security_group_revert", "Duplicate", fault="duplicate or concurrent events"),
    ],
    "security_group_revert-sweep_reverts_missed_event": [
        pytest.mark.reliability(
            "security_group_revert",
            "Lost",
            fault="the event of a change",
            expected="the sweep reverts the change",
            observed="reverted without an event",
        ),
    ],
    "security_group_revert-deleted_rule_is_restored": [
        pytest.mark.reliability(
            "security_group_revert",
            "Deleted by somebody else",
            fault="an approved rule",
            expected="restored, with its description",
            observed="restored",
        ),
    ],
    "security_group_revert-recurring_rule_is_suspended": [
        pytest.mark.reliability(
            "security_group_revert",
            "Only here",
            fault="a controller adds its rule again after each revert",
        ),
    ],
    "multi_region_api-traffic_leaves_the_sick_region": [
        pytest.mark.reliability(
            "multi_region_api",
            "Partial failure",
            fault="one region of several is sick",
            expected="its traffic goes to another, and comes back",
            observed="no call failed",
        ),
    ],
    "multi_region_api-traffic_returns": [
        pytest.mark.reliability("multi_region_api", "Partial failure", fault="one region of several is sick"),
    ],
    "multi_region_api-broken_health_function_is_sick": [
        pytest.mark.reliability(
            "multi_region_api",
            "Timeout mid-way",
            fault="the health function itself runs out of time or fails",
        ),
        pytest.mark.reliability(
            "multi_region_api",
            "Deleted by somebody else",
            fault="the code of the health function",
            expected="sick",
            observed="another region takes over until it works",
        ),
    ],
    "multi_region_api-name_is_answered_although_every_region_is_sick": [
        pytest.mark.reliability(
            "multi_region_api",
            "Only here",
            fault="every region is sick",
            expected="Route 53 takes all for healthy: the name is still answered",
            observed="the nearest region answers, no call failed",
        ),
    ],
    "analytics_host-workgroup_wins_over_the_client": [
        pytest.mark.reliability("analytics_host", "Hostile input", fault="a query that reads too much"),
    ],
}
