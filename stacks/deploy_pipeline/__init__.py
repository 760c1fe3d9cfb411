"""A pipeline whose Deploy action is a state machine that creates or safely updates a stack.

    Source --> artifact --> Deploy: trigger Lambda --starts--> state machine --> CloudFormation
                              ^                                   |  (service role of its own)
                              +--- asked again until it is over --+

The pipeline knows nothing of the state machine, and anybody can start the state machine. Idea:
"Using AWS Step Functions State Machines to Handle Workflow-Driven AWS CodePipeline Actions", AWS
DevOps Blog, 2017.
"""

import json
from typing import Any

from aws_cdk import (
    ArnFormat,
    CfnOutput,
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
    aws_sns as sns,
    aws_stepfunctions as sfn,
)
from constructs import Construct

from settings.deploy_pipeline import DeployPipelineSettings, Permission

from ..constructs.acknowledgments import acknowledge, acknowledge_bucket_deployment, acknowledge_wildcards
from ..constructs.buckets import make_bucket
from ..constructs.dead_letters import dead_letter_queue
from ..constructs.functions import allow, deny_log_groups, make_function
from ..constructs.lambda_code import code_of
from ..constructs.notices import alarm, notices_topic
from .deployer import Deployer
from .pipeline import Delivery

INPUT_KEY = "state_machine_input.json"


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
        artifacts = self._bucket("Artifacts", s3.LifecycleRule(expiration=month))
        # Apart from the artifacts, for the pipeline has no business with what it is steered by.
        self.inputs = self._bucket("Inputs", s3.LifecycleRule(prefix="templates/", expiration=month))
        self.dead_letters = dead_letter_queue(self)
        self.service_role = self._service_role()
        with code_of("deploy_pipeline") as code:
            self.deployer = Deployer(
                self,
                "Deployer",
                code=code,
                settings=settings,
                artifacts=artifacts,
                inputs=self.inputs,
                key=self.key,
                service_role=self.service_role,
                dead_letters=self.dead_letters,
            )
            self.state_machine = self.deployer.state_machine
            self.trigger = self._trigger(code)
        self.delivery = Delivery(
            self,
            "Delivery",
            settings=settings,
            artifacts=artifacts,
            trigger=self.trigger,
            user_parameters={"s3Bucket": self.inputs.bucket_name, "stateMachineFile": INPUT_KEY},
            prerequisites=[self.service_role, self.deployer, self.trigger, self._input()],
        )
        acknowledge_bucket_deployment(self, self.inputs)
        self._outputs(self._alarms().topic_arn)

    def _bucket(self, name: str, *rules: s3.LifecycleRule) -> s3.Bucket:
        bucket = make_bucket(
            self,
            name,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            versioned=True,
            lifecycle_rules=[s3.LifecycleRule(noncurrent_version_expiration=Duration.days(30)), *rules],
        )
        acknowledge(bucket, {"AwsSolutions-S1": "The histories of pipeline and executions say who used which object."})
        return bucket

    def _input(self) -> deployment.BucketDeployment:
        """Write the state machine's input: only when it has changed since the last deployment."""
        log_group = logs.LogGroup(
            self, "InputLog", retention=logs.RetentionDays.ONE_YEAR, removal_policy=RemovalPolicy.DESTROY
        )
        written = deployment.BucketDeployment(
            self,
            "Input",
            sources=[deployment.Source.data(INPUT_KEY, json.dumps(self.settings.state_machine_input, indent=2))],
            destination_bucket=self.inputs,
            prune=False,
            log_group=log_group,
        )
        deny_log_groups(written.handler_role.node.default_child)
        return written

    def _service_role(self) -> iam.Role:
        """CloudFormation makes the app under this role."""
        boundary = self.settings.permissions_boundary
        role = iam.Role(
            self,
            "ServiceRole",
            assumed_by=iam.ServicePrincipal("cloudformation.amazonaws.com"),
            description="CloudFormation makes the app of the deployment pipeline with it",
            permissions_boundary=boundary and iam.ManagedPolicy.from_managed_policy_arn(self, "Boundary", boundary),
        )
        reason = "The settings say what the app needs; CloudFormation chooses the ends of its resources' names."
        for permission in self.settings.permissions:
            resources = [self._filled(arn, self.partition, self.region, self.account) for arn in permission.resources]
            statement = iam.PolicyStatement(
                actions=list(permission.actions), resources=resources, conditions=self._conditions(permission)
            )
            role.add_to_policy(statement)
            named = [
                self._filled(arn, "<AWS::Partition>", "<AWS::Region>", "<AWS::AccountId>")
                for arn in permission.resources
            ]
            acknowledge_wildcards(role, {f"Resource::{arn}": reason for arn in named if "*" in arn})
            acknowledge_wildcards(role, {f"Action::{action}": reason for action in permission.actions if "*" in action})
        return role

    def _conditions(self, permission: Permission) -> dict[str, Any]:
        def filled(value: Any) -> Any:
            if isinstance(value, tuple):
                return [filled(item) for item in value]
            return self._filled(value, self.partition, self.region, self.account) if isinstance(value, str) else value

        return {
            operator: {key: filled(value) for key, value in keys.items()}
            for operator, keys in permission.conditions.items()
        }

    def _filled(self, arn: str, partition: str, region: str, account: str) -> str:
        names = {"partition": partition, "region": region, "account": account, "stack": self.settings.stack_name}
        for name, value in names.items():
            arn = arn.replace(f"{{{name}}}", value)
        return arn

    def _trigger(self, code: lambda_.AssetCode) -> lambda_.Function:
        trigger = make_function(
            self,
            "Trigger",
            code,
            handler="deploy_pipeline.trigger_handler.handler",
            description="Starts the state machine for a job of the pipeline, and tells how it ended",
            environment={"STATE_MACHINE_ARN": self.state_machine.state_machine_arn},
            # Without a queue for what fails for good: it would hold the job's credentials, and a job that
            # is over can be given to nobody. CodePipeline gives up on it, and the alarm tells.
            retry_attempts=2,
        )
        executions = self.format_arn(
            service="states",
            resource="execution",
            resource_name=f"{self.state_machine.state_machine_name}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        machine_id = self.get_logical_id(self.state_machine.node.default_child)
        prefix = "arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution"
        every_execution = {f"{prefix}:<{machine_id}.Name>:*": "An execution is named after its job."}
        allow(trigger, ["states:StartExecution"], self.state_machine.state_machine_arn)
        allow(trigger, ["states:DescribeExecution"], executions, wildcards=every_execution)
        allow(trigger, ["s3:GetObject"], self.inputs.arn_for_objects(INPUT_KEY))
        allow(trigger, ["kms:Decrypt"], self.key.key_arn)
        results = ["codepipeline:PutJobSuccessResult", "codepipeline:PutJobFailureResult"]
        allow(trigger, results, "*", wildcards={"*": "Jobs have no ARN: no resource-level permissions."})
        return trigger

    def _alarms(self) -> sns.Topic:
        topic = notices_topic(self, "Deployments", self.settings.email)
        period = Duration.minutes(5)
        machine: sfn.StateMachine = self.state_machine
        edited = cloudwatch.Metric(
            namespace="DeployPipeline", metric_name="EditedInput", statistic="Sum", period=period
        )
        alarms = {
            "Failed": (machine.metric_failed(period=period), "A deployment failed or was refused"),
            "TimedOut": (machine.metric_timed_out(period=period), "A deployment took too long"),
            "Aborted": (machine.metric_aborted(period=period), "A deployment was stopped by hand"),
            "EditedInput": (edited, "An execution had another input than the one that was deployed"),
            "TriggerErrors": (self.trigger.metric_errors(period=period), "A job of the pipeline could not be handled"),
            "DeadLetters": (
                self.dead_letters.metric_approximate_number_of_messages_visible(period=period),
                "Events could not be handled; they are kept in the dead-letter queue",
            ),
        }
        for name, (metric, description) in alarms.items():
            alarm(topic, name, metric, description)
        return topic

    def _outputs(self, topic_arn: str) -> None:
        outputs = {
            "PipelineName": (self.delivery.pipeline.pipeline_name, "The pipeline"),
            "StateMachineArn": (self.state_machine.state_machine_arn, "The state machine, for starting it by hand"),
            "TriggerName": (self.trigger.function_name, "The function that the pipeline invokes"),
            "InputBucketName": (self.inputs.bucket_name, "The state machine's input, and templates"),
            "InputKey": (INPUT_KEY, "The state machine's input in that bucket"),
            "ServiceRoleArn": (self.service_role.role_arn, "CloudFormation makes the app with this role"),
            "AppStackName": (self.settings.stack_name, "The stack that is deployed"),
            "TopicArn": (topic_arn, "Alarms"),
            "DeadLetterQueueUrl": (self.dead_letters.queue_url, "Events that could not be handled"),
            **self.delivery.outputs,
        }
        for name, (value, description) in outputs.items():
            CfnOutput(self, name, value=value, description=description)
