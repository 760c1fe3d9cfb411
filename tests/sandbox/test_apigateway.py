"""API Gateway of the sandbox: templates that it rejects as AWS does."""

from typing import Any

import pytest

from sandbox.apigateway import check_logs, check_security_policy
from sandbox.ministack import apigateway
from sandbox.ministack.requests import request_scope

ACCOUNT, REGION = "111111111111", "eu-west-1"
ACCESS_LOG = {"AccessLogSetting": {"DestinationArn": "arn"}}


@pytest.mark.parametrize("stage", [ACCESS_LOG, {"MethodSettings": [{"LoggingLevel": "ERROR"}]}])
def test_stage_with_logs_and_no_account_role_is_refused(stage: dict[str, Any]) -> None:
    with request_scope(ACCOUNT, REGION):
        with pytest.raises(ValueError, match="CloudWatch Logs role ARN must be set in account settings"):
            check_logs(stage)
        apigateway.account_settings["settings"] = {"cloudwatchRoleArn": "arn:aws:iam::111111111111:role/logs"}
        try:
            check_logs(stage)
        finally:
            del apigateway.account_settings["settings"]


def test_stage_without_logs_needs_no_account_role() -> None:
    with request_scope(ACCOUNT, REGION):
        check_logs({"MethodSettings": [{"LoggingLevel": "OFF"}]})


def test_enhanced_policy_without_access_mode_is_refused() -> None:
    check_security_policy({"SecurityPolicy": "TLS_1_2"})
    enhanced = {"SecurityPolicy": "SecurityPolicy_TLS13_1_3_2025_09"}
    check_security_policy({**enhanced, "EndpointAccessMode": "BASIC"})
    with pytest.raises(ValueError, match="Endpoint access mode is required"):
        check_security_policy(enhanced)
