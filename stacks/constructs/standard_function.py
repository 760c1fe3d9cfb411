"""A Lambda function with a dedicated role and log group."""

from typing import Any

from aws_cdk import Duration, RemovalPolicy, aws_iam as iam, aws_lambda as lambda_, aws_logs as logs
from constructs import Construct

# Created once, because each use would be a call to jsii.
RUNTIME, ARCHITECTURE = lambda_.Runtime.PYTHON_3_14, lambda_.Architecture.ARM_64
SERVICE = iam.ServicePrincipal("lambda.amazonaws.com")


class StandardFunction(lambda_.Function):
    """A Python function on arm64 with JSON logs. Its role can only write to its log group."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        memory_size: int = 512,
        timeout_seconds: int = 120,
        **options: Any,
    ) -> None:
        """Set `memory_size` in MiB, and pass `options` to `lambda_.Function`."""
        log_group = logs.LogGroup(
            scope, f"{construct_id}Log", retention=retention, removal_policy=RemovalPolicy.DESTROY
        )
        self.execution_role = iam.Role(scope, f"{construct_id}Role", assumed_by=SERVICE)
        log_group.grant_write(self.execution_role)
        super().__init__(
            scope,
            construct_id,
            runtime=RUNTIME,
            architecture=ARCHITECTURE,
            role=self.execution_role,
            memory_size=memory_size,
            timeout=Duration.seconds(timeout_seconds),
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            **options,
        )
