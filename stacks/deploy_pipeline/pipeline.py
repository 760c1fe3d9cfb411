"""The pipeline: the source in the settings, and one Deploy action in the stage Prod."""

from typing import cast

from aws_cdk import (
    Duration,
    RemovalPolicy,
    Stack,
    aws_codecommit as codecommit,
    aws_codepipeline as codepipeline,
    aws_codepipeline_actions as actions,
    aws_events as events,
    aws_events_targets as targets,
    aws_iam as iam,
    aws_lambda as lambda_,
    aws_s3 as s3,
)
from constructs import Construct, IDependable

from settings.deploy_pipeline import DeployPipelineSettings

from ..constructs.acknowledgments import acknowledge, acknowledge_wildcards
from ..constructs.assets import stage_files
from ..constructs.cfn_resource import cfn_resource
from ..constructs.grants import grant
from ..constructs.outputs import Outputs
from ..constructs.private_bucket import PrivateBucket
from ..constructs.standard_function import StandardFunction
from ..constructs.unique_name import unique_name

STAGE = "Prod"


class Pipeline(Construct):
    """A pipeline that passes the app's source to the function `trigger`; it is created after `prerequisites`."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: DeployPipelineSettings,
        artifacts: s3.Bucket,
        trigger: StandardFunction,
        user_parameters: dict[str, str],
        prerequisites: list[IDependable],
    ) -> None:
        super().__init__(scope, construct_id)
        self.settings, self.trigger = settings, trigger
        self.outputs: Outputs = {}
        self.app, self.user_parameters = codepipeline.Artifact("App"), user_parameters
        deployments = self._deployments()
        self.pipeline = codepipeline.Pipeline(
            self,
            "Pipeline",
            pipeline_type=codepipeline.PipelineType.V2,
            artifact_bucket=artifacts,
            cross_account_keys=False,
            stages=[
                codepipeline.StageProps(stage_name="Source", actions=[self._source(self.app)]),
                codepipeline.StageProps(stage_name=STAGE, actions=list(deployments)),
            ],
        )
        if settings.source == "codeconnections":
            self._use_connection()
        # The pipeline runs as soon as it exists, so the policies of its roles must be created first.
        roles = [self._action_role("Source", "Source")]
        roles += [self._action_role(STAGE, str(item.action_properties.action_name)) for item in deployments]
        cfn_resource(self.pipeline, codepipeline.CfnPipeline).node.add_dependency(*roles, *prerequisites)
        self._acknowledge_grants(artifacts)
        if settings.source == "s3":
            self._start_on_upload()

    def _deployments(self) -> list[actions.LambdaInvokeAction]:
        """Return the actions that invoke the trigger.

        Of several stacks, each is inspected before the first one is changed; they are deployed in order. All actions
        are in one stage, because another pipeline execution could run in a separate stage at the same time.
        """
        stacks = self.settings.stacks
        if not stacks:
            return [self._deploy("Deploy")]
        inspections = [self._deploy(f"Inspect-{stack}", stack=stack, inspectOnly=True) for stack in stacks]
        # The variable is the first parameter: of two fields of JSON with the same name, the last one counts.
        deployments = [
            self._deploy(
                f"Deploy-{stack}", order, inspection=inspection.variable("execution"), stack=stack, inspectOnly=False
            )
            for order, (stack, inspection) in enumerate(zip(stacks, inspections, strict=True), start=2)
        ]
        return inspections + deployments

    def _deploy(self, name: str, run_order: int = 1, **selection: str | bool) -> actions.LambdaInvokeAction:
        return actions.LambdaInvokeAction(
            action_name=name,
            inputs=[self.app],
            lambda_=self.trigger,
            run_order=run_order,
            variables_namespace=name if selection.get("inspectOnly") else None,
            user_parameters={**selection, **self.user_parameters},
        )

    def _use_connection(self) -> None:
        """Grant the action with the service prefix of the ARN; the construct only grants the old prefix."""
        service = str(self.settings.connection_arn).split(":")[2]
        grant(self._action_role("Source", "Source"), [f"{service}:UseConnection"], str(self.settings.connection_arn))

    def _action_role(self, stage: str, action: str) -> iam.Role:
        action_construct = self.pipeline.node.find_child(stage).node.find_child(action)
        return cast(iam.Role, action_construct.node.find_child("CodePipelineActionRole"))

    def _source(self, app: codepipeline.Artifact) -> codepipeline.IAction:
        settings = self.settings
        if settings.source == "codeconnections":
            owner, _, repository = str(settings.repository).rpartition("/")
            return actions.CodeStarConnectionsSourceAction(
                action_name="Source",
                output=app,
                connection_arn=str(settings.connection_arn),
                owner=owner,
                repo=repository,
                branch=settings.branch,
            )
        if settings.source == "s3":
            self.source_bucket = self._source_bucket()
            return actions.S3SourceAction(
                action_name="Source",
                output=app,
                bucket=self.source_bucket,
                bucket_key=settings.source_key,
                trigger=actions.S3Trigger.NONE,  # a rule instead: S3's events need no CloudTrail
            )
        return actions.CodeCommitSourceAction(
            action_name="Source", output=app, repository=self._repository(), branch=settings.branch
        )

    def _repository(self) -> codecommit.Repository:
        """Create the repository; it is retained when the stack is deleted or its source is changed."""
        settings = self.settings
        folder = stage_files(
            settings.app,
            setting="deploy_pipeline:app",
            allowed=settings.allowed_files,
            allow_setting="deploy_pipeline:allowed_files",
        )
        repository = codecommit.Repository(
            self,
            "Repository",
            repository_name=unique_name(self, f"{Stack.of(self).stack_name}-app"),
            description="The app that the pipeline deploys",
            code=codecommit.Code.from_directory(folder, settings.branch),
        )
        repository.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
        self.outputs["RepositoryName"] = (repository.repository_name, "CodeCommit repository with the app")
        self.outputs["CloneUrl"] = (repository.repository_clone_url_grc, "For git, with git-remote-codecommit")
        return repository

    def _source_bucket(self) -> s3.Bucket:
        bucket = PrivateBucket(
            self,
            "Source",
            versioned=True,  # CodePipeline requires it
            lifecycle_rules=[s3.LifecycleRule(noncurrent_version_expiration=Duration.days(30))],
        )
        # The property of the bucket, because aws-cdk-lib's `event_bridge_enabled` adds a function that sets it.
        cfn_resource(bucket, s3.CfnBucket).add_property_override(
            "NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled", True
        )
        acknowledge(bucket, {"AwsSolutions-S1": "The pipeline's history records which version was deployed."})
        self.outputs["SourceBucketName"] = (bucket.bucket_name, "Bucket for the app's zip file")
        return bucket

    def _start_on_upload(self) -> None:
        events.Rule(
            self,
            "Uploaded",
            description="Starts the pipeline when the app's zip file is uploaded",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [self.source_bucket.bucket_name]},
                    "object": {"key": [self.settings.source_key]},
                },
            ),
            targets=[targets.CodePipeline(self.pipeline)],
        )

    def _acknowledge_grants(self, artifacts: s3.Bucket) -> None:
        """Acknowledge what aws-cdk-lib grants to the roles of the pipeline and its actions."""
        stack = Stack.of(self)
        reason = "aws-cdk-lib grants the pipeline these permissions."
        buckets = [artifacts, *([self.source_bucket] if self.settings.source == "s3" else [])]
        resources = [cfn_resource(bucket, s3.CfnBucket) for bucket in buckets]
        wildcards = [f"Resource::<{stack.get_logical_id(resource)}.Arn>/*" for resource in resources]
        for action in ("s3:Abort", "s3:DeleteObject", "s3:GetBucket", "s3:GetObject", "s3:List"):
            wildcards.append(f"Action::{action}*")
        wildcards += ["Action::kms:GenerateDataKey*", "Action::kms:ReEncrypt*"]
        trigger = cfn_resource(self.trigger, lambda_.CfnFunction)
        wildcards.append(f"Resource::<{stack.get_logical_id(trigger)}.Arn>:*")
        wildcards.append("Resource::*")  # ListFunctions
        acknowledge_wildcards(self.pipeline, dict.fromkeys(wildcards, reason))
