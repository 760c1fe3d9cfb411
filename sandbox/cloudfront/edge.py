"""What CloudFront asks of a function before it takes it to the edge.

Source: CloudFront developer guide, restrictions on edge functions. Left out: runtimes, size of
the package, whether the caller may replicate the function.
"""

import json
import re
from typing import Any

from ministack.services import iam
from ministack.services.lambda_svc import _get_func_record_for_ref

SECONDS = {"viewer-request": 5, "viewer-response": 5, "origin-request": 30, "origin-response": 30}
NOT_AT_THE_EDGE = ("Layers", "DeadLetterConfig", "VpcConfig", "FileSystemConfigs", "KMSKeyArn")


def check(config: dict[str, Any]) -> None:
    """Raise ValueError, as creating the distribution does, for a function that cannot be at the edge."""
    for behavior in [config["DefaultCacheBehavior"], *config.get("CacheBehaviors", [])]:
        for association in behavior.get("LambdaFunctionAssociations", []):
            arn = association["LambdaFunctionARN"]
            for problem in _problems(arn, association["EventType"]):
                raise ValueError(f"InvalidLambdaFunctionAssociation: {arn}: {problem}")


def _problems(arn: str, event: str) -> list[str]:
    if not re.fullmatch(r"arn:aws:lambda:us-east-1:\d{12}:function:[^:]+:\d+", arn):
        return ["it is no numbered version in us-east-1"]
    _, function, _ = _get_func_record_for_ref(arn)
    if function is None:
        return ["there is no such version"]
    problems = [f"it has {name}" for name in NOT_AT_THE_EDGE if _given(function.get(name))]
    if function.get("Environment", {}).get("Variables"):
        problems.append("it has environment variables")
    if function.get("Architectures", ["x86_64"]) != ["x86_64"]:
        problems.append("it is not for x86_64")
    if function["Timeout"] > SECONDS[event]:
        problems.append(f"its timeout is more than {SECONDS[event]} s")
    trusted = json.dumps(iam._roles[function["Role"].rsplit("/", 1)[-1]]["AssumeRolePolicyDocument"])
    if "edgelambda.amazonaws.com" not in trusted:
        problems.append("edgelambda.amazonaws.com cannot assume its role")
    return problems


def _given(value: Any) -> bool:
    """MiniStack writes some that are not there as objects with nothing in them."""
    return any(map(_given, value.values())) if isinstance(value, dict) else bool(value)
