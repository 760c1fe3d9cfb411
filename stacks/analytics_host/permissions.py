"""Permissions of the hosts: workgroup, buckets, tables, secret, log group and signal."""

import re
from itertools import product

from aws_cdk import ArnFormat, Fn, Stack, aws_iam as iam

from settings.analytics_host import DATABASE

from ..constructs.acknowledgments import acknowledge
from ..constructs.grants import grant
from .host import Hosts
from .songs import SongData

OBJECT_NAMES = "Object names are not known in advance."
TABLE_NAMES = "Table names are not known in advance."
NO_RESOURCES = "The action does not support resource-level permissions."


def grant_permissions(hosts: Hosts, songs: SongData) -> None:
    """Grant the role of `hosts` its permissions."""
    _grant_queries(hosts, songs)
    _grant_tables(hosts, songs)
    _grant_objects(hosts, songs)
    _grant_host(hosts)
    _attach_policies(hosts)


def _grant_queries(hosts: Hosts, songs: SongData) -> None:
    stack = Stack.of(hosts)
    actions = [
        "athena:BatchGetNamedQuery",
        "athena:GetQueryExecution",
        "athena:GetQueryResults",
        "athena:GetWorkGroup",
        "athena:ListNamedQueries",
        "athena:StartQueryExecution",
        "athena:StopQueryExecution",
    ]
    grant(hosts.role, actions, _arn(stack, "athena", "workgroup", songs.workgroup.ref))
    catalog_actions = ["athena:GetTableMetadata", "athena:ListDatabases", "athena:ListTableMetadata"]
    grant(hosts.role, catalog_actions, _arn(stack, "athena", "datacatalog", "AwsDataCatalog"))
    grant(hosts.role, ["athena:ListDataCatalogs"], "*", wildcard_reason=NO_RESOURCES)
    # Athena reads this database for every query, and rejects the query without this permission.
    grant(hosts.role, ["glue:GetDatabase"], _arn(stack, "glue", "database", "default"))


def _grant_tables(hosts: Hosts, songs: SongData) -> None:
    """Grant read access to the catalog's databases, and the host's database, except dropping the stack's tables."""
    stack = Stack.of(hosts)
    # Glue authorizes a call on the catalog, the database and the table.
    catalog = stack.format_arn(service="glue", resource="catalog", arn_format=ArnFormat.NO_RESOURCE_NAME)
    actions = [
        "glue:GetDatabase",
        "glue:GetTable",
        "glue:GetTables",
        "glue:GetPartitions",
        "glue:CreateTable",
        "glue:DeleteTable",
    ]
    grant(
        hosts.role,
        actions,
        catalog,
        _arn(stack, "glue", "database", DATABASE),
        _arn(stack, "glue", "table", f"{DATABASE}/*"),
        wildcard_reason=TABLE_NAMES,
    )
    names = [pattern for table in songs.tables for pattern in _in_any_case(table)]
    own_tables = [_arn(stack, "glue", "table", f"{DATABASE}/{name}") for name in names]
    hosts.role.add_to_principal_policy(
        iam.PolicyStatement(effect=iam.Effect.DENY, actions=["glue:DeleteTable"], resources=own_tables)
    )
    for database in songs.settings.read_databases:
        grant(
            hosts.role,
            [
                "glue:GetDatabase",
                "glue:GetTable",
                "glue:GetTables",
                "glue:GetPartition",
                "glue:GetPartitions",
                "glue:BatchGetPartition",
            ],
            catalog,
            _arn(stack, "glue", "database", database),
            _arn(stack, "glue", "table", f"{database}/*"),
            wildcard_reason=TABLE_NAMES,
        )
    grant(
        hosts.role,
        ["glue:GetDatabases"],
        catalog,
        _arn(stack, "glue", "database", "*"),
        wildcard_reason="Listing databases requires access to all of them.",
    )


def _in_any_case(table: str) -> list[str]:
    """Return patterns for a table's name in upper and lower case, which also match a few other names.

    Glue finds a table by a name in any case. IAM distinguishes case, and AWS does not document which name it compares.
    """
    start, rest = table[:3], re.sub("[a-z]", "?", table[3:])
    return [f"{''.join(letters)}{rest}" for letters in product(*zip(start, start.upper(), strict=True))]


def _grant_objects(hosts: Hosts, songs: SongData) -> None:
    buckets = [songs.data_bucket.bucket_arn, songs.results_bucket.bucket_arn]
    actions = [
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    ]
    grant(hosts.role, ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"], *buckets)
    grant(hosts.role, actions, *(f"{bucket}/*" for bucket in buckets), wildcard_reason=OBJECT_NAMES)
    grant(hosts.role, ["s3:GetObject"], f"{hosts.package.bucket.bucket_arn}/{hosts.package.s3_object_key}")
    stack, settings = Stack.of(hosts), songs.settings
    for location in filter(None, (settings.data_location, *settings.read_locations)):
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        grant(hosts.role, ["s3:GetBucketLocation", "s3:ListBucket"], _s3_arn(stack, bucket))
        grant(hosts.role, ["s3:GetObject"], _s3_arn(stack, f"{bucket}/{prefix}*"), wildcard_reason=OBJECT_NAMES)


def _grant_host(hosts: Hosts) -> None:
    """Grant access to the password, the boot log, CloudFormation signals and Session Manager."""
    stack = Stack.of(hosts)
    channels = [
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    ]
    grant(hosts.role, ["secretsmanager:GetSecretValue"], hosts.password.secret_arn)
    grant(hosts.role, ["logs:CreateLogStream", "logs:PutLogEvents"], hosts.log_group.log_group_arn)
    grant(hosts.role, ["cloudformation:SignalResource"], stack.stack_id)
    grant(hosts.role, channels, "*", wildcard_reason=NO_RESOURCES)
    grant(
        hosts.role,
        ["ssm:UpdateInstanceInformation"],
        _arn(stack, "ec2", "instance", "*"),
        wildcard_reason="The instance ID is not known before the instance has its role.",
    )


def _attach_policies(hosts: Hosts) -> None:
    """Attach the managed policies of the settings to the role."""
    for number, arn in enumerate(hosts.settings.extra_policies, 1):
        hosts.role.add_managed_policy(iam.ManagedPolicy.from_managed_policy_arn(hosts, f"ExtraPolicy{number}", arn))
        acknowledge(hosts.role, {f"AwsSolutions-IAM4[Policy::{arn}]": "The setting extra_policies names it."})


def _arn(stack: Stack, service: str, resource: str, name: str) -> str:
    return stack.format_arn(
        service=service, resource=resource, resource_name=name, arn_format=ArnFormat.SLASH_RESOURCE_NAME
    )


def _s3_arn(stack: Stack, name: str) -> str:
    return Fn.join("", ["arn:", stack.partition, ":s3:::", name])
