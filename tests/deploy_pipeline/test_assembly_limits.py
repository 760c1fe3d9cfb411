"""Templates of cloud assemblies that would take much time or memory."""

import time

import pytest

from lambdas.deploy_pipeline.artifact import MAX_TEMPLATE_BYTES
from lambdas.deploy_pipeline.assembly import AssemblyStack
from lambdas.deploy_pipeline.errors import InvalidArtifactError


def stack_with(*buckets: str) -> AssemblyStack:
    return AssemblyStack("template.json", {}, {}, (), frozenset(buckets))


def test_bucket_names_are_replaced_once() -> None:
    """The name of the pipeline's bucket can contain a name in the manifest."""
    template = stack_with("e", "s", "set").with_bucket(b'{"a": "e", "b": "s", "c": "set"}', "t", "assets-e-s")
    assert template == b'{"a": "assets-e-s", "b": "assets-e-s", "c": "assets-e-s"}'


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
    template = f'{{"a": "{(bucket + "/") * 100_000}"}}'.encode()
    started = time.process_time()
    assert stack_with("cdk-assets").with_bucket(template, "template.json", bucket) == template
    assert time.process_time() - started < 2
