"""What deploys: the state machine, its functions, and what tidies up after it."""

import json
from typing import Any

from aws_cdk import (
    RemovalPolicy,
    Stack,
    aws_events as events,
    aws_events_targets as targets,
    aws_iam as iam,
    aws_kms as kms,
    aws_lambda as lambda_,
    aws_lambda_destinations as destinations,
    aws_logs as logs,
    aws_s3 as s3,
    aws_sqs as sqs,
    aws_stepfunctions as sfn,
)
from constructs import Construct

from lambdas.deploy_pipeline.request import GREEN, fingerprint
from settings.deploy_pipeline import DeployPipelineSettings

from ..constructs.acknowledgments import acknowledge_wildcards
from ..constructs.functions import allow, make_function
from . import machine
from .names import unique_name

TEMPLATES = "templates/*"


class Deployer(Construct):
    """Deploys to the stack that `settings` name, its blue/green stacks, and those nested in them.

    It reads `artifacts`, and puts templates into `inputs`, where CloudFormation reads them.
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
        key: kms.Key,
        service_role: iam.Role,
        dead_letters: sqs.Queue,
    ) -> None:
        super().__init__(scope, construct_id)
        self.code, self.artifacts, self.inputs, self.key = code, artifacts, inputs, key
        self.service_role, self.dead_letters = service_role, dead_letters
        self.settings = settings
        name = settings.stack_name
        self.stacks = [f"stack/{name}/*", f"stack/{name}{GREEN}????????/*"]
        # CloudFormation names a nested stack after its parent, its logical id and 12 or 13 random characters.
        self.nested_stacks = [f"stack/{name}-*-????????????*/*"]
        self.state_machine = self._state_machine(
            {
                "CheckStack": self._check_stack(),
                "ChangeSet": self._inspector(),
                "FirstFailure": self._reader(
                    "FirstFailure",
                    "first_failure",
                    ["DescribeStackEvents", "DescribeEvents"],
                    "Finds what made a stack fail",
                ),
            }
        )
        self._clean_up()

    def _check_stack(self) -> lambda_.Function:
        function = make_function(
            self,
            "CheckStack",
            self.code,
            handler="deploy_pipeline.task_handler.check_stack",
            description="Checks the input and the stack, and takes the template out of the artifact",
            environment={
                "BUCKET": self.inputs.bucket_name,
                "BUCKET_URL": f"https://{self.inputs.bucket_regional_domain_name}",
                "STACK_NAME": self.settings.stack_name,
                "DEPLOYED_INPUT": fingerprint(self.settings.state_machine_input),
            },
        )
        every_object = {f"<{_id(self.artifacts)}.Arn>/*": "CodePipeline chooses the names of artifacts."}
        allow(function, ["s3:GetObject"], self.artifacts.arn_for_objects("*"), wildcards=every_object)
        self._allow_templates(function, ["s3:GetObject", "s3:PutObject"])
        allow(function, ["kms:Decrypt", "kms:GenerateDataKey"], self.key.key_arn)
        self._allow_stacks(function, ["DescribeStacks", "DescribeStackEvents"])
        no_stack = "A template that is not yet a stack's has no ARN."
        allow(function, ["cloudformation:GetTemplateSummary"], "*", wildcards={"*": no_stack})
        return function

    def _inspector(self) -> lambda_.Function:
        calls = ["DescribeChangeSet", "DescribeEvents", "ListStackResources"]
        function = self._reader("ChangeSet", "change_set", calls, "Looks for changes that delete, replace or lose data")
        no_arn = "DescribeType, which gives the schema of a resource type, has no resource-level permissions."
        allow(function, ["cloudformation:DescribeType"], "*", wildcards={"*": no_arn})
        return function

    def _reader(self, name: str, handler: str, calls: list[str], description: str) -> lambda_.Function:
        """Make a function that needs no more than some calls of CloudFormation's API."""
        function = make_function(
            self, name, self.code, handler=f"deploy_pipeline.task_handler.{handler}", description=description
        )
        self._allow_stacks(function, calls, nested=True)
        return function

    def _state_machine(self, functions: dict[str, lambda_.Function]) -> sfn.StateMachine:
        """It may pass the service role to CloudFormation, and no other."""
        log_group = logs.LogGroup(
            self,
            "Log",
            # Without this prefix each group takes room in CloudWatch Logs' resource policy, until it is full.
            log_group_name=unique_name(self, f"/aws/vendedlogs/states/{Stack.of(self).stack_name}"),
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=RemovalPolicy.DESTROY,
        )
        arns = {name: function.function_arn for name, function in functions.items()}
        state_machine = sfn.StateMachine(
            self,
            "StateMachine",
            comment="Creates a stack, or updates it when nothing is deleted or replaced",
            definition_body=sfn.DefinitionBody.from_string(json.dumps(machine.definition())),
            definition_substitutions=arns | {"ServiceRole": self.service_role.role_arn},
            tracing_enabled=True,
            # Parameters of the app may be secret, so the data of executions stays out of the log.
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=False),
        )
        allow(state_machine, ["lambda:InvokeFunction"], *arns.values())
        self._allow_stacks(state_machine, ["CreateStack", "DeleteStack", "DescribeStacks"])
        # The input's tags are those of the stack and of the change set.
        tagging = ["TagResource", "UntagResource"]
        self._allow_stacks(
            state_machine, ["CreateChangeSet", "DeleteChangeSet", "ExecuteChangeSet", *tagging], nested=True
        )
        transforms = "AWS's own transforms, such as SAM's; CloudFormation carries them out as a change set."
        self._allow_cloudformation(state_machine, ["CreateChangeSet"], ["transform/*"], transforms, account="aws")
        state_machine.add_to_role_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.service_role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
            )
        )
        # CloudFormation reads the template and its SSM parameters with the permissions of its caller.
        self._allow_templates(state_machine, ["s3:GetObject"])
        self._allow_ssm_parameters(state_machine)
        allow(state_machine, ["kms:Decrypt"], self.key.key_arn)
        no_arn = "X-Ray and the delivery of logs have no resource-level permissions."
        acknowledge_wildcards(state_machine.role, {"Resource::*": no_arn})
        return state_machine

    def _clean_up(self) -> None:
        """No change set is left of an execution that was aborted, or that took too long."""
        function = make_function(
            self,
            "CleanUp",
            self.code,
            handler="deploy_pipeline.task_handler.clean_up",
            description="Deletes the change set of an execution that ended before it could",
            retry_attempts=2,
            on_failure=destinations.SqsDestination(self.dead_letters),
        )
        self._allow_stacks(function, ["DescribeChangeSet", "DeleteChangeSet"], nested=True)
        events.Rule(
            self,
            "Ended",
            description="Executions that did not end well",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "stateMachineArn": [self.state_machine.state_machine_arn],
                    "status": ["FAILED", "TIMED_OUT", "ABORTED"],
                },
            ),
            targets=[targets.LambdaFunction(function, dead_letter_queue=self.dead_letters, retry_attempts=3)],
        )

    def _allow_stacks(self, grantee: Any, calls: list[str], *, nested: bool = False) -> None:
        """Allow calls on the stacks, with `nested` also on those nested in them, and those on their change sets.

        CloudFormation authorizes a call that names a change set by its ARN alone on that ARN.
        """
        resources = self.stacks + (self.nested_stacks if nested else [])
        if any("ChangeSet" in call for call in calls):
            resources = [*resources, "changeSet/deploy-*/*"]
        reason = "CloudFormation adds ids to names, and names nested stacks; blue/green stacks end in 8 digits."
        self._allow_cloudformation(grantee, calls, resources, reason)

    def _allow_ssm_parameters(self, grantee: Any) -> None:
        """Allow the parameters that the settings name, in this region; AWS's public ones belong to no account."""
        for name in self.settings.ssm_parameters:
            account = "" if name.startswith("/aws/service/") else None
            path = name.removeprefix("/")
            arn = Stack.of(self).format_arn(service="ssm", account=account, resource="parameter", resource_name=path)
            owner = "<AWS::AccountId>" if account is None else ""
            nag = f"arn:<AWS::Partition>:ssm:<AWS::Region>:{owner}:parameter/{path}"
            reason = "The settings say which parameters templates may take."
            allow(grantee, ["ssm:GetParameters"], arn, wildcards={nag: reason} if "*" in name or "?" in name else None)

    def _allow_cloudformation(
        self, grantee: Any, calls: list[str], resources: list[str], reason: str, account: str | None = None
    ) -> None:
        stack = Stack.of(self)
        arns = []
        for resource in resources:
            kind, _, name = resource.partition("/")
            arns.append(stack.format_arn(service="cloudformation", account=account, resource=kind, resource_name=name))
        prefix = f"arn:<AWS::Partition>:cloudformation:<AWS::Region>:{account or '<AWS::AccountId>'}"
        wildcards = {f"{prefix}:{resource}": reason for resource in resources}
        allow(grantee, [f"cloudformation:{call}" for call in calls], *arns, wildcards=wildcards)

    def _allow_templates(self, grantee: Any, actions: list[str]) -> None:
        wildcards = {f"<{_id(self.inputs)}.Arn>/{TEMPLATES}": "Each execution has a template of its own."}
        allow(grantee, actions, self.inputs.arn_for_objects(TEMPLATES), wildcards=wildcards)


def _id(bucket: s3.Bucket) -> str:
    logical_id: str = Stack.of(bucket).get_logical_id(bucket.node.default_child)
    return logical_id
