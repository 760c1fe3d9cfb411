"""What a host may do: its workgroup, buckets, tables, secret, log and signal; nothing else."""

from aws_cdk import ArnFormat, CfnElement, Fn, Stack, aws_iam as iam

from ..constructs.acknowledgments import acknowledge_wildcards
from .host import Hosts
from .songs import DATABASE, Songs

Statement = tuple[list[str], list[str]]  # actions and resources


def grant_permissions(hosts: Hosts, songs: Songs) -> None:
    """Give the role of `hosts` its permissions."""
    stack = Stack.of(hosts)
    elsewhere = songs.settings.data_location
    statements = [*_queries(stack, songs), *_objects(hosts, songs), *_host(stack, hosts)]
    if elsewhere:
        statements += _objects_elsewhere(stack, elsewhere)
    for actions, resources in statements:
        hosts.role.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources))
    _acknowledge(stack, hosts, songs)


def _queries(stack: Stack, songs: Songs) -> list[Statement]:
    actions = [
        "athena:BatchGetNamedQuery",
        "athena:GetNamedQuery",
        "athena:GetQueryExecution",
        "athena:GetQueryResults",
        "athena:GetWorkGroup",
        "athena:ListNamedQueries",
        "athena:StartQueryExecution",
        "athena:StopQueryExecution",
    ]
    way_down = [
        stack.format_arn(service="glue", resource="catalog", arn_format=ArnFormat.NO_RESOURCE_NAME),
        _arn(stack, "glue", "database", DATABASE),
        *(_arn(stack, "glue", "table", f"{DATABASE}/{table}") for table in songs.tables),
    ]
    return [
        (actions, [_arn(stack, "athena", "workgroup", songs.workgroup.ref)]),
        (["glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:GetPartitions"], way_down),
        # Athena looks for it with every query, and refuses the query if it may not.
        (["glue:GetDatabase"], [_arn(stack, "glue", "database", "default")]),
    ]


def _objects(hosts: Hosts, songs: Songs) -> list[Statement]:
    buckets = [songs.data_bucket.bucket_arn, songs.results_bucket.bucket_arn]
    actions = [
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    ]
    return [
        (["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"], buckets),
        (actions, [f"{bucket}/*" for bucket in buckets]),
        (["s3:GetObject"], [f"{hosts.package.bucket.bucket_arn}/{hosts.package.s3_object_key}"]),
    ]


def _objects_elsewhere(stack: Stack, location: str) -> list[Statement]:
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    return [
        (["s3:GetBucketLocation", "s3:ListBucket"], [_s3_arn(stack, bucket)]),
        (["s3:GetObject"], [_s3_arn(stack, f"{bucket}/{prefix}*")]),
    ]


def _host(stack: Stack, hosts: Hosts) -> list[Statement]:
    """Password, boot log, signal, and Session Manager."""
    channels = [
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    ]
    return [
        (["secretsmanager:GetSecretValue"], [hosts.password.secret_arn]),
        (["logs:CreateLogStream", "logs:PutLogEvents"], [hosts.log_group.log_group_arn]),
        (["cloudformation:SignalResource"], [stack.stack_id]),
        (channels, ["*"]),
        (["ssm:UpdateInstanceInformation"], [_arn(stack, "ec2", "instance", "*")]),
    ]


def _acknowledge(stack: Stack, hosts: Hosts, songs: Songs) -> None:
    objects = "The names of songs and results are not known here; the bucket, or the prefix, limits it."
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
    acknowledge_wildcards(hosts.role, reasons)


def _arn(stack: Stack, service: str, resource: str, name: str) -> str:
    return stack.format_arn(
        service=service, resource=resource, resource_name=name, arn_format=ArnFormat.SLASH_RESOURCE_NAME
    )


def _s3_arn(stack: Stack, name: str) -> str:
    return Fn.join("", ["arn:", stack.partition, ":s3:::", name])
