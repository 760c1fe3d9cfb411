"""API Gateway: REST APIs."""

from .names import Replaceable, need

rest_apis = need("services.apigateway_v1._rest_apis", "routing requests to an API")
domain_names = need("services.apigateway_v1._domain_names", "routing requests to a custom domain name")
base_path_mappings = need("services.apigateway_v1._base_path_mappings", "routing requests to a custom domain name")
gateway_responses = need("services.apigateway_v1._gateway_responses", "the headers of functions' errors")
account_settings = need("services.apigateway_v1._account_settings", "the account's role for logs")
stages = need("services.apigateway_v1._stages_v1", "metrics of methods")
match_resource = need("services.apigateway_v1._match_resource_tree", "metrics of methods", "api_id segments")
execute = need(
    "services.apigateway_v1.handle_execute",
    "responses of an API",
    "api_id stage_name method path headers body query_params",
)
invoke_function = Replaceable(
    "services.apigateway_v1._call_lambda_raw", "permissions of integrations", "function_ref event account_id region"
)
parse_service_integration = Replaceable(
    "services.apigateway_v1._parse_service_integration_uri", "permissions of integrations", "uri"
)
