"""Requests with every parameter of an operation are not denied because of their parameters."""

from typing import Any
from urllib.parse import urlencode

import botocore.session
import pytest
from botocore.serialize import create_serializer
from botocore.utils import ArgumentGenerator

from sandbox.iam.operations import parse

SERVICES = ("athena", "autoscaling", "budgets", "cloudformation", "cloudtrail", "codebuild", "dynamodb", "ec2", "ecr",
            "events", "glue", "iam", "kms", "logs", "secretsmanager", "sns", "sqs", "ssm", "stepfunctions",
            "sts")  # fmt: skip


def _binary(value: Any) -> Any:
    """Replace None, the sample of a binary value."""
    if isinstance(value, dict):
        return {name: _binary(item) for name, item in value.items()}
    return [_binary(item) for item in value] if isinstance(value, list) else b"a" if value is None else value


@pytest.mark.parametrize("service", SERVICES)
def test_request_of_the_sdk_has_known_parameters(service: str) -> None:
    model = botocore.session.Session().get_service_model(service)
    serializer = create_serializer(model.metadata["protocol"], include_validation=False)
    for name in model.operation_names:
        operation = model.operation_model(name)
        values = ArgumentGenerator().generate_skeleton(operation.input_shape) if operation.input_shape else {}
        request = serializer.serialize_to_request(_binary(values), operation)
        body = urlencode(request["body"]).encode() if isinstance(request["body"], dict) else request["body"]
        headers = {key.lower(): value for key, value in request["headers"].items()}
        parsed = parse(model.signing_name, "us-east-1", "POST", "/", "", headers, body)
        assert parsed.name == name, f"{name} is denied"
