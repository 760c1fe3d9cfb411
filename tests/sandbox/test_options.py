"""Deployments with optional settings, and what remains after the stacks are destroyed."""

from urllib.parse import urlsplit

import pytest

from lambdas.multi_region_api.health import TOKEN

from .conftest import DOMAIN, OptionsSandbox

pytestmark = pytest.mark.enable_socket


def ingress(options_sandbox: OptionsSandbox) -> list[tuple[int, str]]:
    rules = options_sandbox.target.client("ec2").describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [options_sandbox.group_id]}]
    )["SecurityGroupRules"]
    return [(rule["FromPort"], rule["CidrIpv4"]) for rule in rules if not rule["IsEgress"]]


def test_existing_group_keeps_only_approved_rules(options_sandbox: OptionsSandbox) -> None:
    approved = [(5432, "10.0.0.0/8")]
    options_sandbox.target.wait_until(lambda: ingress(options_sandbox) == approved, "the sweep adds the approved rule")
    options_sandbox.target.client("ec2").authorize_security_group_ingress(
        GroupId=options_sandbox.group_id, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="203.0.113.7/32"
    )
    options_sandbox.target.wait_until(lambda: ingress(options_sandbox) == approved, "the unapproved rule is revoked")


def test_created_trail_logs_with_encryption(options_sandbox: OptionsSandbox) -> None:
    cloudtrail = options_sandbox.target.client("cloudtrail")
    (trail,) = cloudtrail.describe_trails()["trailList"]
    assert cloudtrail.get_trail_status(Name=trail["TrailARN"])["IsLogging"]
    assert trail["LogFileValidationEnabled"]
    assert trail["KmsKeyId"], "the trail is not encrypted"


def test_email_address_is_subscribed_to_topic(options_sandbox: OptionsSandbox) -> None:
    topic = options_sandbox.target.outputs("SecurityGroupRevert")["TopicArn"]
    (subscription,) = options_sandbox.target.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")


def test_site_with_custom_domain_is_served(options_sandbox: OptionsSandbox) -> None:
    url = options_sandbox.target.outputs("StaticSite")["Url"]
    assert url == f"https://{DOMAIN}/"
    assert b"<html" in options_sandbox.target.get(url).data
    route53 = options_sandbox.target.client("route53")
    (zone,) = route53.list_hosted_zones()["HostedZones"]
    records = route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    aliases = {r["Type"]: r["AliasTarget"]["DNSName"] for r in records if r["Name"] == f"{DOMAIN}."}
    assert aliases.keys() == {"A", "AAAA"}


def test_alternate_name_redirects_to_custom_domain(options_sandbox: OptionsSandbox) -> None:
    response = options_sandbox.target.get("https://example.com/subdirectory/?a=%2F")
    assert (response.status, response.headers["location"]) == (301, f"https://{DOMAIN}/subdirectory/?a=%2F")
    assert response.headers["strict-transport-security"]


def test_path_without_trailing_slash_is_rewritten(options_sandbox: OptionsSandbox) -> None:
    response = options_sandbox.target.get(f"https://{DOMAIN}/subdirectory")
    assert (response.status, b"<html" in response.data) == (200, True)


def test_index_page_is_redirected_to_directory(options_sandbox: OptionsSandbox) -> None:
    response = options_sandbox.target.get(f"https://{DOMAIN}/subdirectory/index.html?a=1")
    assert (response.status, response.headers["location"]) == (301, "/subdirectory/?a=1")


def test_disabled_caching_misses_on_every_request(options_sandbox: OptionsSandbox) -> None:
    responses = [options_sandbox.target.get(f"https://{DOMAIN}/") for _ in range(2)]
    assert ["Miss" in response.headers["x-cache"] for response in responses] == [True, True]


@pytest.mark.reliability("multi_region_api", "Partial failure", fault="one dependency of several fails")
@pytest.mark.reliability(
    "multi_region_api",
    "Deleted externally",
    fault="a table that the Region needs",
    expected="unhealthy until it exists",
    observed="503, then 200",
)
def test_health_path_returns_503_until_the_table_exists(options_sandbox: OptionsSandbox) -> None:
    outputs = options_sandbox.target.outputs("MultiRegionApi-us-east-1")
    url, dynamodb = outputs["HealthUrl"], options_sandbox.target.client("dynamodb")
    answer = options_sandbox.target.get(url)
    assert answer.status == 503, answer.data
    assert answer.json()["failed"] == ["orders"]
    dynamodb.create_table(
        TableName="Orders",
        KeySchema=[{"AttributeName": "order", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "order", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    response = options_sandbox.target.get(url)
    assert (response.status, response.json()["health"]) == (200, TOKEN), response.data


def test_web_acl_protects_api_except_health_checks(options_sandbox: OptionsSandbox) -> None:
    url = urlsplit(options_sandbox.target.outputs("MultiRegionApi-us-east-1")["HealthUrl"])
    api_id = url.netloc.split(".")[0]
    stage = f"arn:aws:apigateway:us-east-1::/restapis/{api_id}/stages/prod"
    response = options_sandbox.target.client("wafv2").get_web_acl_for_resource(ResourceArn=stage)
    assert "WebAcl" in response["WebACL"]["Name"], response
    health_path = response["WebACL"]["Rules"][0]["Statement"]["ByteMatchStatement"]
    assert health_path["SearchString"] == url.path.encode(), "the health check path is not excluded"


@pytest.mark.reliability(
    "static_site",
    "Deleted externally",
    fault="the function, while its replicas exist at the edge",
)
def test_destroy_retains_documented_resources(options_sandbox: OptionsSandbox) -> None:
    rewriter = options_sandbox.target.outputs("StaticSite")["RewriterName"]
    trails_bucket = options_sandbox.target.client("cloudtrail").describe_trails()["trailList"][0]["S3BucketName"]
    output = options_sandbox.sandbox.cdk(
        "destroy", "--all", "--force", "--concurrency=4", f"--app={options_sandbox.sandbox.directory}/cdk.out"
    )
    assert "DELETE_FAILED" not in output, output
    stacks = options_sandbox.target.client("cloudformation").describe_stacks()["Stacks"]
    remaining = {stack["StackName"] for stack in stacks if "DELETE" not in stack["StackStatus"]}
    assert remaining <= {"CDKToolkit", "prod-sample-app"}, "only the app that the pipeline has deployed may remain"
    functions = [
        function["FunctionName"] for function in options_sandbox.target.client("lambda").list_functions()["Functions"]
    ]
    assert functions == [rewriter], "only the Lambda@Edge function is retained"
    buckets = {bucket["Name"] for bucket in options_sandbox.target.client("s3").list_buckets()["Buckets"]}
    assert trails_bucket in buckets, "the trail's bucket must be retained"
    assert not [name for name in buckets if "staticsite" in name], "the site's buckets must be deleted"
    assert ingress(options_sandbox) == [(5432, "10.0.0.0/8")], "the existing group must not change"
