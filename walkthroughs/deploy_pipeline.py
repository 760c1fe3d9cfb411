"""Push the sample app, then changes of all kinds; only safe ones are deployed.

The walkthrough pushes to the stack's repository. At the end, it restores the files in the repository and the
state machine's input, and deletes the blue/green stack.
"""

import io
import json
import time
import uuid
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore.exceptions import ClientError

from .pipeline_runs import Deployment, PipelineRuns
from .walkthrough import USABLE, PreconditionError, RestoringWalkthrough, Step

TEMPLATE, README = "template.yaml", "README.md"
SAMPLE = Path("assets/deploy_pipeline")


class DeployPipelineWalkthrough(RestoringWalkthrough):
    """The three paths of the original post's state machine, its two exercises, and failures."""

    stacks = ("DeployPipeline",)

    def _prepare(self) -> None:
        outputs = self.target.outputs("DeployPipeline")
        self.codepipeline = self.target.client("codepipeline")
        self.codecommit = self.target.client("codecommit")
        self.cloudformation = self.target.client("cloudformation")
        self.step_functions = self.target.client("stepfunctions")
        self.s3, self.sqs = self.target.client("s3"), self.target.client("sqs")
        self.lambda_ = self.target.client("lambda")
        if "RepositoryName" not in outputs:
            raise PreconditionError(
                "DeployPipeline has another source; deploy it with deploy_pipeline:source=codecommit"
            )
        self.pipeline, self.repository = outputs["PipelineName"], outputs["RepositoryName"]
        self.state_machine, self.trigger = outputs["StateMachineArn"], outputs["TriggerName"]
        self.app, self.service_role = outputs["AppStackName"], outputs["ServiceRoleArn"]
        self.input_object = {"Bucket": outputs["InputBucketName"], "Key": outputs["InputKey"]}
        self.input = json.loads(self.s3.get_object(**self.input_object)["Body"].read())
        self.template = (SAMPLE / "app" / TEMPLATE).read_text()
        self._check_preconditions()
        self.runs = PipelineRuns(self.target, self.codepipeline, self.pipeline)
        self.states_by_deployment: dict[str, list[str]] = {}
        self.had_readme = self._file(README) is not None
        self.cleanup.callback(self._restore)

    def _check_preconditions(self) -> None:
        """Check that everything is the sample's, so that no other app is overwritten.

        Raises:
            PreconditionError: something is not. The message contains the command that corrects it, if there is one.
        """
        if self.input != json.loads((SAMPLE / "state_machine_input.json").read_text()):
            raise PreconditionError(
                "the state machine's input is not the sample's; to replace it: aws s3 cp"
                f" {SAMPLE}/state_machine_input.json s3://{self.input_object['Bucket']}/{self.input_object['Key']}"
            )
        try:
            pushed = self._file(TEMPLATE)
        except self.codecommit.exceptions.CommitDoesNotExistException:
            raise PreconditionError(f"the repository {self.repository} has no branch main") from None
        if pushed != self.template:
            raise PreconditionError(
                f"{TEMPLATE} in the repository {self.repository} is not the sample's; to replace it, push"
                f" {SAMPLE}/app/{TEMPLATE} and wait for the pipeline"
            )
        stack = self._stack(self.app)
        if stack and stack.get("RoleARN") != self.service_role:
            raise PreconditionError(
                f"stack {self.app} was not deployed by this pipeline (its role: {stack.get('RoleARN', 'none')});"
                " delete it, or change stackName in the state machine's input"
            )
        status = stack["StackStatus"] if stack else "CREATE_COMPLETE"
        if status not in USABLE and not status.endswith("_IN_PROGRESS"):
            raise PreconditionError(f"stack {self.app} is {status}; repair or delete it first")

    def pushed_app_is_created(self) -> str:
        *later, first = self.runs.newest_first()
        if later:
            deployment = self._deploy("again", {README: f"Pushed at {time.time()}\n"}, self.template)
            deployment.check_success()
            return f'the stack already existed; "{deployment.message}"'
        deployment = self._wait_for_deployment(first["pipelineExecutionId"], "created")
        deployment.check_success()
        assert self._stack(self.app)["StackStatus"] == "CREATE_COMPLETE", "the stack was not created"
        return f'deployed from the initial commit of the repository; "{deployment.message}"'

    def harmless_change_updates_in_place(self) -> str:
        queue = self._resource("Waiting")
        deployment = self._deploy("updated", template=self._edited("VisibilityTimeout: 30", "VisibilityTimeout: 45"))
        deployment.check_success()
        assert self._stack(self.app)["StackStatus"] == "UPDATE_COMPLETE", "success was reported before the update ended"
        assert self._resource("Waiting") == queue, "the queue was replaced"

        def has_new_timeout() -> bool:
            response = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])
            return bool(response["Attributes"]["VisibilityTimeout"] == "45")

        self.target.wait_until(has_new_timeout, "the queue's new visibility timeout")  # SQS takes up to a minute
        self._check_no_leftover()
        assert deployment.variables["report"], "the report was not stored"
        (key,) = parse_qs(urlsplit(deployment.variables["report"]).query)["prefix"]
        report = self.s3.get_object(Bucket=self.input_object["Bucket"], Key=key)["Body"].read().decode()
        assert "| Waiting | AWS::SQS::Queue |" in report, f"the queue is not in the report: {report}"
        return f'the same queue, now with 45 s; "{deployment.message}"'

    def no_change_succeeds(self) -> str:
        deployment = self._deploy("unchanged", {README: f"Pushed at {time.time()}\n"})
        deployment.check_success()
        self._check_no_leftover()
        return f'"{deployment.message}"; the empty change set was deleted'

    def shorter_retention_is_rejected_unless_exempted(self) -> str:
        shorter = self._edited("MessageRetentionPeriod: 1209600", "MessageRetentionPeriod: 60")
        loss = "MessageRetentionPeriod 1209600 -> 60 seconds: messages older than that are deleted"
        rejected = self._push_rejected("lossy", shorter, f"Failed (AWS::SQS::Queue), Modify: {loss}")
        self._write_input(self.input | {"policy": {"exemptLogicalIds": ["Failed"]}})
        exempted = self._start_pipeline("exempted")
        self._write_input(self.input)
        exempted.check_success()
        longer = self._deploy("longer", template=self.template)
        longer.check_success()
        return f'{rejected}; with the exemption: "{exempted.message}"; longer again: "{longer.message}"'

    def replacement_is_rejected(self) -> str:
        renamed = self._edited("    Properties:\n      SqsManagedSseEnabled: true\n      VisibilityTimeout",
                               "    Properties:\n      QueueName: prod-sample-app-renamed\n"
                               "      SqsManagedSseEnabled: true\n      VisibilityTimeout")  # fmt: skip
        reason = "it is replaced because of QueueName"
        return self._push_rejected("rejected", renamed, f"Waiting (AWS::SQS::Queue), Modify: {reason}")

    def removal_is_rejected(self) -> str:
        start, end = self.template.index("  Subscription:"), self.template.index("Outputs:")
        reason = "Subscription (AWS::SNS::Subscription), Remove: it is deleted"
        return self._push_rejected("removal", self.template[:start] + self.template[end:], reason)

    def blue_green_stack_is_created(self) -> str:
        before = self._snapshot()
        self._write_input(self.input | {"onUnsafe": "blue_green"})
        deployment = self._start_pipeline("blue/green")
        deployment.check_success()
        green_stack = deployment.variables["stackName"]
        self.cleanup.callback(self._delete_stack, green_stack)
        assert self._snapshot() == before, f"{self.app} was changed"
        assert self._stack(green_stack)["StackStatus"] == "CREATE_COMPLETE", f"{green_stack} was not created"
        self._check_no_leftover()
        return f'{self.app} was not changed; "{_first_line(deployment.message)}"'

    def invalid_input_is_reported_and_stage_retried(self) -> str:
        self._write_input(self.input | {"stackName": "sample app", "capabilities": "ALL"})
        failed = self._deploy("invalid input", template=self.template)
        assert failed.status == "Failed", "the invalid input was accepted"
        for field in ("stackName", "capabilities"):
            assert field in failed.message, f"{field} is not in the message: {failed.message}"
        self._write_input(self.input)
        self.codepipeline.retry_stage_execution(
            pipelineName=self.pipeline, stageName="Prod", pipelineExecutionId=failed.run_id, retryMode="FAILED_ACTIONS"
        )
        retried = self._wait_for_deployment(failed.run_id, "retried", previous_action=failed.action_id)
        retried.check_success()
        return f'"{failed.message}"; after the retry: "{retried.message}"'

    def missing_template_is_reported(self) -> str:
        failed = self._deploy("missing template", delete=[TEMPLATE])
        assert failed.status == "Failed", "the deployment succeeded without a template"
        assert f"'{TEMPLATE}' is not in the source" in failed.message, failed.message
        return f'"{failed.message}"'

    def broken_template_is_reported(self) -> str:
        failed = self._deploy("broken template", template="Resources: [unclosed\n")
        assert failed.status == "Failed", "the broken template was accepted"
        assert failed.message.startswith(f"InvalidTemplateError: {TEMPLATE}: "), failed.message
        self._check_no_leftover()
        return f'"{_first_line(failed.message)}"'

    def misspelled_property_is_reported(self) -> str:
        misspelled = self._edited("VisibilityTimeout: 30", "VisibilityTimeOut: 30")
        return self._push_rejected("misspelled", misspelled, "- Waiting (AWS::SQS::Queue): ")

    def failing_update_is_rolled_back_and_explained(self) -> str:
        denied = "Resources:\n  Baseline:\n    Type: AWS::SSM::PatchBaseline\n    Properties: {Name: none}\n\n"
        failed = self._deploy("rolled back", template=self._edited("Resources:\n", denied))
        assert failed.status == "Failed", "the update succeeded"
        assert "Baseline (AWS::SSM::PatchBaseline) failed first" in failed.message, failed.message
        assert self._stack(self.app)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE", self._stack(self.app)["StackStatus"]
        return f'"{failed.message}"'

    def duplicate_job_starts_one_execution(self) -> str:
        self._deploy("repaired", template=self.template).check_success()
        run = self.runs.newest_first()[0]["pipelineExecutionId"]
        name = str(uuid.uuid4())
        for _ in range(2):
            response = self.lambda_.invoke(FunctionName=self.trigger, Payload=json.dumps(self._job(name)))
            assert "FunctionError" not in response, response["Payload"].read().decode()

        def executions() -> list[str]:
            latest = self.step_functions.list_executions(stateMachineArn=self.state_machine)["executions"]
            return [execution["name"] for execution in latest if execution["name"] == name]

        assert len(self.target.wait_until(executions, "the execution in the list")) == 1, "there are two executions"
        arn = self._execution_arn(name)
        self.target.wait_until(lambda: self._status(arn) == "SUCCEEDED", "the execution's success")
        assert self.runs.newest_first()[0]["pipelineExecutionId"] == run, "another pipeline execution was started"
        return f"one execution, {name}"

    def history_shows_each_path(self) -> str:
        shown = ("created", "updated", "unchanged", "rejected", "blue/green")
        columns = [self.states_by_deployment.get(name, []) for name in shown]
        lines = [f"{'':<30}" + "".join(f" {name:>10}" for name in shown)]
        for state in dict.fromkeys(state for states in columns for state in states):
            lines.append(f"{state:<30}" + "".join(f" {states.count(state) or '':>10}" for states in columns))
        lines.append(f"{'state transitions':<30}" + "".join(f" {len(states) or '':>10}" for states in columns))
        return "number of times that each deployment entered each state:\n\n" + "\n".join(lines)

    steps: tuple[Step, ...] = (
        Step("Push the sample app", pushed_app_is_created),
        Step("Increase the visibility timeout of the queue", harmless_change_updates_in_place),
        Step("Push a file that the template does not use", no_change_succeeds),
        Step(
            "Shorten a retention period, exempt the queue, and restore the period",
            shorter_retention_is_rejected_unless_exempted,
        ),
        Step("Rename a queue, which replaces it", replacement_is_rejected),
        Step("Remove the subscription from the template", removal_is_rejected),
        Step('Deploy the same template with "onUnsafe": "blue_green"', blue_green_stack_is_created),
        Step(
            "Write an invalid input file, correct it, and retry the stage", invalid_input_is_reported_and_stage_retried
        ),
        Step("Remove the template", missing_template_is_reported),
        Step("Push a template with a syntax error", broken_template_is_reported),
        Step("Push a template with a misspelled property", misspelled_property_is_reported),
        Step("Add a resource that the service role may not create", failing_update_is_rolled_back_and_explained),
        Step("Send a job to the trigger twice", duplicate_job_starts_one_execution),
        Step("Compare the state transitions of the deployments", history_shows_each_path),
    )

    def _push_rejected(self, name: str, template: str, violation: str) -> str:
        """Push a template, and check that the deployment fails without changing the stack."""
        before = self._snapshot()
        failed = self._deploy(name, template=template)
        assert failed.status == "Failed", "the template was deployed"
        assert violation in failed.message, f"{violation!r} is not in the message: {failed.message}"
        assert self._snapshot() == before, "the stack was changed"
        self._check_no_leftover()
        return f'the stack was not changed; "{failed.message}"'

    def _edited(self, old: str, new: str) -> str:
        assert self.template.count(old) == 1, f"the sample's template must contain {old!r} exactly once"
        return self.template.replace(old, new)

    def _deploy(
        self,
        name: str,
        files: dict[str, str] | None = None,
        template: str | None = None,
        delete: list[str] | None = None,
    ) -> Deployment:
        """Push a commit, and return the result of its deployment."""
        files = (files or {}) | ({TEMPLATE: template} if template else {})
        commit = self._push(name, files, delete or [])
        if commit is None:
            return self._start_pipeline(name)
        run = self.target.wait_until(lambda: self.runs.find_by_commit(commit), f"a pipeline execution of {commit}")
        return self._wait_for_deployment(run, name)

    def _push(self, message: str, files: dict[str, str], delete: list[str]) -> str | None:
        """Commit to main and return the commit ID; None if nothing would change."""
        if not files and not delete:
            return None
        branch = self.codecommit.get_branch(repositoryName=self.repository, branchName="main")["branch"]
        try:
            commit: str = self.codecommit.create_commit(
                repositoryName=self.repository,
                branchName="main",
                parentCommitId=branch["commitId"],
                commitMessage=message,
                putFiles=[{"filePath": path, "fileContent": text.encode()} for path, text in files.items()],
                deleteFiles=[{"filePath": path} for path in delete],
            )["commitId"]
        except (self.codecommit.exceptions.NoChangeException, self.codecommit.exceptions.SameFileContentException):
            return None
        return commit

    def _start_pipeline(self, name: str) -> Deployment:
        """Start the pipeline without a new commit, and return the result of the deployment."""
        started = self.codepipeline.start_pipeline_execution(name=self.pipeline)
        return self._wait_for_deployment(started["pipelineExecutionId"], name)

    def _wait_for_deployment(self, run: str, name: str, previous_action: str | None = None) -> Deployment:
        """Return the result of a deployment, and record its states."""
        deployment = self.runs.wait_for_deployment(run, previous_action)
        if deployment.execution_name:
            self.states_by_deployment[name] = self._states(deployment.execution_name)
        return deployment

    def _execution_arn(self, name: str) -> str:
        return f"{self.state_machine.replace(':stateMachine:', ':execution:')}:{name}"

    def _states(self, execution: str) -> list[str]:
        paginator = self.step_functions.get_paginator("get_execution_history")
        pages = paginator.paginate(executionArn=self._execution_arn(execution))
        events = [event for page in pages for event in page["events"]]
        return [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]

    def _status(self, execution_arn: str) -> str:
        return str(self.step_functions.describe_execution(executionArn=execution_arn)["status"])

    def _stack(self, name: str) -> dict[str, Any]:
        """Return the description of a stack; empty if it does not exist."""
        try:
            (stack,) = self.cloudformation.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return {}
            raise
        return dict(stack)

    def _resource(self, logical_id: str) -> str:
        """Return the physical ID of a resource of the app."""
        response = self.cloudformation.describe_stack_resource(StackName=self.app, LogicalResourceId=logical_id)
        return str(response["StackResourceDetail"]["PhysicalResourceId"])

    def _snapshot(self) -> Any:
        """Return what would differ if the app's stack were changed."""
        pages = self.cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.app)
        resources = [r for page in pages for r in page["StackResourceSummaries"]]
        ids = [(r["LogicalResourceId"], r["PhysicalResourceId"], r["LastUpdatedTimestamp"]) for r in resources]
        return self._stack(self.app)["StackStatus"], sorted(ids)

    def _check_no_leftover(self) -> None:
        """Wait until no change set is left that could be executed."""

        def is_clean() -> bool:
            change_sets = self.cloudformation.list_change_sets(StackName=self.app)["Summaries"]
            return all(change_set["ExecutionStatus"].startswith("EXECUTE") for change_set in change_sets)

        self.target.wait_until(is_clean, f"the deletion of the change sets of {self.app}")

    def _write_input(self, content: dict[str, Any]) -> None:
        """Write the state machine's input."""
        self.s3.put_object(**self.input_object, Body=json.dumps(content, indent=2).encode())

    def _job(self, job_id: str) -> dict[str, Any]:
        """Return the event of a job, and upload its artifact."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(TEMPLATE, self.template)
        artifacts = self.codepipeline.get_pipeline(name=self.pipeline)["pipeline"]["artifactStore"]["location"]
        key = f"walkthrough/{job_id}.zip"
        self.s3.put_object(Bucket=artifacts, Key=key, Body=buffer.getvalue())
        self.cleanup.callback(self.s3.delete_object, Bucket=artifacts, Key=key)
        parameters = {"s3Bucket": self.input_object["Bucket"], "stateMachineFile": self.input_object["Key"]}
        location = {"type": "S3", "s3Location": {"bucketName": artifacts, "objectKey": key}}
        configuration = {"FunctionName": self.trigger, "UserParameters": json.dumps(parameters)}
        data = {
            "actionConfiguration": {"configuration": configuration},
            "inputArtifacts": [{"name": "App", "revision": None, "location": location}],
            "outputArtifacts": [],
        }
        return {"CodePipeline.job": {"id": job_id, "accountId": self.state_machine.split(":")[4], "data": data}}

    def _delete_stack(self, name: str) -> None:
        self.cloudformation.delete_stack(StackName=name, RoleARN=self.service_role)

        def is_deleted() -> bool:
            status = self._stack(name).get("StackStatus", "")
            assert status != "DELETE_FAILED", f"{name} could not be deleted"
            return not status

        self.target.wait_until(is_deleted, f"the deletion of {name}")

    def _restore(self) -> None:
        self._write_input(self.input)
        added = [] if self.had_readme or self._file(README) is None else [README]
        changed = {} if self._file(TEMPLATE) == self.template else {TEMPLATE: self.template}
        self._push("Restore the sample", changed, added)

    def _file(self, path: str) -> str | None:
        """Return the content of a file on main; None if it does not exist."""
        try:
            response = self.codecommit.get_file(repositoryName=self.repository, commitSpecifier="main", filePath=path)
        except self.codecommit.exceptions.FileDoesNotExistException:
            return None
        return str(response["fileContent"].decode())


def _first_line(text: str) -> str:
    return text.split("\n")[0]
