"""CloudFront Functions and Lambda@Edge: the functions that a distribution may have.

Source: CloudFront developer guide, restrictions on edge functions, and quotas. Not implemented: key value stores,
compute utilization, runtimes, package size, the caller's permission to replicate a Lambda function.
"""

import json
import re
from typing import Any

from ..ministack import cloudfront, iam, lambda_functions

MAX_BYTES = 10_240  # of a CloudFront Function
MAX_TIMEOUT_SECONDS = {"viewer-request": 5, "viewer-response": 5, "origin-request": 30, "origin-response": 30}
UNSUPPORTED_SETTINGS = ("Layers", "DeadLetterConfig", "VpcConfig", "FileSystemConfigs", "KMSKeyArn")


def check_code(properties: dict[str, Any]) -> None:
    """Raise ValueError if a CloudFront Function is larger than CloudFront's quota."""
    size = len(properties["FunctionCode"].encode())
    if size > MAX_BYTES:
        raise ValueError(f"FunctionSizeLimitExceeded: {size} bytes (at most {MAX_BYTES})")


def check_associations(config: dict[str, Any]) -> None:
    """Raise ValueError if a distribution has a function that CloudFront does not accept."""
    for behavior in [config["DefaultCacheBehavior"], *config.get("CacheBehaviors", [])]:
        lambda_events = {}
        for association in behavior.get("LambdaFunctionAssociations", []):
            arn, event = association["LambdaFunctionARN"], association["EventType"]
            lambda_events[event] = arn
            for problem in _lambda_problems(arn, event):
                raise ValueError(f"InvalidLambdaFunctionAssociation: {arn}: {problem}")
        for association in behavior.get("FunctionAssociations", []):
            arn = association["FunctionARN"]
            if cloudfront.live_function_code(arn) is None:
                raise ValueError(f"InvalidFunctionAssociation: {arn} does not exist or is not published")
            if lambda_events.keys() & {"viewer-request", "viewer-response"}:
                raise ValueError(f"InvalidFunctionAssociation: {arn}: Lambda@Edge has a viewer event too")


def _lambda_problems(arn: str, event: str) -> list[str]:
    if not re.fullmatch(r"arn:aws:lambda:us-east-1:\d{12}:function:[^:]+:\d+", arn):
        return ["it is not a numbered version in us-east-1"]
    _, function, _ = lambda_functions.find_function(arn)
    if function is None:
        return ["the version does not exist"]
    problems = [f"it has {name}" for name in UNSUPPORTED_SETTINGS if _is_set(function.get(name))]
    if function.get("Environment", {}).get("Variables"):
        problems.append("it has environment variables")
    if function.get("Architectures", ["x86_64"]) != ["x86_64"]:
        problems.append("its architecture is not x86_64")
    if function["Timeout"] > MAX_TIMEOUT_SECONDS[event]:
        problems.append(f"its timeout is more than {MAX_TIMEOUT_SECONDS[event]} s")
    trust_policy = json.dumps(iam.roles[function["Role"].rsplit("/", 1)[-1]]["AssumeRolePolicyDocument"])
    if "edgelambda.amazonaws.com" not in trust_policy:
        problems.append("edgelambda.amazonaws.com cannot assume its role")
    return problems


def _is_set(value: Any) -> bool:
    """MiniStack stores some missing settings as empty objects."""
    return any(map(_is_set, value.values())) if isinstance(value, dict) else bool(value)
