"""A pipeline whose Deploy action is a state machine that creates or safely updates a stack.

    Source --> artifact --> Deploy: trigger Lambda --starts--> state machine --> CloudFormation
                              ^                                   |   (separate service role)
                              +------- polls until it ends -------+

The state machine can also be started without the pipeline. Based on
"Using AWS Step Functions State Machines to Handle Workflow-Driven AWS CodePipeline Actions", AWS
DevOps Blog, 2017.
"""

import json
from typing import Any

from aws_cdk import (
    Duration,
    RemovalPolicy,
    Stack,
    aws_cloudwatch as cloudwatch,
    aws_iam as iam,
    aws_kms as kms,
    aws_lambda as lambda_,
    aws_logs as logs,
    aws_s3 as s3,
    aws_s3_deployment as deployment,
)
from constructs import Construct

from lambdas.deploy_pipeline import metrics
from lambdas.deploy_pipeline.report import PREFIX
from settings.deploy_pipeline import DeployPipelineSettings, Permission

from ..constructs.acknowledgments import acknowledge, acknowledge_bucket_deployment
from ..constructs.alarm_topic import AlarmTopic
from ..constructs.cfn_resource import cfn_resource
from ..constructs.dead_letter_queue import DeadLetterQueue
from ..constructs.grants import grant
from ..constructs.lambda_code import lambda_asset
from ..constructs.log_groups import deny_create_log_group
from ..constructs.outputs import add_outputs
from ..constructs.private_bucket import PrivateBucket
from ..constructs.standard_function import StandardFunction
from .approval import APPROVALS, Approval
from .pipeline import Pipeline
from .state_machine import DeploymentStateMachine

INPUT_KEY = "state_machine_input.json"


class DeployPipeline(Stack):
    """The pipeline of `settings`, its state machine, and the service role that creates the app."""

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
        artifacts = self._bucket("Artifacts", s3.LifecycleRule(expiration=month))
        # Separate from the artifacts: the pipeline cannot change the input of the state machine.
        self.inputs = self._bucket(
            "Inputs",
            s3.LifecycleRule(prefix="templates/", expiration=month),
            s3.LifecycleRule(prefix=APPROVALS, expiration=month),
            s3.LifecycleRule(prefix=PREFIX, expiration=Duration.days(365)),
        )
        # Without a customer managed key, so that what the app creates can read its assets. They do not expire, because
        # a rollback needs the assets of the previous deployment.
        self.assets = self._bucket("Assets", encryption=s3.BucketEncryption.S3_MANAGED)
        self.dead_letters = DeadLetterQueue(self, "DeadLetters")
        self.service_role = self._service_role()
        self.topic = AlarmTopic(self, "Topic", display_name="Deployments", email=settings.email)
        code = lambda_asset("deploy_pipeline", shared=["mail_text"])
        self.approval = Approval(
            self,
            "Approval",
            code=code,
            log_level=settings.log_level,
            inputs=self.inputs,
            key=self.key,
            topic=self.topic,
            dead_letters=self.dead_letters,
        )
        deployment_state_machine = DeploymentStateMachine(
            self,
            "Deployment",
            code=code,
            settings=settings,
            artifacts=artifacts,
            inputs=self.inputs,
            assets=self.assets,
            key=self.key,
            service_role=self.service_role,
            dead_letters=self.dead_letters,
            request_approval=self.approval.request,
        )
        self.state_machine = deployment_state_machine.state_machine
        self.trigger = self._trigger(code)
        self.pipeline = Pipeline(
            self,
            "Pipeline",
            settings=settings,
            artifacts=artifacts,
            trigger=self.trigger,
            user_parameters={"s3Bucket": self.inputs.bucket_name, "stateMachineFile": INPUT_KEY},
            prerequisites=[self.service_role, deployment_state_machine, self.approval, self.trigger, self._input()],
        )
        acknowledge_bucket_deployment(self, self.inputs)
        self._add_alarms()
        self._outputs()

    def _bucket(
        self, name: str, *rules: s3.LifecycleRule, encryption: s3.BucketEncryption = s3.BucketEncryption.KMS
    ) -> s3.Bucket:
        has_key = encryption == s3.BucketEncryption.KMS
        bucket = PrivateBucket(
            self,
            name,
            encryption=encryption,
            encryption_key=self.key if has_key else None,
            bucket_key_enabled=has_key or None,
            versioned=True,
            lifecycle_rules=[s3.LifecycleRule(noncurrent_version_expiration=Duration.days(30)), *rules],
        )
        acknowledge(
            bucket,
            {"AwsSolutions-S1": "The histories of the pipeline and of executions record which objects were used."},
        )
        return bucket

    def _input(self) -> deployment.BucketDeployment:
        """Upload the state machine's input, if it has changed since the last deployment."""
        log_group = logs.LogGroup(
            self, "InputLog", retention=logs.RetentionDays.ONE_YEAR, removal_policy=RemovalPolicy.DESTROY
        )
        upload = deployment.BucketDeployment(
            self,
            "Input",
            sources=[deployment.Source.data(INPUT_KEY, json.dumps(self.settings.state_machine_input, indent=2))],
            destination_bucket=self.inputs,
            prune=False,
            log_group=log_group,
        )
        deny_create_log_group(cfn_resource(upload.handler_role, iam.CfnRole))
        return upload

    def _service_role(self) -> iam.Role:
        """Create the role that CloudFormation uses to create the app."""
        boundary = self.settings.permissions_boundary
        role = iam.Role(
            self,
            "ServiceRole",
            assumed_by=iam.ServicePrincipal("cloudformation.amazonaws.com"),
            description="Role that CloudFormation uses to create the app of the deployment pipeline",
            permissions_boundary=(
                iam.ManagedPolicy.from_managed_policy_arn(self, "Boundary", boundary) if boundary else None
            ),
        )
        for permission in self.settings.permissions:
            grant(
                role,
                permission.actions,
                *(self._substitute(arn) for arn in permission.resources),
                conditions=self._conditions(permission),
                wildcard_reason="The settings define what the app needs; CloudFormation generates the names.",
            )
        return role

    def _conditions(self, permission: Permission) -> dict[str, Any]:
        def substitute(value: Any) -> Any:
            if isinstance(value, tuple):
                return [substitute(item) for item in value]
            return self._substitute(value) if isinstance(value, str) else value

        return {
            operator: {key: substitute(value) for key, value in keys.items()}
            for operator, keys in permission.conditions.items()
        }

    def _substitute(self, text: str) -> str:
        """Replace the placeholders of `permissions` in the settings."""
        values = {
            "partition": self.partition,
            "region": self.region,
            "account": self.account,
            "stack": self.settings.stack_name,
        }
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def _trigger(self, code: lambda_.AssetCode) -> StandardFunction:
        trigger = StandardFunction(
            self,
            "Trigger",
            code=code,
            handler="deploy_pipeline.trigger_handler.handler",
            description="Starts the state machine for a pipeline job, and reports the result",
            environment={
                "STATE_MACHINE_ARN": self.state_machine.state_machine_arn,
                "LOG_LEVEL": self.settings.log_level,
            },
            # No dead-letter queue: it would contain the job's credentials, and a job that has ended cannot be
            # processed again. CodePipeline times out, and an alarm reports the error.
            retry_attempts=2,
        )
        executions = self.state_machine.executions_arn
        grant(trigger, ["states:StartExecution"], self.state_machine.state_machine_arn)
        grant(
            trigger,
            ["states:DescribeExecution"],
            executions,
            wildcard_reason="An execution is named after the first job of its action.",
        )
        grant(trigger, ["s3:GetObject"], self.inputs.arn_for_objects(INPUT_KEY))
        grant(trigger, ["kms:Decrypt"], self.key.key_arn)
        grant(
            trigger,
            ["codepipeline:PutJobSuccessResult", "codepipeline:PutJobFailureResult"],
            "*",
            wildcard_reason="Jobs have no resource-level permissions.",
        )
        return trigger

    def _add_alarms(self) -> None:
        period = Duration.minutes(5)
        machine = self.state_machine
        edited_input = cloudwatch.Metric(
            namespace=metrics.NAMESPACE, metric_name=metrics.EDITED_INPUT, statistic="Maximum", period=period
        )
        alarms = {
            "Failed": (machine.metric_failed(period=period), "A deployment failed or was rejected"),
            "TimedOut": (machine.metric_timed_out(period=period), "A deployment timed out"),
            "Aborted": (machine.metric_aborted(period=period), "An execution was stopped manually"),
            "EditedInput": (edited_input, "An execution did not use the deployed input"),
            "TriggerErrors": (
                self.trigger.metric_errors(period=period),
                "The result of a job could not be reported to CodePipeline",
            ),
            "DeadLetters": (
                self.dead_letters.metric_messages(),
                "Clean-up events or decisions could not be processed; they are in the dead-letter queue",
            ),
        }
        for name, (metric, description) in alarms.items():
            self.topic.add_alarm(name, metric, description)

    def _outputs(self) -> None:
        outputs = {
            "PipelineName": (self.pipeline.pipeline.pipeline_name, "The pipeline"),
            "StateMachineArn": (
                self.state_machine.state_machine_arn,
                "State machine, which can also be started without the pipeline",
            ),
            "TriggerName": (self.trigger.function_name, "Function that the pipeline invokes"),
            "InputBucketName": (self.inputs.bucket_name, "Bucket with the state machine's input and templates"),
            "InputKey": (INPUT_KEY, "Key of the state machine's input in that bucket"),
            "AssetBucketName": (self.assets.bucket_name, "Bucket with the file assets of CDK apps"),
            "ServiceRoleArn": (self.service_role.role_arn, "Role that CloudFormation uses to create the app"),
            "AppStackName": (",".join(self.settings.stack_names), "The app's stack or stacks"),
            "TopicArn": (self.topic.topic_arn, "Topic for alarms and requests for approval"),
            "DecisionQueueArn": (self.approval.queue.queue_arn, "Queue for decisions about unsafe changes"),
            "DeadLetterQueueUrl": (
                self.dead_letters.queue_url,
                "Clean-up events and decisions that could not be processed",
            ),
            **self.pipeline.outputs,
        }
        add_outputs(self, outputs)
