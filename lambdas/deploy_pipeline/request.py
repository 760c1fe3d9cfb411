"""The input of the state machine: the stack, its template and parameters, and the inspection policy."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from .errors import InvalidInputError
from .fields import FieldReader, is_object, join_or, shorten
from .inspection import ALWAYS_SAFE_TYPES, DRIFT, Policy
from .nesting import is_too_deeply_nested
from .rollout import Rollout

NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
NAME_DESCRIPTION = "letters, digits and hyphens, starting with a letter"
GREEN = "-green-"  # followed by 8 hexadecimal digits: the suffix of a blue/green stack
MAX_STACK_NAME_CHARACTERS = 128 - len(GREEN) - 8  # CloudFormation's limit is 128
ADDED_FIELDS = ("revisionS3Bucket", "revisionS3Key")  # by the trigger
SELECTION_FIELDS = ("stack", "inspectOnly", "inspection")  # that the trigger adds, too, if there are several stacks
CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
RECREATE = ("never_worked", "always", "never")
ON_UNSAFE = ("fail", "ask", "blue_green")
EXECUTION_NAME = re.compile(r"[\w-]{1,80}", re.ASCII)
MAX_STACKS = 5  # of an assembly, so that the policies of the roles that name them do not become too long
MAX_STACK_CHARACTERS = 92  # with "Inspect-", CodePipeline's limit for the name of an action
NESTED_CHANGE_SETS = ("create", "omit")
# CloudFormation's limits for a RollbackConfiguration.
MAX_ROLLBACK_ALARMS, MAX_MONITORING_MINUTES = 5, 180
ALARM_ARN = re.compile(r"arn:aws[\w-]*:cloudwatch:[a-z0-9-]+:\d{12}:alarm:.{1,255}")
# CodePipeline fails an action after 24 hours, of which the update needs some.
MIN_APPROVAL_TIMEOUT_MINUTES, DEFAULT_APPROVAL_TIMEOUT_MINUTES, MAX_APPROVAL_TIMEOUT_MINUTES = 5, 480, 720
# As a string within JSON. Step Functions omits an input of more than 248 KiB from the event about the
# execution's end, and the clean-up function needs the input.
MAX_INPUT_CHARACTERS = 200_000
MAX_PATH_CHARACTERS = 1024
MAX_NESTING_LEVELS = 32  # three are enough; some thousands exceed Python's recursion limit
STACK_ID = re.compile(r"[\w./ -]{1,255}")
PATH = re.compile(rf".{{1,{MAX_PATH_CHARACTERS}}}", re.DOTALL)
# CloudFormation's quotas and the lengths of its type Tag.
MAX_PARAMETERS, MAX_PARAMETER_BYTES = 200, 4096
MAX_TAGS, MAX_TAG_CHARACTERS = 50, 256
PARAMETER_NAME = re.compile(r"[A-Za-z0-9]{1,255}")
TAG_KEY = re.compile(r"(?!aws:)[\w\s.:/=+@-]{1,128}", re.IGNORECASE)
MAX_SHOWN_ERRORS = 20


@dataclass(frozen=True)
class Rollback:
    """ARNs of alarms that roll back an operation on the stack, during it and for `monitoring_minutes` afterwards."""

    alarms: tuple[str, ...]
    composite_alarms: tuple[str, ...]
    monitoring_minutes: int


@dataclass(frozen=True)
class AssemblyLocation:
    """The folder of a CDK cloud assembly in the artifact, and the name of one of its stacks."""

    path: str
    stack: str


@dataclass(frozen=True)
class DeploymentRequest:
    """The validated input of an execution.

    stack_name: the complete name, which starts with the environment's name and, if the assembly has several `stacks`,
        ends with the selected one.
    template_path: empty with an `assembly`. stacks: those from which the assembly's stack is selected, if several.
    recreate: what to do with a stack whose creation failed, one of `RECREATE`.
    on_unsafe: what to do if a change is unsafe, one of `ON_UNSAFE`.
    approval_timeout_minutes: the time for a decision, with `on_unsafe` ``ask``.
    rollback: None if the stack keeps its alarms. rollout: with empty ARNs if there is none.
    nested_change_sets: one of `NESTED_CHANGE_SETS`.
    inspect_only: whether changes are inspected, but not made.
    inspection: name of the execution that has inspected the stack; empty if there is none.
    """

    environment_name: str
    stack_name: str
    template_path: str
    assembly: AssemblyLocation | None
    stacks: tuple[str, ...]
    bucket: str
    key: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    capabilities: tuple[str, ...]
    policy: Policy
    recreate: str
    on_unsafe: str
    approval_timeout_minutes: int
    rollback: Rollback | None
    rollout: Rollout
    nested_change_sets: str
    inspect_only: bool
    inspection: str

    def exemptions(self) -> str:
        """Describe the exemptions in force; empty with the default policy."""
        exemptions = self.policy.exemptions()
        if self.recreate == "always":
            exemptions.append("recreation of a stack that has worked")
        return f"Exemptions in force: {'; '.join(exemptions)}" if exemptions else ""


def parse_request(value: object) -> DeploymentRequest:
    """Validate the input of an execution.

    Raises:
        InvalidInputError: names every invalid field and the accepted values.
    """
    form = _checked_form(value)
    fields = FieldReader(form)
    environment_name = fields.text("environmentName", NAME, NAME_DESCRIPTION)
    stack_name = fields.text("stackName", NAME, NAME_DESCRIPTION)
    template_path, assembly, stacks = _parse_source(fields)
    bucket, key = fields.text("revisionS3Bucket"), fields.text("revisionS3Key")
    fields.check_keys("parameters", PARAMETER_NAME, "1 to 255 letters and digits", MAX_PARAMETERS)
    parameters = fields.mapping(
        "parameters",
        _is_parameter,
        f"text, finite numbers, true or false, or lists of these, with at most {MAX_PARAMETER_BYTES} bytes",
    )
    key_description = "1 to 128 letters, digits, spaces and characters of _.:/=+@-, not beginning with aws:"
    fields.check_keys("tags", TAG_KEY, key_description, MAX_TAGS)
    tags = fields.mapping("tags", _is_tag_value, f"text of 1 to {MAX_TAG_CHARACTERS} characters")
    capabilities = fields.optional("capabilities", [], _is_list_of(CAPABILITIES), f"a list of {join_or(CAPABILITIES)}")
    policy = fields.optional("policy", {}, is_object, "an object")
    on_unsafe = fields.choice("onUnsafe", ON_UNSAFE)
    approval_timeout = fields.optional(
        "approvalTimeoutMinutes",
        DEFAULT_APPROVAL_TIMEOUT_MINUTES,
        _is_whole_number(MIN_APPROVAL_TIMEOUT_MINUTES, MAX_APPROVAL_TIMEOUT_MINUTES),
        f"a whole number from {MIN_APPROVAL_TIMEOUT_MINUTES} to {MAX_APPROVAL_TIMEOUT_MINUTES}",
    )
    nested_change_sets = fields.choice("nestedChangeSets", NESTED_CHANGE_SETS)
    rollback = fields.optional("rollback", {}, is_object, "an object")
    rollout = Rollout.parse(fields)
    inspect_only = fields.optional("inspectOnly", False, lambda item: isinstance(item, bool), "true or false")
    inspection = fields.text("inspection", EXECUTION_NAME, "the name of an execution") if "inspection" in form else ""
    if inspection and inspect_only:  # otherwise the approved changes would be made
        fields.errors.append("inspection: not together with inspectOnly")
    if inspection and not stacks:
        fields.errors.append("inspection: only together with assembly.stacks")
    if stacks and on_unsafe == "blue_green":
        fields.errors.append("onUnsafe: given blue_green; accepted with several stacks: fail or ask")
    if stacks and rollout.alias_arn:
        fields.errors.append("rollout: not together with assembly.stacks")
    fields.reject_unknown_fields()
    policy_fields, rollback_fields = FieldReader(policy, "policy."), FieldReader(rollback, "rollback.")
    inspection_policy, recreate = _parse_policy(policy_fields)
    rollback_alarms = _parse_rollback(rollback_fields)
    full_name = f"{environment_name}-{stack_name}" + (f"-{assembly.stack}" if stacks and assembly else "")
    errors = fields.errors + policy_fields.errors + rollback_fields.errors
    if not errors and len(full_name) > MAX_STACK_NAME_CHARACTERS:
        others = "environmentName and stack" if stacks else "environmentName"
        errors.append(
            f"stackName: with {others}, {len(full_name)} characters; accepted: at most {MAX_STACK_NAME_CHARACTERS}"
        )
    _raise_errors(errors)
    return DeploymentRequest(
        environment_name=environment_name,
        stack_name=full_name,
        template_path=template_path,
        assembly=assembly,
        stacks=tuple(stacks),
        bucket=bucket,
        key=key,
        parameters={name: _to_parameter(item) for name, item in parameters.items()},
        tags={name: str(item) for name, item in tags.items()},
        capabilities=tuple(capabilities),
        policy=inspection_policy,
        recreate=recreate,
        on_unsafe=on_unsafe,
        approval_timeout_minutes=int(approval_timeout),
        rollback=rollback_alarms if "rollback" in form else None,
        rollout=rollout,
        nested_change_sets=nested_change_sets,
        inspect_only=inspect_only,
        inspection=inspection,
    )


def _parse_source(fields: FieldReader) -> tuple[str, AssemblyLocation | None, list[str]]:
    """Read the path of a template, or an assembly instead, and the stacks among which `stack` selects one."""
    path_accepted = f"text of at most {MAX_PATH_CHARACTERS} characters"
    location = fields.optional("assembly", {}, is_object, "an object with path, and stack or stacks")
    if "assembly" not in fields.fields:
        return fields.text("templatePath", PATH, path_accepted), None, []
    if "templatePath" in fields.fields:
        fields.text("templatePath", PATH, path_accepted)
        fields.errors.append("templatePath: cannot be combined with assembly")
    inner = FieldReader(location, "assembly.")
    path = inner.text("path", PATH, path_accepted)
    stacks: list[str] = []
    if "stacks" in location:
        names = f"different names of stacks with at most {MAX_STACK_CHARACTERS} letters, digits and hyphens"
        stacks = inner.optional("stacks", [], _are_stacks, f"a list of 2 to {MAX_STACKS} {names}")
        accepted = join_or(tuple(stacks)) if stacks else "a stack of assembly.stacks"
        stack = str(fields.optional("stack", "", stacks.__contains__, accepted))
    else:
        stack = inner.text("stack", STACK_ID, "the name of a stack, such as Shop")
    inner.reject_unknown_fields()
    fields.errors += inner.errors
    return "", AssemblyLocation(path.rstrip("/"), stack), stacks


def _are_stacks(value: object) -> bool:
    if not _is_texts(value) or not 2 <= len(value) <= MAX_STACKS or len(set(value)) != len(value):
        return False
    return all(NAME.fullmatch(name) and len(name) <= MAX_STACK_CHARACTERS for name in value)


def stacks_of(value: Mapping[str, Any]) -> list[str]:
    """Return the stacks of a valid input from which the trigger selects one; empty if there is only one."""
    return list(value.get("assembly", {}).get("stacks", []))


def _checked_form(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InvalidInputError("The input must be a JSON object.")
    if is_too_deeply_nested(value, MAX_NESTING_LEVELS):
        raise InvalidInputError(f"The input has more than {MAX_NESTING_LEVELS} levels of nesting.")
    if len(json.dumps(json.dumps(value))) > MAX_INPUT_CHARACTERS:
        raise InvalidInputError(f"The input has more than {MAX_INPUT_CHARACTERS:,} characters as an escaped string.")
    return value


def parse_policy(value: object) -> Policy:
    """Validate a `policy` alone.

    Raises:
        InvalidInputError: names every invalid field and the accepted values.
    """
    if not isinstance(value, dict):
        raise InvalidInputError(f"policy: given {shorten(value)}; accepted: an object")
    fields = FieldReader(value, "policy.")
    policy, _ = _parse_policy(fields)
    _raise_errors(fields.errors)
    return policy


def _parse_policy(fields: FieldReader) -> tuple[Policy, str]:
    types = fields.optional("exemptTypes", [], _is_texts, "a list of resource types")
    ids = fields.optional("exemptLogicalIds", [], _is_texts, "a list of logical ids")
    conditional = fields.choice("conditional", ("reject", "allow"))
    dynamic = fields.choice("dynamic", ("reject", "allow"))
    revisions = fields.choice("revisions", ("allow", "reject"))
    drift = fields.choice("drift", DRIFT)
    recreate = fields.choice("recreate", RECREATE)
    fields.reject_unknown_fields()
    policy = Policy(
        exempt_types=ALWAYS_SAFE_TYPES | frozenset(types),
        exempt_logical_ids=frozenset(ids),
        conditional=conditional == "allow",
        dynamic=dynamic == "allow",
        revisions=revisions == "allow",
        drift=drift,
    )
    return policy, recreate


def _parse_rollback(fields: FieldReader) -> Rollback:
    accepted = "a list of ARNs of alarms, such as arn:aws:cloudwatch:us-east-1:111111111111:alarm:Errors"
    alarms, composite_alarms = (
        tuple(fields.optional(name, [], _is_alarms, accepted)) for name in ("alarms", "compositeAlarms")
    )
    minutes = fields.optional(
        "monitoringMinutes",
        0,
        _is_whole_number(0, MAX_MONITORING_MINUTES),
        f"a whole number from 0 to {MAX_MONITORING_MINUTES}",
    )
    fields.reject_unknown_fields()
    count = len(alarms) + len(composite_alarms)
    if count > MAX_ROLLBACK_ALARMS:
        fields.errors.append(f"rollback: given {count} alarms; accepted: at most {MAX_ROLLBACK_ALARMS}")
    return Rollback(alarms, composite_alarms, int(minutes))


def _raise_errors(errors: list[str]) -> None:
    if errors:
        hidden = len(errors) - MAX_SHOWN_ERRORS
        more = [f"and {hidden} more"] if hidden > 0 else []
        raise InvalidInputError("Invalid input: " + "; ".join(errors[:MAX_SHOWN_ERRORS] + more))


def refuse_other_stack(request: DeploymentRequest, configured: str) -> None:
    """Accept only the configured stacks, separated by commas, and their blue/green stacks.

    Raises:
        InvalidInputError: the input names another stack, even one whose name has the same prefix.
    """
    if not re.fullmatch(f"({configured.replace(',', '|')})({GREEN}[0-9a-f]{{8}})?", request.stack_name):
        raise InvalidInputError(
            f"environmentName and stackName: given {request.stack_name}; this pipeline deploys only {configured} and"
            f" its blue/green stacks ({configured}{GREEN}<8 digits>). To change this, deploy the pipeline with"
            " another `input`."
        )


def refuse_other_bucket(request: DeploymentRequest, artifacts: str) -> None:
    """Accept only artifacts of the pipeline: the fingerprint of the input does not cover the artifact.

    Raises:
        InvalidInputError: the input names another bucket, whose policy can allow the function's role to read it.
    """
    if request.bucket != artifacts:
        raise InvalidInputError(f"revisionS3Bucket: given {request.bucket}; accepted: only {artifacts}")


def fingerprint(value: Mapping[str, Any]) -> str:
    """Return a hash of a valid input, independent of its layout and of the fields that the trigger adds.

    Parameters are compared by the text that the stack gets, and numbers by their value: Step Functions can write 60.0.
    """
    added = ADDED_FIELDS + (SELECTION_FIELDS if stacks_of(value) else ())
    fields = {name: _with_whole_numbers(item) for name, item in value.items() if name not in added}
    fields["parameters"] = {name: _to_parameter(item) for name, item in value.get("parameters", {}).items()}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _with_whole_numbers(value: object) -> object:
    if isinstance(value, dict):
        return {name: _with_whole_numbers(item) for name, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_simple(value: object) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _is_parameter(value: object) -> bool:
    if not _is_simple(value) and not (isinstance(value, list) and all(map(_is_simple, value))):
        return False
    return len(_to_parameter(value).encode(errors="surrogatepass")) <= MAX_PARAMETER_BYTES


def _is_tag_value(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TAG_CHARACTERS


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_alarms(value: object) -> bool:
    return _is_texts(value) and all(map(ALARM_ARN.fullmatch, value))


def _is_whole_number(minimum: int, maximum: int) -> Callable[[object], bool]:
    """Return a check of a number in a range. Step Functions can write 60 as 60.0."""

    def is_whole_number(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return value == value // 1 and minimum <= value <= maximum

    return is_whole_number


def _is_list_of(accepted: tuple[str, ...]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(item in accepted for item in value)


def _to_parameter(value: object) -> str:
    """Convert a value to text, as CloudFormation requires: a list with commas, ``true`` and ``false``.

    Step Functions can write 1.0 as 1, so both are ``1``.
    """
    if isinstance(value, list):
        return ",".join(map(_to_parameter, value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
