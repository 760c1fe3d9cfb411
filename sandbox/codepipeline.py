"""CodePipeline: pipelines of templates, which really run.

A pipeline runs when it is made, when an EventBridge rule starts it, and when it is asked to.
Sources are CodeCommit branches and S3 objects; the revision becomes a zip file in the artifact
bucket. A Lambda invoke action sends the function the event of a job, credentials included, and
takes its results: success, failure, or a continuation token, with which it is invoked again
after a while, as a new job. A stage is entered by one execution at a time, and one that waits
is superseded by a newer one; a failed stage can be tried again.

Left out: other actions, actions side by side, executions in different stages at once, transitions,
approvals, triggers and variables of V2, rollbacks, connections, roles and keys of the artifact store,
events of its own.
"""

import contextvars
import hashlib
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, lambda_svc, s3
from ministack.services.cloudformation import provisioners

from . import codecommit
from .json_api import RefusedError, serve

ANSWER_WITHIN = 20 * 60  # seconds, of a Lambda function
ASK_AGAIN_AFTER = 30  # seconds, with a continuation token


@dataclass
class Action:
    """What became of one action in one execution."""

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
    """One run of a pipeline."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "InProgress"
    started: float = field(default_factory=time.time)
    revisions: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[str, dict[str, str]] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)


@dataclass
class Job:
    """An action that waits for the function that it has invoked."""

    action: Action
    result: dict[str, Any] | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Pipeline:
    """A pipeline and its executions, newest last."""

    def __init__(self, name: str, declaration: dict[str, Any]) -> None:
        self.name = name
        self.declaration = declaration
        self.executions: list[Execution] = []
        self._entry = threading.Lock()

    @property
    def arn(self) -> str:
        return f"arn:aws:codepipeline:{get_region()}:{get_account_id()}:{self.name}"

    def start(self) -> Execution:
        execution = Execution()
        self.executions.append(execution)
        self._in_background(execution, self.declaration["Stages"])
        return execution

    def retry(self, execution: Execution, stage_name: str) -> None:
        """Run the failed stage again, and those after it."""
        names = [stage["Name"] for stage in self.declaration["Stages"]]
        execution.status = "InProgress"
        self._in_background(execution, self.declaration["Stages"][names.index(stage_name) :])

    def _in_background(self, execution: Execution, stages: list[dict[str, Any]]) -> None:
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run, execution, stages), daemon=True).start()

    def _run(self, execution: Execution, stages: list[dict[str, Any]]) -> None:
        for stage in stages:
            with self._entry:
                if execution is not self.executions[-1] and stage["Name"] != stages[0]["Name"]:
                    execution.status = "Superseded"
                    return
                for declared in sorted(stage["Actions"], key=lambda action: int(action.get("RunOrder", 1))):
                    action = Action(stage["Name"], declared["Name"], declared.get("Configuration", {}))
                    execution.actions.append(action)
                    self._perform(execution, action, declared)
                    if action.status == "Failed":
                        execution.status = "Failed"
                        return
        execution.status = "Succeeded"

    def _perform(self, execution: Execution, action: Action, declared: dict[str, Any]) -> None:
        provider = declared["ActionTypeId"]["Provider"]
        try:
            if provider == "Lambda":
                _invoke(execution, action, [artifact["Name"] for artifact in declared.get("InputArtifacts", [])])
            else:
                revision, summary, data = _revision(provider, action.configuration)
                execution.revisions = [{"name": "", "revisionId": revision, "revisionSummary": summary}]
                for artifact in declared["OutputArtifacts"]:
                    execution.revisions[0]["name"] = artifact["Name"]
                    execution.artifacts[artifact["Name"]] = self._store(artifact["Name"], revision, data)
            action.status = action.status if action.status == "Failed" else "Succeeded"
        except Exception as error:  # an action fails, whatever the reason
            action.status, action.error = "Failed", str(error)

    def _store(self, name: str, revision: str, data: bytes) -> dict[str, str]:
        bucket = self.declaration["ArtifactStore"]["Location"]
        key = f"{self.name[:20]}/{name}/{uuid.uuid4().hex[:7]}.zip"
        status, _, answer = s3._put_object(bucket, key, data, {})
        if status >= 300:
            raise ValueError(answer.decode())
        return {"bucket": bucket, "key": key, "revision": revision}


PIPELINES: dict[str, Pipeline] = {}
JOBS: dict[str, Job] = {}
SPEED = 1.0


def install(speed: float) -> None:
    """Answer CodePipeline's calls, let templates have pipelines and rules start them."""
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
    serve("codepipeline", "CodePipeline_20150709.", operations)
    provisioners._RESOURCE_HANDLERS["AWS::CodePipeline::Pipeline"] = {
        "create": _create,
        "update": _update,
        "delete": lambda name, _properties: PIPELINES.pop(name, None),
    }
    invoke_target = eventbridge._invoke_target

    def start_pipeline(target: dict[str, Any], *arguments: Any, **named: Any) -> None:
        arn = target.get("Arn", "").split(":")
        if len(arn) > 5 and arn[2] == "codepipeline":
            PIPELINES[arn[5]].start()
        else:
            invoke_target(target, *arguments, **named)

    eventbridge._invoke_target = start_pipeline


def _create(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
    name = properties.get("Name") or f"{stack}-{logical_id}-{uuid.uuid4().hex[:12].upper()}"
    pipeline = PIPELINES[name] = Pipeline(name, properties)
    pipeline.start()
    return name, {"Version": "1"}


def _update(name: str, _old: Any, new: dict[str, Any], _stack: str) -> Any:
    PIPELINES[name].declaration = new
    return name, {"Version": "2"}


def _revision(provider: str, configuration: dict[str, Any]) -> tuple[str, str, bytes]:
    if provider == "CodeCommit":
        return codecommit.source(configuration["RepositoryName"], configuration["BranchName"])
    if provider == "S3":
        bucket, key = configuration["S3Bucket"], configuration["S3ObjectKey"]
        data = s3._get_object_data(bucket, key)
        if data is None:
            raise ValueError(f"The object with key '{key}' does not exist in bucket '{bucket}'.")
        return hashlib.md5(data).hexdigest(), "", data  # noqa: S324  # an ETag
    raise ValueError(f"the sandbox has no source {provider}")


def _invoke(execution: Execution, action: Action, inputs: list[str]) -> None:
    """Invoke the function, again and again while it answers with a continuation token."""
    function, _, name = lambda_svc._get_func_record_for_ref(action.configuration["FunctionName"])
    if function is None:
        raise ValueError(f"The AWS Lambda function {name} cannot be found.")
    while True:
        job_id = str(uuid.uuid4())
        job = JOBS[job_id] = Job(action)
        lambda_svc.invoke_async_with_retry(function, _event(job_id, execution, action, inputs))
        if not job.done.wait(ANSWER_WITHIN / SPEED):
            raise ValueError(f"The AWS Lambda function {name} failed to return a result.")
        assert job.result is not None
        if "failureDetails" in job.result:
            details = job.result["failureDetails"]
            action.external_id = details.get("externalExecutionId", "")
            raise ValueError(details["message"])
        action.token = job.result.get("continuationToken", "")
        details = job.result.get("executionDetails", {})
        action.summary, action.external_id = details.get("summary", ""), details.get("externalExecutionId", "")
        action.variables = job.result.get("outputVariables", {})
        if not action.token:
            return
        time.sleep(ASK_AGAIN_AFTER / SPEED)


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
        raise RefusedError("JobNotFoundException", f"there is no job {request['jobId']}")
    if job.done.is_set():
        raise RefusedError("InvalidJobStateException", "the job has a result already")
    if len(request.get("failureDetails", {}).get("message", "")) > 5000:
        raise RefusedError("ValidationException", "failureDetails.message has more than 5000 characters")
    job.result = request
    job.done.set()


def _pipeline(request: dict[str, Any]) -> Pipeline:
    name = request.get("pipelineName") or request["name"]
    if name not in PIPELINES:
        raise RefusedError("PipelineNotFoundException", f"there is no pipeline {name}")
    return PIPELINES[name]


def _execution(request: dict[str, Any]) -> Execution:
    for execution in _pipeline(request).executions:
        if execution.id == request["pipelineExecutionId"]:
            return execution
    raise RefusedError("PipelineExecutionNotFoundException", "there is no such execution")


def _retry_stage_execution(request: dict[str, Any]) -> Any:
    pipeline, execution = _pipeline(request), _execution(request)
    if execution is not pipeline.executions[-1]:
        raise RefusedError("NotLatestPipelineExecutionException", "there is a newer execution")
    if execution.status != "Failed" or execution.actions[-1].stage != request["stageName"]:
        raise RefusedError("StageNotRetryableException", f"the stage {request['stageName']} has not failed")
    pipeline.retry(execution, request["stageName"])
    return {"pipelineExecutionId": execution.id}


def _get_pipeline(request: dict[str, Any]) -> Any:
    """As far as a walkthrough wants to know: where artifacts are."""
    store = _pipeline(request).declaration["ArtifactStore"]
    return {"pipeline": {"name": request["name"], "artifactStore": {"type": "S3", "location": store["Location"]}}}


def _get_pipeline_state(request: dict[str, Any]) -> Any:
    pipeline = _pipeline(request)
    stages = []
    for stage in pipeline.declaration["Stages"]:
        done = [(e, a) for e in pipeline.executions for a in e.actions if a.stage == stage["Name"]]
        states = []
        for declared in stage["Actions"]:
            same = [action for _, action in done if action.name == declared["Name"]]
            states.append({"actionName": declared["Name"]} | ({"latestExecution": _latest(same[-1])} if same else {}))
        state = {"stageName": stage["Name"], "actionStates": states}
        if done:
            execution, action = done[-1]
            state["latestExecution"] = {"pipelineExecutionId": execution.id, "status": action.status}
        stages.append(state)
    return {"pipelineName": pipeline.name, "stageStates": stages}


def _latest(action: Action) -> dict[str, Any]:
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
    wanted = request.get("filter", {}).get("pipelineExecutionId")
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
        if wanted in (None, execution.id)
    ]
    return {"actionExecutionDetails": details}
