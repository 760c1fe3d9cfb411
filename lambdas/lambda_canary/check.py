"""Check that a rollout is possible, before anything is changed, and plan it."""

import json
import re
from typing import TYPE_CHECKING, TypedDict

from .alias import Alias, function_name, read, shifted
from .config import Config, Target
from .errors import AliasBusyError, InvalidInputError, VersionPendingError
from .metrics import read_throttling

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_lambda import LambdaClient
    from types_boto3_lambda.type_defs import FunctionConfigurationResponseTypeDef

METRIC_DELAY = 60  # seconds until the metrics of an ended invocation arrive: Lambda sends them once a minute
READY, PENDING = "Active", "Pending"  # states of a version
USABLE_STATES = (READY, "Inactive")  # an idle version is activated by its invocation
# Of an execution. Step Functions accepts others, some of which would not be found again in the mark of an alias.
NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


class Plan(TypedDict):
    """What the state machine needs for a rollout."""

    function: str
    functionName: str
    alias: str
    old: str
    new: str
    weights: list[float]
    revision: str
    description: str
    interval: int
    timeout: int
    ignoredAlarms: list[str]
    before: dict[str, int]
    notes: str


def plan(
    awslambda: "LambdaClient", cloudwatch: "CloudWatchClient", config: Config, rollout_input: object, execution: str
) -> Plan:
    """Check function, alias, version and alarms, and return the plan. No weights: the alias has this version already.

    Raises:
        InvalidInputError: Lambda would reject the rollout, an alarm does not exist, or the execution's name is invalid.
        VersionPendingError: Lambda is still preparing a version.
        AliasBusyError: the alias has weights.
    """
    if not NAME.fullmatch(execution):
        raise InvalidInputError(
            f"the name of the execution is {json.dumps(execution)}; it must have 1 to 80 letters, digits, - and _"
        )
    target, new = config.target(rollout_input)
    alias = read(awslambda, target.arn, target.alias)
    if alias.weights:
        raise AliasBusyError(f"The {alias}. One rollout at a time: wait until it has ended, or remove the weights.")
    if alias.version == "$LATEST":
        raise InvalidInputError(f"the {alias}. Point it to a published version: Lambda rejects weights on $LATEST")
    new_version = _version(awslambda, target, new)
    unchanged = alias.version == new
    timeout = new_version["Timeout"]
    if not unchanged:
        old_version = _version(awslambda, target, alias.version)
        _compare(old_version, new_version)
        timeout = max(timeout, old_version["Timeout"])
        shifted(alias, new, config.weights[0], execution)  # checks the description
    ignored = _alarms_on(cloudwatch, target, config.alarm_at_start)
    before = read_throttling(cloudwatch, target.arn, target.alias, max(config.interval, 300))
    return {
        "function": target.arn,
        "functionName": function_name(target.arn),
        "alias": target.alias,
        "old": alias.version,
        "new": new,
        "weights": [] if unchanged else [float(weight) for weight in config.weights],
        "revision": alias.revision,
        "description": alias.description,
        # The metrics of a call arrive when it ends, at the latest with its timeout.
        "interval": max(config.interval, timeout + METRIC_DELAY),
        "timeout": timeout,
        "ignoredAlarms": ignored,
        "before": {"calls": before.calls, "throttles": before.throttles},
        "notes": f"In ALARM at the start, and ignored: {', '.join(ignored)}.\n" if ignored else "",
    }


def step_alias(plan: Plan) -> Alias:
    """Return the alias as it was before the rollout."""
    return Alias(plan["function"], plan["alias"], plan["old"], {}, plan["description"])


def _version(client: "LambdaClient", target: Target, version: str) -> "FunctionConfigurationResponseTypeDef":
    try:
        configuration = client.get_function_configuration(FunctionName=target.arn, Qualifier=version)
    except client.exceptions.ResourceNotFoundException:
        raise InvalidInputError(f"version {version} of {function_name(target.arn)} does not exist") from None
    if configuration.get("State") == PENDING:
        raise VersionPendingError(
            f"version {version} is pending: {configuration.get('StateReason', 'no reason given')}"
        )
    if configuration.get("State", READY) not in USABLE_STATES:
        raise InvalidInputError(
            f"version {version} is {configuration['State']}: {configuration.get('StateReason', 'no reason given')}"
        )
    return configuration


def _compare(old: "FunctionConfigurationResponseTypeDef", new: "FunctionConfigurationResponseTypeDef") -> None:
    """Check what both versions of a weighted alias must have in common."""
    old_queue, new_queue = (version.get("DeadLetterConfig", {}).get("TargetArn") or None for version in (old, new))
    for name, first, second in (
        ("execution role", old["Role"], new["Role"]),
        ("dead-letter queue", old_queue, new_queue),
    ):
        if first != second:
            raise InvalidInputError(
                f"versions {old['Version']} and {new['Version']} have different {name}s ({first}, {second}); "
                "an alias cannot have both. Deploy that change first, with the same code"
            )


def _alarms_on(client: "CloudWatchClient", target: Target, alarm_at_start: str) -> list[str]:
    """Return the alarms that are on already, so the new version is not the cause."""
    states = alarm_states(client, target.alarms)
    if missing := sorted(set(target.alarms) - states.keys()):
        raise InvalidInputError(f"alarm {missing[0]} does not exist")
    alarms = sorted(name for name, state in states.items() if state == "ALARM")
    if alarms and alarm_at_start == "refuse":
        raise InvalidInputError(f"in ALARM before the rollout: {', '.join(alarms)} (alarm_at_start=refuse)")
    return alarms


def alarm_states(client: "CloudWatchClient", names: tuple[str, ...]) -> dict[str, str]:
    """Return the state of each metric alarm that exists."""
    if not names:
        return {}
    response = client.describe_alarms(AlarmNames=list(names), AlarmTypes=["MetricAlarm"])
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in response["MetricAlarms"]}
