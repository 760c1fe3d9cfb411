"""Methods of the API that browsers and monitors call besides GET."""

from typing import Any

from ..conftest import resources_of_type

STACK = "MultiRegionApi-us-east-1"


def test_cors_of_several_origins(full_template: dict[str, Any]) -> None:
    for error in resources_of_type(full_template, "AWS::ApiGateway::GatewayResponse"):
        origin = error["ResponseParameters"]["gatewayresponse.header.Access-Control-Allow-Origin"]
        assert origin == "method.request.header.Origin", "a gateway response cannot compare it with a list"
    options = [m for m in resources_of_type(full_template, "AWS::ApiGateway::Method") if m["HttpMethod"] == "OPTIONS"]
    (response,) = options[0]["Integration"]["IntegrationResponses"]
    template = response["ResponseTemplates"]["application/json"]
    static = response["ResponseParameters"]["method.response.header.Access-Control-Allow-Origin"]
    assert (static, '"https://example.com"' in template) == ("'https://www.example.com'", True)


def test_head_and_get_invoke_the_same_function(template: dict[str, Any]) -> None:
    methods = resources_of_type(template, "AWS::ApiGateway::Method")
    (head,) = [method for method in methods if method["HttpMethod"] == "HEAD"]
    gets = [m for m in methods if m["HttpMethod"] == "GET" and m["ResourceId"] == head["ResourceId"]]
    assert [get["Integration"] for get in gets] == [head["Integration"]]
