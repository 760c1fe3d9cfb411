"""Lambda and CloudWatch in memory: aliases with revisions, versions, invocations and metrics.

They respond as the AWS APIs do: UpdateAlias rejects another revision, and every update creates a new one.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3
from botocore.exceptions import ClientError

from tests.fake_client import FakeClient

ARN = "arn:aws:lambda:us-east-1:111111111111:function:shop"
ROLE = "arn:aws:iam::111111111111:role/shop"
REAL = boto3.client("lambda", region_name="us-east-1")


def error(name: str, operation: str, message: str = "") -> ClientError:
    """An error that Lambda's API models."""
    kind: type[ClientError] = getattr(REAL.exceptions, name)
    raised = kind({"Error": {"Code": name, "Message": message}}, operation)
    return raised


def _respond(_payload: Any) -> dict[str, bool]:
    return {"ok": True}


def denied(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}, operation)


@dataclass
class FakeLambda(FakeClient):
    """One function with versions and an alias. `before_update` and `after_update` run at each UpdateAlias."""

    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    alias: dict[str, Any] | None = None
    responses: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    before_update: list[Callable[[], None]] = field(default_factory=list)
    after_update: list[Callable[[], None]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    invocations: list[str] = field(default_factory=list)
    exceptions = REAL.exceptions

    def __post_init__(self) -> None:
        for number in ("1", "2", "3"):
            self.versions.setdefault(number, {"Version": number, "Role": ROLE, "Timeout": 3, "State": "Active"})
        if self.alias is None:
            self.alias = {"FunctionVersion": "1", "Name": "live", "Description": "", "RevisionId": "r0"}

    def get_alias(self, FunctionName: str, Name: str) -> dict[str, Any]:
        if FunctionName != ARN or not self.alias or Name != self.alias["Name"]:
            raise error("ResourceNotFoundException", "GetAlias")
        return dict(self.alias)

    def update_alias(self, **request: Any) -> dict[str, Any]:
        if self.before_update:
            self.before_update.pop(0)()
        if not self.alias:
            raise error("ResourceNotFoundException", "UpdateAlias")
        if request["RevisionId"] != self.alias["RevisionId"]:
            raise error("PreconditionFailedException", "UpdateAlias")
        self.change(**{name: request[name] for name in ("FunctionVersion", "RoutingConfig", "Description")})
        self.updates.append(request)
        if self.after_update:
            self.after_update.pop(0)()
        return dict(self.alias)

    def change(self, **values: Any) -> None:
        """Change the alias, as any caller can; it has a new revision afterwards."""
        assert self.alias
        number = int(self.alias["RevisionId"][1:]) + 1
        self.alias = self.alias | values | {"RevisionId": f"r{number}"}
        if not self.alias.get("RoutingConfig", {}).get("AdditionalVersionWeights"):
            self.alias.pop("RoutingConfig", None)

    @property
    def shares(self) -> dict[str, float]:
        """The share of each version."""
        assert self.alias
        weights = self.alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        return {self.alias["FunctionVersion"]: round(1 - sum(weights.values()), 6), **weights}

    def get_function_configuration(self, FunctionName: str, Qualifier: str) -> dict[str, Any]:
        if FunctionName != ARN or Qualifier not in self.versions:
            raise error("ResourceNotFoundException", "GetFunctionConfiguration")
        return self.versions[Qualifier]

    def invoke(self, FunctionName: str, Qualifier: str, Payload: bytes) -> dict[str, Any]:
        assert FunctionName == ARN
        self.invocations.append(Qualifier)
        response: Callable[[Any], Any] = self.responses.get(Qualifier, _respond)
        try:
            body, failed = response(json.loads(Payload)), {}
        except RuntimeError as problem:
            body, failed = {"errorMessage": str(problem), "errorType": "RuntimeError"}, {"FunctionError": "Unhandled"}
        text = (
            body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        return {"Payload": io.BytesIO(text), "ExecutedVersion": Qualifier, **failed}


@dataclass
class FakeCloudWatch(FakeClient):
    """Metric values by (metric, statistic, version), the version being None for the alias, and alarms by name.

    incomplete: in each request, the metric whose values are missing because of an internal error; the last one stays.
    """

    values: dict[tuple[str, str, str | None], list[float]] = field(default_factory=dict)
    alarms: dict[str, str] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    page_size: int = 500
    incomplete: list[str] = field(default_factory=lambda: [""])

    def set_calls(self, version: str, calls: int, errors: int = 0, p95: float = 30.0) -> None:
        self.values |= {
            ("Invocations", "Sum", version): [float(calls)],
            ("Errors", "Sum", version): [float(errors)],
            ("Duration", "p95", version): [p95],
            ("Duration", "SampleCount", version): [float(calls)],
        }

    def describe_alarms(self, AlarmNames: list[str], AlarmTypes: list[str]) -> dict[str, Any]:
        assert AlarmTypes == ["MetricAlarm"]
        found = [{"AlarmName": name, "StateValue": self.alarms[name]} for name in AlarmNames if name in self.alarms]
        return {"MetricAlarms": found}

    def get_paginator(self, name: str) -> Any:
        assert name == "get_metric_data"
        return SimpleNamespace(paginate=self._paginate)

    def _paginate(self, **request: Any) -> Any:
        self.requests.append(request)
        incomplete = self.incomplete.pop(0) if len(self.incomplete) > 1 else self.incomplete[0]
        results = [self._result(query, incomplete) for query in request["MetricDataQueries"]]
        for start in range(0, len(results), self.page_size):
            yield {"MetricDataResults": results[start : start + self.page_size]}

    def _result(self, query: dict[str, Any], incomplete: str) -> dict[str, Any]:
        metric, statistic = query["MetricStat"]["Metric"], query["MetricStat"]["Stat"]
        assert metric["Namespace"] == "AWS/Lambda"
        dimensions = {item["Name"]: item["Value"] for item in metric["Dimensions"]}
        assert (dimensions["FunctionName"], dimensions["Resource"]) == ("shop", "shop:live")
        key = (metric["MetricName"], statistic, dimensions.get("ExecutedVersion"))
        if metric["MetricName"] == incomplete:
            return {"Id": query["Id"], "Values": [], "StatusCode": "InternalError"}
        return {"Id": query["Id"], "Values": self.values.get(key, []), "StatusCode": "Complete"}
