"""From a job of CodePipeline to an execution of the state machine, and back.

CodePipeline calls again with the token that it got, until it gets a result without one.
"""

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .errors import InvalidInputError
from .messages import fit
from .objects import unreadable
from .request import LARGEST_INPUT, MAX_DEPTH, read_request, too_deep

LARGEST_FAILURE = 5000  # characters of a failure message, in CodePipeline
MAX_SHOWN = 200  # characters of a wrong value that are shown


@dataclass(frozen=True)
class Trigger:
    """The AWS clients that a job needs, and the state machine to start."""

    codepipeline: Any
    s3: Any
    step_functions: Any
    state_machine_arn: str

    def work_on(self, job: dict[str, Any]) -> None:
        """Start the state machine for a new job, or look at the execution that the job waits for.

        Whatever goes wrong fails the job, so that no action is left hanging, but for what passes
        while an execution is waited for: it goes on, and CodePipeline asks again. Only when
        nothing can be said an error is raised, and Lambda runs the same event again.
        """
        job_id, token = job["id"], None
        try:
            data = _at(job, "data")
            token = data.get("continuationToken")
            result = self._look(data, token) if token else {"continuationToken": self._start(job_id, data)}
        except Exception as error:  # whatever it is
            said = f"The state machine could not be {'asked' if token else 'started'}: {_said(error)}"
            if not token or not _passes(error):
                self._fail(job_id, said)
                return
            _log(job_id, "asked in vain", said)
            result = {"continuationToken": token}
        self._tell(job_id, result)

    def _start(self, job_id: str, data: dict[str, Any]) -> str:
        """Start the execution of a job, or find the one that an earlier run has started."""
        text = _at(data, "actionConfiguration", "configuration").get("UserParameters", "")
        parameters = _object(text, "UserParameters")
        bucket, key = (_text(parameters, name, "UserParameters.") for name in ("s3Bucket", "stateMachineFile"))
        given = self._read(bucket, key) | _revision(data)
        try:
            self.step_functions.start_execution(
                stateMachineArn=self.state_machine_arn, name=job_id, input=_as_input(given)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise
        return self._execution_of(job_id)

    def _execution_of(self, job_id: str) -> str:
        return f"{self.state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{job_id}"

    def _read(self, bucket: str, key: str) -> dict[str, Any]:
        try:
            found = self.s3.get_object(Bucket=bucket, Key=key)
            text = found["Body"].read(LARGEST_INPUT + 1)
        except (BotoCoreError, ClientError) as error:
            raise InvalidInputError(f"The input file {unreadable(error, bucket, key)}") from error
        if len(text) > LARGEST_INPUT:
            raise InvalidInputError(f"{key} has more than {LARGEST_INPUT} bytes")
        return _object(text, key)

    def _look(self, data: dict[str, Any], token: str) -> dict[str, Any]:
        """Give the result that an execution stands for: more waiting, success, or failure.

        Whoever answers for a job chooses its token, so that another pipeline's job can come with the
        ARN of any execution. Each time it asks, CodePipeline makes a new job with another id: what
        ties a job to its execution is the artifact, whose name no two pipeline executions share.
        """
        if not token.startswith(self._execution_of("")):
            raise InvalidInputError(f"the continuation token {token[:MAX_SHOWN]!r} is no execution of this pipeline")
        found = self.step_functions.describe_execution(executionArn=token)
        given = _object(found.get("input") or "{}", "The execution's input")
        if not _revision(data).items() <= given.items():
            raise InvalidInputError(f"the execution {found['name']} was started for another artifact than this job's")
        if found["status"] == "RUNNING":
            return {"continuationToken": token}
        if found["status"] == "SUCCEEDED":
            output = json.loads(found.get("output") or "{}")
            return {
                "executionDetails": {
                    "summary": fit(output.get("summary") or "deployed", 2048),
                    "externalExecutionId": found["name"],
                },
                "outputVariables": {name: str(output.get(name, "")) for name in ("stackName", "outcome")},
            }
        reason = found.get("cause") or "no cause was given"
        return {"failure": f"{found.get('error') or found['status']}: {reason}", "execution": found["name"]}

    def _tell(self, job_id: str, result: dict[str, Any]) -> None:
        if "failure" in result:
            self._fail(job_id, result["failure"], result["execution"])
            return
        _log(job_id, "waiting" if "continuationToken" in result else "succeeded")
        self._put(self.codepipeline.put_job_success_result, jobId=job_id, **result)

    def _fail(self, job_id: str, message: str, execution: str | None = None) -> None:
        _log(job_id, "failed", message)
        details = {"type": "JobFailed", "message": fit(message, LARGEST_FAILURE)}
        if execution:
            details["externalExecutionId"] = execution
        self._put(self.codepipeline.put_job_failure_result, jobId=job_id, failureDetails=details)

    def _put(self, call: Any, **arguments: Any) -> None:
        """Tell CodePipeline, which no longer listens when an earlier run has told it already."""
        try:
            call(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("InvalidJobStateException", "JobNotFoundException"):
                raise
            _log(arguments["jobId"], "told already", _said(error))


def _at(value: Any, *path: str) -> dict[str, Any]:
    """The object at `path` of a job."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        raise InvalidInputError(f"the job has no {'.'.join(path)}")
    return value


def _text(found: dict[str, Any], name: str, prefix: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        given = f"{json.dumps(value)[:MAX_SHOWN]} given" if name in found else "missing"
        raise InvalidInputError(f"{prefix}{name}: {given}, accepted is text")
    return value


def _revision(data: dict[str, Any]) -> dict[str, str]:
    """Where the job's input artifact is, as the state machine's input names it."""
    artifacts = data.get("inputArtifacts")
    if not isinstance(artifacts, list) or len(artifacts) != 1:
        count = len(artifacts) if isinstance(artifacts, list) else "no"
        raise InvalidInputError(f"the job has {count} input artifacts; the action needs exactly one")
    place = _at(artifacts[0], "location", "s3Location")
    prefix = "inputArtifacts[0].location.s3Location."
    return {
        "revisionS3Bucket": _text(place, "bucketName", prefix),
        "revisionS3Key": _text(place, "objectKey", prefix),
    }


def _as_input(given: dict[str, Any]) -> str:
    """The input of the execution. JSON has no NaN and no infinity, and Step Functions takes neither."""
    try:
        return json.dumps(given, allow_nan=False)
    except ValueError:
        read_request(given)  # names the field
        raise


def _object(text: str | bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
        deep = too_deep(value)
    except RecursionError:
        deep = True
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{name} is not JSON: {error}") from error
    if deep:
        raise InvalidInputError(f"{name} is nested more than {MAX_DEPTH} deep")
    if not isinstance(value, dict):
        raise InvalidInputError(f"{name} has to be a JSON object")
    return value


def _passes(error: Exception) -> bool:
    """Whether it may be gone when CodePipeline asks again: throttling, a service in trouble, no answer."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return "Throttling" in error.response["Error"]["Code"] or status >= 500
    return isinstance(error, BotoCoreError)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _log(job_id: str, what: str, why: str = "") -> None:
    """One line of JSON. Never the event: it carries credentials."""
    print(json.dumps({"job": job_id, "is": what} | ({"why": why} if why else {})))
