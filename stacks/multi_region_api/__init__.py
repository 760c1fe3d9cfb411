"""One API in several Regions behind one domain name; Route 53 routes clients away from unhealthy Regions.

    client --> DNS: Route 53, the nearest Region whose health check passes
           --> Regional API Gateway endpoint --> Lambda: GET /helloworld
    Route 53's health checkers --> the same endpoint --> Lambda: GET /healthcheck-<id>, an unguessable path

Each Region has a separate, complete stack. The stacks do not reference each other; they share only
the name of their records. Based on "Building a Multi-region Serverless Application with
Amazon API Gateway and AWS Lambda", AWS Compute Blog, 2017.
"""

import json
from typing import Any

from aws_cdk import (
    Annotations,
    Duration,
    Environment,
    Fn,
    RemovalPolicy,
    Stack,
    Tags,
    aws_apigateway as apigateway,
    aws_cloudwatch as cloudwatch,
    aws_iam as iam,
    aws_lambda as lambda_,
    aws_logs as logs,
    aws_route53 as route53,
    aws_xray as xray,
)
from constructs import Construct

from lambdas.multi_region_api.health import CHECK_DEPENDENCIES, TOKEN
from lambdas.multi_region_api.responses import EXPOSED_HEADERS, HELLO_PATH, REGION_HEADER
from settings.multi_region_api import MultiRegionApiSettings

from ..constructs.acknowledgments import acknowledge, acknowledge_wildcards
from ..constructs.alarm_topic import AlarmTopic
from ..constructs.cfn_resource import cfn_resource
from ..constructs.grants import grant
from ..constructs.lambda_code import lambda_asset
from ..constructs.outputs import add_outputs
from ..constructs.standard_function import StandardFunction
from .access_log import ACCESS_LOG_FIELDS
from .domain_names import BASE_PATH, SECURITY_POLICY, DomainNames
from .drains import RATE_LIMIT as DRAINED_RATE_LIMIT, Drains, drain_function_name, drain_urls, drained_path
from .health_checks import create_endpoint_check
from .web_acl import protect_stage

LOGS_POLICY = "arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
STAGE = "prod"
LOG_LEVELS = {
    "INFO": lambda_.ApplicationLogLevel.INFO,
    "WARNING": lambda_.ApplicationLogLevel.WARN,
    "ERROR": lambda_.ApplicationLogLevel.ERROR,
}
METRICS_REGION = "us-east-1"  # the only Region in which Route 53 publishes metrics
# Each health checker sends at most one request every 10 s, so all of them together never reach this limit.
HEALTH_RATE_LIMIT = 20
# All bursts together are below 1,250, API Gateway's lowest default quota of an account and Region: requests above
# the quota would be throttled on the health path too.
MAX_BURST = 900
READ_METHODS = ("GET", "HEAD")  # API Gateway does not answer HEAD with the response to GET


class MultiRegionApi(Stack):
    """The API in one of the Regions of `settings`."""

    def __init__(
        self, scope: Construct, construct_id: str, *, region: str, settings: MultiRegionApiSettings, **kwargs: Any
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"Multi-region API with failover: {region}",
            env=Environment(region=region),
            **kwargs,
        )
        self.settings = settings
        # Anyone who knows the path can make the health check fail by exhausting its throttling limit. Route 53 cannot
        # send credentials, so the path contains the GUID from the stack ID, which is not public.
        self.health_path = f"healthcheck-{Fn.select(2, Fn.split('/', self.stack_id))}"
        topic = AlarmTopic(self, "Topic", display_name=f"Multi-region API in {region}", email=settings.email)
        fields = {"allowed_origins", "dependencies"}
        handler_settings = settings.model_dump(include=fields, mode="json", exclude_none=True)
        self.drain_urls = handler_settings["drain_urls"] = drain_urls(settings)
        code = lambda_asset("multi_region_api", settings=json.dumps(handler_settings, indent=1))
        hello = self.create_function("Hello", "hello", "Returns the Region", code)
        health = self.create_function("Health", "healthcheck", "Returns whether the Region is healthy", code)
        health.add_environment("STATUS", CHECK_DEPENDENCIES)
        self._grant_read_tables(health)
        api = self._create_api()
        self._add_methods(api, hello, health)
        check = self._create_health_check(api)
        # If the health check were created first, it would find the Region unhealthy and raise the alarms.
        check.node.add_dependency(api, self._exclude_health_checks_from_tracing())
        if settings.waf:
            check.node.add_dependency(
                protect_stage(self, api.deployment_stage, allowed_path=f"/{STAGE}/{self.health_path}")
            )
        functions, routing_check = {"Hello": hello, "Health": health}, check
        if settings.domain_name:
            if self.drain_urls:
                drains = Drains(self, "Drains", api=api, code=code)
                functions["ReportDrained"] = drains.report
                routing_check = drains.create_health_check(check)
            DomainNames(self, "DomainNames", settings=settings, api=api, health_check=routing_check)
        elif region == settings.regions[0]:  # print this once
            Annotations.of(self).add_info(
                "Without a domain name, each Region has a separate URL, and there is no failover. For failover, "
                "set multi_region_api:domain_name, hosted_zone_id and hosted_zone_name."
            )
        self._add_alarms(topic, functions, check)
        self._add_outputs(api, check, routing_check, hello, health, topic)

    def create_function(
        self,
        name: str,
        module: str,
        description: str,
        code: lambda_.Code,
        *,
        timeout_seconds: int = 3,
        function_name: str | None = None,
    ) -> StandardFunction:
        """Create the function of a module of the package."""
        function = StandardFunction(
            self,
            name,
            code=code,
            handler=f"multi_region_api.{module}.handler",
            description=description,
            retention=logs.RetentionDays.THREE_MONTHS,
            memory_size=256,
            function_name=function_name,
            timeout_seconds=timeout_seconds,
            tracing=lambda_.Tracing.ACTIVE,
            application_log_level_v2=LOG_LEVELS[self.settings.log_level],
        )
        acknowledge_wildcards(
            function.execution_role, {"Resource::*": "X-Ray has no resource-level permissions for traces."}
        )
        return function

    def _grant_read_tables(self, function: StandardFunction) -> None:
        """Allow reading one item of each table that is a dependency."""
        for dependency in self.settings.dependencies:
            if dependency.table:
                grant(
                    function,
                    ["dynamodb:GetItem"],
                    self.format_arn(service="dynamodb", resource="table", resource_name=dependency.table),
                    conditions={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["healthcheck"]}},
                )

    def _create_api(self) -> apigateway.RestApi:
        api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=self.node.id,  # the dimension of its metrics
            description="Returns the Region, and whether it is healthy",
            endpoint_configuration=apigateway.EndpointConfiguration(
                types=[apigateway.EndpointType.REGIONAL], ip_address_type=apigateway.IpAddressType.DUAL_STACK
            ),
            cloud_watch_role=self.settings.cloudwatch_role,
            # Retained even if creation fails, because the role is an account setting that outlives the stack.
            cloud_watch_role_removal_policy=RemovalPolicy.RETAIN if self.settings.cloudwatch_role else None,
            deploy_options=self._stage_options(),
        )
        resource = cfn_resource(api, apigateway.CfnRestApi)
        # The L2 construct does not expose these properties. Without them, the default is TLS 1.0, even for the custom
        # domain name.
        resource.security_policy = f"SecurityPolicy_{SECURITY_POLICY.name}"
        resource.endpoint_access_mode = apigateway.EndpointAccessMode.STRICT.value
        origins = self.settings.allowed_origins
        # A gateway response cannot compare the request's origin with a list. It contains nothing about the caller, so
        # pages of any origin may read it.
        allowed_origin = "method.request.header.Origin" if len(origins) > 1 else f"'{origins[0]}'"
        error_body = {"region": self.region, "requestId": "$context.requestId"}
        # Messages of client errors can contain what the caller sent. A message string has quotes already.
        messages = {"DEFAULT_4_XX": '"$context.error.responseType"', "DEFAULT_5_XX": "$context.error.messageString"}
        for name, message in messages.items():
            # Without this header, browsers report a network error to the page instead of the status.
            api.add_gateway_response(
                name.title().replace("_", ""),
                type=getattr(apigateway.ResponseType, name),
                response_headers={
                    "Access-Control-Allow-Origin": allowed_origin,
                    "Access-Control-Expose-Headers": f"'{EXPOSED_HEADERS}'",
                    REGION_HEADER: f"'{self.region}'",
                },
                templates={"application/json": f'{json.dumps(error_body)[:-1]}, "message": {message}}}'},
            )
        api.node.try_remove_child("Endpoint")  # its output has no description
        self._add_execution_log(api)
        self._acknowledge_api(api)
        return api

    def _stage_options(self) -> apigateway.StageOptions:
        access_log = logs.LogGroup(
            self, "AccessLog", retention=logs.RetentionDays.THREE_MONTHS, removal_policy=RemovalPolicy.DESTROY
        )
        rate = self.settings.throttling_rate_limit
        lower_rate = max(1, rate // 10)  # HEAD is rare, and browsers cache the responses to preflight requests
        method_defaults: dict[str, Any] = {
            "logging_level": apigateway.MethodLoggingLevel.ERROR,
            "data_trace_enabled": False,
            "metrics_enabled": self.settings.detailed_metrics,
        }
        limits = {f"/{HELLO_PATH}/{method}": lower_rate for method in ("HEAD", "OPTIONS")}
        limits[f"/{self.health_path}/GET"] = HEALTH_RATE_LIMIT
        drained = f"/{drained_path(self.settings)}/{{region}}/GET" if self.drain_urls else None
        if drained:
            limits[drained] = DRAINED_RATE_LIMIT
        return apigateway.StageOptions(
            stage_name=STAGE,
            throttling_rate_limit=rate,
            throttling_burst_limit=_burst(rate, MAX_BURST),
            tracing_enabled=True,
            access_log_destination=apigateway.LogGroupLogDestination(access_log),
            access_log_format=apigateway.AccessLogFormat.custom(json.dumps(ACCESS_LOG_FIELDS)),
            method_options={
                method: apigateway.MethodDeploymentOptions(
                    throttling_rate_limit=limit,
                    throttling_burst_limit=_burst(limit, MAX_BURST // 10),
                    # Metrics are charged; no alarm needs those of the drained Regions.
                    **method_defaults | {"metrics_enabled": self.settings.detailed_metrics and method != drained},
                )
                for method, limit in limits.items()
            },
            **method_defaults,
        )  # fmt: skip

    def _add_execution_log(self, api: apigateway.RestApi) -> None:
        """Create the log group before API Gateway does, which would set no retention."""
        group = logs.LogGroup(
            self,
            "ExecutionLog",
            log_group_name=f"API-Gateway-Execution-Logs_{api.rest_api_id}/{STAGE}",
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=RemovalPolicy.DESTROY,
        )
        api.deployment_stage.node.add_dependency(group)

    def _exclude_health_checks_from_tracing(self) -> xray.CfnSamplingRule:
        """Exclude health checks from sampling.

        By default, X-Ray samples one request per second, which would include nearly all health checks.
        """
        return xray.CfnSamplingRule(
            self,
            "NoHealthChecks",
            sampling_rule=xray.CfnSamplingRule.SamplingRuleProperty(
                rule_name=self.node.id,  # CloudFormation does not generate one
                priority=100,
                reservoir_size=0,
                fixed_rate=0,
                service_type="AWS::ApiGateway::Stage",
                service_name=f"{self.node.id}/{STAGE}",
                resource_arn="*",
                host="*",
                http_method="GET",
                url_path="*/healthcheck-*",
                version=1,
            ),
        )

    def _acknowledge_api(self, api: apigateway.RestApi) -> None:
        reasons = {
            "AwsSolutions-APIG4": "The API is public, as in the original post.",
            "AwsSolutions-COG4": "The API is public, as in the original post.",
            f"AwsSolutions-IAM4[Policy::{LOGS_POLICY}]": "The policy that API Gateway's documentation names for logs.",
        }
        if not self.settings.waf:
            reasons["AwsSolutions-APIG3"] = "The web ACL is optional; throttling is enabled."
        acknowledge(api, reasons)

    def _add_methods(self, api: apigateway.RestApi, hello: StandardFunction, health: StandardFunction) -> None:
        validator = api.add_request_validator("Validator", validate_request_body=True, validate_request_parameters=True)
        hello_path = api.root.add_resource(HELLO_PATH)
        greeting = apigateway.LambdaIntegration(hello, allow_test_invoke=False)
        for verb in READ_METHODS:
            hello_path.add_method(verb, greeting, request_validator=validator)
        # Only for this resource, because no web page calls the root or the health path.
        hello_path.add_cors_preflight(
            allow_origins=list(self.settings.allowed_origins), allow_methods=[*READ_METHODS, "OPTIONS"]
        )
        # The L2 construct and its Lambda permission do not accept a path that is only known at deployment.
        health_path = api.root.add_resource("healthcheck")
        cfn_resource(health_path, apigateway.CfnResource).path_part = self.health_path
        invocation = f"2015-03-31/functions/{health.function_arn}/invocations"
        method = health_path.add_method(
            "GET", apigateway.AwsIntegration(service="lambda", proxy=True, path=invocation), request_validator=validator
        )
        health.add_permission(
            "ApiPermission",
            scope=method,
            principal=iam.ServicePrincipal("apigateway.amazonaws.com"),
            source_arn=api.arn_for_execute_api("GET", f"/{self.health_path}", api.deployment_stage.stage_name),
        )

    def _create_health_check(self, api: apigateway.RestApi) -> route53.HealthCheck:
        """Check the Regional endpoint, because the domain name can resolve to another Region."""
        check = create_endpoint_check(
            self,
            "HealthCheck",
            settings=self.settings,
            fqdn=f"{api.rest_api_id}.execute-api.{self.region}.{self.url_suffix}",
            resource_path=f"/{STAGE}/{self.health_path}",
            token=TOKEN,
            failure_threshold=self.settings.failure_threshold,
        )
        Tags.of(check).add("Name", self.node.id)
        return check

    def _add_alarms(
        self, topic: AlarmTopic, functions: dict[str, StandardFunction], check: route53.HealthCheck
    ) -> None:
        minute = Duration.minutes(1)
        alarms = {
            "Unhealthy": (
                self._metric("5XXError", self.health_path),
                f"{self.region} has reported that it is unhealthy; the log of the health function contains the reason",
            ),
            "HealthPathThrottled": (
                self._metric("4XXError", self.health_path),
                "API Gateway has throttled the health path; Route 53 can treat that as unhealthy",
            ),
            "ServerErrors": (
                self._metric("5XXError", HELLO_PATH),
                f"{self.region} has returned a server error",
            ),
        }
        if not self.settings.detailed_metrics:
            description = (
                f"{self.region} is unhealthy, or has returned a server error; the access log contains the path"
            )
            alarms = {"ServerErrors": (self._metric("5XXError"), description)}
        for name, function in functions.items():
            alarms[f"{name}Errors"] = (function.metric_errors(period=minute), f"The function {name} failed")
        for name, (metric, description) in alarms.items():
            topic.add_alarm(name, metric, description)
        if self.region == METRICS_REGION:
            status = cloudwatch.Metric(
                namespace="AWS/Route53",
                metric_name="HealthCheckStatus",
                dimensions_map={"HealthCheckId": check.health_check_id},
                statistic="Minimum",
                period=minute,
            )
            description = f"Route 53 treats {self.region} as unhealthy and routes clients to other Regions"
            operator = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
            topic.add_alarm("HealthCheck", status, description, comparison_operator=operator)

    def _metric(self, name: str, path: str | None = None) -> cloudwatch.Metric:
        """Return a metric of GET requests to `path`, or of all requests, which is free of charge."""
        dimensions = {"ApiName": self.node.id, "Stage": STAGE}
        if path:
            dimensions |= {"Resource": f"/{path}", "Method": "GET"}
        return cloudwatch.Metric(
            namespace="AWS/ApiGateway",
            metric_name=name,
            dimensions_map=dimensions,
            statistic="Sum",
            period=Duration.minutes(1),
        )

    def _add_outputs(
        self,
        api: apigateway.RestApi,
        check: route53.HealthCheck,
        routing_check: route53.HealthCheck,
        hello: StandardFunction,
        health: StandardFunction,
        topic: AlarmTopic,
    ) -> None:
        outputs = {
            "RegionalUrl": (api.url, "URL of the API in this Region"),
            "HealthUrl": (f"{api.url}{self.health_path}", "URL of the health check; do not publish it"),
            "HealthCheckId": (check.health_check_id, "Route 53 health check of this Region"),
            "HelloFunctionName": (hello.function_name, "Function of /helloworld"),
            "HealthFunctionName": (health.function_name, "Health function; set its STATUS for a failover test"),
            "TopicArn": (topic.topic_arn, "SNS topic for alarms"),
        }
        if self.settings.domain_name:
            outputs["Url"] = (f"https://{self.settings.domain_name}/{BASE_PATH}/", "URL of the API in all Regions")
            outputs["HostedZoneId"] = (str(self.settings.hosted_zone_id), "Hosted zone of the records")
        if self.drain_urls:
            outputs["RoutingHealthCheckId"] = (routing_check.health_check_id, "Health check of the records")
            outputs["DrainFunctionName"] = (drain_function_name(self), "Function that drains another Region")
        add_outputs(self, outputs)


def _burst(rate: int, maximum: int) -> int:
    """Return the burst limit for a rate limit."""
    return min(2 * rate, maximum)
