"""Templates of cloud assemblies that would take much time or memory."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from lambdas.deploy_pipeline import assets
from lambdas.deploy_pipeline.artifact import MAX_TEMPLATE_BYTES
from lambdas.deploy_pipeline.assembly import AssemblyStack
from lambdas.deploy_pipeline.errors import InvalidArtifactError

from .assemblies import CODE, assembly, file_asset, packed
from .test_assembly import error_of, published, read


def stack_with(*buckets: str) -> AssemblyStack:
    return AssemblyStack("template.json", {}, {}, (), frozenset(buckets))


def test_bucket_names_are_replaced_once() -> None:
    """The name of the pipeline's bucket can contain a name in the manifest."""
    changed = stack_with("e", "s", "set").with_bucket(b'{"a": "e", "b": "s", "c": "set"}', "t", "assets-e-s")
    assert changed == b'{"a": "assets-e-s", "b": "assets-e-s", "c": "assets-e-s"}'


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a cloud assembly whose bucket name occurs very often in its template",
    expected="rejected, in seconds and with little memory",
    observed='"has more than 1048576 bytes"',
)
def test_template_that_grows_above_the_limit_is_invalid() -> None:
    with pytest.raises(InvalidArtifactError, match=f"more than {MAX_TEMPLATE_BYTES} bytes"):
        stack_with("e", "s").with_bucket(b"e" * MAX_TEMPLATE_BYTES, "template.json", "assets-of-the-pipeline")


def test_template_that_repeats_the_bucket_is_checked_in_linear_time() -> None:
    bucket = "assets"
    content = f'{{"a": "{(bucket + "/") * 100_000}"}}'.encode()
    started = time.process_time()
    assert stack_with("cdk-assets").with_bucket(content, "template.json", bucket) == content
    assert time.process_time() - started < 2


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="an assembly with many assets of the same large folder",
    expected="fails before a change set is created",
    observed='"The assets have more than"',
)
def test_sum_of_assets_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each asset is below its limit, and the artifact is small, because they share their files."""
    monkeypatch.setattr(assets, "MAX_TOTAL_BYTES", 10_000)
    folder = f"asset.{CODE}"
    files = {f"{number:064x}": file_asset(folder, f"{number:064x}.zip", "zip") for number in range(20)}
    content = assembly(files=files) | {f"cdk.out/{folder}/big": "0" * 900}
    assert "The assets have more than 10,000 bytes" in error_of(published, content)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="an artifact with many files, and many nested templates as assets",
    expected="each is found without a search through all files, and their number is limited",
    observed="400 templates among 20,000 files are published in seconds; 1,001 assets are rejected",
)
def test_nested_templates_are_found_in_logarithmic_time() -> None:
    names = {f"{number:064x}": f"{number}.nested.template.json" for number in range(400)}
    files = {key: file_asset(name, f"{key}.json") for key, name in names.items()}
    others = {f"other/{number}": "" for number in range(20_000)}
    content = packed(assembly(files=files) | {f"cdk.out/{name}": "{}" for name in names.values()} | others)
    started = time.process_time()
    assert len(published(content).objects) > 400
    assert time.process_time() - started < 3


def test_number_of_assets_is_limited() -> None:
    files = {f"{number:064x}": file_asset("big", f"{number:064x}.zip") for number in range(998)}
    assert "The stack has 1,001 assets; accepted: at most 1,000" in error_of(read, assembly(files=files))


def test_number_of_destinations_of_an_asset_is_limited() -> None:
    """A large asset would be uploaded once for each."""
    asset = file_asset(f"asset.{CODE}", f"{CODE}.zip", "zip")
    (place,) = asset["destinations"].values()
    asset["destinations"] = {str(number): place | {"objectKey": f"{number:064x}.zip"} for number in range(1000)}
    assert "has 1000 destinations; accepted: at most 10" in error_of(published, assembly(files={CODE: asset}))


def test_number_of_buckets_is_limited() -> None:
    """The time to replace them is proportional to their number, and to the size of the template."""
    files = {
        f"{number:064x}": file_asset(f"asset.{CODE}", f"{number:064x}.zip", "zip", bucketName=f"bucket-{number}")
        for number in range(10)
    }
    assert "The stack has assets in 11 buckets; accepted: at most 10" in error_of(read, assembly(files=files))


def test_number_of_asset_manifests_is_limited() -> None:
    manifest = {"type": "cdk:asset-manifest", "properties": {"file": "Shop.assets.json"}}
    artifacts = {f"{number}.assets": manifest for number in range(6)}
    content = assembly(artifacts=artifacts, stack={"dependencies": list(artifacts)})
    assert "The stack has 6 asset manifests; accepted: at most 5" in error_of(read, content)


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a stack of a cloud assembly that names one manifest of assets, or many buckets, very often",
    expected="read once, or rejected, in seconds",
    observed="200,000 references to one manifest; more than 10 buckets are rejected",
)
def test_manifest_that_a_stack_names_often_is_read_once() -> None:
    started = time.process_time()
    assert read(packed(assembly(stack={"dependencies": ["Shop.assets"] * 200_000}))).has_assets
    assert time.process_time() - started < 5


VALUES: list[Any] = [
    None,
    True,
    0,
    1.5,
    "",
    "x" * 5000,
    "../x",
    "a\0b",
    "\ud800",
    [],
    ["a"],
    [[]],
    {},
    {"a": 1},
    {"a": None},
]


def paths_in(value: object) -> Iterator[tuple[str, ...]]:
    yield ()
    for name, item in value.items() if isinstance(value, dict) else ():
        yield from ((name, *path) for path in paths_in(item))


def with_value(manifest: Any, path: tuple[str, ...], value: object) -> Any:
    if not path:
        return value
    return manifest | {path[0]: with_value(manifest[path[0]], path[1:], value)}


@pytest.mark.parametrize("file", ["cdk.out/manifest.json", "cdk.out/Shop.assets.json"])
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a field of a cloud assembly's manifest has another type, or text that is not Unicode",
    expected="rejected with the name of the field, or ignored",
    observed="no other error, for each field and 15 values",
)
def test_unexpected_value_in_manifest_is_invalid_or_ignored(file: str) -> None:
    content = assembly(stack={"displayName": "Shop"})
    content[file] = json.loads(json.dumps(content[file]))
    for path in paths_in(content[file]):
        for value in VALUES:
            changed = json.dumps(with_value(content[file], path, value))
            for use in (read, published):
                with suppress(InvalidArtifactError):
                    use(packed(content | {file: changed}))


@pytest.mark.parametrize("field", ["bucketName", "objectKey"])
def test_text_that_is_not_unicode_is_named(field: str) -> None:
    asset = file_asset(f"asset.{CODE}", f"{CODE}.zip", "zip", **{field: "\ud800"})
    assert f"Shop.assets.json: {CODE}: {field} is not text" in error_of(published, assembly(files={CODE: asset}))


@pytest.mark.parametrize("name", [["a"], {"a": 1}, 7, None])
def test_dependency_that_is_no_name_is_ignored(name: object) -> None:
    assert published(packed(assembly(stack={"dependencies": ["Shop.assets", name]})))
