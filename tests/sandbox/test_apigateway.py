"""API Gateway of the sandbox: templates that it rejects as AWS does, and headers of errors."""

from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from sandbox import Sandbox
from sandbox.apigateway import check_logs, check_security_policy
from sandbox.ministack import apigateway
from sandbox.ministack.requests import request_scope
from sandbox.target import target_of

from .conftest import deployable

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


@pytest.mark.enable_socket
def test_error_of_throttled_function_names_the_region(deployed: Sandbox) -> None:
    """AWS returns the gateway response DEFAULT_5XX."""
    if "multi_region_api" not in deployable():
        pytest.skip("another system is selected")
    outputs = target_of(deployed).outputs("MultiRegionApi-us-west-2", "us-west-2")
    lambda_ = target_of(deployed).client("lambda", "us-west-2")
    name = outputs["HelloFunctionName"]
    lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        url, host = f"http://127.0.0.1:{deployed.ports['http']}/helloworld", urlsplit(outputs["RegionalUrl"]).netloc
        response = urllib3.PoolManager().request("GET", url, headers={"Host": host}, retries=False)
    finally:
        lambda_.delete_function_concurrency(FunctionName=name)
    assert response.status >= 400
    assert response.headers["X-Region"] == "us-west-2"
