"""A pipeline whose Deploy action is a state machine that creates or safely updates a stack.

    Source --> artifact --> Deploy: trigger Lambda --starts--> state machine --> CloudFormation
                              ^                                   |  (service role of its own)
                              +--- asked again until it is over --+

The pipeline knows nothing of the state machine, and anybody can start the state machine. Idea:
"Building a Continuous Delivery Pipeline with AWS CodePipeline and AWS Step Functions", AWS DevOps Blog, 2017.
"""

import json
from pathlib import Path
from typing import Any

from aws_cdk import (
    ArnFormat,
    CfnOutput,
    Duration,
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
    aws_s3_deployment as deployment,
    aws_sns as sns,
    aws_sqs as sqs,
    aws_stepfunctions as sfn,
)
from constructs import Construct

from sections.deploy_pipeline import DeployPipelineSettings

from ..acknowledgments import acknowledge
from ..code import code_of
from ..notices import alarm, notices_topic
from . import machine
from .pipeline import Delivery

INPUT_KEY = "input/state_machine_input.json"


class DeployPipeline(Stack):
    """The pipeline of `settings`, its state machine, and the role under which the app is made."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: DeployPipelineSettings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, description="Pipeline that deploys stacks safely", **kwargs)
        self.settings = settings
        self.key = kms.Key(
            self,
            "Key",
            description="Artifacts, inputs and templates of the deployment pipeline",
            enable_key_rotation=True,
            pending_window=Duration.days(7),
            removal_policy=RemovalPolicy.DESTROY,
        )
        month = Duration.days(30)
        self.artifacts = self._bucket("Artifacts", self.key, s3.LifecycleRule(expiration=month))
        # Apart from the artifacts, for the pipeline has no business with what it is steered by.
        self.inputs = self._bucket("Inputs", self.key, s3.LifecycleRule(prefix="templates/", expiration=month))
        self.dead_letters = self._dead_letters()
        service_role = self._service_role()
        with code_of("deploy_pipeline") as code:
            state_machine = self._state_machine(service_role, self._tasks(code))
            trigger = self._trigger(code, state_machine)
            self._cleaner(code, state_machine)
        delivery = Delivery(
            self,
            "Delivery",
            settings=settings,
            artifacts=self.artifacts,
            trigger=trigger,
            user_parameters={"s3Bucket": self.inputs.bucket_name, "stateMachineFile": INPUT_KEY},
        )
        delivery.node.add_dependency(self._input())
        topic = notices_topic(self, "Deployments", settings.email)
        self._alarms(topic, state_machine, trigger)
        self._outputs(topic, state_machine, trigger, service_role, delivery)

    def _bucket(self, name: str, key: kms.Key, *rules: s3.LifecycleRule) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            name,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            versioned=True,
            lifecycle_rules=[s3.LifecycleRule(noncurrent_version_expiration=Duration.days(30)), *rules],
            removal_policy=RemovalPolicy.DESTROY,
            auto_delete_objects=True,
        )
        acknowledge(
            bucket, {"AwsSolutions-S1": "The history of the pipeline and of its executions says what was used."}
        )
        return bucket

    def _input(self) -> deployment.BucketDeployment:
        given = json.loads(Path(self.settings.input).read_text())
        return deployment.BucketDeployment(
            self,
            "Input",
            sources=[deployment.Source.data(INPUT_KEY, json.dumps(given, indent=2))],
            destination_bucket=self.inputs,
            prune=False,
        )

    def _dead_letters(self) -> sqs.Queue:
        queue = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        acknowledge(queue, {"AwsSolutions-SQS3": "This queue is the dead-letter queue."})
        return queue

    def _service_role(self) -> iam.Role:
        """CloudFormation makes the app under this role; nothing else may take it."""
        role = iam.Role(
            self,
            "ServiceRole",
            assumed_by=iam.ServicePrincipal("cloudformation.amazonaws.com"),
            description="CloudFormation makes the app of the deployment pipeline with it",
        )
        names = {
            "{partition}": self.partition,
            "{region}": self.region,
            "{account}": self.account,
            "{stack}": self.settings.stack_name,
        }
        for permission in self.settings.permissions:
            resources = []
            for resource in permission.resources:
                for name, value in names.items():
                    resource = resource.replace(name, value)
                resources.append(resource)
            role.add_to_policy(iam.PolicyStatement(actions=list(permission.actions), resources=resources))
        acknowledge(
            role, {"AwsSolutions-IAM5": "The settings say what the app needs; its resources are named after its stack."}
        )
        return role

    def _function(
        self, name: str, code: lambda_.AssetCode, handler: str, description: str, **options: Any
    ) -> lambda_.Function:
        """A function with a role and a log of its own."""
        log_group = logs.LogGroup(
            self, f"{name}Log", retention=logs.RetentionDays.ONE_YEAR, removal_policy=RemovalPolicy.DESTROY
        )
        role = iam.Role(self, f"{name}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        return lambda_.Function(
            self,
            name,
            description=description,
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler=f"deploy_pipeline.{handler}",
            code=code,
            role=role,
            memory_size=512,
            timeout=Duration.minutes(2),
            log_group=log_group,
            **options,
        )

    def _tasks(self, code: lambda_.AssetCode) -> dict[str, lambda_.Function]:
        """The functions of the state machine, by their names in its definition. None may change a stack."""
        check_stack = self._function(
            "CheckStack",
            code,
            "task_handler.check_stack",
            "Checks the input and the stack, and takes the template out of the artifact",
            environment={
                "BUCKET": self.inputs.bucket_name,
                "BUCKET_URL": f"https://{self.inputs.bucket_regional_domain_name}",
            },
        )
        change_set = self._function(
            "ChangeSet", code, "task_handler.change_set", "Looks for changes that delete or replace something"
        )
        first_failure = self._function(
            "FirstFailure", code, "task_handler.first_failure", "Finds the resource that made a stack fail"
        )
        self._allow(check_stack, ["s3:GetObject"], [self.artifacts.arn_for_objects("*")])
        self._allow(check_stack, ["s3:PutObject"], [self.inputs.arn_for_objects("templates/*")])
        self._allow(check_stack, ["kms:Decrypt", "kms:GenerateDataKey"], [self.key.key_arn])
        self._allow(
            check_stack, ["cloudformation:DescribeStacks", "cloudformation:DescribeStackEvents"], self._stacks()
        )
        # A template that is not yet a stack's has no ARN.
        self._allow(check_stack, ["cloudformation:GetTemplateSummary"], ["*"])
        self._allow(change_set, ["cloudformation:DescribeChangeSet"], self._stacks())
        self._allow(first_failure, ["cloudformation:DescribeStackEvents"], self._stacks())
        return {"CheckStack": check_stack, "ChangeSet": change_set, "FirstFailure": first_failure}

    def _state_machine(self, service_role: iam.Role, functions: dict[str, lambda_.Function]) -> sfn.StateMachine:
        """It may take the service role to CloudFormation, and no other."""
        log_group = logs.LogGroup(
            self, "Log", retention=logs.RetentionDays.ONE_YEAR, removal_policy=RemovalPolicy.DESTROY
        )
        substitutions = {name: function.function_arn for name, function in functions.items()}
        state_machine = sfn.StateMachine(
            self,
            "StateMachine",
            comment="Creates a stack, or updates it when nothing is deleted or replaced",
            definition_body=sfn.DefinitionBody.from_string(json.dumps(machine.definition())),
            definition_substitutions=substitutions | {"ServiceRole": service_role.role_arn},
            tracing_enabled=True,
            # Parameters of the app may be secret, so the data of executions stays out of the log.
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=False),
        )
        for name in functions.values():
            self._allow(state_machine, ["lambda:InvokeFunction"], [name.function_arn])
        calls = [
            "CreateStack",
            "DeleteStack",
            "DescribeStacks",
            "CreateChangeSet",
            "ExecuteChangeSet",
            "DeleteChangeSet",
        ]
        self._allow(state_machine, [f"cloudformation:{call}" for call in calls], self._stacks())
        state_machine.add_to_role_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[service_role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
            )
        )
        # CloudFormation reads the template as whoever asks for the stack.
        self._allow(state_machine, ["s3:GetObject"], [self.inputs.arn_for_objects("templates/*")])
        self._allow(state_machine, ["kms:Decrypt"], [self.key.key_arn])
        return state_machine

    def _trigger(self, code: lambda_.AssetCode, state_machine: sfn.StateMachine) -> lambda_.Function:
        trigger = self._function(
            "Trigger",
            code,
            "trigger_handler.handler",
            "Starts the state machine for a job of the pipeline, and tells how it ended",
            environment={"STATE_MACHINE_ARN": state_machine.state_machine_arn},
            retry_attempts=2,
            on_failure=destinations.SqsDestination(self.dead_letters),
        )
        self._allow(trigger, ["states:StartExecution"], [state_machine.state_machine_arn])
        self._allow(trigger, ["states:DescribeExecution"], [self._executions(state_machine)])
        self._allow(trigger, ["s3:GetObject"], [self.inputs.arn_for_objects("input/*")])
        self._allow(trigger, ["kms:Decrypt"], [self.key.key_arn])
        # Jobs have no ARN: these two calls have no resource-level permissions.
        self._allow(trigger, ["codepipeline:PutJobSuccessResult", "codepipeline:PutJobFailureResult"], ["*"])
        return trigger

    def _cleaner(self, code: lambda_.AssetCode, state_machine: sfn.StateMachine) -> None:
        """No change set is left of an execution that was aborted, or that took too long."""
        cleaner = self._function(
            "CleanUp",
            code,
            "task_handler.clean_up",
            "Deletes the change set of an execution that ended before it could",
            retry_attempts=2,
            on_failure=destinations.SqsDestination(self.dead_letters),
        )
        self._allow(cleaner, ["cloudformation:DescribeChangeSet", "cloudformation:DeleteChangeSet"], self._stacks())
        events.Rule(
            self,
            "Ended",
            description="Executions that did not end well",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "stateMachineArn": [state_machine.state_machine_arn],
                    "status": ["FAILED", "TIMED_OUT", "ABORTED"],
                },
            ),
            targets=[targets.LambdaFunction(cleaner, dead_letter_queue=self.dead_letters, retry_attempts=3)],
        )

    def _alarms(self, topic: sns.Topic, state_machine: sfn.StateMachine, trigger: lambda_.Function) -> None:
        period = Duration.minutes(5)
        alarms = {
            "Failed": (state_machine.metric_failed(period=period), "A deployment failed or was refused"),
            "TimedOut": (state_machine.metric_timed_out(period=period), "A deployment took too long"),
            "Aborted": (state_machine.metric_aborted(period=period), "A deployment was stopped by hand"),
            "TriggerErrors": (trigger.metric_errors(period=period), "A job of the pipeline could not be handled"),
            "DeadLetters": (
                self.dead_letters.metric_approximate_number_of_messages_visible(period=period),
                "Events could not be handled; they are kept in the dead-letter queue",
            ),
        }
        for name, (metric, description) in alarms.items():
            alarm(topic, name, metric, description)

    def _outputs(
        self,
        topic: sns.Topic,
        state_machine: sfn.StateMachine,
        trigger: lambda_.Function,
        service_role: iam.Role,
        delivery: Delivery,
    ) -> None:
        outputs = {
            "PipelineName": (delivery.pipeline.pipeline_name, "The pipeline"),
            "StateMachineArn": (state_machine.state_machine_arn, "The state machine, for starting it by hand"),
            "TriggerName": (trigger.function_name, "The function that the pipeline invokes"),
            "InputBucketName": (self.inputs.bucket_name, "The state machine's input, and templates"),
            "InputKey": (INPUT_KEY, "The state machine's input in that bucket"),
            "ServiceRoleArn": (service_role.role_arn, "CloudFormation makes the app with this role"),
            "AppStackName": (self.settings.stack_name, "The stack that is deployed"),
            "TopicArn": (topic.topic_arn, "Alarms"),
            "DeadLetterQueueUrl": (self.dead_letters.queue_url, "Events that could not be handled"),
            **delivery.outputs,
        }
        for name, (value, description) in outputs.items():
            CfnOutput(self, name, value=value, description=description)

    def _stacks(self) -> list[str]:
        """The app's stack, those made beside it, and those nested in them."""
        name = self.settings.stack_name
        return [
            self.format_arn(service="cloudformation", resource="stack", resource_name=f"{pattern}/*")
            for pattern in (name, f"{name}-*")
        ]

    def _executions(self, state_machine: sfn.StateMachine) -> str:
        return self.format_arn(
            service="states",
            resource="execution",
            resource_name=f"{state_machine.state_machine_name}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )

    @staticmethod
    def _allow(grantee: iam.IGrantable, actions: list[str], resources: list[str]) -> None:
        grantee.grant_principal.add_to_principal_policy(iam.PolicyStatement(actions=actions, resources=resources))
