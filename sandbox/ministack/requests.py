"""Requests: MiniStack's application, how it selects a service, and the account and Region of a request."""

from .names import need

application = need("app.app", "serving the API")
service_handlers = need("app.SERVICE_HANDLERS", "adding services, and fault injection")
service_patterns = need("core.router.SERVICE_PATTERNS", "selecting added services")
access_key_of = need("core.router.extract_access_key_id", "the identity in CloudTrail events", "headers")
request_scope = need("core.responses.request_scope", "web requests, which have no account", "account_id region")
get_account_id = need("core.responses.get_account_id", "the account of a request", "")
get_region = need("core.responses.get_region", "the Region of a request", "")
json_response = need("core.responses.json_response", "operations of the JSON protocol", "data status")
json_error = need("core.responses.error_response_json", "operations of the JSON protocol", "code message status")
access_denied = need(
    "core.iam_actions.access_denied_response", "denied requests", "service action principal_arn request_id"
)
resource_policy_of = need(
    "core.iam_evaluator._resource_policy", "policies of buckets, keys, topics and more", "service resource_arn"
)
