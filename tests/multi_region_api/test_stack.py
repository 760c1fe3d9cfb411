"""Templates of the Regional stacks."""

import json
from typing import Any

import pytest

from lambdas.multi_region_api.health import TOKEN

from ..conftest import Assembly, only_resource, resources_of_type, synthesize

DOMAIN = {
    "multi_region_api:domain_name": "api.example.com",
    "multi_region_api:hosted_zone_id": "Z0123456789ABCDEFGHIJ",
    "multi_region_api:hosted_zone_name": "example.com",
}
EAST, WEST = "MultiRegionApi-us-east-1", "MultiRegionApi-us-west-2"
RECORD_DEPENDENCIES = {
    "AWS::ApiGateway::BasePathMapping",
    "AWS::ApiGateway::DomainName",
    "AWS::ApiGateway::Method",
    "AWS::ApiGateway::Stage",
    "AWS::Lambda::Permission",
}
STACK = EAST
THREE_REGIONS = ("us-east-1", "us-west-2", "eu-west-1")


def regions_of(assembly: Assembly) -> list[str]:
    prefix, suffix = "MultiRegionApi-", ".template.json"
    names = [path.name for path in assembly.templates if path.name.startswith(prefix)]
    return [name.removeprefix(prefix).removesuffix(suffix) for name in names]


@pytest.fixture(scope="session")
def template_without_domain(assembly: Assembly) -> dict[str, Any]:
    return assembly.template(WEST)


@pytest.fixture(scope="session")
def domain_assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    return synthesize(tmp_path_factory.mktemp("domain"), DOMAIN, "MultiRegionApi-*")


@pytest.fixture(scope="session")
def single_region(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """One Region, with non-default settings."""
    settings = {
        "regions": '["ap-northeast-1"]',
        "request_interval": "10",
        "failure_threshold": "5",
        "allowed_origins": '["https://www.example.com"]',
        "throttling_rate_limit": "7",
        "cloudwatch_role": "true",
        "log_level": "WARNING",
    }
    context = DOMAIN | {f"multi_region_api:{name}": value for name, value in settings.items()}
    return synthesize(tmp_path_factory.mktemp("single_region"), context, "MultiRegionApi-*")


def environment_of(assembly: Assembly, stack: str) -> str:
    manifest = json.loads((assembly.directory / "manifest.json").read_text())
    environment: str = manifest["artifacts"][stack]["environment"]
    return environment


def test_each_region_of_the_settings_has_a_stack(
    assembly: Assembly, full_assembly: Assembly, single_region: Assembly
) -> None:
    assert sorted(regions_of(assembly)) == ["us-east-1", "us-west-2"]
    assert sorted(regions_of(full_assembly)) == sorted(THREE_REGIONS)
    assert regions_of(single_region) == ["ap-northeast-1"]


def test_stack_has_a_region_and_no_account(full_assembly: Assembly) -> None:
    for region in THREE_REGIONS:
        assert environment_of(full_assembly, f"MultiRegionApi-{region}") == f"aws://unknown-account/{region}"


def test_stack_does_not_reference_other_regions(full_assembly: Assembly) -> None:
    manifest = json.loads((full_assembly.directory / "manifest.json").read_text())
    for region in THREE_REGIONS:
        stack = f"MultiRegionApi-{region}"
        template = full_assembly.template(stack)
        for name, resource in template["Resources"].items():
            # Their host names, and the locations of the health checkers, come from the settings.
            if resource["Type"] in ("AWS::Route53::HealthCheck", "AWS::SSM::Parameter"):
                continue
            text = json.dumps(resource)
            named = [other for other in THREE_REGIONS if other != region and other in text]
            assert not named, f"{name} of {stack} names another Region"
        text = json.dumps(template)
        assert "Fn::ImportValue" not in text
        assert manifest["artifacts"][stack]["dependencies"] == [f"{stack}.assets"]


def test_resources_differ_only_in_health_check_alarm(domain_assembly: Assembly) -> None:
    east, west = (sorted(r["Type"] for r in domain_assembly.template(s)["Resources"].values()) for s in (EAST, WEST))
    east.remove("AWS::CloudWatch::Alarm")
    assert east == west


def test_api_is_regional_and_dual_stack(template_without_domain: dict[str, Any]) -> None:
    endpoint = only_resource(template_without_domain, "AWS::ApiGateway::RestApi")["EndpointConfiguration"]
    assert endpoint == {"Types": ["REGIONAL"], "IpAddressType": "dualstack"}
    assert "DisableExecuteApiEndpoint" not in only_resource(template_without_domain, "AWS::ApiGateway::RestApi"), (
        "health checkers call it"
    )
    assert only_resource(template_without_domain, "AWS::ApiGateway::Stage")["StageName"] == "prod"


def test_methods_invoke_their_functions_with_validation(template_without_domain: dict[str, Any]) -> None:
    methods = [
        m for m in resources_of_type(template_without_domain, "AWS::ApiGateway::Method") if m["HttpMethod"] == "GET"
    ]
    assert {m["Integration"]["Type"] for m in methods} == {"AWS_PROXY"}
    assert all(m["RequestValidatorId"] for m in methods)
    uris = [json.dumps(m["Integration"]["Uri"]) for m in methods]
    assert sorted("Hello" in uri for uri in uris) == [False, True]
    assert sorted("Health" in uri for uri in uris) == [False, True]
    permissions = resources_of_type(template_without_domain, "AWS::Lambda::Permission")
    source_arns = {json.dumps(permission["SourceArn"]) for permission in permissions}
    assert not [arn for arn in source_arns if "*" in arn], "a permission is for one method of one stage"
    assert (
        {"GET/helloworld" in arn for arn in source_arns}
        == {"GET/healthcheck-" in arn for arn in source_arns}
        == {True, False}
    )


def test_health_check_requests_regional_endpoint_and_token(template_without_domain: dict[str, Any]) -> None:
    config = only_resource(template_without_domain, "AWS::Route53::HealthCheck")["HealthCheckConfig"]
    host = json.dumps(config.pop("FullyQualifiedDomainName"))
    assert "/prod/healthcheck-" in json.dumps(config.pop("ResourcePath"))
    assert ".execute-api.us-west-2." in host
    (api,) = (n for n, r in template_without_domain["Resources"].items() if r["Type"] == "AWS::ApiGateway::RestApi")
    assert f'{{"Ref": "{api}"}}' in host, "not the API of the same stack"
    assert config == {
        "Type": "HTTPS_STR_MATCH",
        "Port": 443,
        "EnableSNI": True,
        "SearchString": TOKEN,
        "Regions": ["us-west-2", "eu-west-1", "ap-southeast-1"],
        "RequestInterval": 30,
        "FailureThreshold": 2,
        "Inverted": False,
        "MeasureLatency": False,
    }
    assert len(TOKEN) <= 255, "the maximum of Route 53"


def test_health_check_has_interval_and_threshold_of_settings(single_region: Assembly) -> None:
    config = only_resource(single_region.template("MultiRegionApi-ap-northeast-1"), "AWS::Route53::HealthCheck")[
        "HealthCheckConfig"
    ]
    assert (config["RequestInterval"], config["FailureThreshold"]) == (10, 5)


def domain_names_of(template: dict[str, Any]) -> dict[str, str]:
    """Return the logical IDs of the domain names, by name."""
    resources = template["Resources"].items()
    return {r["Properties"]["DomainName"]: n for n, r in resources if r["Type"] == "AWS::ApiGateway::DomainName"}


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2"])
def test_records_are_latency_aliases_with_health_check(domain_assembly: Assembly, region: str) -> None:
    template = domain_assembly.template(f"MultiRegionApi-{region}")
    (check,) = (
        name
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Route53::HealthCheck"
        and resource["Properties"]["HealthCheckConfig"]["Type"] == "CALCULATED"
    )
    domain = domain_names_of(template)["api.example.com"]
    records = [r for r in resources_of_type(template, "AWS::Route53::RecordSet") if r["Name"] == "api.example.com."]
    assert sorted(record["Type"] for record in records) == ["A", "AAAA"]
    for record in records:
        assert (record["Name"], record["HostedZoneId"]) == ("api.example.com.", "Z0123456789ABCDEFGHIJ")
        assert (record["Region"], record["SetIdentifier"]) == (region, region)
        assert record["HealthCheckId"] == {"Ref": check}
        assert record["AliasTarget"] == {
            "DNSName": {"Fn::GetAtt": [domain, "RegionalDomainName"]},
            "HostedZoneId": {"Fn::GetAtt": [domain, "RegionalHostedZoneId"]},
            "EvaluateTargetHealth": True,
        }


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2"])
@pytest.mark.reliability(
    "multi_region_api",
    "Partial failure",
    fault="a Region's stack is partly created or partly deleted",
    expected="no client is routed there",
    observed="template: records are created last and deleted first",
)
def test_records_depend_on_api_and_domain_name(domain_assembly: Assembly, region: str) -> None:
    resources = domain_assembly.template(f"MultiRegionApi-{region}")["Resources"]
    needed = {n for n, r in resources.items() if r["Type"] in RECORD_DEPENDENCIES}
    assert {resources[name]["Type"] for name in needed} == RECORD_DEPENDENCIES
    for kind, other in (("Shared", "Regional"), ("Regional", "Shared")):
        required = {name for name in needed if other not in name}
        for record_type in ("A", "AAAA"):
            (record,) = (r for n, r in resources.items() if n.startswith(f"DomainNames{kind}{record_type}Record"))
            assert required <= set(record["DependsOn"])


def test_domain_name_is_regional_with_certificate_and_path(domain_assembly: Assembly) -> None:
    template = domain_assembly.template(WEST)
    certificate = only_resource(template, "AWS::CertificateManager::Certificate")
    assert certificate["ValidationMethod"] == "DNS"
    assert certificate["DomainValidationOptions"][0]["HostedZoneId"] == "Z0123456789ABCDEFGHIJ"
    assert certificate["SubjectAlternativeNames"] == [f"{WEST.removeprefix('MultiRegionApi-')}.api.example.com"]
    domains = resources_of_type(template, "AWS::ApiGateway::DomainName")
    assert len(domains) == 2, "the shared name and that of the Region"
    for domain in domains:
        assert domain["EndpointConfiguration"] == {"Types": ["REGIONAL"], "IpAddressType": "dualstack"}
        assert domain["SecurityPolicy"] == only_resource(template, "AWS::ApiGateway::RestApi")["SecurityPolicy"]
        assert "Ref" in domain["RegionalCertificateArn"]
    assert [m["BasePath"] for m in resources_of_type(template, "AWS::ApiGateway::BasePathMapping")] == ["v1", "v1"]


def test_stack_without_domain_has_no_records_and_an_info(
    assembly: Assembly, template_without_domain: dict[str, Any], domain_assembly: Assembly
) -> None:
    domain_types = {
        "AWS::Route53::RecordSet",
        "AWS::ApiGateway::DomainName",
        "AWS::ApiGateway::BasePathMapping",
        "AWS::CertificateManager::Certificate",
        "AWS::SSM::Parameter",
    }
    with_domain = {r["Type"] for r in domain_assembly.template(WEST)["Resources"].values()}
    assert {r["Type"] for r in template_without_domain["Resources"].values()} == with_domain - domain_types
    entries = [
        entry
        for stack in (EAST, WEST)
        for item in json.loads((assembly.directory / f"{stack}.metadata.json").read_text()).values()
        for entry in item
    ]
    infos = [entry["data"] for entry in entries if entry["type"] == "aws:cdk:info"]
    assert len(infos) == 1, f"not one info for all Regions: {infos}"
    assert "multi_region_api:domain_name" in infos[0]
    assert not [e for e in entries if e["type"] in ("aws:cdk:warning", "aws:cdk:error")]


def test_cors_allows_the_origin_for_responses_and_errors(single_region: Assembly) -> None:
    template, origin = single_region.template("MultiRegionApi-ap-northeast-1"), "'https://www.example.com'"
    errors = resources_of_type(template, "AWS::ApiGateway::GatewayResponse")
    assert {e["ResponseType"] for e in errors} == {"DEFAULT_4XX", "DEFAULT_5XX"}
    for error in errors:
        assert error["ResponseParameters"] == {
            "gatewayresponse.header.Access-Control-Allow-Origin": origin,
            "gatewayresponse.header.Access-Control-Expose-Headers": "'X-Region,x-amzn-RequestId'",
            "gatewayresponse.header.X-Region": "'ap-northeast-1'",
        }
        template_body = error["ResponseTemplates"]["application/json"]
        body = json.loads(template_body.replace("$context.error.messageString", '"Internal server error"'))
        message = {"DEFAULT_4XX": "$context.error.responseType", "DEFAULT_5XX": "Internal server error"}
        assert body.pop("message") == message[error["ResponseType"]], "the message string has quotes already"
        assert body == {"region": "ap-northeast-1", "requestId": "$context.requestId"}
    options = [m for m in resources_of_type(template, "AWS::ApiGateway::Method") if m["HttpMethod"] == "OPTIONS"]
    (response,) = options[0]["Integration"]["IntegrationResponses"]
    assert response["ResponseParameters"]["method.response.header.Access-Control-Allow-Origin"] == origin
    assert response["ResponseParameters"]["method.response.header.Access-Control-Allow-Methods"] == "'GET,HEAD,OPTIONS'"


def test_logs_have_retention_and_functions_are_traced(template_without_domain: dict[str, Any]) -> None:
    groups = resources_of_type(template_without_domain, "AWS::Logs::LogGroup")
    functions = resources_of_type(template_without_domain, "AWS::Lambda::Function")
    assert len(groups) == len(functions) + 2, "each function, access log, execution log"
    assert {group["RetentionInDays"] for group in groups} == {90}
    stage = only_resource(template_without_domain, "AWS::ApiGateway::Stage")
    assert stage["TracingEnabled"]
    fields = json.loads(stage["AccessLogSetting"]["Format"])
    assert fields["ip"] == "$context.identity.sourceIp", "to find the source of a flood"
    # API Gateway developer guide: a REST API's access log needs a request ID.
    assert fields["requestId"] == "$context.requestId"
    names = {"status", "error.responseType", "responseLatency", "integrationLatency", "wafResponseCode", "tlsVersion"}
    assert {f"$context.{name}" for name in names} <= set(fields.values())
    # For an unknown path, API Gateway reads the header Authorization, and its error message contains parts of it.
    chosen_by_callers = {"error.message", "error.messageString", "identity.userAgent", "path"}
    assert not {f"$context.{name}" for name in chosen_by_callers} & set(fields.values())
    (execution,) = (g["LogGroupName"]["Fn::Join"][1] for g in groups if "LogGroupName" in g)
    assert (execution[0], execution[2]) == ("API-Gateway-Execution-Logs_", "/prod"), "the name that API Gateway uses"
    for function in resources_of_type(template_without_domain, "AWS::Lambda::Function"):
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert function["Timeout"] <= 3, "health checkers stop waiting sooner"


def test_functions_have_configured_log_level(template_without_domain: dict[str, Any], single_region: Assembly) -> None:
    with_setting = single_region.template("MultiRegionApi-ap-northeast-1")
    for template, level in ((template_without_domain, "INFO"), (with_setting, "WARN")):
        for function in resources_of_type(template, "AWS::Lambda::Function"):
            config = function["LoggingConfig"]
            assert (config["LogFormat"], config["ApplicationLogLevel"]) == ("JSON", level)


def test_health_checks_are_not_traced(template_without_domain: dict[str, Any]) -> None:
    rule = only_resource(template_without_domain, "AWS::XRay::SamplingRule")["SamplingRule"]
    assert (rule["ReservoirSize"], rule["FixedRate"]) == (0, 0)
    assert (rule["ServiceName"], rule["URLPath"]) == (f"{WEST}/prod", "*/healthcheck-*")
    assert (rule["ServiceType"], rule["HTTPMethod"]) == ("AWS::ApiGateway::Stage", "GET")
    assert only_resource(template_without_domain, "AWS::ApiGateway::RestApi")["Name"] == WEST
    assert len(rule["RuleName"]) <= 32, "X-Ray's limit"


def test_functions_are_allowed_only_logs_and_traces(template_without_domain: dict[str, Any]) -> None:
    expected = {"logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"}
    for policy in resources_of_type(template_without_domain, "AWS::IAM::Policy"):
        statements = policy["PolicyDocument"]["Statement"]
        assert {action for s in statements for action in s["Action"]} == expected
        assert len(policy["Roles"]) == 1
        for statement in statements:
            if statement["Resource"] == "*":
                assert all(action.startswith("xray:") for action in statement["Action"])


def test_health_function_can_read_one_item_of_its_tables(full_template: dict[str, Any]) -> None:
    statements = [
        s for p in resources_of_type(full_template, "AWS::IAM::Policy") for s in p["PolicyDocument"]["Statement"]
    ]
    (read,) = (s for s in statements if s["Action"] == "dynamodb:GetItem")
    assert "table/Orders" in json.dumps(read["Resource"])
    assert "*" not in json.dumps(read["Resource"])
    assert read["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["healthcheck"]}}


def test_health_function_has_only_the_status_variable(template_without_domain: dict[str, Any]) -> None:
    functions = {
        f["Handler"].split(".")[1]: f for f in resources_of_type(template_without_domain, "AWS::Lambda::Function")
    }
    assert functions["healthcheck"]["Environment"] == {"Variables": {"STATUS": "check"}}
    assert "Environment" not in functions["hello"]
    assert {f["Runtime"] for f in functions.values()} == {"python3.14"}


def test_health_check_alarm_is_only_in_us_east_1(domain_assembly: Assembly) -> None:
    alarms = {
        stack: [
            a
            for a in resources_of_type(domain_assembly.template(stack), "AWS::CloudWatch::Alarm")
            if a["Namespace"] == "AWS/Route53"
        ]
        for stack in (EAST, WEST)
    }
    (alarm,) = alarms[EAST]
    assert (alarm["ComparisonOperator"], alarm["Threshold"], alarm["Statistic"]) == ("LessThanThreshold", 1, "Minimum")
    assert not alarms[WEST], "an alarm there would have no data"


@pytest.mark.reliability("multi_region_api", "Throttling", fault="requests on the health path are throttled")
def test_each_region_has_alarms_on_local_metrics(template_without_domain: dict[str, Any]) -> None:
    alarms = resources_of_type(template_without_domain, "AWS::CloudWatch::Alarm")
    (topic,) = (name for name, r in template_without_domain["Resources"].items() if r["Type"] == "AWS::SNS::Topic")
    metrics = set()
    for alarm in alarms:
        dimensions = {d["Name"]: d["Value"] for d in alarm["Dimensions"]}
        path = dimensions.get("Resource")
        assert alarm["AlarmActions"] == [{"Ref": topic}]
        assert dimensions.get("ApiName", WEST) == WEST, "the metrics of an API have its name as a dimension"
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanOrEqualToThreshold", 1)
        assert (alarm["Statistic"], alarm["Period"]) == ("Sum", 60)
        metrics.add((alarm["MetricName"], "healthcheck" if "healthcheck-" in str(path) else path))
    assert metrics == {
        ("5XXError", "healthcheck"),
        ("4XXError", "healthcheck"),
        ("5XXError", "/helloworld"),
        ("Errors", None),
    }


def test_email_is_subscribed_in_every_region(full_assembly: Assembly) -> None:
    for region in THREE_REGIONS:
        subscription = only_resource(full_assembly.template(f"MultiRegionApi-{region}"), "AWS::SNS::Subscription")
        assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")


def test_methods_have_metrics_and_log_no_bodies(single_region: Assembly) -> None:
    template = single_region.template("MultiRegionApi-ap-northeast-1")
    settings = only_resource(template, "AWS::ApiGateway::Stage")["MethodSettings"]
    (default,) = (s for s in settings if s["ResourcePath"] == "/*")
    assert (default["ThrottlingRateLimit"], default["ThrottlingBurstLimit"]) == (7, 14), "the setting"
    for method in settings:
        assert method["MetricsEnabled"], "the alarms use the metrics of the method"
        assert not method["DataTraceEnabled"], "bodies must not be in the log"
        assert method["LoggingLevel"] == "ERROR"


def test_account_role_for_logs_is_set_only_by_setting(
    template_without_domain: dict[str, Any], single_region: Assembly
) -> None:
    """All APIs of an account and Region share the role; CloudFormation would replace it."""
    assert not resources_of_type(template_without_domain, "AWS::ApiGateway::Account")
    resources = single_region.template("MultiRegionApi-ap-northeast-1")["Resources"]
    (account,) = (n for n, r in resources.items() if r["Type"] == "AWS::ApiGateway::Account")
    (role,) = resources[account]["Properties"]["CloudWatchRoleArn"]["Fn::GetAtt"][:1]
    # AWS::ApiGateway::Account, developer reference: deleting the resource does not change the account.
    assert [resources[name]["DeletionPolicy"] for name in (account, role)] == ["Retain"] * 2
    (stage,) = (n for n, r in resources.items() if r["Type"] == "AWS::ApiGateway::Stage")
    assert account in resources[stage]["DependsOn"], "API Gateway rejects logs without it"
