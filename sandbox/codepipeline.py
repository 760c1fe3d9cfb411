"""CodePipeline: pipelines of templates, and their executions.

Implements: executions at creation, by an EventBridge rule and by StartPipelineExecution; CodeCommit and S3 sources,
whose revision is stored as a zip file in the artifact bucket; Lambda invoke actions with success and failure results,
and continuation tokens, with which the function is invoked again as a new job; output variables of earlier actions in
the configuration of an action; one execution per stage at a time, superseded executions; retries of a failed stage.

Not implemented: other actions, parallel actions, executions in different stages at the same time, transitions,
approvals, triggers, variables of pipelines and source actions, rollbacks, connections, events.
"""

import contextvars
import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from . import codecommit
from .codepipeline_variables import check_namespaces, run_order, with_variables
from .emulator.json_protocol import ServiceError, register
from .iam.services import require_action
from .ministack import eventbridge, lambda_functions, s3
from .ministack.cloudformation import resource_handlers
from .ministack.requests import get_account_id, get_region

RESULT_TIMEOUT_SECONDS = 20 * 60  # for the result of a Lambda function
CONTINUATION_SECONDS = 30  # until a function is invoked again with its continuation token


@dataclass
class Action:
    """One action of one execution."""

    stage: str
    name: str
    configuration: dict[str, Any]
    status: str = "InProgress"
    error: str = ""
    summary: str = ""
    external_id: str = ""
    token: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.time)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class Execution:
    """One execution of a pipeline."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "InProgress"
    started: float = field(default_factory=time.time)
    revisions: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[str, dict[str, str]] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)  # by namespace


@dataclass
class Job:
    """An action that waits for the result of its function."""

    action: Action
    result: dict[str, Any] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)


class Pipeline:
    """A pipeline and its executions, the newest last."""

    def __init__(self, name: str, declaration: dict[str, Any]) -> None:
        self.name = name
        self.declaration = declaration
        self.executions: list[Execution] = []
        self._stage_lock = threading.Lock()

    @property
    def arn(self) -> str:
        return f"arn:aws:codepipeline:{get_region()}:{get_account_id()}:{self.name}"

    def start(self) -> Execution:
        execution = Execution()
        self.executions.append(execution)
        self._start_thread(execution, self.declaration["Stages"])
        return execution

    def retry(self, execution: Execution, stage_name: str, mode: str) -> None:
        """Run the failed actions of a stage, or all of them, and the following stages again."""
        execution.status = "InProgress"
        number = [stage["Name"] for stage in self.declaration["Stages"]].index(stage_name)
        kept = ("FAILED_ACTIONS", stage_name, "Succeeded")
        done = {action.name for action in execution.actions if (mode, action.stage, action.status) == kept}
        self._start_thread(execution, self.declaration["Stages"][number:], done)

    def _start_thread(self, execution: Execution, stages: list[dict[str, Any]], done: Collection[str] = ()) -> None:
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._run, execution, stages, done), daemon=True).start()

    def _run(self, execution: Execution, stages: list[dict[str, Any]], done: Collection[str]) -> None:
        """Run stages, of which the first one does not repeat the actions `done`."""
        for stage in stages:
            with self._stage_lock:
                if execution is not self.executions[-1] and stage["Name"] != stages[0]["Name"]:
                    execution.status = "Superseded"
                    return
                remaining = [a for a in stage["Actions"] if stage is not stages[0] or a["Name"] not in done]
                for declared in sorted(remaining, key=run_order):
                    action = Action(stage["Name"], declared["Name"], declared.get("Configuration", {}))
                    execution.actions.append(action)
                    self._run_action(execution, action, declared)
                    if action.status == "Failed":
                        execution.status = "Failed"
                        return
        execution.status = "Succeeded"

    def _run_action(self, execution: Execution, action: Action, declared: dict[str, Any]) -> None:
        provider = declared["ActionTypeId"]["Provider"]
        try:
            require_action(self.declaration["RoleArn"], declared, self.declaration["ArtifactStore"]["Location"])
            action.configuration = with_variables(action.configuration, execution.variables)
            if provider == "Lambda":
                _invoke(execution, action, [artifact["Name"] for artifact in declared.get("InputArtifacts", [])])
            else:
                revision, summary, data = _revision(provider, action.configuration)
                execution.revisions = [{"name": "", "revisionId": revision, "revisionSummary": summary}]
                for artifact in declared["OutputArtifacts"]:
                    execution.revisions[0]["name"] = artifact["Name"]
                    execution.artifacts[artifact["Name"]] = self._store(artifact["Name"], revision, data)
            action.status = action.status if action.status == "Failed" else "Succeeded"
            execution.variables[declared.get("Namespace", "")] = action.variables
        except Exception as error:  # any error fails the action
            action.status, action.error = "Failed", str(error)

    def _store(self, name: str, revision: str, data: bytes) -> dict[str, str]:
        bucket = self.declaration["ArtifactStore"]["Location"]
        key = f"{self.name[:20]}/{name}/{uuid.uuid4().hex[:7]}.zip"
        status, _, body = s3.put_object(bucket, key, data, {})
        if status >= 300:
            raise ValueError(body.decode())
        return {"bucket": bucket, "key": key, "revision": revision}


PIPELINES: dict[str, Pipeline] = {}
JOBS: dict[str, Job] = {}
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
        "StartPipelineExecution": lambda request: {"pipelineExecutionId": _pipeline(request).start().id},
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
    eventbridge.invoke_target.wrap(_or_start_pipeline)


def _or_start_pipeline(invoke_target: Callable[..., None]) -> Callable[..., None]:
    def start_pipeline(target: dict[str, Any], *arguments: Any, **options: Any) -> None:
        arn = target.get("Arn", "").split(":")
        if len(arn) > 5 and arn[2] == "codepipeline":
            PIPELINES[arn[5]].start()
        else:
            invoke_target(target, *arguments, **options)

    return start_pipeline


def _create(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
    check_namespaces(properties["Stages"])
    name = properties.get("Name") or f"{stack}-{logical_id}-{uuid.uuid4().hex[:12].upper()}"
    pipeline = PIPELINES[name] = Pipeline(name, properties)
    pipeline.start()
    return name, {"Version": "1"}


def _update(name: str, _old: Any, new: dict[str, Any], _stack: str) -> Any:
    check_namespaces(new["Stages"])
    PIPELINES[name].declaration = new
    return name, {"Version": "2"}


def _revision(provider: str, configuration: dict[str, Any]) -> tuple[str, str, bytes]:
    if provider == "CodeCommit":
        return codecommit.source(configuration["RepositoryName"], configuration["BranchName"])
    if provider == "S3":
        bucket, key = configuration["S3Bucket"], configuration["S3ObjectKey"]
        data = s3.get_object(bucket, key)
        if data is None:
            raise ValueError(f"The object with key '{key}' does not exist in bucket '{bucket}'.")
        return hashlib.md5(data).hexdigest(), "", data  # noqa: S324  # an ETag
    raise ValueError(f"the sandbox does not support the source provider {provider}")


def _invoke(execution: Execution, action: Action, inputs: list[str]) -> None:
    """Invoke the function, and again as long as it returns a continuation token."""
    function, _, name = lambda_functions.find_function(action.configuration["FunctionName"])
    if function is None:
        raise ValueError(f"The AWS Lambda function {name} cannot be found.")
    while True:
        job_id = str(uuid.uuid4())
        job = JOBS[job_id] = Job(action)
        lambda_functions.invoke_asynchronously(function, _event(job_id, execution, action, inputs))
        if not job.done.wait(RESULT_TIMEOUT_SECONDS / SPEED):
            raise ValueError(f"The AWS Lambda function {name} failed to return a result.")
        _apply_result(action, job.result)
        if not action.token:
            return
        time.sleep(CONTINUATION_SECONDS / SPEED)


def _apply_result(action: Action, result: dict[str, Any]) -> None:
    """Copy the result of a job to its action.

    Raises:
        ValueError: the job has failed.
    """
    if "failureDetails" in result:
        details = result["failureDetails"]
        action.external_id = details.get("externalExecutionId", "")
        raise ValueError(details["message"])
    action.token = result.get("continuationToken", "")
    details = result.get("executionDetails", {})
    action.summary, action.external_id = details.get("summary", ""), details.get("externalExecutionId", "")
    action.variables = result.get("outputVariables", {})


def _event(job_id: str, execution: Execution, action: Action, inputs: list[str]) -> dict[str, Any]:
    configuration = {"FunctionName": action.configuration["FunctionName"]}
    if "UserParameters" in action.configuration:
        configuration["UserParameters"] = action.configuration["UserParameters"]
    data: dict[str, Any] = {
        "actionConfiguration": {"configuration": configuration},
        "inputArtifacts": [
            {
                "name": name,
                "revision": execution.artifacts[name]["revision"],
                "location": {
                    "type": "S3",
                    "s3Location": {
                        "bucketName": execution.artifacts[name]["bucket"],
                        "objectKey": execution.artifacts[name]["key"],
                    },
                },
            }
            for name in inputs
        ],
        "outputArtifacts": [],
        "artifactCredentials": {
            "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
            "secretAccessKey": "the-secret-of-an-artifact",
            "sessionToken": "the-token-of-an-artifact",
            "expirationTime": int(time.time() * 1000) + 3_600_000,
        },
    }
    if action.token:
        data["continuationToken"] = action.token
    return {"CodePipeline.job": {"id": job_id, "accountId": get_account_id(), "data": data}}


def _put_job_result(request: dict[str, Any]) -> None:
    job = JOBS.get(request["jobId"])
    if job is None:
        raise ServiceError("JobNotFoundException", f"job {request['jobId']} does not exist")
    if job.done.is_set():
        raise ServiceError("InvalidJobStateException", "the job already has a result")
    if len(request.get("failureDetails", {}).get("message", "")) > 5000:
        raise ServiceError("ValidationException", "failureDetails.message has more than 5000 characters")
    job.result = request
    job.done.set()


def _pipeline(request: dict[str, Any]) -> Pipeline:
    name = request.get("pipelineName") or request["name"]
    if name not in PIPELINES:
        raise ServiceError("PipelineNotFoundException", f"pipeline {name} does not exist")
    return PIPELINES[name]


def _execution(request: dict[str, Any]) -> Execution:
    for execution in _pipeline(request).executions:
        if execution.id == request["pipelineExecutionId"]:
            return execution
    raise ServiceError("PipelineExecutionNotFoundException", "the execution does not exist")


def _retry_stage_execution(request: dict[str, Any]) -> Any:
    pipeline, execution = _pipeline(request), _execution(request)
    if execution is not pipeline.executions[-1]:
        raise ServiceError("NotLatestPipelineExecutionException", "there is a newer execution")
    if execution.status != "Failed" or execution.actions[-1].stage != request["stageName"]:
        raise ServiceError("StageNotRetryableException", f"the stage {request['stageName']} has not failed")
    pipeline.retry(execution, request["stageName"], request["retryMode"])
    return {"pipelineExecutionId": execution.id}


def _get_pipeline(request: dict[str, Any]) -> Any:
    """Return the artifact store only; other properties are not implemented."""
    store = _pipeline(request).declaration["ArtifactStore"]
    return {"pipeline": {"name": request["name"], "artifactStore": {"type": "S3", "location": store["Location"]}}}


def _get_pipeline_state(request: dict[str, Any]) -> Any:
    pipeline = _pipeline(request)
    stages = []
    for stage in pipeline.declaration["Stages"]:
        runs = [(e, a) for e in pipeline.executions for a in e.actions if a.stage == stage["Name"]]
        states = []
        for declared in stage["Actions"]:
            actions = [action for _, action in runs if action.name == declared["Name"]]
            latest = {"latestExecution": _latest_execution(actions[-1])} if actions else {}
            states.append({"actionName": declared["Name"]} | latest)
        state = {"stageName": stage["Name"], "actionStates": states}
        if runs:
            execution, action = runs[-1]
            state["latestExecution"] = {"pipelineExecutionId": execution.id, "status": action.status}
        stages.append(state)
    return {"pipelineName": pipeline.name, "stageStates": stages}


def _latest_execution(action: Action) -> dict[str, Any]:
    return {
        "actionExecutionId": action.id,
        "status": action.status,
        "summary": action.summary,
        "token": action.token,
        "lastStatusChange": action.started,
        "externalExecutionId": action.external_id,
    } | ({"errorDetails": {"code": "JobFailed", "message": action.error}} if action.error else {})


def _get_pipeline_execution(request: dict[str, Any]) -> Any:
    execution = _execution(request)
    return {
        "pipelineExecution": {
            "pipelineName": request["pipelineName"],
            "pipelineExecutionId": execution.id,
            "status": execution.status,
            "artifactRevisions": execution.revisions,
        }
    }


def _list_pipeline_executions(request: dict[str, Any]) -> Any:
    summaries = [
        {
            "pipelineExecutionId": execution.id,
            "status": execution.status,
            "startTime": execution.started,
            "sourceRevisions": [
                {"actionName": "Source", "revisionId": r["revisionId"], "revisionSummary": r["revisionSummary"]}
                for r in execution.revisions
            ],
        }
        for execution in reversed(_pipeline(request).executions)
    ]
    return {"pipelineExecutionSummaries": summaries}


def _list_action_executions(request: dict[str, Any]) -> Any:
    execution_id = request.get("filter", {}).get("pipelineExecutionId")
    details = [
        {
            "pipelineExecutionId": execution.id,
            "actionExecutionId": action.id,
            "stageName": action.stage,
            "actionName": action.name,
            "startTime": action.started,
            "status": action.status,
            "output": {
                "executionResult": {
                    "externalExecutionId": action.external_id,
                    "externalExecutionSummary": action.summary,
                    **({"errorDetails": {"code": "JobFailed", "message": action.error}} if action.error else {}),
                },
                "outputVariables": action.variables,
            },
        }
        for execution in reversed(_pipeline(request).executions)
        for action in reversed(execution.actions)
        if execution_id in (None, execution.id)
    ]
    return {"actionExecutionDetails": details}
