"""One stack of a CDK cloud assembly in the source artifact: its template and its file assets.

``cdk synth`` writes an assembly, by default into ``cdk.out``: ``manifest.json``, and for each stack a template and a
manifest of its assets. Templates refer to assets by the name of CDK's bootstrap bucket, which is replaced by the name
of the pipeline's bucket. So people who push need no access to the bootstrap bucket, which other apps use, too.
"""

import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .artifact import MAX_TEMPLATE_BYTES, read_file
from .errors import InvalidArtifactError
from .fields import MAX_SHOWN_CHARACTERS
from .request import AssemblyLocation

MANIFEST = "manifest.json"
FIELD = "assembly.path"
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_SHOWN_NAMES = 10
MAX_DESTINATIONS = 10  # of an asset; CDK writes one for each environment
# Of a stack. CDK has one bucket for each environment, and one manifest.
MAX_ASSETS, MAX_BUCKETS, MAX_ASSET_MANIFESTS = 1000, 10, 5
STACK, ASSETS, NESTED_ASSEMBLY = "aws:cloudformation:stack", "cdk:asset-manifest", "cdk:cloud-assembly"
# CDK names an asset in S3 after its hash. The lengths are limited, because the search time is proportional to them.
ASSET_KEY = r"(?:[\w.-]{1,100}/){0,8}[0-9a-f]{64}\.\w{1,20}"
SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can contain half a character, which UTF-8 cannot
ANY_ENVIRONMENT = "aws://unknown-account/unknown-region"


@dataclass(frozen=True)
class FileAsset:
    """A file or folder of the artifact, and its keys in S3. A folder is published as a zip file."""

    path: str
    is_folder: bool
    keys: tuple[str, ...]


@dataclass(frozen=True)
class AssemblyStack:
    """A stack of an assembly. buckets: the names of the bootstrap bucket in its templates."""

    template_path: str
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    assets: tuple[FileAsset, ...]
    buckets: frozenset[str]

    def with_bucket(self, template: bytes, path: str, bucket: str) -> bytes:
        """Return the template at `path`, or that of a nested stack, with `bucket` instead of the bootstrap bucket.

        Raises:
            InvalidArtifactError: it becomes too large, or refers to an asset that the assembly does not list.
        """
        if self.buckets:
            names = sorted(map(re.escape, self.buckets), key=len, reverse=True)  # a name can begin with another
            template = re.sub("|".join(names).encode(), bucket.encode(), template)
        if len(template) > MAX_TEMPLATE_BYTES:
            raise InvalidArtifactError(
                f"{path} has more than {MAX_TEMPLATE_BYTES} bytes with the name of the pipeline's bucket."
            )
        keys = {key for asset in self.assets for key in asset.keys}
        # As a complete text, or in the URL of a nested template.
        references = re.findall(rf'(?:"|{re.escape(bucket)}/)({ASSET_KEY})"', template.decode(errors="replace"))
        if missing := sorted(set(references) - keys):
            raise InvalidArtifactError(
                f"{path} refers to assets that the assembly does not list: {_listed(missing)}. Synthesize it again."
            )
        return template


def read_stack(archive: zipfile.ZipFile, location: AssemblyLocation, environment: str) -> AssemblyStack:
    """Read a stack of an assembly that is deployed to `environment`, such as ``aws://111111111111/us-east-1``.

    Raises:
        InvalidArtifactError: there is no such stack, or it cannot be deployed to the environment or by this pipeline.
    """
    manifest = _read_json(archive, location.path, MANIFEST)
    if manifest.get("missing"):
        raise InvalidArtifactError(
            f"{FIELD} {location.path!r} lacks context values, such as a VPC or an AMI: run cdk synth with credentials,"
            " commit cdk.context.json, and synthesize it again."
        )
    artifacts = _object(manifest, "artifacts", MANIFEST)
    stack = _find_stack(artifacts, location)
    _check_environment(str(stack.get("environment", ANY_ENVIRONMENT)), environment)
    properties = _object(stack, "properties", MANIFEST)
    template = _text(properties, "templateFile", MANIFEST)
    destinations = [
        destination
        for file in _asset_manifests(artifacts, stack)
        for destination in _destinations(archive, location.path, file, environment)
    ]
    if len(destinations) > MAX_ASSETS:
        raise InvalidArtifactError(f"The stack has {len(destinations):,} assets; accepted: at most {MAX_ASSETS:,}")
    buckets = frozenset(bucket for _, used in destinations for bucket in used)
    if len(buckets) > MAX_BUCKETS:
        raise InvalidArtifactError(f"The stack has assets in {len(buckets)} buckets; accepted: at most {MAX_BUCKETS}")
    return AssemblyStack(
        template_path=f"{location.path}/{template}",
        tags=_texts(properties, "tags", MANIFEST),
        parameters=_texts(properties, "parameters", MANIFEST),
        assets=tuple(asset for asset, _ in destinations if asset.path != f"{location.path}/{template}"),
        buckets=buckets,
    )


def _find_stack(artifacts: Mapping[str, object], location: AssemblyLocation) -> dict[str, object]:
    stacks: dict[str, dict[str, object]] = {}
    for name, artifact in artifacts.items():
        if isinstance(artifact, dict) and artifact.get("type") == STACK:
            stacks |= {name: artifact, str(artifact.get("displayName", name)): artifact}
    if location.stack in stacks:
        return stacks[location.stack]
    stages = [
        str(properties.get("directoryName", name) if isinstance(properties, dict) else name)
        for name, artifact in artifacts.items()
        if isinstance(artifact, dict) and artifact.get("type") == NESTED_ASSEMBLY
        for properties in (artifact.get("properties"),)
    ]
    nested = f"; stacks of a stage are in another assembly: {_listed(stages)}" if stages else ""
    known = _listed(sorted(stacks)) or "none"
    raise InvalidArtifactError(f"assembly.stack: given {location.stack}; {location.path} has {known}{nested}")


def _asset_manifests(artifacts: Mapping[str, object], stack: Mapping[str, object]) -> list[str]:
    """Return the files of the asset manifests on which a stack depends."""
    names = dict.fromkeys(name for name in _list(stack, "dependencies") if isinstance(name, str))
    files = [
        _text(_object(artifact, "properties", MANIFEST), "file", MANIFEST)
        for name in names
        if isinstance(artifact := artifacts.get(name), dict) and artifact.get("type") == ASSETS
    ]
    if len(files) > MAX_ASSET_MANIFESTS:
        raise InvalidArtifactError(
            f"The stack has {len(files)} asset manifests; accepted: at most {MAX_ASSET_MANIFESTS}"
        )
    return files


def _check_environment(given: str, environment: str) -> None:
    """Accept a stack that specifies no account or Region, or those of the pipeline."""
    pairs = zip(given.split("/"), environment.split("/"), ANY_ENVIRONMENT.split("/"), strict=False)
    if any(part not in (expected, unknown) for part, expected, unknown in pairs):
        raise InvalidArtifactError(
            f"The assembly was synthesized for {given[:MAX_SHOWN_CHARACTERS]}; this pipeline deploys to {environment}."
        )


def _destinations(
    archive: zipfile.ZipFile, path: str, file: str, environment: str
) -> Iterable[tuple[FileAsset, set[str]]]:
    """Return each file asset of a manifest, and the names of its buckets."""
    manifest = _read_json(archive, path, file)
    if images := _object(manifest, "dockerImages", file, {}):
        raise InvalidArtifactError(
            f"{file} has Docker images, which the pipeline does not build: {_listed(sorted(images))}. Build and push"
            " them in the step that synthesizes the app, and refer to them by repository and tag."
        )
    for asset_id, asset in _object(manifest, "files", file, {}).items():
        source = _object(asset, "source", f"{file}: {asset_id}")
        if "executable" in source:
            raise InvalidArtifactError(f"{file}: {asset_id} is created by a command, which the pipeline does not run.")
        destinations = [
            d for d in _object(asset, "destinations", f"{file}: {asset_id}").values() if isinstance(d, dict)
        ]
        if len(destinations) > MAX_DESTINATIONS:
            raise InvalidArtifactError(
                f"{file}: {asset_id} has {len(destinations)} destinations; accepted: at most {MAX_DESTINATIONS}"
            )
        for destination in destinations:
            _check_environment(
                f"aws:///{destination.get('region') or 'unknown-region'}", f"aws:///{environment.split('/')[-1]}"
            )
        keys = tuple(_text(destination, "objectKey", f"{file}: {asset_id}") for destination in destinations)
        buckets = {_text(destination, "bucketName", f"{file}: {asset_id}") for destination in destinations}
        source_path = f"{path}/{_text(source, 'path', f'{file}: {asset_id}')}"
        yield FileAsset(source_path, source.get("packaging") == "zip", keys), buckets


def _read_json(archive: zipfile.ZipFile, path: str, file: str) -> dict[str, object]:
    content = read_file(archive, f"{path}/{file}", FIELD, MAX_MANIFEST_BYTES)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidArtifactError(f"{path}/{file} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidArtifactError(f"{path}/{file} is not a JSON object.")
    return value


def read_template(archive: zipfile.ZipFile, stack: AssemblyStack) -> bytes:
    """Return the template of a stack, as it is in the artifact."""
    return read_file(archive, stack.template_path, FIELD, MAX_TEMPLATE_BYTES)


def _object(value: object, name: str, where: str, default: object = None) -> dict[str, object]:
    content = value.get(name, default) if isinstance(value, dict) else None
    if not isinstance(content, dict):
        raise InvalidArtifactError(f"{where}: {name} is not an object; the pipeline reads assemblies of CDK 2.")
    return content


def _list(value: Mapping[str, object], name: str) -> list[object]:
    content = value.get(name, [])
    if not isinstance(content, list):
        raise InvalidArtifactError(f"{MANIFEST}: {name} is not a list; the pipeline reads assemblies of CDK 2.")
    return content


def _text(value: Mapping[str, object], name: str, where: str) -> str:
    content = value.get(name)
    if not isinstance(content, str) or not content or SURROGATE.search(content):
        raise InvalidArtifactError(f"{where}: {name} is not text; the pipeline reads assemblies of CDK 2.")
    return content


def _texts(value: Mapping[str, object], name: str, where: str) -> dict[str, str]:
    items = _object(value, name, where, {})
    return {key: _text(items, key, f"{where}: {name}") for key in items}


def _listed(names: list[str]) -> str:
    more = [f"and {len(names) - MAX_SHOWN_NAMES} more"] if len(names) > MAX_SHOWN_NAMES else []
    return ", ".join([*(name[:80] for name in names[:MAX_SHOWN_NAMES]), *more])
