"""CodePipeline's variables: output variables of earlier actions in the configuration of an action."""

import re
from typing import Any

VARIABLE = re.compile(r"#\{([\w@-]+)\.([\w@-]+)\}")
INVALID = (
    "Valid format for a pipeline execution variable reference is a namespace and a key separated by a period (.). The"
    " following pipeline execution variables are referencing a namespace that does not exist."
)


def run_order(action: dict[str, Any]) -> int:
    return int(action.get("RunOrder", 1))


def check_namespaces(stages: list[dict[str, Any]]) -> None:
    """Reject references to variables of actions that do not run before.

    Raises:
        ValueError: names the action and the reference.
    """
    actions = [(number, stage["Name"], action) for number, stage in enumerate(stages) for action in stage["Actions"]]
    producers = {a["Namespace"]: (number, run_order(a)) for number, _, a in actions if "Namespace" in a}
    for number, stage, action in actions:
        position = (number, run_order(action))
        for key, text in action.get("Configuration", {}).items():
            for namespace, variable in VARIABLE.findall(str(text)):
                if producers.get(namespace, position) >= position:
                    place = f"StageName=[{stage}], ActionName=[{action['Name']}], ActionConfigurationKey=[{key}]"
                    raise ValueError(f"{INVALID} {place}, VariableReferenceText=[{namespace}.{variable}]")


def with_variables(configuration: dict[str, Any], variables: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Return a configuration with the values of the variables.

    Raises:
        ValueError: an earlier action has not produced a variable.
    """

    def value(match: re.Match[str]) -> str:
        if match[2] not in variables.get(match[1], {}):
            raise ValueError(f"The variable {match[0]} could not be resolved.")
        return variables[match[1]][match[2]]

    return {k: VARIABLE.sub(value, v) if isinstance(v, str) else v for k, v in configuration.items()}
