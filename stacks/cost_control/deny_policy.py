"""The policy that prevents its principals from starting anything that costs more.

It names actions that create, start, scale up or buy. Reading, stopping and deleting stay allowed, so that a team can
still reduce its cost, and so does using what runs. Source: Service Authorization Reference.
"""

from collections.abc import Iterable, Sequence

from aws_cdk import Stack, aws_iam as iam
from constructs import Construct

DENIED_ACTIONS: dict[str, tuple[str, ...]] = {
    "apprunner": ("CreateService", "ResumeService"),
    "autoscaling": (
        *("BatchPutScheduledUpdateGroupAction", "CreateAutoScalingGroup", "ExecutePolicy", "PutScalingPolicy"),
        *("LaunchInstances", "PutScheduledUpdateGroupAction", "PutWarmPool", "ResumeProcesses", "SetDesiredCapacity"),
        *("StartInstanceRefresh", "UpdateAutoScalingGroup"),
    ),
    "batch": ("CreateComputeEnvironment", "SubmitJob", "UpdateComputeEnvironment"),
    "bedrock": ("CreateProvisionedModelThroughput",),
    "ec2": (
        *("AcceptReservedInstancesExchangeQuote", "AllocateHosts", "CreateCapacityReservation", "CreateFleet"),
        *("CreateNatGateway", "CreateVolume", "ModifyFleet", "ModifySpotFleetRequest", "PurchaseCapacityBlock"),
        *("PurchaseCapacityBlockExtension", "PurchaseHostReservation", "PurchaseReservedInstancesOffering"),
        *("PurchaseScheduledInstances", "RequestSpotFleet", "RequestSpotInstances", "RunInstances"),
        *("RunScheduledInstances", "StartInstances"),
    ),
    "ecs": ("CreateService", "RunTask", "StartTask", "UpdateService"),
    "eks": ("CreateCluster", "CreateFargateProfile", "CreateNodegroup", "UpdateNodegroupConfig"),
    "elasticache": (
        "CreateCacheCluster",
        "CreateReplicationGroup",
        "CreateServerlessCache",
        "PurchaseReservedCacheNodesOffering",
    ),
    "elasticloadbalancing": ("CreateLoadBalancer",),
    "elasticmapreduce": ("AddInstanceFleet", "AddInstanceGroups", "ModifyInstanceGroups", "RunJobFlow"),
    "es": (
        *("CreateDomain", "CreateElasticsearchDomain", "PurchaseReservedElasticsearchInstanceOffering"),
        "PurchaseReservedInstanceOffering",
    ),
    "glue": ("CreateSession", "StartJobRun", "StartWorkflowRun"),
    "kafka": ("CreateCluster", "CreateClusterV2"),
    "lightsail": (
        *("CreateInstances", "CreateInstancesFromSnapshot", "CreateRelationalDatabase"),
        *("CreateRelationalDatabaseFromSnapshot", "StartInstance", "StartRelationalDatabase"),
    ),
    "rds": (
        *("CreateDBCluster", "CreateDBInstance", "CreateDBInstanceReadReplica", "CreateDBShardGroup"),
        *("PurchaseReservedDBInstancesOffering", "RestoreDBClusterFromS3"),
        *("RestoreDBClusterFromSnapshot", "RestoreDBClusterToPointInTime", "RestoreDBInstanceFromDBSnapshot"),
        *("RestoreDBInstanceFromS3", "RestoreDBInstanceToPointInTime", "StartDBCluster", "StartDBInstance"),
    ),
    "redshift": (
        *("AcceptReservedNodeExchange", "CreateCluster", "PurchaseReservedNodeOffering", "ResizeCluster"),
        *("RestoreFromClusterSnapshot", "ResumeCluster"),
    ),
    "redshift-serverless": ("CreateWorkgroup",),
    "sagemaker": (
        *(
            "CreateApp",
            "CreateAutoMLJob",
            "CreateAutoMLJobV2",
            "CreateCluster",
            "CreateEndpoint",
            "CreateHyperParameterTuningJob",
            "CreateNotebookInstance",
        ),
        *("CreateProcessingJob", "CreateTrainingJob", "CreateTransformJob", "StartInferenceExperiment"),
        *("StartNotebookInstance", "StartPipelineExecution", "UpdateCluster", "UpdateEndpoint"),
    ),
    "savingsplans": ("CreateSavingsPlan",),
    "workspaces": ("CreateWorkspaces", "CreateWorkspacesPool", "StartWorkspaces", "StartWorkspacesPool"),
}


def denied_actions() -> list[str]:
    """Return the denied actions with their service, in the order of CDK's templates."""
    return sorted(f"{service}:{name}" for service, names in DENIED_ACTIONS.items() for name in names)


class DenyPolicy(iam.ManagedPolicy):
    """A managed policy that is attached to nothing when it is created. It does not apply to exempt principals."""

    def __init__(self, scope: Construct, construct_id: str, *, exempt_principals: Iterable[str]) -> None:
        exempt = [principal_arn(scope, principal) for principal in exempt_principals if is_caller(principal)]
        conditions = {"ArnNotLike": {"aws:PrincipalArn": exempt}} if exempt else None
        super().__init__(
            scope,
            construct_id,
            description="Denies starting anything that costs more; attached and detached by CostControl",
            statements=[
                iam.PolicyStatement(
                    sid="OverBudget",
                    effect=iam.Effect.DENY,
                    actions=denied_actions(),
                    resources=["*"],
                    conditions=conditions,
                )
            ],
        )


def is_caller(principal: str) -> bool:
    """Return whether requests can come from a principal; those of a group come from its users."""
    return not principal.startswith("group/")


def principal_arn(scope: Construct, principal: str) -> str:
    """Return the ARN of a user, group or role, such as ``role/team/ops``."""
    kind, _, name = principal.partition("/")
    return Stack.of(scope).format_arn(service="iam", region="", resource=kind, resource_name=name)


def principal_arns(scope: Construct, kind: str, names: Sequence[str]) -> list[str]:
    """Return the ARNs of groups or roles with their path."""
    return [principal_arn(scope, f"{kind}/{name}") for name in names]
