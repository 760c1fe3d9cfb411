"""CodePipeline: pipelines of templates, and their executions.

Implements: executions at creation, by an EventBridge rule and by StartPipelineExecution; CodeCommit and S3 sources,
whose revision is stored as a zip file in the artifact bucket; Lambda invoke actions with success and failure results,
and continuation tokens, with which the function is invoked again as a new job; output variables of earlier actions in
the configuration of an action; one execution per stage at a time, superseded executions;
retries of a failed stage. Executions are kept as ListPipelineExecutions returns them, and actions as
ListActionExecutions does.

Not implemented: other actions, parallel actions, executions in different stages at the same time, transitions,
approvals, triggers, variables of pipelines and source actions, rollbacks, connections, events.
"""

import contextvars
import hashlib
import re
import threading
import time
import uuid
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from . import codecommit
from .emulator.json_protocol import ServiceError, register
from .iam.services import require_action
from .ministack import eventbridge, lambda_functions, s3
from .ministack.cloudformation import resource_handlers
from .ministack.requests import get_account_id

Record = dict[str, Any]
RESULT_TIMEOUT_SECONDS = 20 * 60  # for the result of a Lambda function
CONTINUATION_SECONDS = 30  # until a function is invoked again with its continuation token
VARIABLE = re.compile(r"#\{([\w@-]+)\.([\w@-]+)\}")
INVALID = (
    "Valid format for a pipeline execution variable reference is a namespace and a key separated by a period (.). The"
    " following pipeline execution variables are referencing a namespace that does not exist."
)


@dataclass
class Execution:
    """One execution of a pipeline."""

    summary: Record
    artifacts: dict[str, Record] = field(default_factory=dict)  # by name, as in the event of a job
    actions: list[Record] = field(default_factory=list)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)  # by namespace


class Pipeline:
    """A pipeline and its executions, the newest last."""

    def __init__(self, name: str, declaration: Record) -> None:
        self.name = name
        self.declaration = declaration
        self.executions: list[Execution] = []
        self._stage_lock = threading.Lock()

    def start(self) -> str:
        """Start an execution, and return its ID."""
        summary = {"pipelineExecutionId": str(uuid.uuid4()), "status": "InProgress", "startTime": time.time()}
        execution = Execution(summary)
        self.executions.append(execution)
        self._start_thread(execution, self.declaration["Stages"])
        return str(summary["pipelineExecutionId"])

    def retry(self, execution: Execution, stage_name: str, mode: str) -> None:
        """Run the failed actions of a stage, or all of them, and the following stages again."""
        execution.summary["status"] = "InProgress"
        number = [stage["Name"] for stage in self.declaration["Stages"]].index(stage_name)
        kept = ("FAILED_ACTIONS", stage_name, "Succeeded")
        done = {a["actionName"] for a in execution.actions if (mode, a["stageName"], a["status"]) == kept}
        self._start_thread(execution, self.declaration["Stages"][number:], done)

    def _start_thread(self, execution: Execution, stages: list[Record], done: Collection[str] = ()) -> None:
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._run, execution, stages, done), daemon=True).start()

    def _run(self, execution: Execution, stages: list[Record], done: Collection[str]) -> None:
        """Run stages, of which the first one does not repeat the actions `done`."""
        for stage in stages:
            with self._stage_lock:
                if execution is not self.executions[-1] and stage["Name"] != stages[0]["Name"]:
                    execution.summary["status"] = "Superseded"
                    return
                remaining = [a for a in stage["Actions"] if stage is not stages[0] or a["Name"] not in done]
                for declared in sorted(remaining, key=_run_order):
                    if not self._run_action(execution, stage["Name"], declared):
                        execution.summary["status"] = "Failed"
                        return
        execution.summary["status"] = "Succeeded"

    def _run_action(self, execution: Execution, stage: str, declared: Record) -> bool:
        """Run an action, and return whether it succeeded."""
        action: Record = {
            "pipelineExecutionId": execution.summary["pipelineExecutionId"],
            "actionExecutionId": str(uuid.uuid4()),
            "stageName": stage,
            "actionName": declared["Name"],
            "startTime": time.time(),
            "status": "InProgress",
            "output": {"executionResult": {}, "outputVariables": {}},
        }
        execution.actions.append(action)
        try:
            require_action(self.declaration["RoleArn"], declared, self.declaration["ArtifactStore"]["Location"])
            configuration = _with_variables(declared.get("Configuration", {}), execution.variables)
            if declared["ActionTypeId"]["Provider"] == "Lambda":
                inputs = [execution.artifacts[artifact["Name"]] for artifact in declared.get("InputArtifacts", [])]
                _invoke(action, configuration, inputs)
            else:
                self._fetch(execution, declared, configuration)
            execution.variables[declared.get("Namespace", "")] = action["output"]["outputVariables"]
            action["status"] = "Succeeded"
        except Exception as error:  # any error fails the action
            action["output"]["executionResult"]["errorDetails"] = {"code": "JobFailed", "message": str(error)}
            action["status"] = "Failed"
        return bool(action["status"] == "Succeeded")

    def _fetch(self, execution: Execution, declared: Record, configuration: Record) -> None:
        """Store the revision of a source in the artifact bucket."""
        revision, summary, data = _revision(declared["ActionTypeId"]["Provider"], configuration)
        execution.summary["sourceRevisions"] = [
            {"actionName": declared["Name"], "revisionId": revision, "revisionSummary": summary}
        ]
        bucket = self.declaration["ArtifactStore"]["Location"]
        for name in (artifact["Name"] for artifact in declared["OutputArtifacts"]):
            key = f"{self.name[:20]}/{name}/{uuid.uuid4().hex[:7]}.zip"
            status, _, body = s3.put_object(bucket, key, data, {})
            if status >= 300:
                raise ValueError(body.decode())
            location = {"type": "S3", "s3Location": {"bucketName": bucket, "objectKey": key}}
            execution.artifacts[name] = {"name": name, "revision": revision, "location": location}


PIPELINES: dict[str, Pipeline] = {}
JOBS: dict[str, Future[Record]] = {}  # the results of jobs, by their IDs
SPEED = 1.0


def install(speed: float) -> None:
    """Add the operations, the pipeline resource and the EventBridge target."""
    global SPEED
    SPEED = speed
    operations = {
        "GetPipeline": _get_pipeline,
        "GetPipelineState": _get_pipeline_state,
        "GetPipelineExecution": _get_pipeline_execution,
        "ListPipelineExecutions": _list_pipeline_executions,
        "ListActionExecutions": _list_action_executions,
        "StartPipelineExecution": lambda request: {"pipelineExecutionId": _pipeline(request).start()},
        "RetryStageExecution": _retry_stage_execution,
        "PutJobSuccessResult": _put_job_result,
        "PutJobFailureResult": _put_job_result,
    }
    register("codepipeline", "CodePipeline_20150709.", operations)
    resource_handlers["AWS::CodePipeline::Pipeline"] = {
        "create": _create,
        "update": _update,
        "delete": lambda name, _properties: PIPELINES.pop(name, None),
    }
    eventbridge.invoke_target.extend(_or_start_pipeline)


def _or_start_pipeline(invoke_target: Callable[..., None], target: Record, *arguments: Any, **options: Any) -> None:
    arn = target.get("Arn", "").split(":")
    if len(arn) > 5 and arn[2] == "codepipeline":
        PIPELINES[arn[5]].start()
    else:
        invoke_target(target, *arguments, **options)


def _create(logical_id: str, properties: Record, stack: str) -> Any:
    check_namespaces(properties["Stages"])
    name = properties.get("Name") or f"{stack}-{logical_id}-{uuid.uuid4().hex[:12].upper()}"
    pipeline = PIPELINES[name] = Pipeline(name, properties)
    pipeline.start()
    return name, {"Version": "1"}


def _update(name: str, _old: Any, new: Record, _stack: str) -> Any:
    check_namespaces(new["Stages"])
    PIPELINES[name].declaration = new
    return name, {"Version": "2"}


def _run_order(action: Record) -> int:
    return int(action.get("RunOrder", 1))


def check_namespaces(stages: list[Record]) -> None:
    """Reject references to variables of actions that do not run before.

    Raises:
        ValueError: names the action and the reference.
    """
    actions = [(number, stage["Name"], action) for number, stage in enumerate(stages) for action in stage["Actions"]]
    producers = {a["Namespace"]: (number, _run_order(a)) for number, _, a in actions if "Namespace" in a}
    for number, stage, action in actions:
        position = (number, _run_order(action))
        for key, text in action.get("Configuration", {}).items():
            for namespace, variable in VARIABLE.findall(str(text)):
                if producers.get(namespace, position) >= position:
                    place = f"StageName=[{stage}], ActionName=[{action['Name']}], ActionConfigurationKey=[{key}]"
                    raise ValueError(f"{INVALID} {place}, VariableReferenceText=[{namespace}.{variable}]")


def _with_variables(configuration: Record, variables: dict[str, dict[str, str]]) -> Record:
    """Return a configuration with the values of the variables.

    Raises:
        ValueError: an earlier action has not produced a variable.
    """

    def value(match: re.Match[str]) -> str:
        if match[2] not in variables.get(match[1], {}):
            raise ValueError(f"The variable {match[0]} could not be resolved.")
        return variables[match[1]][match[2]]

    return {k: VARIABLE.sub(value, v) if isinstance(v, str) else v for k, v in configuration.items()}


def _revision(provider: str, configuration: Record) -> tuple[str, str, bytes]:
    """Return the ID, the message and the content of the revision of a source."""
    if provider == "CodeCommit":
        return codecommit.source(configuration["RepositoryName"], configuration["BranchName"])
    if provider == "S3":
        bucket, key = configuration["S3Bucket"], configuration["S3ObjectKey"]
        data = s3.get_object(bucket, key)
        if data is None:
            raise ValueError(f"The object with key '{key}' does not exist in bucket '{bucket}'.")
        return hashlib.md5(data).hexdigest(), "", data  # noqa: S324  # an ETag
    raise ValueError(f"the sandbox does not support the source provider {provider}")


def _invoke(action: Record, configuration: Record, inputs: list[Record]) -> None:
    """Invoke the function, and again as long as it returns a continuation token."""
    function, _, name = lambda_functions.find_function(configuration["FunctionName"])
    if function is None:
        raise ValueError(f"The AWS Lambda function {name} cannot be found.")
    token = ""
    while True:
        job_id = str(uuid.uuid4())
        job = JOBS[job_id] = Future()
        lambda_functions.invoke_asynchronously(function, _event(job_id, configuration, inputs, token))
        try:
            result = job.result(RESULT_TIMEOUT_SECONDS / SPEED)
        except TimeoutError:
            raise ValueError(f"The AWS Lambda function {name} failed to return a result.") from None
        _apply_result(action, result)
        token = result.get("continuationToken", "")
        if not token:
            return
        time.sleep(CONTINUATION_SECONDS / SPEED)


def _apply_result(action: Record, result: Record) -> None:
    """Copy the result of a job to its action.

    Raises:
        ValueError: the job has failed.
    """
    details = result.get("failureDetails") or result.get("executionDetails") or {}
    texts = {"externalExecutionId": "externalExecutionId", "externalExecutionSummary": "summary"}
    action["output"] = {
        "executionResult": {name: details.get(key, "") for name, key in texts.items()},
        "outputVariables": result.get("outputVariables", {}),
    }
    if "failureDetails" in result:
        raise ValueError(details["message"])


def _event(job_id: str, configuration: Record, inputs: list[Record], token: str) -> Record:
    data: Record = {
        "actionConfiguration": {"configuration": configuration},
        "inputArtifacts": inputs,
        "outputArtifacts": [],
        "artifactCredentials": {
            "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
            "secretAccessKey": "the-secret-of-an-artifact",
            "sessionToken": "the-token-of-an-artifact",
            "expirationTime": int(time.time() * 1000) + 3_600_000,
        },
    }
    if token:
        data["continuationToken"] = token
    return {"CodePipeline.job": {"id": job_id, "accountId": get_account_id(), "data": data}}


def _put_job_result(request: Record) -> None:
    job = JOBS.get(request["jobId"])
    if job is None:
        raise ServiceError("JobNotFoundException", f"job {request['jobId']} does not exist")
    if job.done():
        raise ServiceError("InvalidJobStateException", "the job already has a result")
    if len(request.get("failureDetails", {}).get("message", "")) > 5000:
        raise ServiceError("ValidationException", "failureDetails.message has more than 5000 characters")
    job.set_result(request)


def _pipeline(request: Record) -> Pipeline:
    name = request.get("pipelineName") or request["name"]
    if name not in PIPELINES:
        raise ServiceError("PipelineNotFoundException", f"pipeline {name} does not exist")
    return PIPELINES[name]


def _execution(request: Record) -> Execution:
    for execution in _pipeline(request).executions:
        if execution.summary["pipelineExecutionId"] == request["pipelineExecutionId"]:
            return execution
    raise ServiceError("PipelineExecutionNotFoundException", "the execution does not exist")


def _retry_stage_execution(request: Record) -> Any:
    pipeline, execution = _pipeline(request), _execution(request)
    if execution is not pipeline.executions[-1]:
        raise ServiceError("NotLatestPipelineExecutionException", "there is a newer execution")
    if execution.summary["status"] != "Failed" or execution.actions[-1]["stageName"] != request["stageName"]:
        raise ServiceError("StageNotRetryableException", f"the stage {request['stageName']} has not failed")
    pipeline.retry(execution, request["stageName"], request["retryMode"])
    return {"pipelineExecutionId": request["pipelineExecutionId"]}


def _get_pipeline(request: Record) -> Any:
    """Return the artifact store only; other properties are not implemented."""
    store = _pipeline(request).declaration["ArtifactStore"]
    return {"pipeline": {"name": request["name"], "artifactStore": {"type": "S3", "location": store["Location"]}}}


def _get_pipeline_state(request: Record) -> Any:
    pipeline = _pipeline(request)
    actions = [action for execution in pipeline.executions for action in execution.actions]
    latest = {(action["stageName"], action["actionName"]): action for action in actions}
    stages = []
    for stage in pipeline.declaration["Stages"]:
        names = [(stage["Name"], declared["Name"]) for declared in stage["Actions"]]
        states = [{"actionName": name[1]} | _latest_execution(latest.get(name)) for name in names]
        state = {"stageName": stage["Name"], "actionStates": states}
        runs = [action for action in actions if action["stageName"] == stage["Name"]]
        if runs:
            state["latestExecution"] = {key: runs[-1][key] for key in ("pipelineExecutionId", "status")}
        stages.append(state)
    return {"pipelineName": pipeline.name, "stageStates": stages}


def _latest_execution(action: Record | None) -> Record:
    if action is None:
        return {}
    result = action["output"]["executionResult"]
    described = {"summary": result.get("externalExecutionSummary", ""), "lastStatusChange": action["startTime"]}
    described |= {key: action[key] for key in ("actionExecutionId", "status")}
    described |= {key: result[key] for key in ("externalExecutionId", "errorDetails") if key in result}
    return {"latestExecution": described}


def _get_pipeline_execution(request: Record) -> Any:
    summary = _execution(request).summary
    described = {key: summary[key] for key in ("pipelineExecutionId", "status")}
    return {"pipelineExecution": {"pipelineName": request["pipelineName"]} | described}


def _list_pipeline_executions(request: Record) -> Any:
    executions = reversed(_pipeline(request).executions)
    return {"pipelineExecutionSummaries": [execution.summary for execution in executions]}


def _list_action_executions(request: Record) -> Any:
    execution_id = request.get("filter", {}).get("pipelineExecutionId")
    actions = [action for execution in _pipeline(request).executions for action in execution.actions]
    found = [action for action in actions if execution_id in (None, action["pipelineExecutionId"])]
    return {"actionExecutionDetails": found[::-1]}
