"""Preconditions of the walkthrough of security_group_revert."""

from collections.abc import Mapping

from .trails import require_trail
from .walkthrough import PreconditionError, Target

MAX_SWEEP_MINUTES = 10  # in an account, steps wait up to 15 minutes
MINUTES = {"minute": 1, "hour": 60, "day": 1440}  # units of EventBridge rate expressions


def require_settings(target: Target, outputs: Mapping[str, str]) -> dict[str, str]:
    """Return the function's environment variables.

    Raises:
        PreconditionError: the deployed settings, or the trails of the account, do not allow the steps.
    """
    if "SampleGroupId" not in outputs:
        raise PreconditionError("the sample group is not deployed; deploy with security_group_revert:sample_group=true")
    function = target.client("lambda").get_function_configuration(FunctionName=outputs["FunctionName"])
    variables: dict[str, str] = function["Environment"]["Variables"]
    for name, needed in (("mode", "revert"), ("restore", "true")):
        if variables[name.upper()] != needed:
            setting = f"security_group_revert:{name}={variables[name.upper()]}"
            raise PreconditionError(f"the stack is deployed with {setting}; the walkthrough needs {name}={needed}")
    rule = target.client("events").describe_rule(Name=outputs["SweepRuleName"])
    value, unit = rule["ScheduleExpression"].removeprefix("rate(").removesuffix(")").split()
    minutes = int(value) * MINUTES[unit.removesuffix("s")]
    if minutes > MAX_SWEEP_MINUTES:
        raise PreconditionError(
            f"the stack is deployed with security_group_revert:sweep_minutes={minutes}; the walkthrough waits for"
            f" a sweep and needs at most {MAX_SWEEP_MINUTES}"
        )
    require_trail(target.client("cloudtrail"))
    return variables
