"""Facts about the templates: what each region has, and that none needs another."""

import json
import re
from typing import Any

import pytest

from lambdas.multi_region_api.health import TOKEN

from ..conftest import Assembly, of_type, one, synthesize

NAME = {
    "multi_region_api:domain_name": "api.example.com",
    "multi_region_api:hosted_zone_id": "Z0123456789ABCDEFGHIJ",
    "multi_region_api:hosted_zone_name": "example.com",
}
EAST, WEST = "MultiRegionApi-us-east-1", "MultiRegionApi-us-west-2"
LED_TO = {
    "AWS::ApiGateway::BasePathMapping",
    "AWS::ApiGateway::DomainName",
    "AWS::ApiGateway::Method",
    "AWS::ApiGateway::Stage",
    "AWS::Lambda::Permission",
}
ANSWERS_HEALTH_CHECKS = {
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::Method",
    "AWS::ApiGateway::Stage",
    "AWS::IAM::Policy",
    "AWS::Lambda::Permission",
    "AWS::WAFv2::WebACLAssociation",
    "AWS::XRay::SamplingRule",  # later, nearly every request of a health checker would be traced
}
STACK = EAST
THREE = ("us-east-1", "us-west-2", "eu-west-1")


def regions_of(assembly: Assembly) -> list[str]:
    prefix, suffix = "MultiRegionApi-", ".template.json"
    names = [path.name for path in assembly.templates if path.name.startswith(prefix)]
    return [name.removeprefix(prefix).removesuffix(suffix) for name in names]


@pytest.fixture(scope="session")
def without_name(assembly: Assembly) -> dict[str, Any]:
    return assembly.template(WEST)


@pytest.fixture(scope="session")
def named(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    return synthesize(tmp_path_factory.mktemp("named"), NAME, "MultiRegionApi-*")


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """One region, with the fast interval and the other settings that are not the default."""
    settings = {
        "regions": '["ap-northeast-1"]',
        "check_seconds": "10",
        "check_threshold": "5",
        "allowed_origin": "https://www.example.com",
        "requests_per_second": "7",
        "cloudwatch_role": "true",
    }
    context = NAME | {f"multi_region_api:{name}": value for name, value in settings.items()}
    return synthesize(tmp_path_factory.mktemp("single"), context, "MultiRegionApi-*")


def environment_of(assembly: Assembly, stack: str) -> str:
    manifest = json.loads((assembly.directory / "manifest.json").read_text())
    environment: str = manifest["artifacts"][stack]["environment"]
    return environment


def test_every_region_of_the_settings_has_a_stack(
    assembly: Assembly, full_assembly: Assembly, single: Assembly
) -> None:
    assert sorted(regions_of(assembly)) == ["us-east-1", "us-west-2"]
    assert sorted(regions_of(full_assembly)) == sorted(THREE)
    assert regions_of(single) == ["ap-northeast-1"]


def test_stack_is_bound_to_its_region_and_to_no_account(full_assembly: Assembly) -> None:
    for region in THREE:
        assert environment_of(full_assembly, f"MultiRegionApi-{region}") == f"aws://unknown-account/{region}"


def test_no_stack_refers_to_another_region_or_waits_for_another_stack(full_assembly: Assembly) -> None:
    manifest = json.loads((full_assembly.directory / "manifest.json").read_text())
    for region in THREE:
        stack = f"MultiRegionApi-{region}"
        text = json.dumps(full_assembly.template(stack))
        assert not [other for other in THREE if other != region and other in text], f"{stack} names another region"
        assert "Fn::ImportValue" not in text
        assert manifest["artifacts"][stack]["dependencies"] == [f"{stack}.assets"]


def test_regions_have_the_same_resources_but_for_the_health_check_alarm(named: Assembly) -> None:
    east, west = (sorted(r["Type"] for r in named.template(s)["Resources"].values()) for s in (EAST, WEST))
    east.remove("AWS::CloudWatch::Alarm")
    assert east == west


def test_api_is_regional_and_reached_over_ipv4_and_ipv6(without_name: dict[str, Any]) -> None:
    endpoint = one(without_name, "AWS::ApiGateway::RestApi")["EndpointConfiguration"]
    assert endpoint == {"Types": ["REGIONAL"], "IpAddressType": "dualstack"}
    assert "DisableExecuteApiEndpoint" not in one(without_name, "AWS::ApiGateway::RestApi"), "Route 53 asks it"
    assert one(without_name, "AWS::ApiGateway::Stage")["StageName"] == "prod"


def test_both_methods_call_their_functions_validated(without_name: dict[str, Any]) -> None:
    methods = [m for m in of_type(without_name, "AWS::ApiGateway::Method") if m["HttpMethod"] == "GET"]
    assert {m["Integration"]["Type"] for m in methods} == {"AWS_PROXY"}
    assert all(m["RequestValidatorId"] for m in methods)
    called = [json.dumps(m["Integration"]["Uri"]) for m in methods]
    assert sorted("Hello" in uri for uri in called) == [False, True]
    assert sorted("Health" in uri for uri in called) == [False, True]
    permissions = of_type(without_name, "AWS::Lambda::Permission")
    granted = {json.dumps(permission["SourceArn"]) for permission in permissions}
    assert not [arn for arn in granted if "*" in arn], "a permission is for one method of one stage"
    assert (
        {"GET/helloworld" in arn for arn in granted} == {"GET/healthcheck-" in arn for arn in granted} == {True, False}
    )


def test_health_check_asks_the_regional_endpoint_for_the_exact_token(without_name: dict[str, Any]) -> None:
    config = one(without_name, "AWS::Route53::HealthCheck")["HealthCheckConfig"]
    host = json.dumps(config.pop("FullyQualifiedDomainName"))
    assert "/prod/healthcheck-" in json.dumps(config.pop("ResourcePath"))
    assert ".execute-api.us-west-2." in host
    (api,) = (n for n, r in without_name["Resources"].items() if r["Type"] == "AWS::ApiGateway::RestApi")
    assert f'{{"Ref": "{api}"}}' in host, "not the API of the same stack"
    assert config == {
        "Type": "HTTPS_STR_MATCH",
        "Port": 443,
        "EnableSNI": True,
        "SearchString": TOKEN,
        "RequestInterval": 30,
        "FailureThreshold": 2,
        "Inverted": False,
        "MeasureLatency": False,
    }
    assert len(TOKEN) <= 255, "the longest search string of Route 53"


def test_interval_and_threshold_come_from_the_settings(single: Assembly) -> None:
    config = one(single.template("MultiRegionApi-ap-northeast-1"), "AWS::Route53::HealthCheck")["HealthCheckConfig"]
    assert (config["RequestInterval"], config["FailureThreshold"]) == (10, 5)


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2"])
def test_records_are_latency_aliases_tied_to_the_regions_own_check(named: Assembly, region: str) -> None:
    template = named.template(f"MultiRegionApi-{region}")
    (check,) = (n for n, r in template["Resources"].items() if r["Type"] == "AWS::Route53::HealthCheck")
    (domain,) = (n for n, r in template["Resources"].items() if r["Type"] == "AWS::ApiGateway::DomainName")
    records = of_type(template, "AWS::Route53::RecordSet")
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
    fault="a region's stack is half made, or half gone",
    expected="no name leads there",
    observed="read from the template: records are made last and removed first",
)
def test_records_come_after_all_that_they_lead_to_and_go_before_it(named: Assembly, region: str) -> None:
    resources = named.template(f"MultiRegionApi-{region}")["Resources"]
    needed = {n for n, r in resources.items() if r["Type"] in LED_TO}
    assert {resources[name]["Type"] for name in needed} == LED_TO
    for record in (r for r in resources.values() if r["Type"] == "AWS::Route53::RecordSet"):
        assert needed <= set(record["DependsOn"])


def test_domain_name_is_regional_with_a_certificate_of_the_region_and_base_path_v1(named: Assembly) -> None:
    template = named.template(WEST)
    certificate = one(template, "AWS::CertificateManager::Certificate")
    assert certificate["ValidationMethod"] == "DNS"
    assert certificate["DomainValidationOptions"][0]["HostedZoneId"] == "Z0123456789ABCDEFGHIJ"
    domain = one(template, "AWS::ApiGateway::DomainName")
    assert domain["EndpointConfiguration"] == {"Types": ["REGIONAL"], "IpAddressType": "dualstack"}
    assert domain["SecurityPolicy"] == one(template, "AWS::ApiGateway::RestApi")["SecurityPolicy"]
    assert "Ref" in domain["RegionalCertificateArn"]
    assert one(template, "AWS::ApiGateway::BasePathMapping")["BasePath"] == "v1"


def test_without_a_domain_everything_but_the_names_is_there_and_an_info_says_so(
    assembly: Assembly, without_name: dict[str, Any], named: Assembly
) -> None:
    names = {
        "AWS::Route53::RecordSet",
        "AWS::ApiGateway::DomainName",
        "AWS::ApiGateway::BasePathMapping",
        "AWS::CertificateManager::Certificate",
    }
    with_name = {r["Type"] for r in named.template(WEST)["Resources"].values()}
    assert {r["Type"] for r in without_name["Resources"].values()} == with_name - names
    entries = [
        entry
        for stack in (EAST, WEST)
        for found in json.loads((assembly.directory / f"{stack}.metadata.json").read_text()).values()
        for entry in found
    ]
    infos = [entry["data"] for entry in entries if entry["type"] == "aws:cdk:info"]
    assert len(infos) == 1, f"not one info for all regions: {infos}"
    assert "multi_region_api:domain_name" in infos[0]
    assert not [e for e in entries if e["type"] in ("aws:cdk:warning", "aws:cdk:error")]


def test_cors_lets_the_origin_of_the_settings_read_answers_and_errors(single: Assembly) -> None:
    template, origin = single.template("MultiRegionApi-ap-northeast-1"), "'https://www.example.com'"
    errors = of_type(template, "AWS::ApiGateway::GatewayResponse")
    assert {e["ResponseType"] for e in errors} == {"DEFAULT_4XX", "DEFAULT_5XX"}
    for error in errors:
        assert error["ResponseParameters"] == {"gatewayresponse.header.Access-Control-Allow-Origin": origin}
    options = [m for m in of_type(template, "AWS::ApiGateway::Method") if m["HttpMethod"] == "OPTIONS"]
    (answer,) = options[0]["Integration"]["IntegrationResponses"]
    assert answer["ResponseParameters"]["method.response.header.Access-Control-Allow-Origin"] == origin
    assert answer["ResponseParameters"]["method.response.header.Access-Control-Allow-Methods"] == "'GET,OPTIONS'"


def test_everything_is_logged_for_a_time_and_traced(without_name: dict[str, Any]) -> None:
    groups = of_type(without_name, "AWS::Logs::LogGroup")
    assert len(groups) == 4, "of two functions, of access, of execution"
    assert {group["RetentionInDays"] for group in groups} == {90}
    stage = one(without_name, "AWS::ApiGateway::Stage")
    assert stage["TracingEnabled"]
    assert "$context.status" in stage["AccessLogSetting"]["Format"]
    assert "$context.identity.sourceIp" in stage["AccessLogSetting"]["Format"], "who floods must be found"
    (execution,) = (g["LogGroupName"]["Fn::Join"][1] for g in groups if "LogGroupName" in g)
    assert (execution[0], execution[2]) == ("API-Gateway-Execution-Logs_", "/prod"), "the name that API Gateway takes"
    for function in of_type(without_name, "AWS::Lambda::Function"):
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert function["Timeout"] <= 3, "Route 53 gives up sooner"


def test_requests_of_health_checkers_are_not_traced(without_name: dict[str, Any]) -> None:
    rule = one(without_name, "AWS::XRay::SamplingRule")["SamplingRule"]
    assert (rule["ReservoirSize"], rule["FixedRate"]) == (0, 0)
    assert (rule["ServiceName"], rule["URLPath"]) == (f"{WEST}/prod", "*/healthcheck-*")
    assert (rule["ServiceType"], rule["HTTPMethod"]) == ("AWS::ApiGateway::Stage", "GET")
    assert one(without_name, "AWS::ApiGateway::RestApi")["Name"] == WEST
    assert len(rule["RuleName"]) <= 32, "X-Ray's limit"


def test_functions_may_log_and_trace_and_nothing_else(without_name: dict[str, Any]) -> None:
    allowed = {"logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"}
    for policy in of_type(without_name, "AWS::IAM::Policy"):
        statements = policy["PolicyDocument"]["Statement"]
        assert {action for s in statements for action in s["Action"]} == allowed
        assert len(policy["Roles"]) == 1
        for statement in statements:
            if statement["Resource"] == "*":
                assert all(action.startswith("xray:") for action in statement["Action"])


def test_health_function_may_read_one_item_of_the_tables_in_the_settings(full: dict[str, Any]) -> None:
    statements = [s for p in of_type(full, "AWS::IAM::Policy") for s in p["PolicyDocument"]["Statement"]]
    (read,) = (s for s in statements if s["Action"] == "dynamodb:GetItem")
    assert "table/Orders" in json.dumps(read["Resource"])
    assert "*" not in json.dumps(read["Resource"])
    assert read["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["healthcheck"]}}


def test_status_is_the_only_variable_of_the_health_function(without_name: dict[str, Any]) -> None:
    functions = {f["Handler"].split(".")[1]: f for f in of_type(without_name, "AWS::Lambda::Function")}
    assert functions["healthcheck"]["Environment"] == {"Variables": {"STATUS": "check"}}
    assert "Environment" not in functions["hello"]
    assert {f["Runtime"] for f in functions.values()} == {"python3.14"}


def test_route_53s_metric_has_an_alarm_where_route_53_publishes_it(named: Assembly) -> None:
    found = {
        stack: [a for a in of_type(named.template(stack), "AWS::CloudWatch::Alarm") if a["Namespace"] == "AWS/Route53"]
        for stack in (EAST, WEST)
    }
    (alarm,) = found[EAST]
    assert (alarm["ComparisonOperator"], alarm["Threshold"], alarm["Statistic"]) == ("LessThanThreshold", 1, "Minimum")
    assert not found[WEST], "an alarm there would never have data"


@pytest.mark.reliability("multi_region_api", "Throttling", fault="requests on the health path are throttled")
def test_every_region_has_alarms_of_what_it_sees_itself(without_name: dict[str, Any]) -> None:
    alarms = of_type(without_name, "AWS::CloudWatch::Alarm")
    (topic,) = (name for name, r in without_name["Resources"].items() if r["Type"] == "AWS::SNS::Topic")
    seen = set()
    for alarm in alarms:
        dimensions = {d["Name"]: d["Value"] for d in alarm["Dimensions"]}
        path = dimensions.get("Resource")
        assert alarm["AlarmActions"] == [{"Ref": topic}]
        assert dimensions.get("ApiName", WEST) == WEST, "metrics of an API go by its name"
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanOrEqualToThreshold", 1)
        assert (alarm["Statistic"], alarm["Period"]) == ("Sum", 60)
        seen.add((alarm["MetricName"], "healthcheck" if "healthcheck-" in str(path) else path))
    assert seen == {
        ("5XXError", "healthcheck"),
        ("4XXError", "healthcheck"),
        ("5XXError", "/helloworld"),
        ("Errors", None),
    }


def test_email_of_the_settings_is_told_of_alarms_in_every_region(full_assembly: Assembly) -> None:
    for region in THREE:
        subscription = one(full_assembly.template(f"MultiRegionApi-{region}"), "AWS::SNS::Subscription")
        assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")


def test_every_method_has_metrics_and_none_has_bodies_in_the_log(single: Assembly) -> None:
    settings = one(single.template("MultiRegionApi-ap-northeast-1"), "AWS::ApiGateway::Stage")["MethodSettings"]
    (default,) = (s for s in settings if s["ResourcePath"] == "/*")
    assert (default["ThrottlingRateLimit"], default["ThrottlingBurstLimit"]) == (7, 14), "the limit of the settings"
    for each in settings:
        assert each["MetricsEnabled"], "the alarms go by the metrics of the method"
        assert not each["DataTraceEnabled"], "requests and answers must not be in the log"
        assert each["LoggingLevel"] == "ERROR"


def needed_by(template: dict[str, Any], logical_id: str) -> set[str]:
    """All that CloudFormation creates before a resource, by what the template says."""
    resources, needed, left = template["Resources"], set[str](), [logical_id]
    while left:
        text = json.dumps({k: v for k, v in resources[left.pop()].items() if k in ("Properties", "DependsOn")})
        names = set(re.findall(r'"([A-Za-z0-9]+)"', text)) | set(re.findall(r"\$\{([A-Za-z0-9]+)[.}]", text))
        new = (names & set(resources)) - needed
        needed |= new
        left += new
    return needed


def types_needed_by(template: dict[str, Any], logical_id: str) -> set[str]:
    return {template["Resources"][name]["Type"] for name in needed_by(template, logical_id)}


@pytest.mark.reliability(
    "multi_region_api",
    "Partial failure",
    fault="a first deployment",
    expected=(
        "no alarm: the health check is created after all that answers it, alarms after the topic lets them publish"
    ),
    observed="read from the template",
)
def test_health_check_is_created_after_all_that_answers_it(full: dict[str, Any]) -> None:
    (check,) = (n for n, r in full["Resources"].items() if r["Type"] == "AWS::Route53::HealthCheck")
    answering = {n for n, r in full["Resources"].items() if r["Type"] in ANSWERS_HEALTH_CHECKS}
    assert {full["Resources"][name]["Type"] for name in answering} == ANSWERS_HEALTH_CHECKS
    missing = answering - needed_by(full, check)
    assert not missing, f"a new health check counts as unhealthy after two failures, and alarms: {missing}"


def test_name_leads_nowhere_before_the_web_acl_protects_it(full: dict[str, Any]) -> None:
    for name, resource in full["Resources"].items():
        if resource["Type"] == "AWS::Route53::RecordSet":
            assert "AWS::WAFv2::WebACLAssociation" in types_needed_by(full, name)


@pytest.mark.reliability("multi_region_api", "Partial failure", fault="a first deployment")
def test_alarms_are_created_after_the_topic_lets_them_publish(full: dict[str, Any]) -> None:
    alarms = [n for n, r in full["Resources"].items() if r["Type"] == "AWS::CloudWatch::Alarm"]
    assert alarms
    for name in alarms:
        needed = types_needed_by(full, name)
        assert {"AWS::SNS::TopicPolicy", "AWS::SNS::Subscription"} <= needed, f"what {name} says first is lost"


def test_account_role_for_logs_is_left_alone_unless_the_settings_name_it(
    without_name: dict[str, Any], single: Assembly
) -> None:
    """It is one for all APIs of an account and region; CloudFormation would replace what others have set."""
    assert not of_type(without_name, "AWS::ApiGateway::Account")
    resources = single.template("MultiRegionApi-ap-northeast-1")["Resources"]
    (account,) = (n for n, r in resources.items() if r["Type"] == "AWS::ApiGateway::Account")
    (role,) = resources[account]["Properties"]["CloudWatchRoleArn"]["Fn::GetAtt"][:1]
    # AWS::ApiGateway::Account, developer reference: the account keeps the role's name when the resource is gone.
    assert [resources[name]["DeletionPolicy"] for name in (account, role)] == ["Retain"] * 2
    (stage,) = (n for n, r in resources.items() if r["Type"] == "AWS::ApiGateway::Stage")
    assert account in resources[stage]["DependsOn"], "API Gateway refuses logs without it"
