"""Resources in a sandbox whose metrics can be made to breach the thresholds of alarms."""

import json
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import urllib3

from sandbox import Sandbox
from sandbox.process import ACCOUNT
from sandbox.target import session

from .functions import Functions, archive
from .stacks import Stacks

EMBEDDED = """
import json, time

def handler(event, context):
    namespace, name, value = event
    metric = {"Namespace": namespace, "Dimensions": [[]], "Metrics": [{"Name": name, "Unit": "Count"}]}
    print(json.dumps({"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metric]}, name: value}))
"""
STATES: dict[str, dict[str, Any]] = {
    "ExecutionsFailed": {"Type": "Fail"},
    "ExecutionsTimedOut": {"Type": "Wait", "Seconds": 36000, "End": True},
    "ExecutionsAborted": {"Type": "Wait", "Seconds": 36000, "End": True},
}


@dataclass(frozen=True)
class Source:
    """A metric: its dimensions, and what makes it breach a threshold and, if time alone does not, return to normal."""

    dimensions: dict[str, str]
    breach: Callable[[], Any]
    recover: Callable[[], Any] = lambda: None


class MetricSources:
    """Creates the resource for a metric of a template."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.functions, self.stacks, self.client = Functions(sandbox), Stacks(sandbox), session(sandbox).client
        self.http_port = sandbox.ports["http"]
        self.name = f"source-{uuid.uuid4().hex[:8]}"

    def create(self, namespace: str, metric: str) -> Source:
        creators: dict[str, Callable[[str], Source]] = {
            "AWS/ApiGateway": self._api,
            "AWS/Billing": lambda _metric: self._charges(),
            "AWS/CloudFront": lambda name: (
                self._distribution() if name == "5xxErrorRate" else self._edge_function(name)
            ),
            "AWS/Events": lambda _metric: self._rule(),
            "AWS/Lambda": self._function,
            "AWS/Route53": lambda _metric: self._health_check(),
            "AWS/SQS": lambda _metric: self._queue(),
            "AWS/States": self._state_machine,
        }
        return creators[namespace](metric) if namespace in creators else self._embedded(namespace, metric)

    def _function(self, metric: str) -> Source:
        name = self.functions.create()
        if metric == "Invocations":  # missing ones breach the threshold
            return Source(
                {"FunctionName": name}, lambda: None, lambda: self.functions.lambda_.invoke(FunctionName=name)
            )
        if metric == "Throttles":
            self.functions.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)

        def breach() -> None:
            with suppress(self.functions.lambda_.exceptions.TooManyRequestsException):
                self.functions.lambda_.invoke(FunctionName=name, Payload=b'"fail"')

        return Source({"FunctionName": name}, breach)

    def _embedded(self, namespace: str, metric: str) -> Source:
        name = self.functions.create()
        self.functions.lambda_.update_function_code(FunctionName=name, ZipFile=archive(EMBEDDED))
        self.functions.wait(name)
        payload = json.dumps([namespace, metric, 1000])  # above the threshold of each alarm
        return Source({}, lambda: self.functions.lambda_.invoke(FunctionName=name, Payload=payload))

    def _charges(self) -> Source:
        """Return the estimated charges, which only the test writes."""

        def write(amount: float) -> None:
            data = {"MetricName": "EstimatedCharges", "Value": amount}
            data["Dimensions"] = [{"Name": "Currency", "Value": "USD"}]
            self.client("cloudwatch").put_metric_data(Namespace="AWS/Billing", MetricData=[data])

        return Source({"Currency": "USD"}, lambda: write(1_000_000), lambda: write(1))

    def _state_machine(self, metric: str) -> Source:
        states, role = self.client("stepfunctions"), self.functions.role("states.amazonaws.com")
        definition: dict[str, Any] = {"StartAt": "State", "States": {"State": STATES[metric]}}
        if metric == "ExecutionsTimedOut":
            definition["TimeoutSeconds"] = 1
        arn = states.create_state_machine(name=self.name, definition=json.dumps(definition), roleArn=role)[
            "stateMachineArn"
        ]

        def breach() -> None:
            execution = states.start_execution(stateMachineArn=arn)["executionArn"]
            if metric == "ExecutionsAborted":
                states.stop_execution(executionArn=execution)

        return Source({"StateMachineArn": arn}, breach)

    def _queue(self) -> Source:
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=self.name)["QueueUrl"]
        return Source(
            {"QueueName": self.name},
            lambda: sqs.send_message(QueueUrl=url, MessageBody="failed"),
            lambda: sqs.purge_queue(QueueUrl=url),
        )

    def _rule(self) -> Source:
        """Return a rule whose missing invocations breach the threshold."""
        events, sqs = self.client("events"), self.client("sqs")
        sqs.create_queue(QueueName=self.name)
        events.put_rule(Name=self.name, EventPattern=json.dumps({"source": [self.name]}))
        queue = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{self.name}"
        events.put_targets(Rule=self.name, Targets=[{"Id": "1", "Arn": queue}])

        def send() -> None:
            events.put_events(Entries=[{"Source": self.name, "DetailType": "test", "Detail": "{}"}])

        return Source({"RuleName": self.name}, lambda: None, send)

    def _api(self, metric: str) -> Source:
        api, status = self.client("apigateway"), f"{metric[0]}00"
        api_id = api.create_rest_api(name=self.name)["id"]
        (root,) = api.get_resources(restApiId=api_id)["items"]
        method = {"restApiId": api_id, "resourceId": root["id"], "httpMethod": "GET"}
        api.put_method(**method, authorizationType="NONE")
        api.put_method_response(**method, statusCode=status)
        template = {"application/json": json.dumps({"statusCode": int(status)})}
        api.put_integration(**method, type="MOCK", requestTemplates=template)
        api.put_integration_response(**method, statusCode=status)
        api.create_deployment(restApiId=api_id, stageName="prod")
        detailed = {"op": "replace", "path": "/*/*/metrics/enabled", "value": "true"}
        api.update_stage(restApiId=api_id, stageName="prod", patchOperations=[detailed])
        host = f"{api_id}.execute-api.us-east-1.amazonaws.com"
        dimensions = {"ApiName": self.name, "Stage": "prod", "Method": "GET", "Resource": "/"}
        return Source(dimensions, lambda: self._request(host, "/prod/", int(status)))

    def _request(self, host: str, path: str, status: int) -> None:
        response = urllib3.PoolManager().request(
            "GET", f"http://127.0.0.1:{self.http_port}{path}", headers={"Host": host}
        )
        assert response.status == status, response.data

    def _edge_function(self, metric: str) -> Source:
        """Return a metric of an edge function, which only the test writes: the sandbox records none."""
        dimensions = {"FunctionName": self.name, "Region": "Global"}
        data = {"MetricName": metric, "Value": 1000}
        data["Dimensions"] = [{"Name": key, "Value": value} for key, value in dimensions.items()]
        write = self.client("cloudwatch").put_metric_data
        return Source(dimensions, lambda: write(Namespace="AWS/CloudFront", MetricData=[data]))

    def _distribution(self) -> Source:
        """Return a distribution whose Lambda@Edge function always fails."""
        name = self.functions.create(role=self.functions.role("lambda.amazonaws.com", "edgelambda.amazonaws.com"))
        self.functions.lambda_.update_function_code(FunctionName=name, ZipFile=archive("handler = None"))
        self.functions.wait(name)
        version = self.functions.lambda_.publish_version(FunctionName=name)["FunctionArn"]
        behavior = {
            "TargetOriginId": "bucket",
            "ViewerProtocolPolicy": "allow-all",
            "CachePolicyId": "4135ea2d-6df8-44a3-9df3-4b5a84be39ad",
            "LambdaFunctionAssociations": [{"EventType": "origin-request", "LambdaFunctionARN": version}],
        }
        origin = {"Id": "bucket", "DomainName": "bucket.s3.us-east-1.amazonaws.com", "S3OriginConfig": {}}
        config = {"Enabled": True, "Origins": [origin], "DefaultCacheBehavior": behavior}
        resource = {"Type": "AWS::CloudFront::Distribution", "Properties": {"DistributionConfig": config}}
        output = {"Value": {"Fn::GetAtt": ["Distribution", "DomainName"]}}
        stack = self.stacks.create(self.name, Resources={"Distribution": resource}, Outputs={"Domain": output})
        assert stack["StackStatus"] == "CREATE_COMPLETE", self.stacks.events(self.name)
        distribution = self.stacks.physical_ids(self.name)["Distribution"]
        domain = stack["Outputs"][0]["OutputValue"]
        return Source({"DistributionId": distribution, "Region": "Global"}, lambda: self._request(domain, "/", 503))

    def _health_check(self) -> Source:
        route53 = self.client("route53")
        config = {"Type": "CALCULATED", "HealthThreshold": 0, "Inverted": False}
        check = route53.create_health_check(CallerReference=self.name, HealthCheckConfig=config)["HealthCheck"]["Id"]

        def invert(inverted: bool) -> None:
            route53.update_health_check(HealthCheckId=check, Inverted=inverted)

        return Source({"HealthCheckId": check}, lambda: invert(True), lambda: invert(False))


def repeat(action: Callable[[], Any], until: Callable[[], Any], seconds: float = 60) -> bool:
    """Repeat an action several times per second until a condition holds, and return whether it does."""
    end = time.time() + seconds
    while time.time() < end:
        action()
        if until():
            return True
        time.sleep(0.2)
    return False
