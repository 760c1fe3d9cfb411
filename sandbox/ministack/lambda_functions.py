"""Lambda: functions, and the processes that run them."""

from .names import Replaceable, need

find_function = need("services.lambda_svc._get_func_record_for_ref", "invoking functions", "function_ref")
version_of = need("services.lambda_svc._execution_record_for_config", "invoking published versions", "func config")
invoke = need("services.lambda_svc._execute_function_with_config_scope", "Lambda@Edge", "func event")
invoke_asynchronously = Replaceable(
    "services.lambda_svc.invoke_async_with_retry", "targets, pipelines, and settings of aliases", "func event"
)
invoke_request = Replaceable(
    "services.lambda_svc._invoke", "the version that ran for an alias", "name event headers path_qualifier query_params"
)
run = Replaceable("services.lambda_svc._execute_function", "weighted aliases", "func event")
record_of_qualifier = Replaceable(
    "services.lambda_svc._effective_func_record_for_qualifier", "ARNs of aliases", "func qualifier"
)
create_function = Replaceable("services.lambda_svc._create_function", "publishing at creation", "data")
update_code = Replaceable("services.lambda_svc._update_code", "publishing with an update", "name data")
update_configuration = Replaceable("services.lambda_svc._update_config", "states of functions", "name data")
publish_version = Replaceable("services.lambda_svc._publish_version", "preconditions and unchanged code", "name data")
create_alias = Replaceable("services.lambda_svc._create_alias", "validation of aliases", "func_name data")
update_alias = Replaceable("services.lambda_svc._update_alias", "validation of aliases", "func_name alias_name data")
check_revision = need("services.lambda_svc._check_revision", "preconditions of versions and aliases", "current data")
retry_seconds = Replaceable("services.lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS", "accelerated retries")
execute = Replaceable("services.lambda_svc._execute_function_warm", "names of errors", "func event request_id")
throttle_response = Replaceable(
    "services.lambda_svc._throttle_response", "AWS's message", "reason_code msg retry_after"
)
logger = need("services.lambda_svc.logger", "less output")
emit_metrics = Replaceable(
    "services.lambda_svc._emit_lambda_metrics",
    "metrics by alias and version",
    "function_name duration_ms error throttle",
)
acquire_process = Replaceable(
    "services.lambda_svc.acquire_worker",
    "durations without initialization",
    "func_name config code_zip qualifier max_concurrency",
)
start_process = need("core.lambda_runtime.ensure_spawned", "durations without initialization", "worker")
end_processes = need("core.lambda_runtime.reset", "stopping the sandbox", "")
subprocess_module = Replaceable("core.lambda_runtime.subprocess", "credentials of functions")
zipfile_module = Replaceable("core.lambda_runtime.zipfile", "layers that are unpacked once")
functions = need("services.lambda_svc._functions", "policies of functions")
route_failure = Replaceable(
    "services.lambda_svc._route_async_failure", "permissions of destinations", "target_arn func_name event result"
)
emit_logs = Replaceable(
    "services.lambda_svc._emit_lambda_logs",
    "permissions of functions",
    "func request_id log_text error duration_ms log_source",
)
event_source_concurrency = Replaceable(
    "services.lambda_svc._sqs_esm_concurrency", "permissions of event source mappings", "esm func_rec config queue"
)
stream_pollers = [
    Replaceable(f"services.lambda_svc._poll_{source}", "permissions of event source mappings", "")
    for source in ("dynamodb_streams", "kinesis")
]
