"""Step Functions: state machines, executions and states."""

from .names import Replaceable, need

state_machines = need("services.stepfunctions._state_machines", "executions")
executions = need("services.stepfunctions._executions", "executions")
ExecutionError = need("services.stepfunctions._ExecutionError", "errors of states", "error cause")
add_event = need("services.stepfunctions._add_event", "the history of executions", "execution event_type details")
send_status_event = Replaceable(
    "services.stepfunctions._emit_execution_status_event", "status events and metrics", "execution"
)
error_of_fail_state = need("services.stepfunctions._fail_state_error", "Fail states", "state_def raw_input ctx")
# The functions that run states, by type. Those of Map, Parallel and Task states also get the execution.
executors = {
    kind: need(f"services.stepfunctions._execute_{kind.lower()}", f"{kind} states", f"state_def raw_input {context}")
    for kinds, context in ((("Map", "Parallel", "Task"), "execution ctx"), (("Choice", "Pass", "Wait"), "ctx"))
    for kind in kinds
}
evaluate_arguments = need(
    "services.stepfunctions._apply_jsonata_arguments", "timeouts that are expressions", "state_def raw_input ctx"
)
task_tokens = need("services.stepfunctions._task_tokens", "tasks that wait for a task token")
invoke_with_callback = Replaceable(
    "services.stepfunctions._invoke_with_callback",
    "errors and timeouts of tasks that wait for a task token",
    "resource input_data token state_def",
)
wait_scale = Replaceable("services.stepfunctions._SFN_WAIT_SCALE", "accelerated waits")
start_execution = Replaceable("services.stepfunctions._start_execution", "repeated starts of an execution", "data")
run_execution = Replaceable("services.stepfunctions._run_execution", "timeouts of executions", "exec_arn")
invoke_resource = Replaceable(
    "services.stepfunctions._invoke_resource", "tests of the state machine", "resource input_data"
)
invoke_sdk = Replaceable(
    "services.stepfunctions._invoke_aws_sdk_integration", "errors of the SDK integrations", "resource input_data"
)
