"""What a host may do: its workgroup, buckets, tables, secret, log and signal; nothing else."""

from aws_cdk import ArnFormat, CfnElement, Fn, Stack, aws_iam as iam
from constructs import Construct

from ..acknowledgments import acknowledge
from .host import Hosts
from .songs import DATABASE, Songs


def host_role(scope: Construct, hosts: Hosts, songs: Songs) -> None:
    """Give the role of `hosts` its permissions."""
    stack = Stack.of(scope)

    def arn(service: str, resource: str, name: str) -> str:
        return stack.format_arn(
            service=service, resource=resource, resource_name=name, arn_format=ArnFormat.SLASH_RESOURCE_NAME
        )

    buckets = [songs.data_bucket.bucket_arn, songs.results_bucket.bucket_arn]
    catalog = stack.format_arn(service="glue", resource="catalog", arn_format=ArnFormat.NO_RESOURCE_NAME)
    statements = {
        "athena": (
            [
                f"athena:{action}"
                for action in (
                    "BatchGetNamedQuery",
                    "GetNamedQuery",
                    "GetQueryExecution",
                    "GetQueryResults",
                    "GetWorkGroup",
                    "ListNamedQueries",
                    "StartQueryExecution",
                    "StopQueryExecution",
                )
            ],
            [arn("athena", "workgroup", songs.workgroup.ref)],
        ),
        "tables": (
            ["glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:GetPartitions"],
            [
                catalog,
                arn("glue", "database", DATABASE),
                *(arn("glue", "table", f"{DATABASE}/{table}") for table in songs.tables),
            ],
        ),
        # Athena looks for it with every query, and refuses the query if it may not.
        "default database": (["glue:GetDatabase"], [arn("glue", "database", "default")]),
        "buckets": (["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"], buckets),
        "objects": (
            [
                "s3:GetObject",
                "s3:PutObject",
                "s3:DeleteObject",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
            ],
            [f"{bucket}/*" for bucket in buckets],
        ),
        "package": (["s3:GetObject"], [f"{hosts.package.bucket.bucket_arn}/{hosts.package.s3_object_key}"]),
        "password": (["secretsmanager:GetSecretValue"], [hosts.password.secret_arn]),
        "log": (["logs:CreateLogStream", "logs:PutLogEvents"], [hosts.log_group.log_group_arn]),
        "signal": (["cloudformation:SignalResource"], [stack.stack_id]),
        # Session Manager's channels have no resource-level permissions.
        "sessions": (
            [
                "ssmmessages:CreateControlChannel",
                "ssmmessages:CreateDataChannel",
                "ssmmessages:OpenControlChannel",
                "ssmmessages:OpenDataChannel",
            ],
            ["*"],
        ),
        # The id of an instance is not known before it has its role.
        "agent": (["ssm:UpdateInstanceInformation"], [arn("ec2", "instance", "*")]),
    }
    if songs.settings.data_location:
        bucket, _, prefix = songs.settings.data_location.removeprefix("s3://").partition("/")
        statements["songs bucket"] = (["s3:GetBucketLocation", "s3:ListBucket"], [_s3_arn(stack, bucket)])
        statements["songs"] = (["s3:GetObject"], [_s3_arn(stack, f"{bucket}/{prefix}*")])
    for actions, resources in statements.values():
        hosts.role.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources))
    _acknowledge_wildcards(stack, hosts, songs)


def _acknowledge_wildcards(stack: Stack, hosts: Hosts, songs: Songs) -> None:
    objects = "Objects of these buckets are named as they come; the bucket, or the prefix, is what limits it."
    reasons = {
        "Resource::*": "Session Manager's channels have no resource-level permissions.",
        "Resource::arn:<AWS::Partition>:ec2:<AWS::Region>:<AWS::AccountId>:instance/*": (
            "The id of an instance is not known before it has its role."
        ),
    }
    for bucket in (songs.data_bucket, songs.results_bucket):
        resource = bucket.node.default_child
        assert isinstance(resource, CfnElement)
        reasons[f"Resource::<{stack.get_logical_id(resource)}.Arn>/*"] = objects
    if songs.settings.data_location:
        location = songs.settings.data_location.removeprefix("s3://")
        reasons[f"Resource::arn:<AWS::Partition>:s3:::{location}*"] = objects
    acknowledge(hosts.role, {f"AwsSolutions-IAM5[{finding}]": reason for finding, reason in reasons.items()})


def _s3_arn(stack: Stack, name: str) -> str:
    return Fn.join("", ["arn:", stack.partition, ":s3:::", name])
