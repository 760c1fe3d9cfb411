"""Someone pushes an app, then changes of all kinds; only those that keep everything are deployed.

What it pushes is the sample app, in the repository of the stack. At the end the files of the repository
and the state machine's input are as before, and the second stack is deleted.
"""

import io
import json
import time
import uuid
import zipfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from .pipeline_runs import PipelineRuns
from .walkthrough import USABLE, PreconditionError, RestoringWalkthrough, step

TEMPLATE, README = "template.yaml", "README.md"
SAMPLE = Path("assets/deploy_pipeline")


class DeployPipelineWalkthrough(RestoringWalkthrough):
    """The post's three ways through the state machine, and its two exercises."""

    stacks = ("DeployPipeline",)

    def _prepare(self) -> None:
        outputs = self.target.outputs("DeployPipeline")
        services = ("codepipeline", "codecommit", "cloudformation", "stepfunctions", "s3", "sqs", "lambda")
        self.pipelines, self.commits, self.cloudformation, self.machines, self.s3, self.sqs, self.functions = map(
            self.target.client, services
        )
        if "RepositoryName" not in outputs:
            raise PreconditionError(
                "DeployPipeline has another source; deploy it with deploy_pipeline:source=codecommit"
            )
        self.pipeline, self.repository = outputs["PipelineName"], outputs["RepositoryName"]
        self.machine, self.trigger = outputs["StateMachineArn"], outputs["TriggerName"]
        self.app, self.service_role = outputs["AppStackName"], outputs["ServiceRoleArn"]
        self.input = {"Bucket": outputs["InputBucketName"], "Key": outputs["InputKey"]}
        self.told = json.loads(self.s3.get_object(**self.input)["Body"].read())
        self.template = (SAMPLE / "app" / TEMPLATE).read_text()
        self._check_preconditions()
        self.runs = PipelineRuns(self.target, self.pipelines, self.pipeline)
        self.ways: dict[str, list[str]] = {}  # name of a deployment: its states
        self.had_readme = self._file(README) is not None
        self.cleanup.callback(self._put_back)

    def _check_preconditions(self) -> None:
        """Everything is the sample's, or the walkthrough would overwrite somebody's app.

        Raises:
            PreconditionError: saying what is not, and the command that makes it so.
        """
        if self.told != json.loads((SAMPLE / "state_machine_input.json").read_text()):
            raise PreconditionError(
                "the state machine's input is not the sample's; if nobody needs it, write the sample's: aws s3 cp"
                f" {SAMPLE}/state_machine_input.json s3://{self.input['Bucket']}/{self.input['Key']}"
            )
        try:
            pushed = self._file(TEMPLATE)
        except self.commits.exceptions.CommitDoesNotExistException:
            raise PreconditionError(f"the repository {self.repository} has no branch main") from None
        if pushed != self.template:
            raise PreconditionError(
                f"{TEMPLATE} in the repository {self.repository} is not the sample's; if nobody needs it, push"
                f" {SAMPLE}/app/{TEMPLATE} and wait for the pipeline"
            )
        stack = self._stack(self.app)
        if stack and stack.get("RoleARN") != self.service_role:
            raise PreconditionError(
                f"stack {self.app} was not deployed by this pipeline (its role: {stack.get('RoleARN', 'none')});"
                " delete it, or rename it in the state machine's input"
            )
        status = stack["StackStatus"] if stack else "CREATE_COMPLETE"
        if status not in USABLE and not status.endswith("_IN_PROGRESS"):
            raise PreconditionError(f"stack {self.app} is {status}; repair or delete it first")

    @step
    def pushed_app_is_created(self) -> str:
        """Push the sample app: there is no stack yet."""
        *later, first = self.runs.newest_first()
        if later:
            deployed = self._deploy("again", {README: f"Pushed at {time.time()}\n"}, self.template)
            assert deployed["status"] == "Succeeded", deployed["message"]
            return f'it was there from before; the pipeline says "{deployed["message"]}"'
        deployed = self._result(self.runs.ended(first["pipelineExecutionId"]), "created")
        assert deployed["status"] == "Succeeded", deployed["message"]
        assert self._stack(self.app)["StackStatus"] == "CREATE_COMPLETE", "the stack was not created"
        return f'pushed when the repository was made; the pipeline says "{deployed["message"]}"'

    @step
    def harmless_change_updates_in_place(self) -> str:
        """Push a longer visibility timeout of the queue."""
        queue = self._resource("Waiting")
        deployed = self._deploy("updated", template=self._changed("VisibilityTimeout: 30", "VisibilityTimeout: 45"))
        assert deployed["status"] == "Succeeded", deployed["message"]
        assert self._stack(self.app)["StackStatus"] == "UPDATE_COMPLETE", "success was told before the update was over"
        assert self._resource("Waiting") == queue, "the queue was replaced"

        def timeout() -> bool:
            found = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
            return bool(found["VisibilityTimeout"] == "45")

        self.target.wait_until(timeout, "the queue's new visibility timeout")  # SQS takes up to a minute
        self._nothing_left()
        return f'the same queue, now with 45 s; the pipeline says "{deployed["message"]}"'

    @step
    def no_change_succeeds(self) -> str:
        """Push a file that is not in the template."""
        deployed = self._deploy("unchanged", {README: f"Pushed at {time.time()}\n"})
        assert deployed["status"] == "Succeeded", deployed["message"]
        self._nothing_left()
        return f'the pipeline says "{deployed["message"]}"; the empty change set is gone'

    @step
    def shorter_retention_is_rejected_unless_exempted(self) -> str:
        """Push a retention period that deletes messages, exempt the queue, and push the old period again."""
        shorter = self._changed("MessageRetentionPeriod: 1209600", "MessageRetentionPeriod: 60")
        loss = "MessageRetentionPeriod 1209600 -> 60 seconds: messages older than that are deleted"
        refused = self._rejected("lossy", shorter, f"Failed (AWS::SQS::Queue), Modify: {loss}")
        self._tell(self.told | {"policy": {"exemptLogicalIds": ["Failed"]}})
        exempted = self._run("exempted")
        self._tell(self.told)
        assert exempted["status"] == "Succeeded", exempted["message"]
        longer = self._deploy("longer", template=self.template)
        assert longer["status"] == "Succeeded", longer["message"]
        return f'{refused}; with the exemption: "{exempted["message"]}"; longer again: "{longer["message"]}"'

    @step
    def replacement_is_rejected(self) -> str:
        """Push a queue of another name, which is another queue."""
        renamed = self._changed("    Properties:\n      SqsManagedSseEnabled: true\n      VisibilityTimeout",
                                "    Properties:\n      QueueName: prod-sample-app-renamed\n"
                                "      SqsManagedSseEnabled: true\n      VisibilityTimeout")  # fmt: skip
        reason = "it is replaced because of QueueName"
        return self._rejected("rejected", renamed, f"Waiting (AWS::SQS::Queue), Modify: {reason}")

    @step
    def removal_is_rejected(self) -> str:
        """Push a template without the subscription."""
        start = self.template.index("  Subscription:")
        removed = self.template[:start] + self.template[self.template.index("Outputs:") :]
        return self._rejected("removal", removed, "Subscription (AWS::SNS::Subscription), Remove: it is deleted")

    @step
    def blue_green_stack_is_created(self) -> str:
        """Push the same, with "onUnsafe": "blue_green" in the state machine's input."""
        before = self._snapshot()
        self._tell(self.told | {"onUnsafe": "blue_green"})
        deployed = self._run("beside")
        assert deployed["status"] == "Succeeded", deployed["message"]
        beside = deployed["variables"]["stackName"]
        self.cleanup.callback(self._delete_stack, beside)
        assert self._snapshot() == before, f"{self.app} was touched"
        assert self._stack(beside)["StackStatus"] == "CREATE_COMPLETE", f"there is no {beside}"
        self._nothing_left()
        return f'{self.app} is as it was; the pipeline says "{_first_line(deployed["message"])}"'

    @step
    def invalid_input_is_reported_and_stage_retried(self) -> str:
        """Give a wrong input file, then put it right and retry the stage."""
        self._tell(self.told | {"stackName": "sample app", "capabilities": "ALL"})
        failed = self._deploy("bad input", template=self.template)
        assert failed["status"] == "Failed", "wrong input was accepted"
        for field in ("stackName", "capabilities"):
            assert field in failed["message"], f"{field} is not named: {failed['message']}"
        self._tell(self.told)
        self.pipelines.retry_stage_execution(
            pipelineName=self.pipeline, stageName="Prod", pipelineExecutionId=failed["run"], retryMode="FAILED_ACTIONS"
        )
        retried = self._result(self.runs.ended(failed["run"], failed["attempt"]), "retried")
        assert retried["status"] == "Succeeded", retried["message"]
        return f'"{failed["message"]}"; after that: "{retried["message"]}"'

    @step
    def missing_template_is_reported(self) -> str:
        """Push without the template."""
        failed = self._deploy("missing", delete=[TEMPLATE])
        assert failed["status"] == "Failed", "it went well without a template"
        assert f"'{TEMPLATE}' is not in the source" in failed["message"], failed["message"]
        return f'"{failed["message"]}"'

    @step
    def broken_template_is_reported(self) -> str:
        """Push a template that is none."""
        failed = self._deploy("broken", template="Resources: [unclosed\n")
        assert failed["status"] == "Failed", "a broken template was accepted"
        assert failed["message"].startswith(f"InvalidTemplateError: {TEMPLATE}: "), failed["message"]
        self._nothing_left()
        return f'"{_first_line(failed["message"])}"'

    @step
    def failing_update_is_rolled_back_and_explained(self) -> str:
        """Push a resource that CloudFormation may not make."""
        impossible = "Resources:\n  Baseline:\n    Type: AWS::SSM::PatchBaseline\n    Properties: {Name: none}\n\n"
        failed = self._deploy("rolled back", template=self._changed("Resources:\n", impossible))
        assert failed["status"] == "Failed", "it went well"
        assert "Baseline (AWS::SSM::PatchBaseline) failed first" in failed["message"], failed["message"]
        assert self._stack(self.app)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE", self._stack(self.app)["StackStatus"]
        return f'"{failed["message"]}"'

    @step
    def duplicate_job_starts_one_execution(self) -> str:
        """Call the trigger for a job, and as if it had crashed, again."""
        mended = self._deploy("mended", template=self.template)
        assert mended["status"] == "Succeeded", mended["message"]
        run = self.runs.newest_first()[0]["pipelineExecutionId"]
        name = str(uuid.uuid4())
        for _ in range(2):
            answer = self.functions.invoke(FunctionName=self.trigger, Payload=json.dumps(self._job(name)))
            assert "FunctionError" not in answer, answer["Payload"].read().decode()

        def executions() -> list[str]:
            found = self.machines.list_executions(stateMachineArn=self.machine)["executions"]
            return [execution["name"] for execution in found if execution["name"] == name]

        assert len(self.target.wait_until(executions, "the execution in the list")) == 1, "there are two executions"
        arn = self._execution_arn(name)
        self.target.wait_until(lambda: self._status(arn) == "SUCCEEDED", "the execution's success")
        assert self.runs.newest_first()[0]["pipelineExecutionId"] == run, "another pipeline execution"
        return f"one execution, {name}"

    @step
    def history_shows_each_path(self) -> str:
        """Look at the states that each deployment went through."""
        shown = ("created", "updated", "unchanged", "rejected", "beside")
        names: list[str] = []
        for way in shown:
            for state in self.ways.get(way, []):
                if state not in names:
                    names.append(state)
        lines = [f"{'':<30}" + "".join(f" {way:>9}" for way in shown)]
        for state in names:
            counts = [self.ways.get(way, []).count(state) or "" for way in shown]
            lines.append(f"{state:<30}" + "".join(f" {count:>9}" for count in counts))
        totals = [len(self.ways.get(way, [])) or "" for way in shown]
        lines.append(f"{'state transitions':<30}" + "".join(f" {total:>9}" for total in totals))
        return "how often each deployment entered each state, below\n\n" + "\n".join(lines)

    def _rejected(self, way: str, template: str, violation: str) -> str:
        before = self._snapshot()
        failed = self._deploy(way, template=template)
        assert failed["status"] == "Failed", "it was deployed"
        assert violation in failed["message"], f"{violation!r} is not in the message: {failed['message']}"
        assert self._snapshot() == before, "the stack was touched"
        self._nothing_left()
        return f'the stack is as it was; "{failed["message"]}"'

    def _changed(self, old: str, new: str) -> str:
        assert self.template.count(old) == 1, f"the sample's template has not one {old!r}"
        return self.template.replace(old, new)

    def _deploy(
        self,
        way: str,
        files: dict[str, str] | None = None,
        template: str | None = None,
        delete: list[str] | None = None,
    ) -> dict[str, Any]:
        """Push, and give how the deployment of that commit ended."""
        files = (files or {}) | ({TEMPLATE: template} if template else {})
        commit = self._push(way, files, delete or [])
        if commit is None:
            return self._run(way)

        run = self.target.wait_until(lambda: self.runs.of_commit(commit), f"a run of the pipeline for commit {commit}")
        return self._result(self.runs.ended(run), way)

    def _push(self, message: str, files: dict[str, str], delete: list[str]) -> str | None:
        """Commit to main; give the commit, or None when it would change nothing."""
        if not files and not delete:
            return None
        last = self.commits.get_branch(repositoryName=self.repository, branchName="main")["branch"]["commitId"]
        try:
            commit: str = self.commits.create_commit(
                repositoryName=self.repository,
                branchName="main",
                parentCommitId=last,
                commitMessage=message,
                putFiles=[{"filePath": path, "fileContent": text.encode()} for path, text in files.items()],
                deleteFiles=[{"filePath": path} for path in delete],
            )["commitId"]
        except (self.commits.exceptions.NoChangeException, self.commits.exceptions.SameFileContentException):
            return None
        return commit

    def _run(self, way: str) -> dict[str, Any]:
        """Run the pipeline on what is there, and give how it ended."""
        started = self.pipelines.start_pipeline_execution(name=self.pipeline)
        return self._result(self.runs.ended(started["pipelineExecutionId"]), way)

    def _result(self, deploy: dict[str, Any], way: str) -> dict[str, Any]:
        """Say how a Deploy action ended, and keep its states."""
        result = deploy["output"]["executionResult"]
        name = result.get("externalExecutionId")
        if name:
            self.ways[way] = self._states(name)
        return {
            "run": deploy["pipelineExecutionId"],
            "attempt": deploy["actionExecutionId"],
            "status": deploy["status"],
            "message": result.get("errorDetails", {}).get("message") or result.get("externalExecutionSummary", ""),
            "variables": deploy["output"].get("outputVariables", {}),
        }

    def _execution_arn(self, name: str) -> str:
        return f"{self.machine.replace(':stateMachine:', ':execution:')}:{name}"

    def _states(self, name: str) -> list[str]:
        pages = self.machines.get_paginator("get_execution_history").paginate(executionArn=self._execution_arn(name))
        events = [event for page in pages for event in page["events"]]
        return [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]

    def _status(self, execution_arn: str) -> str:
        return str(self.machines.describe_execution(executionArn=execution_arn)["status"])

    def _stack(self, name: str) -> dict[str, Any]:
        try:
            (found,) = self.cloudformation.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return {}
            raise
        return dict(found)

    def _resource(self, logical_id: str) -> str:
        """Physical id of a resource of the app."""
        answer = self.cloudformation.describe_stack_resource(StackName=self.app, LogicalResourceId=logical_id)
        return str(answer["StackResourceDetail"]["PhysicalResourceId"])

    def _snapshot(self) -> Any:
        """What would differ if the app's stack were touched."""
        pages = self.cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.app)
        resources = [r for page in pages for r in page["StackResourceSummaries"]]
        found = [(r["LogicalResourceId"], r["PhysicalResourceId"], r["LastUpdatedTimestamp"]) for r in resources]
        return self._stack(self.app)["StackStatus"], sorted(found)

    def _nothing_left(self) -> None:
        """No change set may be left that somebody could execute."""

        def nothing_left() -> bool:
            left = self.cloudformation.list_change_sets(StackName=self.app)["Summaries"]
            return all(change_set["ExecutionStatus"].startswith("EXECUTE") for change_set in left)

        self.target.wait_until(nothing_left, "no change set that is left")

    def _tell(self, told: dict[str, Any]) -> None:
        """Write the state machine's input."""
        self.s3.put_object(**self.input, Body=json.dumps(told, indent=2).encode())

    def _job(self, job_id: str) -> dict[str, Any]:
        """The event of a job, with an artifact that is put beside the input."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(TEMPLATE, self.template)
        artifacts = self.pipelines.get_pipeline(name=self.pipeline)["pipeline"]["artifactStore"]["location"]
        key = f"walkthrough/{job_id}.zip"
        self.s3.put_object(Bucket=artifacts, Key=key, Body=buffer.getvalue())
        self.cleanup.callback(self.s3.delete_object, Bucket=artifacts, Key=key)
        parameters = {"s3Bucket": self.input["Bucket"], "stateMachineFile": self.input["Key"]}
        location = {"type": "S3", "s3Location": {"bucketName": artifacts, "objectKey": key}}
        data = {
            "actionConfiguration": {
                "configuration": {"FunctionName": self.trigger, "UserParameters": json.dumps(parameters)}
            },
            "inputArtifacts": [{"name": "App", "revision": None, "location": location}],
            "outputArtifacts": [],
        }
        return {"CodePipeline.job": {"id": job_id, "accountId": self.machine.split(":")[4], "data": data}}

    def _delete_stack(self, name: str) -> None:
        self.cloudformation.delete_stack(StackName=name, RoleARN=self.service_role)

        def gone() -> bool:
            status = self._stack(name).get("StackStatus", "")
            assert status != "DELETE_FAILED", f"{name} could not be deleted"
            return not status

        self.target.wait_until(gone, f"{name} to be gone")

    def _put_back(self) -> None:
        self._tell(self.told)
        added = [] if self.had_readme or self._file(README) is None else [README]
        self._push("As it was", {} if self._file(TEMPLATE) == self.template else {TEMPLATE: self.template}, added)

    def _file(self, path: str) -> str | None:
        """A file at the tip of main; None when there is none."""
        try:
            found = self.commits.get_file(repositoryName=self.repository, commitSpecifier="main", filePath=path)
        except self.commits.exceptions.FileDoesNotExistException:
            return None
        return str(found["fileContent"].decode())


def _first_line(text: str) -> str:
    return text.split("\n")[0]
