"""CloudFormation accepts every parameter and tag that the input of the state machine accepts.

Lengths of tags are those of botocore's model. The model has none for parameters, and no characters: those are from
CloudFormation's quotas and from the schema of `AWS::CloudFormation::StackSet`.
"""

from typing import Any

import botocore.session
import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from hypothesis import given, strategies as st

from lambdas.deploy_pipeline.errors import InvalidInputError
from lambdas.deploy_pipeline.request import parse_request

INPUT = {
    "environmentName": "prod",
    "stackName": "shop",
    "templatePath": "template.yaml",
    "revisionS3Bucket": "artifacts",
    "revisionS3Key": "app.zip",
}
SHAPES = {
    name: botocore.session.get_session().get_service_model("cloudformation").shape_for(name).metadata
    for name in ("TagKey", "TagValue", "Tags")
}
MAX_PARAMETERS, MAX_NAME_CHARACTERS, MAX_VALUE_BYTES = 200, 255, 4096
around_tag_lengths = st.sampled_from([0, 1, 2, 127, 128, 129, 255, 256, 257])


def refusal(**fields: Any) -> str | None:
    """The error about an input with these fields; None if it is accepted."""
    try:
        parse_request(INPUT | fields)
    except InvalidInputError as error:
        return str(error)
    return None


def repeated(texts: st.SearchStrategy[str], lengths: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    return st.builds(lambda text, length: (text * length)[:length] if text else "", texts, lengths)


def test_every_capability_of_the_api_is_accepted() -> None:
    capabilities: Any = botocore.session.get_session().get_service_model("cloudformation").shape_for("Capability")
    assert refusal(capabilities=capabilities.enum) is None


@given(repeated(st.text(max_size=5), around_tag_lengths), repeated(st.text(max_size=3), around_tag_lengths))
def test_accepted_tag_has_the_lengths_of_the_api(key: str, value: str) -> None:
    if refusal(tags={key: value}) is None:
        assert SHAPES["TagKey"]["min"] <= len(key) <= SHAPES["TagKey"]["max"]
        assert SHAPES["TagValue"]["min"] <= len(value) <= SHAPES["TagValue"]["max"]
        assert not key.lower().startswith("aws:")


@given(st.from_regex(r"[a-zA-Z0-9\s:_./=+-]{1,128}", fullmatch=True))
def test_tag_key_of_the_stack_set_schema_is_accepted(key: str) -> None:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", "AWS::CloudFormation::StackSet").schema
    assert schema["definitions"]["Tag"]["properties"]["Key"]["maxLength"] == 128
    assert (refusal(tags={key: "x"}) is None) is not key.lower().startswith("aws:")


@pytest.mark.reliability("deploy_pipeline", "Malformed input", fault="input file or user parameters")
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tags": {"aws:x": "y"}}, 'tags: given the key "aws:x"; accepted: 1 to 128'),
        ({"tags": {"AWS:x": "y"}}, "not beginning with aws:"),
        ({"tags": {"": "y"}}, 'tags: given the key ""'),
        ({"tags": {"a<b": "y"}}, 'tags: given the key "a<b"'),
        ({"tags": {"k" * 129: "y"}}, "tags: given the key"),
        ({"tags": {"team": ""}}, 'tags.team: given ""; accepted: text of 1 to 256 characters'),
        ({"tags": {"team": "v" * 257}}, "tags.team: given"),
        ({"tags": {f"tag{number}": "x" for number in range(51)}}, "accepted: an object of at most 50 items"),
        ({"parameters": {"a-b": "x"}}, 'parameters: given the key "a-b"; accepted: 1 to 255 letters and digits'),
        ({"parameters": {"": "x"}}, 'parameters: given the key ""'),
        ({"parameters": {"ä": "x"}}, "parameters: given the key"),
        ({"parameters": {"Size": "ä" * 2049}}, "parameters.Size: given"),
        ({"parameters": {"Sizes": [10] * 1366}}, "parameters.Sizes: given"),
        ({"parameters": {f"P{number}": "x" for number in range(201)}}, "accepted: an object of at most 200 items"),
    ],
)
def test_parameter_or_tag_that_aws_refuses_is_rejected(fields: dict[str, Any], message: str) -> None:
    assert message in str(refusal(**fields))


def test_parameters_and_tags_at_the_maximum_are_accepted() -> None:
    assert SHAPES["Tags"]["max"] == 50
    assert refusal(tags={f"{number:0>128}": "v" * 256 for number in range(50)}) is None
    names = [f"{number:0>{MAX_NAME_CHARACTERS}}" for number in range(MAX_PARAMETERS)]
    assert refusal(parameters=dict.fromkeys(names, "x") | {names[0]: "v" * MAX_VALUE_BYTES}) is None
    assert refusal(parameters={"Empty": "", "None": []}) is None
