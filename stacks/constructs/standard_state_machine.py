"""A state machine with a dedicated log group."""

import json
from collections.abc import Mapping
from typing import Any

from aws_cdk import ArnFormat, RemovalPolicy, Stack, aws_logs as logs, aws_stepfunctions as sfn
from constructs import Construct

from .acknowledgments import acknowledge_wildcards
from .grants import grant
from .unique_name import unique_name


class StandardStateMachine(sfn.StateMachine):
    """A state machine with a log and traces, whose role can invoke the functions of its definition.

    `function_arns` and `substitutions` are the values of ``${Name}`` in the definition.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        definition: Mapping[str, Any],
        function_arns: Mapping[str, str],
        substitutions: Mapping[str, str] | None = None,
        log_execution_data: bool,
    ) -> None:
        log_group = logs.LogGroup(
            scope,
            f"{construct_id}Log",
            # With this prefix, Step Functions adds nothing to CloudWatch Logs' resource policy, whose size is limited.
            log_group_name=unique_name(scope, f"/aws/vendedlogs/states/{Stack.of(scope).stack_name}-{construct_id}"),
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=RemovalPolicy.DESTROY,
        )
        super().__init__(
            scope,
            construct_id,
            definition_body=sfn.DefinitionBody.from_string(json.dumps(definition)),
            definition_substitutions={**function_arns, **(substitutions or {})},
            tracing_enabled=True,
            logs=sfn.LogOptions(
                destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=log_execution_data
            ),
        )
        grant(self, ["lambda:InvokeFunction"], *function_arns.values())
        acknowledge_wildcards(self.role, {"Resource::*": "X-Ray and log delivery have no resource-level permissions."})

    @property
    def executions_arn(self) -> str:
        """The ARNs of all executions, with a wildcard."""
        return Stack.of(self).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{self.state_machine_name}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
