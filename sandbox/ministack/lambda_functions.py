"""Lambda: functions, and the processes that run them."""

from .names import Replaceable, need

find_function = need("services.lambda_svc._get_func_record_for_ref", "invoking functions", "function_ref")
version_of = need("services.lambda_svc._execution_record_for_config", "invoking published versions", "func config")
invoke = need("services.lambda_svc._execute_function_with_config_scope", "Lambda@Edge", "func event")
invoke_asynchronously = need("services.lambda_svc.invoke_async_with_retry", "targets and pipelines", "func event")
retry_seconds = Replaceable("services.lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS", "accelerated retries")
execute = Replaceable("services.lambda_svc._execute_function_warm", "names of errors", "func event request_id")
logger = need("services.lambda_svc.logger", "less output")
end_processes = need("core.lambda_runtime.reset", "stopping the sandbox", "")
subprocess_module = Replaceable("core.lambda_runtime.subprocess", "credentials of functions")
zipfile_module = Replaceable("core.lambda_runtime.zipfile", "layers that are unpacked once")
