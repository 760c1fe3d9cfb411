"""CDK cloud assemblies: reading them, publishing their assets, and deploying one of their stacks."""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdas.deploy_pipeline import assets
from lambdas.deploy_pipeline.assets import Published, publish
from lambdas.deploy_pipeline.errors import InvalidArtifactError, InvalidInputError
from lambdas.deploy_pipeline.request import DeploymentRequest, parse_request
from lambdas.deploy_pipeline.source import AssetTarget, Source, read_source

from .assemblies import BOOTSTRAP, CODE, NESTED, assembly, file_asset, packed, stack, template
from .assembly_scenarios import LOCATION, WITHOUT_PATH, with_assembly
from .changes import change
from .fake_cloudformation import DENIED
from .machine_run import APP, FakeS3, Machine
from .scenarios import failed, succeeded, with_app

ENVIRONMENT = "aws://111111111111/us-east-1"


def request(**fields: Any) -> DeploymentRequest:
    return parse_request(WITHOUT_PATH | LOCATION | fields)


def read(content: bytes, **fields: Any) -> Source:
    s3 = FakeS3({"artifacts/App/1.zip": content})
    return read_source(s3, request(**fields), AssetTarget("assets", ENVIRONMENT))


def error_of(read_or_publish: Callable[[bytes], object], files: dict[str, Any], links: Any = None) -> str:
    with pytest.raises(InvalidArtifactError) as caught:
        read_or_publish(packed(files, links))
    return str(caught.value)


def published(content: bytes, s3: FakeS3 | None = None) -> FakeS3:
    s3 = s3 or FakeS3()
    s3.objects["artifacts/App/1.zip"] = content
    publish(s3, request(), "assets", ENVIRONMENT)
    return s3


def test_template_of_stack_refers_to_bucket_of_pipeline() -> None:
    source = read(packed(assembly()))
    resources = json.loads(source.template)["Resources"]
    assert resources["Function"]["Properties"]["Code"] == {"S3Bucket": {"Fn::Sub": "assets"}, "S3Key": f"{CODE}.zip"}
    url = resources["Nested"]["Properties"]["TemplateURL"]["Fn::Sub"]
    assert url == f"https://s3.${{AWS::Region}}.${{AWS::URLSuffix}}/assets/{NESTED}.json"
    assert (source.path, source.tags, source.has_assets) == ("cdk.out/Shop.template.json", {"team": "orders"}, True)


def test_hashes_that_are_not_assets_are_accepted() -> None:
    url = {"Properties": {"UserData": f"curl https://example.com/{'d' * 64}.zip", "Path": f"asset.{'d' * 64}.zip"}}
    assert read(packed(assembly(template=template(Host=url)))).has_assets
    missing = f"https://s3.amazonaws.com/{BOOTSTRAP}/{'d' * 64}.json"
    assert "does not list: ddd" in error_of(read, assembly(template=template(N={"TemplateURL": missing})))


def test_assembly_at_root_of_artifact_is_read() -> None:
    files = {name.removeprefix("cdk.out/"): content for name, content in assembly().items()}
    content = packed(files)
    assert read(content, assembly={"path": ".", "stack": "Shop"}).path == "./Shop.template.json"
    s3 = FakeS3({"artifacts/App/1.zip": content})
    assert publish(s3, request(assembly={"path": ".", "stack": "Shop"}), "assets", ENVIRONMENT) == Published(2, 2)


def test_template_without_assembly_has_no_assets() -> None:
    without_assembly = parse_request(WITHOUT_PATH | {"templatePath": "template.yaml"})
    assert publish(FakeS3(), without_assembly, "assets", ENVIRONMENT) == Published(0, 0)


def test_assets_are_published_without_other_folders() -> None:
    s3 = published(packed(assembly()))
    assert sorted(key for key in s3.objects if key.startswith("assets/")) == [
        f"assets/{CODE}.zip",
        f"assets/{NESTED}.json",
    ]
    with zipfile.ZipFile(io.BytesIO(s3.objects[f"assets/{CODE}.zip"])) as archive:
        modes = {entry.filename: oct(entry.external_attr >> 16) for entry in archive.infolist()}
        assert archive.read("index.py") == b"def handler(event, context): ...\n"
    assert modes == {"bin/run": "0o100755", "index.py": "0o100644"}, "executable, and readable for Lambda"
    nested = json.loads(s3.objects[f"assets/{NESTED}.json"])
    assert nested["Resources"]["Function"]["Properties"]["Code"]["S3Bucket"] == {"Fn::Sub": "assets"}


def test_unchanged_assets_are_not_uploaded_again() -> None:
    s3 = published(packed(assembly()))
    assert publish(s3, request(), "assets", ENVIRONMENT) == Published(2, 0)
    modes = packed(assembly()).replace((0o100600 << 16).to_bytes(4, "little"), (0o100664 << 16).to_bytes(4, "little"))
    s3.objects["artifacts/App/1.zip"] = modes
    assert publish(s3, request(), "assets", ENVIRONMENT) == Published(2, 0), "CDK's hash does not contain modes"


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="an asset with the name of a published one, which deployed stacks use, and other content",
    expected="fails before a change set is created; the published asset is kept",
    observed='"differs from the published one"',
)
@pytest.mark.parametrize("file", [f"asset.{CODE}/index.py", "ShopNested.nested.template.json"])
def test_published_asset_is_not_overwritten(file: str) -> None:
    """The push that brings it may be rejected, and another push may wait for approval."""
    s3 = published(packed(assembly()))
    before = dict(s3.objects)
    with pytest.raises(InvalidArtifactError, match="differs from the published one of the same name"):
        published(packed(assembly() | {f"cdk.out/{file}": '{"Resources": {}}'}), s3)
    assert {key: s3.objects[key] for key in before if key.startswith("assets/")} == {
        key: content for key, content in before.items() if key.startswith("assets/")
    }


@pytest.mark.parametrize(("content", "is_same"), [("same", True), ("other", False)])
def test_asset_of_concurrent_execution_is_not_overwritten(content: str, is_same: bool) -> None:
    """Another execution publishes the asset between HeadObject and PutObject."""

    class Concurrent(FakeS3):
        def put_object(self, Bucket: str, Key: str, Body: Any, **options: Any) -> None:
            theirs = options["Metadata"] if is_same else {"content-sha256": "other"}
            super().put_object(Bucket, Key, content.encode(), Metadata=theirs)
            super().put_object(Bucket, Key, Body, **options)

    s3 = Concurrent({"artifacts/App/1.zip": packed(assembly())})
    if is_same:
        assert publish(s3, request(), "assets", ENVIRONMENT) == Published(2, 0)
    else:
        with pytest.raises(InvalidArtifactError, match="differs from the published one"):
            publish(s3, request(), "assets", ENVIRONMENT)
    assert s3.objects[f"assets/{CODE}.zip"] == content.encode()


@pytest.mark.reliability(
    "deploy_pipeline",
    "Partial failure",
    fault="S3 rejects the upload of an asset while another stack's inspection uploads the same one",
    expected="the upload is repeated; the deployment continues",
    observed="the asset is published after up to two conflicts",
)
@pytest.mark.parametrize("conflicts", [2, 3])
def test_upload_is_repeated_after_a_conflict(conflicts: int) -> None:
    """Source: S3 API reference, PutObject: "On a 409 failure you should retry the upload"."""

    class Busy(FakeS3):
        left = conflicts

        def put_object(self, Bucket: str, Key: str, Body: Any, **options: Any) -> None:
            if self.left:
                self.left -= 1
                Body.read()
                raise ClientError({"Error": {"Code": "ConditionalRequestConflict", "Message": "Busy"}}, "PutObject")
            super().put_object(Bucket, Key, Body, **options)

    s3 = Busy({"artifacts/App/1.zip": packed(assembly())})
    if conflicts == 2:
        assert publish(s3, request(), "assets", ENVIRONMENT) == Published(2, 2)
        assert zipfile.ZipFile(io.BytesIO(s3.objects[f"assets/{CODE}.zip"])).testzip() is None, "sent from its start"
    else:
        with pytest.raises(ClientError, match="ConditionalRequestConflict"):
            publish(s3, request(), "assets", ENVIRONMENT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images": {"d" * 64: {"source": {"directory": "asset.d"}}}},
            "Shop.assets.json has Docker images, which the pipeline does not build: dddd",
        ),
        ({"manifest": {"missing": [{"key": "vpc"}]}}, "lacks context values"),
        ({"manifest": {"artifacts": []}}, "manifest.json: artifacts is not an object"),
        (
            {"stack": {"environment": "aws://222222222222/us-east-1"}},
            "was synthesized for aws://222222222222/us-east-1",
        ),
        ({"stack": {"environment": "aws://111111111111/eu-west-1"}}, "this pipeline deploys to aws://111111111111/us"),
        ({"stack": {"properties": {"templateFile": 1}}}, "templateFile is not text"),
        ({"stack": {"properties": {"templateFile": "../../x"}}}, "is outside the source artifact"),
        (
            {"stack": {"properties": {"templateFile": "Other.json"}}},
            "'cdk.out/Other.json' is not in the source artifact",
        ),
        ({"files": {"x": {"source": {"executable": ["build.sh"]}, "destinations": {}}}}, "is created by a command"),
        ({"files": {"x": file_asset("asset.x", "x.zip", region="eu-west-1")}}, "was synthesized for aws:///eu-west-1"),
        ({"files": {"x": {"source": "x"}}}, "source is not an object"),
        ({"stack": {"dependencies": 7}}, "manifest.json: dependencies is not a list"),
        ({"stack": {"dependencies": True}}, "manifest.json: dependencies is not a list"),
        ({"stack": {"displayName": "Other", "type": 1}}, "cdk.out has none"),
        (
            {
                "stack": {"type": "x"},
                "artifacts": {"a": {"type": "cdk:cloud-assembly", "properties": ["directoryName"]}},
            },
            "stacks of a stage are in another assembly: a",
        ),
        ({"images": ["image"]}, "dockerImages is not an object"),
        ({"stack": {"properties": {"templateFile": "\ud800.json"}}}, "templateFile is not text"),
        (
            {"template": template(New={"Properties": {"S3Key": f"{'d' * 64}.zip"}})},
            f"cdk.out/Shop.template.json refers to assets that the assembly does not list: {'d' * 64}.zip",
        ),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a cloud assembly that is incomplete, damaged, for another account, or has Docker images",
    expected="rejected before anything is published or changed, with the reason",
    observed='"has Docker images", "refers to assets that the assembly does not list"',
)
def test_unusable_assembly_is_rejected(changes: dict[str, Any], message: str) -> None:
    assert message in error_of(read, assembly(**changes))


def test_assembly_for_the_environment_of_the_pipeline_is_accepted() -> None:
    """CDK writes the Region if the app sets `env`."""
    asset = file_asset(f"asset.{CODE}", f"{CODE}.zip", "zip", region="us-east-1")
    assert read(packed(assembly(stack={"environment": ENVIRONMENT}, files={CODE: asset}))).has_assets


@pytest.mark.parametrize("content", ["{", "[]", b"\xff", "[" * 100_000])
def test_damaged_manifest_is_rejected(content: str | bytes) -> None:
    assert "cdk.out/manifest.json" in error_of(read, assembly() | {"cdk.out/manifest.json": content})


def test_unknown_stack_error_lists_stacks_and_stages() -> None:
    stage = {"type": "cdk:cloud-assembly", "properties": {"directoryName": "assembly-Prod"}}
    files = assembly(artifacts={"assembly-Prod": stage, "Web": stack("Web.json", "x", displayName="Prod/Web")})
    with pytest.raises(InvalidArtifactError) as caught:
        read(packed(files), assembly={"path": "cdk.out", "stack": "Shopp"})
    assert str(caught.value) == (
        "assembly.stack: given Shopp; cdk.out has Prod/Web, Shop, Web; stacks of a stage are in another assembly:"
        " assembly-Prod"
    )


@pytest.mark.parametrize(
    ("files", "links", "message"),
    [
        ({f"cdk.out/asset.{CODE}/index.py": None, f"cdk.out/asset.{CODE}/bin/run": None}, {}, "is an empty folder"),
        ({}, {f"cdk.out/asset.{CODE}/link": "/etc/passwd"}, "'cdk.out/asset.aaa"),
        ({f"cdk.out//asset.{CODE}/index.py": "again"}, {}, "has several files"),
        ({"cdk.out/ShopNested.nested.template.json": None}, {}, "is not in the source artifact"),
        ({f"cdk.out/asset.{CODE}/big": b"\0" * 2000}, {}, "has more than 1,000 bytes"),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="an asset is missing, too large, ambiguous, or contains a symbolic link",
    expected="fails before a change set is created",
    observed='"is a symbolic link", "has more than"',
)
def test_unusable_asset_is_rejected(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, Any], links: dict[str, str], message: str
) -> None:
    monkeypatch.setattr(assets, "MAX_ASSET_BYTES", 1000)
    content = {name: item for name, item in (assembly() | files).items() if item is not None}
    text = error_of(published, content, links)
    assert message in text
    assert not links or "is a symbolic link" in text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"assembly": {"path": "cdk.out"}}, "assembly.stack: missing"),
        ({"assembly": {"path": "", "stack": "Shop"}}, "assembly.path: given"),
        ({"assembly": {"path": "cdk.out", "stack": "Shop", "region": 1}}, "assembly.region: unknown field"),
        ({"assembly": {"path": "cdk.out", "stack": "Shop", "stacks": ["A", "B"]}}, "assembly.stack: unknown field"),
        ({"assembly": "cdk.out"}, "assembly: given"),
        ({**LOCATION, "templatePath": "a.yaml"}, "templatePath: cannot be combined with assembly"),
        ({}, "templatePath: missing"),
    ],
)
def test_invalid_location_is_named(fields: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_request(WITHOUT_PATH | fields)
    assert message in str(caught.value)


def test_new_stack_of_assembly_is_created(monkeypatch: pytest.MonkeyPatch) -> None:
    succeeded(with_assembly(Machine(monkeypatch), assembly()).run(), "created")


@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="an asset cannot be published",
    expected="fails before a change set is created",
    observed='"Publish Assets"',
)
def test_denied_upload_fails_before_change_set(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = with_assembly(Machine(monkeypatch), assembly())
    fake, store = with_app(machine, change()), machine.s3.put_object

    def deny_assets(Bucket: str, Key: str, Body: Any, **options: Any) -> None:
        if Bucket == "assets":
            raise DENIED
        store(Bucket, Key, Body, **options)

    monkeypatch.setattr(machine.s3, "put_object", deny_assets)
    ended = machine.run()
    assert (ended.status, ended.error) == ("FAILED", "ClientError"), ended
    assert "Publish Assets: " in ended.cause
    assert "create_change_set" not in fake.calls


def test_unsafe_change_of_assembly_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = with_assembly(Machine(monkeypatch), assembly())
    with_app(machine, change("Remove"))
    failed(machine.run(), "UnsafeChanges", f"1 unsafe change to {APP}")
