"""Start an execution of the state machine for a job of CodePipeline, and report its result.

CodePipeline invokes the function again, with the continuation token that it returned, until it returns a
result without one.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from botocore.exceptions import BotoCoreError, ClientError

from .errors import InvalidInputError
from .events import Job
from .nesting import is_too_deeply_nested
from .objects import explain_read_error
from .request import MAX_INPUT_CHARACTERS, MAX_NESTING_LEVELS, parse_request
from .truncation import truncate

if TYPE_CHECKING:
    from types_boto3_codepipeline import CodePipelineClient
    from types_boto3_s3 import S3Client
    from types_boto3_stepfunctions import SFNClient

MAX_FAILURE_CHARACTERS = 5000  # CodePipeline's limit for a failure message
MAX_SUMMARY_CHARACTERS = 2048  # CodePipeline's limit for a summary
MAX_SHOWN_CHARACTERS = 200  # of an invalid value
logger = logging.getLogger(__name__)


class ExecutionDetails(TypedDict):
    """Details of an action in CodePipeline's history."""

    summary: str
    externalExecutionId: str


class JobResult(TypedDict, total=False):
    """Arguments of PutJobSuccessResult: a continuation token, or the details and variables of a successful action."""

    continuationToken: str
    executionDetails: ExecutionDetails
    outputVariables: dict[str, str]


@dataclass(frozen=True)
class FailedExecution:
    """An execution that failed, timed out or was aborted."""

    name: str
    reason: str


@dataclass(frozen=True)
class Trigger:
    """The AWS clients that a job needs, and the state machine to start."""

    codepipeline: "CodePipelineClient"
    s3: "S3Client"
    step_functions: "SFNClient"
    state_machine_arn: str

    def handle_job(self, job: Job) -> None:
        """Start the state machine for a new job, or check the execution that the job waits for.

        Any error fails the job, so that no action is left waiting. The exception is a transient error while an
        execution runs: the job continues to wait. If no result can be sent to CodePipeline, the error is raised
        and Lambda retries the event.
        """
        job_id, token = job["id"], None
        try:
            data = _object_at(job, "data")
            token = data.get("continuationToken")
            result: JobResult | FailedExecution
            result = self._poll(data, token) if token else {"continuationToken": self._start(job_id, data)}
        except Exception as error:  # an action must not be left waiting, whatever the error
            message = f"The execution could not be {'checked' if token else 'started'}: {_format_error(error)}"
            if not token or not _is_transient(error):
                self._fail(job_id, message)
                return
            _log(logging.WARNING, job_id, "retrying", message)
            result = {"continuationToken": token}
        if isinstance(result, FailedExecution):
            self._fail(job_id, result.reason, result.name)
        else:
            self._succeed(job_id, result)

    def _start(self, job_id: str, data: dict[str, Any]) -> str:
        """Start the execution of a job, unless an earlier invocation started it, and return its ARN."""
        text = _object_at(data, "actionConfiguration", "configuration").get("UserParameters", "")
        parameters = _parse_object(text, "UserParameters")
        bucket, key = (_text_field(parameters, name, "UserParameters.") for name in ("s3Bucket", "stateMachineFile"))
        selection = {name: parameters[name] for name in ("stack", "inspectOnly", "inspection") if name in parameters}
        execution_input = self._read_input_file(bucket, key) | selection | _artifact_location(data)
        try:
            self.step_functions.start_execution(
                stateMachineArn=self.state_machine_arn, name=job_id, input=_to_json(execution_input)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise
        return self._execution_arn(job_id)

    def _execution_arn(self, job_id: str) -> str:
        return f"{self.state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{job_id}"

    def _read_input_file(self, bucket: str, key: str) -> dict[str, Any]:
        try:
            response = self.s3.get_object(Bucket=bucket, Key=key)
            text = response["Body"].read(MAX_INPUT_CHARACTERS + 1)
        except (BotoCoreError, ClientError) as error:
            raise InvalidInputError(f"The input file {explain_read_error(error, bucket, key)}") from error
        if len(text) > MAX_INPUT_CHARACTERS:
            raise InvalidInputError(f"{key} has more than {MAX_INPUT_CHARACTERS} bytes")
        return _parse_object(text, key)

    def _poll(self, data: dict[str, Any], token: str) -> JobResult | FailedExecution:
        """Return the result of an execution, or the token while it runs.

        The token is not trusted, because a job of another pipeline can contain the ARN of any execution.
        CodePipeline creates a job with a new id for each poll, so the artifact connects a job to its execution:
        no two pipeline executions have the same artifact.
        """
        if not token.startswith(self._execution_arn("")):
            shown = token[:MAX_SHOWN_CHARACTERS]
            raise InvalidInputError(f"the continuation token {shown!r} is not an execution of this pipeline")
        execution = self.step_functions.describe_execution(executionArn=token)
        execution_input = _parse_object(execution.get("input") or "{}", "The execution's input")
        if not _artifact_location(data).items() <= execution_input.items():
            raise InvalidInputError(
                f"the execution {execution['name']} was started for an artifact other than this job's"
            )
        if execution["status"] == "RUNNING":
            return {"continuationToken": token}
        if execution["status"] == "SUCCEEDED":
            output = _parse_object(execution.get("output") or "{}", "The execution's output")
            return {
                "executionDetails": {
                    "summary": truncate(output.get("summary") or "deployed", MAX_SUMMARY_CHARACTERS),
                    "externalExecutionId": execution["name"],
                },
                "outputVariables": {name: str(output.get(name, "")) for name in ("stackName", "outcome")}
                | {"report": str(output.get("unsafe", {}).get("report", "")), "execution": execution["name"]},
            }
        cause = execution.get("cause") or "no cause given"
        return FailedExecution(execution["name"], f"{execution.get('error') or execution['status']}: {cause}")

    def _succeed(self, job_id: str, result: JobResult) -> None:
        """Report success or, with a continuation token, that the job has not ended."""
        _log(logging.INFO, job_id, "waiting" if "continuationToken" in result else "succeeded")
        self._send(self.codepipeline.put_job_success_result, jobId=job_id, **result)

    def _fail(self, job_id: str, message: str, execution: str | None = None) -> None:
        _log(logging.ERROR, job_id, "failed", message)
        details = {"type": "JobFailed", "message": truncate(message, MAX_FAILURE_CHARACTERS)}
        if execution:
            details["externalExecutionId"] = execution
        self._send(self.codepipeline.put_job_failure_result, jobId=job_id, failureDetails=details)

    def _send(self, call: Callable[..., object], **arguments: Any) -> None:
        """Send a result to CodePipeline, which rejects it if an earlier invocation already sent one."""
        try:
            call(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("InvalidJobStateException", "JobNotFoundException"):
                raise
            _log(logging.WARNING, arguments["jobId"], "already reported", _format_error(error))


def _object_at(value: object, *path: str) -> dict[str, Any]:
    """Return the object at `path` of a job."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        raise InvalidInputError(f"the job has no {'.'.join(path)}")
    return value


def _text_field(fields: dict[str, object], name: str, prefix: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        problem = f"given {json.dumps(value)[:MAX_SHOWN_CHARACTERS]}" if name in fields else "missing"
        raise InvalidInputError(f"{prefix}{name}: {problem}; accepted: text")
    return value


def _artifact_location(data: dict[str, Any]) -> dict[str, str]:
    """Return the location of the job's input artifact, with the field names of the state machine's input."""
    artifacts = data.get("inputArtifacts")
    if not isinstance(artifacts, list) or len(artifacts) != 1:
        count = len(artifacts) if isinstance(artifacts, list) else "no"
        raise InvalidInputError(f"the job has {count} input artifacts; the action needs exactly one")
    location = _object_at(artifacts[0], "location", "s3Location")
    prefix = "inputArtifacts[0].location.s3Location."
    return {
        "revisionS3Bucket": _text_field(location, "bucketName", prefix),
        "revisionS3Key": _text_field(location, "objectKey", prefix),
    }


def _to_json(execution_input: dict[str, object]) -> str:
    """Serialize the input of the execution; Step Functions rejects NaN and infinity, which JSON does not have."""
    try:
        return json.dumps(execution_input, allow_nan=False)
    except ValueError:
        parse_request(execution_input)  # raises an error that names the field
        raise


def _parse_object(text: str | bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
        too_deep = is_too_deeply_nested(value, MAX_NESTING_LEVELS)
    except RecursionError:
        too_deep = True
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{name} is not JSON: {error}") from error
    if too_deep:
        raise InvalidInputError(f"{name} has more than {MAX_NESTING_LEVELS} levels of nesting")
    if not isinstance(value, dict):
        raise InvalidInputError(f"{name} must be a JSON object")
    return value


def _is_transient(error: Exception) -> bool:
    """Return whether a later poll can succeed: after throttling, a server error, or no response."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return "Throttling" in error.response["Error"]["Code"] or status >= 500
    return isinstance(error, BotoCoreError)


def _format_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _log(level: int, job_id: str, status: str, reason: str = "") -> None:
    """Log the status of a job. The event is never logged, because it contains credentials."""
    details = {"job_id": job_id, "status": status} | ({"reason": reason} if reason else {})
    logger.log(level, "The job is %s", status, extra=details)
