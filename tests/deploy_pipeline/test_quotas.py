"""The largest settings of the pipeline stay within IAM's quotas."""

import json
from pathlib import Path

import pytest

from lambdas.deploy_pipeline.request import MAX_STACK_NAME_CHARACTERS
from settings.deploy_pipeline import MAX_SSM_PARAMETERS

from ..conftest import synthesize
from .test_stack import STACK, named, statements

pytestmark = pytest.mark.xdist_group("templates")
INLINE_POLICIES = 10_240  # characters of a role, without white space: IAM and AWS STS quotas
LONG_REFERENCE = "x" * 64  # more than an ARN's partition, region, account or a name made up by CloudFormation


def test_state_machine_role_with_max_ssm_parameters_fits(tmp_path: Path) -> None:
    given = {"environmentName": "prod", "stackName": "a" * (MAX_STACK_NAME_CHARACTERS - 5), "templatePath": "app.json"}
    (tmp_path / "input.json").write_text(json.dumps(given))
    names = [f"/{number:0>199}" for number in range(MAX_SSM_PARAMETERS)]
    settings = {"deploy_pipeline:input": str(tmp_path / "input.json"), "deploy_pipeline:ssm_parameters": names}
    template = synthesize(tmp_path / "out", settings, STACK).template(STACK)
    found = statements(template, named(template, "AWS::IAM::Role", "StateMachine"))
    text = json.dumps(found, separators=(",", ":"))
    assert all(name in text for name in names)
    assert resolved_length(found) < INLINE_POLICIES


def resolved_length(value: object) -> int:
    """The number of characters of a policy when every reference in it is filled in with something long."""

    def resolve(item: object) -> object:
        match item:
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(str(resolve(part)) for part in parts)
            case {"Ref": "AWS::AccountId" | "AWS::Partition" | "AWS::Region"}:
                return "x" * 14
            case {"Ref": _} | {"Fn::GetAtt": _}:
                return f"arn:aws:iam::111111111111:role/{LONG_REFERENCE}"
            case dict():
                return {name: resolve(inner) for name, inner in item.items()}
            case list():
                return [resolve(inner) for inner in item]
            case _:
                return item

    return len(json.dumps(resolve(value), separators=(",", ":")))
