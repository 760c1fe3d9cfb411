"""From a job of CodePipeline to an execution of the state machine, and back.

CodePipeline calls again with the token that it got, until it gets a result without one.
"""

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .errors import InvalidInputError
from .messages import fit
from .request import LARGEST_INPUT

LARGEST_FAILURE = 5000  # characters of a failure message, in CodePipeline


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
            data = job["data"]
            token = data.get("continuationToken")
            result = self._look(token) if token else {"continuationToken": self._start(job_id, data)}
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
        parameters = _object(data["actionConfiguration"]["configuration"].get("UserParameters", ""), "UserParameters")
        missing = [name for name in ("s3Bucket", "stateMachineFile") if not isinstance(parameters.get(name), str)]
        if missing:
            raise InvalidInputError(f"UserParameters: {' and '.join(missing)} missing")
        given = self._read(parameters["s3Bucket"], parameters["stateMachineFile"])
        location = data["inputArtifacts"][0]["location"]["s3Location"]
        given |= {"revisionS3Bucket": location["bucketName"], "revisionS3Key": location["objectKey"]}
        try:
            started = self.step_functions.start_execution(
                stateMachineArn=self.state_machine_arn, name=job_id, input=json.dumps(given)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise
            return f"{self.state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{job_id}"
        return str(started["executionArn"])

    def _read(self, bucket: str, key: str) -> dict[str, Any]:
        found = self.s3.get_object(Bucket=bucket, Key=key)
        text = found["Body"].read(LARGEST_INPUT + 1)
        if len(text) > LARGEST_INPUT:
            raise InvalidInputError(f"{key} has more than {LARGEST_INPUT} bytes")
        return _object(text, key)

    def _look(self, execution_arn: str) -> dict[str, Any]:
        """Give the result that an execution stands for: more waiting, success, or failure."""
        found = self.step_functions.describe_execution(executionArn=execution_arn)
        if found["status"] == "RUNNING":
            return {"continuationToken": execution_arn}
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


def _object(text: str | bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"{name} is not JSON: {error}") from error
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
