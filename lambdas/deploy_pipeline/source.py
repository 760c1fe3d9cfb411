"""What is deployed: a template in the source artifact, or a stack of a CDK cloud assembly."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import assembly
from .artifact import MAX_READ_BYTES, open_artifact, read_template
from .request import DeploymentRequest

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@dataclass(frozen=True)
class AssetTarget:
    """The bucket for assets, and the account and Region of the pipeline, such as ``aws://111111111111/us-east-1``."""

    bucket: str
    environment: str


@dataclass(frozen=True)
class Source:
    """A template and its path. From an assembly: tags, parameters, and whether assets have to be published."""

    path: str
    template: bytes
    tags: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    has_assets: bool = False


def read_source(s3: "S3Client", request: DeploymentRequest, target: AssetTarget) -> Source:
    """Read the template of a deployment.

    Raises:
        InvalidArtifactError: it cannot be read, or the assembly is not one that this pipeline can deploy.
    """
    if not request.assembly:
        return Source(request.template_path, read_template(s3, request.bucket, request.key, request.template_path))
    max_bytes = MAX_READ_BYTES + 2 * assembly.MAX_MANIFEST_BYTES
    with open_artifact(s3, request.bucket, request.key, max_bytes) as archive:
        stack = assembly.read_stack(archive, request.assembly, target.environment)
        template = stack.with_bucket(assembly.read_template(archive, stack), stack.template_path, target.bucket)
        return Source(stack.template_path, template, stack.tags, stack.parameters, bool(stack.assets))
