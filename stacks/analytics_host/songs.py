"""The songs: their bucket, their tables and the Athena workgroup that queries them."""

import json
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import (
    Duration,
    Stack,
    aws_athena as athena,
    aws_glue as glue,
    aws_s3 as s3,
)
from constructs import Construct

from assets.analytics_host.billboard import PARQUET_TABLE, TABLE
from settings.analytics_host import DATABASE, AnalyticsHostSettings

from ..constructs.acknowledgments import acknowledge
from ..constructs.outputs import Outputs
from ..constructs.private_bucket import PrivateBucket

BILLBOARD = Path(__file__).parents[2] / "assets" / "analytics_host" / "billboard"
QUERIES = "queries/"  # prefix in the results bucket; the bucket also stores the addresses of cluster hosts


@dataclass(frozen=True)
class FileFormat:
    """A table's file format: Hive classes and their parameters."""

    classification: str
    input_format: str
    output_format: str
    serialization_library: str
    serde_parameters: dict[str, str]
    table_parameters: dict[str, str]


CSV = FileFormat(
    "csv",
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    "org.apache.hadoop.hive.serde2.OpenCSVSerde",
    # Quotes in titles are doubled, which OpenCSVSerde reads with any escape character.
    serde_parameters={"separatorChar": ",", "quoteChar": '"', "escapeChar": "\\"},
    table_parameters={"skip.header.line.count": "1"},
)
PARQUET = FileFormat(
    "parquet",
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
    serde_parameters={"serialization.format": "1"},
    table_parameters={},
)


class SongData(Construct):
    """The buckets, Glue database and tables, Athena workgroup and named queries."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: AnalyticsHostSettings) -> None:
        super().__init__(scope, construct_id)
        self.settings = settings
        self.data_bucket = self._create_bucket("Data")
        self.results_bucket = self._create_bucket("Results", expiration=Duration.days(settings.results_retention_days))
        self.location = settings.data_location or f"s3://{self.data_bucket.bucket_name}/songs/"
        self.parquet_location = f"s3://{self.data_bucket.bucket_name}/songs_parquet/"
        database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=Stack.of(self).account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=DATABASE, description="Billboard songs and their audio features"
            ),
        )
        self._create_table(database, TABLE, self.location, CSV)
        if settings.parquet:
            self._create_table(database, PARQUET_TABLE, self.parquet_location, PARQUET)
        self.workgroup = self._create_workgroup()
        self._create_named_queries(database)

    @property
    def tables(self) -> list[str]:
        return [TABLE, PARQUET_TABLE] if self.settings.parquet else [TABLE]

    def outputs(self) -> Outputs:
        """Return the stack's outputs about the songs."""
        outputs = {
            "DataBucketName": (self.data_bucket.bucket_name, "Bucket for the songs and for work that you want to keep"),
            "SongsLocation": (self.location, f"S3 location of the table {TABLE}"),
            "WorkGroupName": (self.workgroup.ref, "Athena workgroup"),
            "DatabaseName": (DATABASE, "Glue database"),
        }
        if self.settings.parquet:
            outputs["ParquetLocation"] = (self.parquet_location, f"S3 location of the table {PARQUET_TABLE}")
        return outputs

    def _create_bucket(self, name: str, expiration: Duration | None = None) -> s3.Bucket:
        """Create a bucket: with `expiration`, for query results that expire; otherwise versioned and retained.

        A host must not write to the retained bucket at boot: CloudFormation deletes it when stack creation
        fails, and can only delete an empty bucket.
        """
        bucket = PrivateBucket(
            self,
            name,
            retain=expiration is None,
            versioned=expiration is None,
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                    expiration=expiration,
                    prefix=QUERIES if expiration else None,
                    noncurrent_version_expiration=None if expiration else Duration.days(30),
                )
            ],
        )
        acknowledge(
            bucket,
            {"AwsSolutions-S1": "Athena's history records queries; CloudTrail data events record object access."},
        )
        return bucket

    def _create_table(self, database: glue.CfnDatabase, name: str, location: str, files: FileFormat) -> None:
        columns: dict[str, dict[str, str]] = json.loads((BILLBOARD / "columns.json").read_text())
        table = glue.CfnTable(
            self,
            "".join(word.capitalize() for word in name.split("_")),
            catalog_id=Stack.of(self).account,
            database_name=DATABASE,
            table_input=glue.CfnTable.TableInputProperty(
                name=name,
                description=f"Billboard songs as {files.classification}",
                table_type="EXTERNAL_TABLE",
                parameters={"classification": files.classification, "EXTERNAL": "TRUE"} | files.table_parameters,
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    location=location,
                    input_format=files.input_format,
                    output_format=files.output_format,
                    serde_info=glue.CfnTable.SerdeInfoProperty(
                        serialization_library=files.serialization_library, parameters=files.serde_parameters
                    ),
                    columns=[
                        glue.CfnTable.ColumnProperty(name=column, type=field["type"], comment=field["comment"])
                        for column, field in columns.items()
                    ],
                ),
            ),
        )
        table.node.add_dependency(database)

    def _create_workgroup(self) -> athena.CfnWorkGroup:
        return athena.CfnWorkGroup(
            self,
            "WorkGroup",
            name=Stack.of(self).stack_name,
            description="Queries of the analytics host",
            recursive_delete_option=True,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=self.settings.bytes_scanned_cutoff_mb * 1_000_000,
                engine_version=athena.CfnWorkGroup.EngineVersionProperty(
                    selected_engine_version="Athena engine version 3"
                ),
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"s3://{self.results_bucket.bucket_name}/{QUERIES}",
                    encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                        encryption_option="SSE_S3"
                    ),
                ),
            ),
        )

    def _create_named_queries(self, database: glue.CfnDatabase) -> None:
        for path in sorted((BILLBOARD / "queries").glob("*.sql")):
            comment, statement = path.read_text().split("\n", 1)
            query = athena.CfnNamedQuery(
                self,
                "".join(word.capitalize() for word in path.stem.split("_")),
                name=path.stem,
                description=comment.removeprefix("-- "),
                database=DATABASE,
                query_string=statement.strip(),
                work_group=self.workgroup.ref,
            )
            query.node.add_dependency(database)
