"""Facts about deployments with options that are off by default, and about what a removal leaves."""

from urllib.parse import urlsplit

import pytest

from lambdas.multi_region_api.health import TOKEN

from .conftest import DOMAIN, Optional

pytestmark = pytest.mark.enable_socket


def ingress(optional: Optional) -> list[tuple[int, str]]:
    rules = optional.target.client("ec2").describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [optional.group_id]}]
    )["SecurityGroupRules"]
    return [(rule["FromPort"], rule["CidrIpv4"]) for rule in rules if not rule["IsEgress"]]


def test_group_that_exists_gets_its_approved_rules_and_loses_all_others(optional: Optional) -> None:
    approved = [(5432, "10.0.0.0/8")]
    optional.target.wait_until(lambda: ingress(optional) == approved, "the sweep restores the approved rule")
    optional.target.client("ec2").authorize_security_group_ingress(
        GroupId=optional.group_id, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="203.0.113.7/32"
    )
    optional.target.wait_until(lambda: ingress(optional) == approved, "the forbidden rule is gone")


def test_trail_is_made_and_logs(optional: Optional) -> None:
    cloudtrail = optional.target.client("cloudtrail")
    (trail,) = cloudtrail.describe_trails()["trailList"]
    assert cloudtrail.get_trail_status(Name=trail["TrailARN"])["IsLogging"]
    assert trail["LogFileValidationEnabled"]
    assert trail["KmsKeyId"], "encrypted"


def test_email_address_is_subscribed(optional: Optional) -> None:
    topic = optional.target.outputs("SecurityGroupRevert")["TopicArn"]
    (subscription,) = optional.target.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")


def test_site_answers_under_its_own_name(optional: Optional) -> None:
    url = optional.target.outputs("StaticSite")["Url"]
    assert url == f"https://{DOMAIN}/"
    assert b"<html" in optional.target.get(url).data
    route53 = optional.target.client("route53")
    (zone,) = route53.list_hosted_zones()["HostedZones"]
    records = route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    aliases = {r["Type"]: r["AliasTarget"]["DNSName"] for r in records if r["Name"] == f"{DOMAIN}."}
    assert aliases.keys() == {"A", "AAAA"}


def test_rewrite_gives_the_index_page_at_once(optional: Optional) -> None:
    answer = optional.target.get(f"https://{DOMAIN}/subdirectory")
    assert (answer.status, b"<html" in answer.data) == (200, True)


def test_canonical_redirects_the_index_page_to_its_directory(optional: Optional) -> None:
    answer = optional.target.get(f"https://{DOMAIN}/subdirectory/index.html?a=1")
    assert (answer.status, answer.headers["location"]) == (301, "/subdirectory/?a=1")


def test_listed_file_without_extension_is_a_file(optional: Optional) -> None:
    bucket = optional.target.outputs("StaticSite")["BucketName"]
    optional.target.client("s3").put_object(Bucket=bucket, Key="LICENSE", Body=b"free")
    assert optional.target.get(f"https://{DOMAIN}/LICENSE").data == b"free"


def test_without_caching_every_request_goes_to_the_bucket(optional: Optional) -> None:
    answers = [optional.target.get(f"https://{DOMAIN}/") for _ in range(2)]
    assert ["Miss" in answer.headers["x-cache"] for answer in answers] == [True, True]


@pytest.mark.reliability("multi_region_api", "Partial failure", fault="one dependency of several fails")
@pytest.mark.reliability(
    "multi_region_api",
    "Deleted by somebody else",
    fault="a table that the Region needs",
    expected="unhealthy until it exists",
    observed="503, then 200",
)
def test_health_path_returns_503_until_the_table_exists(optional: Optional) -> None:
    outputs = optional.target.outputs("MultiRegionApi-us-east-1")
    url, dynamodb = outputs["HealthUrl"], optional.target.client("dynamodb")
    answer = optional.target.get(url)
    assert answer.status == 503, answer.data
    assert answer.json()["failed"] == ["orders"]
    dynamodb.create_table(
        TableName="Orders",
        KeySchema=[{"AttributeName": "order", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "order", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    answer = optional.target.get(url)
    assert (answer.status, answer.json()["health"]) == (200, TOKEN), answer.data


def test_web_acl_is_before_the_api(optional: Optional) -> None:
    url = urlsplit(optional.target.outputs("MultiRegionApi-us-east-1")["HealthUrl"])
    api_id = url.netloc.split(".")[0]
    stage = f"arn:aws:apigateway:us-east-1::/restapis/{api_id}/stages/prod"
    found = optional.target.client("wafv2").get_web_acl_for_resource(ResourceArn=stage)
    assert "WebAcl" in found["WebACL"]["Name"], found
    health_path = found["WebACL"]["Rules"][0]["Statement"]["ByteMatchStatement"]
    assert health_path["SearchString"] == url.path.encode(), "health checkers pass"


@pytest.mark.reliability(
    "static_site",
    "Deleted by somebody else",
    fault="the function, while its replicas exist at the edge",
)
def test_removal_leaves_what_the_documentation_says(optional: Optional) -> None:
    rewriter = optional.target.outputs("StaticSite")["RewriterName"]
    trails_bucket = optional.target.client("cloudtrail").describe_trails()["trailList"][0]["S3BucketName"]
    said = optional.sandbox.cdk(
        "destroy", "--all", "--force", "--concurrency=4", f"--app={optional.sandbox.directory}/cdk.out"
    )
    assert "DELETE_FAILED" not in said, said
    stacks = optional.target.client("cloudformation").describe_stacks()["Stacks"]
    left = {stack["StackName"] for stack in stacks if "DELETE" not in stack["StackStatus"]}
    assert left <= {"CDKToolkit", "prod-sample-app"}, "the app that a pipeline has deployed is not the pipeline's"
    functions = [
        function["FunctionName"] for function in optional.target.client("lambda").list_functions()["Functions"]
    ]
    assert functions == [rewriter], "of the functions only the edge function stays"
    buckets = {bucket["Name"] for bucket in optional.target.client("s3").list_buckets()["Buckets"]}
    assert trails_bucket in buckets, "the audit log stays"
    assert not [name for name in buckets if "staticsite" in name], "the site's buckets are emptied and gone"
    assert ingress(optional) == [(5432, "10.0.0.0/8")], "a group that was there before is left as it is"
