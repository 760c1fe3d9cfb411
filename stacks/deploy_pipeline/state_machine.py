"""The state machine that deploys, its functions, and the clean-up after it."""

import json
from collections.abc import Sequence
from typing import cast

from aws_cdk import (
    Stack,
    aws_iam as iam,
    aws_kms as kms,
    aws_lambda as lambda_,
    aws_lambda_destinations as destinations,
    aws_s3 as s3,
    aws_stepfunctions as sfn,
)
from constructs import Construct

from lambdas.deploy_pipeline.report import PREFIX
from lambdas.deploy_pipeline.request import GREEN, fingerprint
from settings.deploy_pipeline import DeployPipelineSettings

from ..constructs.dead_letter_queue import DeadLetterQueue
from ..constructs.execution_ended_rule import ExecutionEndedRule
from ..constructs.grants import grant
from ..constructs.standard_function import StandardFunction
from ..constructs.standard_state_machine import StandardStateMachine
from .definition import ASSETS_TIMEOUT, definition

TEMPLATES = "templates/*"


class DeploymentStateMachine(Construct):
    """A state machine that deploys the stack of `settings`, its blue/green stacks, and their nested stacks.

    It reads `artifacts`, and puts templates into `inputs` and assets into `assets`, where CloudFormation reads them.
    `request_approval` is the function that notifies approvers.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        code: lambda_.AssetCode,
        settings: DeployPipelineSettings,
        artifacts: s3.Bucket,
        inputs: s3.Bucket,
        assets: s3.Bucket,
        key: kms.Key,
        service_role: iam.Role,
        dead_letters: DeadLetterQueue,
        request_approval: StandardFunction,
    ) -> None:
        super().__init__(scope, construct_id)
        self.code, self.artifacts, self.inputs, self.key = code, artifacts, inputs, key
        self.service_role, self.dead_letters, self.assets = service_role, dead_letters, assets
        self.settings = settings
        names = settings.stack_names
        self.stacks = [f"stack/{name}/*" for name in names]
        if not settings.stacks:  # several stacks have no blue/green deployment
            self.stacks.append(f"stack/{settings.stack_name}{GREEN}????????/*")
        # CloudFormation names a nested stack after its parent and its logical id, with 12 or 13 random characters.
        self.nested_stacks = [f"stack/{name}-*-{'?' * characters}/*" for name in names for characters in (12, 13)]
        check_stack = self._check_stack()
        self.state_machine = self._state_machine(
            {
                "CheckStack": check_stack,
                "PublishAssets": self._publisher(),
                "ChangeSet": self._inspector(),
                "FirstFailure": self._reader(
                    "FirstFailure",
                    "first_failure",
                    ["DescribeStackEvents", "DescribeEvents"],
                    "Finds the first failure of a stack operation",
                ),
                "RequestApproval": request_approval,
            }
        )
        if settings.stacks:
            self._grant_inspections(check_stack)
        self._clean_up()

    def _check_stack(self) -> StandardFunction:
        function = StandardFunction(
            self,
            "CheckStack",
            code=self.code,
            handler="deploy_pipeline.task_handler.check_stack",
            description="Checks the input and the stack, and extracts the template from the artifact",
            environment={
                "ARTIFACT_BUCKET": self.artifacts.bucket_name,
                "BUCKET": self.inputs.bucket_name,
                "BUCKET_URL": f"https://{self.inputs.bucket_regional_domain_name}",
                "STACK_NAMES": ",".join(self.settings.stack_names),
                **self._asset_target(),
                "DEPLOYED_INPUT": fingerprint(self.settings.state_machine_input),
                "ROLLOUT": json.dumps(self.settings.state_machine_input.get("rollout", {})),
                "LOG_LEVEL": self.settings.log_level,
            },
        )
        self._grant_artifacts(function)
        self._grant_templates(function, ["s3:GetObject", "s3:PutObject"])
        grant(function, ["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        self._grant_stacks(function, ["DescribeStacks", "DescribeStackEvents"])
        grant(
            function,
            ["cloudformation:GetTemplateSummary"],
            "*",
            wildcard_reason="GetTemplateSummary has no resource-level permissions for templates in S3.",
        )
        return function

    def _grant_inspections(self, check_stack: StandardFunction) -> None:
        """Allow reading the execution that inspected a stack before the first one was changed.

        In a separate policy, because the state machine depends on the function and on the policy of its role.
        """
        policy = iam.Policy(self, "Inspections", roles=[cast(iam.IRole, check_stack.role)])
        reason = "An execution is named after the first job of its action."
        grant(policy, ["states:DescribeExecution"], self.state_machine.executions_arn, wildcard_reason=reason)

    def _publisher(self) -> StandardFunction:
        function = StandardFunction(
            self,
            "PublishAssets",
            code=self.code,
            handler="deploy_pipeline.task_handler.publish_assets",
            description="Publishes the file assets of a CDK cloud assembly",
            environment={
                "ARTIFACT_BUCKET": self.artifacts.bucket_name,
                "STACK_NAMES": ",".join(self.settings.stack_names),
                **self._asset_target(),
                "LOG_LEVEL": self.settings.log_level,
            },
            memory_size=1769,  # one vCPU, because compression takes most of the time
            timeout_seconds=ASSETS_TIMEOUT,
        )
        self._grant_artifacts(function)
        objects = self.assets.arn_for_objects("*")
        grant(
            function, ["s3:GetObject", "s3:PutObject"], objects, wildcard_reason="CDK names assets after their hashes."
        )
        grant(function, ["kms:Decrypt"], self.key.key_arn)
        return function

    def _asset_target(self) -> dict[str, str]:
        stack = Stack.of(self)
        return {"ASSET_BUCKET": self.assets.bucket_name, "ENVIRONMENT": f"aws://{stack.account}/{stack.region}"}

    def _grant_artifacts(self, function: StandardFunction) -> None:
        grant(
            function,
            ["s3:GetObject"],
            self.artifacts.arn_for_objects("*"),
            wildcard_reason="CodePipeline chooses the names of artifacts.",
        )

    def _inspector(self) -> StandardFunction:
        calls = ["DescribeChangeSet", "DescribeEvents", "GetTemplate", "ListStackResources"]
        function = self._reader("ChangeSet", "change_set", calls, "Finds changes that delete, replace or lose data")
        function.add_environment("BUCKET", self.inputs.bucket_name)
        reports = self.inputs.arn_for_objects(f"{PREFIX}*")
        grant(function, ["s3:PutObject"], reports, wildcard_reason="Each change set has a separate report.")
        grant(function, ["kms:GenerateDataKey"], self.key.key_arn)
        grant(
            function,
            ["cloudformation:DescribeType"],
            "*",
            wildcard_reason="DescribeType has no resource-level permissions.",
        )
        return function

    def _reader(self, name: str, handler: str, calls: list[str], description: str) -> StandardFunction:
        """Create a function that only calls CloudFormation's API."""
        function = StandardFunction(
            self,
            name,
            code=self.code,
            handler=f"deploy_pipeline.task_handler.{handler}",
            description=description,
            environment={"LOG_LEVEL": self.settings.log_level},
        )
        self._grant_stacks(function, calls, nested=True)
        return function

    def _state_machine(self, functions: dict[str, StandardFunction]) -> StandardStateMachine:
        """Create the state machine, which can pass only the service role to CloudFormation."""
        arns = {name: function.function_arn for name, function in functions.items()}
        has_rollout = bool(self.settings.rollout.alias_arn)
        state_machine = StandardStateMachine(
            self,
            "StateMachine",
            definition=definition(rollout=has_rollout),
            function_arns=arns,
            substitutions={"ServiceRole": self.service_role.role_arn},
            log_execution_data=False,  # parameters of the app can be secret
        )
        self._grant_stacks(state_machine, ["CreateStack", "DeleteStack", "DescribeStacks"])
        # The input's tags are applied to the stack and the change set.
        tagging = ["TagResource", "UntagResource"]
        self._grant_stacks(
            state_machine, ["CreateChangeSet", "DeleteChangeSet", "ExecuteChangeSet", *tagging], nested=True
        )
        transforms = "CloudFormation authorizes the use of AWS's transforms, such as SAM's, as CreateChangeSet."
        self._grant_cloudformation(state_machine, ["CreateChangeSet"], ["transform/*"], transforms, account="aws")
        grant(
            state_machine,
            ["iam:PassRole"],
            self.service_role.role_arn,
            conditions={"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
        )
        # CloudFormation reads the template and its SSM parameters with the permissions of its caller, and the templates
        # of nested stacks and code with those of the service role.
        self._grant_templates(state_machine, ["s3:GetObject"])
        reason = "CDK names assets after their hashes."
        for reader in (state_machine, self.service_role):
            grant(reader, ["s3:GetObject"], self.assets.arn_for_objects("*"), wildcard_reason=reason)
        self._grant_ssm_parameters(state_machine)
        grant(state_machine, ["kms:Decrypt"], self.key.key_arn)
        if has_rollout:
            self._grant_rollout(state_machine)
        return state_machine

    def _clean_up(self) -> None:
        """Delete the change set of an execution that was aborted or timed out."""
        function = StandardFunction(
            self,
            "CleanUp",
            code=self.code,
            handler="deploy_pipeline.task_handler.clean_up",
            description="Deletes the change set of an execution that ended before deleting it",
            environment={
                "ARTIFACT_BUCKET": self.artifacts.bucket_name,
                "STACK_NAMES": ",".join(self.settings.stack_names),
                "LOG_LEVEL": self.settings.log_level,
            },
            retry_attempts=2,
            on_failure=destinations.SqsDestination(self.dead_letters),
        )
        self._grant_stacks(function, ["DescribeChangeSet"])
        self._grant_stacks(function, ["DeleteChangeSet"], nested=True)  # also deletes nested change sets
        ExecutionEndedRule(
            self,
            "Ended",
            description="Executions that failed, timed out or were aborted",
            state_machine=self.state_machine,
            statuses=["FAILED", "TIMED_OUT", "ABORTED"],
            function=function,
            dead_letters=self.dead_letters,
        )

    def _grant_stacks(self, grantee: iam.IGrantable, calls: list[str], *, nested: bool = False) -> None:
        """Allow calls on the stacks and their change sets; with `nested` also on their nested stacks.

        A call that names a change set only by its ARN is authorized on that ARN.
        """
        resources = self.stacks + (self.nested_stacks if nested else [])
        if any("ChangeSet" in call for call in calls):
            resources = [*resources, "changeSet/deploy-*/*"]
        reason = "CloudFormation generates stack IDs and nested stack names; blue/green names end in 8 digits."
        self._grant_cloudformation(grantee, calls, resources, reason)

    def _grant_ssm_parameters(self, grantee: iam.IGrantable) -> None:
        """Allow reading the SSM parameters in the settings; AWS's public ones belong to no account."""
        for name in self.settings.ssm_parameters:
            arn = Stack.of(self).format_arn(
                service="ssm",
                account="" if name.startswith("/aws/service/") else None,
                resource="parameter",
                resource_name=name.removeprefix("/"),
            )
            reason = "The settings define which parameters templates can use."
            grant(grantee, ["ssm:GetParameters"], arn, wildcard_reason=reason)

    def _grant_rollout(self, state_machine: sfn.StateMachine) -> None:
        """Allow publishing a version of the function in the input, and starting its rollout and waiting for the end."""
        rollout = self.settings.rollout
        grant(state_machine, ["lambda:PublishVersion"], rollout.function_arn)
        grant(state_machine, ["lambda:GetAlias"], rollout.function_arn, rollout.alias_arn)
        grant(state_machine, ["states:StartExecution"], rollout.state_machine_arn)
        executions = f"{rollout.state_machine_arn.replace(':stateMachine:', ':execution:')}:*"
        reason = "A rollout is named after the execution that starts it."
        grant(state_machine, ["states:DescribeExecution", "states:StopExecution"], executions, wildcard_reason=reason)
        # The rule of Step Functions that reports the end of executions.
        rule = Stack.of(self).format_arn(
            service="events", resource="rule", resource_name="StepFunctionsGetEventsForStepFunctionsExecutionRule"
        )
        grant(state_machine, ["events:PutRule", "events:PutTargets", "events:DescribeRule"], rule)

    def _grant_cloudformation(
        self,
        grantee: iam.IGrantable,
        calls: Sequence[str],
        resources: Sequence[str],
        wildcard_reason: str,
        account: str | None = None,
    ) -> None:
        stack, arns = Stack.of(self), []
        for resource in resources:
            resource_type, _, name = resource.partition("/")
            arn = stack.format_arn(
                service="cloudformation", account=account, resource=resource_type, resource_name=name
            )
            arns.append(arn)
        actions = [f"cloudformation:{call}" for call in calls]
        grant(grantee, actions, *arns, wildcard_reason=wildcard_reason)

    def _grant_templates(self, grantee: iam.IGrantable, actions: list[str]) -> None:
        templates = self.inputs.arn_for_objects(TEMPLATES)
        grant(grantee, actions, templates, wildcard_reason="Each execution has a separate template.")
