"""Exploring the catalog with Athena's statements and metadata operations, and creating tables, as a role."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pyathena.error import Error, OperationalError

from assets.analytics_host.billboard.athena import Athena
from sandbox import Sandbox
from sandbox.process import ACCOUNT
from sandbox.target import SandboxSession, session

pytestmark = pytest.mark.enable_socket
GLUE = f"arn:aws:glue:us-east-1:{ACCOUNT}"
OWN = [f"{GLUE}:catalog", f"{GLUE}:database/default", f"{GLUE}:database/work", f"{GLUE}:table/work/*"]
READ = ["glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:GetPartitions"]
COLUMNS = [{"Name": "title", "Type": "string", "Comment": "Title"}, {"Name": "year", "Type": "int"}]


def allow(action: Any, resource: Any = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with the databases `work` and `private`, each with the table `songs`, and a workgroup."""
    with Sandbox() as running:
        clients = session(running)
        s3, glue = clients.client("s3"), clients.client("glue")
        for bucket in ("songs", "results"):
            s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket="songs", Key="csv/songs.csv", Body=b"One,1990\nTwo,2010\nThree,2010\n")
        for database in ("work", "private"):
            glue.create_database(DatabaseInput={"Name": database})
            descriptor = {
                "Columns": COLUMNS,
                "Location": "s3://songs/csv/",
                "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
                "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde", "Parameters": {}},
            }
            table = {"Name": "songs", "StorageDescriptor": descriptor, "Parameters": {}}
            glue.create_table(DatabaseName=database, TableInput=table)
        configuration = {
            "EnforceWorkGroupConfiguration": True,
            "ResultConfiguration": {"OutputLocation": "s3://results/queries/"},
        }
        clients.client("athena").create_work_group(Name="analysts", Configuration=configuration)
        yield running


Role = Callable[..., Athena]


@pytest.fixture(scope="module")
def role(sandbox: Sandbox) -> Role:
    """Return a function that creates a role that may query, and read and write objects, and returns its queries."""
    iam, sts = session(sandbox).client("iam"), session(sandbox).client("sts")
    trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}
    numbers = iter(range(100))

    def athena(*statements: dict[str, Any]) -> Athena:
        name = f"Role{next(numbers)}"
        trusted = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusted)["Role"]["Arn"]
        document = {"Version": "2012-10-17", "Statement": [allow(["athena:*", "s3:*"]), *statements]}
        iam.put_role_policy(RoleName=name, PolicyName="Policy", PolicyDocument=json.dumps(document))
        issued = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        names = {"AWS_ACCESS_KEY_ID": "AccessKeyId", "AWS_SECRET_ACCESS_KEY": "SecretAccessKey"}
        keys = {variable: issued[key] for variable, key in (names | {"AWS_SESSION_TOKEN": "SessionToken"}).items()}
        return Athena(SandboxSession(sandbox, keys), "analysts", "work")

    return athena


@pytest.fixture
def analyst(role: Role) -> Athena:
    """Queries of a role that may use the database `work`, and list all databases."""
    owner = allow([*READ, "glue:CreateTable", "glue:DeleteTable"], OWN)
    return role(owner, allow("glue:GetDatabases", [f"{GLUE}:catalog", f"{GLUE}:database/*"]))


def test_databases_and_tables_are_shown(analyst: Athena) -> None:
    assert analyst.query("SHOW DATABASES").rows["database_name"].tolist() == ["private", "work"]
    assert analyst.query("SHOW TABLES IN work").rows["tab_name"].tolist() == ["songs"]


def test_shown_lines_are_stored_as_text_file(analyst: Athena, sandbox: Sandbox) -> None:
    """R's noctua reads results from this file.

    https://docs.aws.amazon.com/athena/latest/ug/querying-finding-output-files.html
    """
    client = session(sandbox).client("athena")
    earlier = client.list_query_executions(WorkGroup="analysts")["QueryExecutionIds"]
    analyst.query("SHOW TABLES IN work")
    (query_id,) = set(client.list_query_executions(WorkGroup="analysts")["QueryExecutionIds"]) - set(earlier)
    execution = client.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
    assert execution["ResultConfiguration"]["OutputLocation"] == f"s3://results/queries/{query_id}.txt"
    stored = session(sandbox).client("s3").get_object(Bucket="results", Key=f"queries/{query_id}.txt")
    assert stored["Body"].read() == b"songs\n"


def test_description_has_name_type_and_comment(analyst: Athena) -> None:
    """Athena returns each line of a description as one value."""
    rows = analyst.query("DESCRIBE songs").rows
    assert rows.to_dict("records") == [
        {"col_name": "title", "data_type": "string", "comment": "Title"},
        {"col_name": "year", "data_type": "int", "comment": ""},
    ]


def test_information_schema_lists_tables_and_columns(analyst: Athena) -> None:
    tables = analyst.query(
        "SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE table_schema = 'work'"
    )
    assert tables.rows.to_numpy().tolist() == [["work", "songs", "BASE TABLE"]]
    columns = analyst.query(
        "SELECT column_name, ordinal_position, data_type, comment FROM information_schema.columns "
        "WHERE table_schema = 'work' AND table_name = 'songs' ORDER BY ordinal_position"
    )
    assert columns.rows.astype(object).where(columns.rows.notna(), None).to_numpy().tolist() == [
        ["title", 1, "varchar", "Title"],
        ["year", 2, "integer", None],
    ]


def test_information_schema_omits_tables_of_other_databases(analyst: Athena) -> None:
    schemata = analyst.query("SELECT schema_name FROM information_schema.schemata ORDER BY 1")
    assert schemata.rows["schema_name"].tolist() == ["private", "work"]
    assert analyst.query("SELECT table_schema FROM information_schema.tables").rows["table_schema"].tolist() == ["work"]


def test_metadata_operations_list_databases_and_tables(analyst: Athena) -> None:
    client: Any = analyst.session.client("athena")
    databases = client.list_databases(CatalogName="AwsDataCatalog")["DatabaseList"]
    assert sorted(database["Name"] for database in databases) == ["private", "work"]
    listed = client.list_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="work")["TableMetadataList"]
    assert [table["Name"] for table in listed] == ["songs"]
    found = client.get_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="work", TableName="songs")
    assert found["TableMetadata"]["Columns"][0]["Comment"] == "Title"
    with pytest.raises(client.exceptions.MetadataException, match="not found"):
        client.get_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="work", TableName="missing")


def test_table_from_query_is_stored_below_the_workgroups_location(analyst: Athena, sandbox: Sandbox) -> None:
    analyst.query("CREATE TABLE recent AS SELECT title, year, year * 1.5 AS score FROM songs WHERE year = 2010")
    clients = session(sandbox)
    table = clients.client("glue").get_table(DatabaseName="work", Name="recent")["Table"]
    location = table["StorageDescriptor"]["Location"]
    assert location.startswith("s3://results/queries/tables/")
    assert [column["Type"] for column in table["StorageDescriptor"]["Columns"]][:2] == ["string", "int"]
    assert analyst.query("SELECT title FROM recent ORDER BY title").rows["title"].tolist() == ["Three", "Two"]
    analyst.query("DROP TABLE recent")
    assert analyst.query("SHOW TABLES").rows["tab_name"].tolist() == ["songs"]
    prefix = location.removeprefix("s3://results/")
    assert list(clients.resource("s3").Bucket("results").objects.filter(Prefix=prefix)), "DROP TABLE keeps the objects"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE TABLE songs AS SELECT 1 AS x", "already exists"),
        ("CREATE TABLE a WITH (external_location = 's3://songs/a/') AS SELECT 1 AS x", "enforces a centralized output"),
        ("CREATE TABLE a AS SELECT count(*) FROM songs", "Column name not specified at position 1"),
        ("CREATE TABLE missing.a AS SELECT 1 AS x", "missing"),
        ("DESCRIBE missing", "Table not found missing"),
        ("SHOW TABLES IN missing", "missing"),
        ("INSERT INTO missing SELECT title FROM songs", "missing"),
    ],
)
def test_statement_that_athena_refuses_fails(role: Role, statement: str, reason: str) -> None:
    with pytest.raises(OperationalError, match=reason):
        role(allow("glue:*")).query(statement)


@pytest.mark.parametrize(
    ("statement", "action"),
    [
        ("SHOW DATABASES", "glue:GetDatabases"),
        ("SELECT * FROM information_schema.schemata", "glue:GetDatabases"),
        ("CREATE TABLE a AS SELECT * FROM songs", "glue:CreateTable"),
        ("CREATE EXTERNAL TABLE a (title string) LOCATION 's3://songs/a/'", "glue:CreateTable"),
        ("DROP TABLE songs", "glue:DeleteTable"),
        ("SHOW TABLES IN private", "glue:GetTables"),
        ("DESCRIBE private.songs", "glue:GetTable"),
        ("SELECT * FROM private.songs", "glue:GetTable"),
        ("SELECT * FROM information_schema.tables WHERE table_schema = 'private'", "glue:GetTables"),
    ],
)
def test_statement_without_permission_is_denied(role: Role, statement: str, action: str) -> None:
    with pytest.raises(Error, match=f"not authorized to perform: {action} "):
        role(allow(READ, OWN)).query(statement)


def test_table_of_another_database_is_read_with_permission(role: Role) -> None:
    both = [*OWN, f"{GLUE}:database/private", f"{GLUE}:table/private/*"]
    rows = role(allow(READ, both)).query("SELECT count(*) AS songs FROM private.songs").rows
    assert rows["songs"].tolist() == [3]


@pytest.mark.parametrize(
    ("call", "action"),
    [
        (lambda client: client.list_databases(CatalogName="AwsDataCatalog"), "glue:GetDatabases"),
        (
            lambda client: client.list_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="private"),
            "glue:GetTables",
        ),
    ],
)
def test_metadata_operation_without_permission_is_denied(role: Role, call: Callable[[Any], Any], action: str) -> None:
    client = role(allow(READ, OWN)).session.client("athena")
    with pytest.raises(ClientError, match=f"not authorized to perform: {action} "):
        call(client)
