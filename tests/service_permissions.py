"""Requests of AWS services that a template must allow, so that its resources work.

A trail uses its key, an alarm its topic, a rule its target. No API call of a walkthrough shows a denied service,
because that happens inside AWS. Each resource type whose service makes requests has a function in
`service_requests.py`. A type that is listed neither here nor as passive is an error.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from sandbox.iam.policy import Decision, Request

from . import service_requests
from .deployed_template import DeployedTemplate, Resource
from .service_requests import Needs, NotCoveredError


def requests(template: DeployedTemplate) -> Iterator[tuple[str, Request]]:
    """Requests of the services of a template, each with the ID of the resource that causes it."""
    for resource in template.resources:
        for need in needs(template, resource):
            yield resource.id, replace(need, context={"aws:SecureTransport": "true", **need.context})


def refused(template: DeployedTemplate) -> set[str]:
    """Requests of services that the policies of `template` do not allow."""
    decisions = ((name, request, template.decide(request)) for name, request in requests(template))
    return {describe(name, request) for name, request, decision in decisions if decision is not Decision.ALLOWED}


def describe(resource_id: str, request: Request) -> str:
    """Describe a denied request."""
    return f"{resource_id}: {request.principal} may not {request.action} on {request.resource}"


def needs(template: DeployedTemplate, resource: Resource) -> Needs:
    """Requests that the service of a resource makes for it."""
    if resource.type in PASSIVE or resource.type.startswith("Custom::"):
        return iter(())
    if resource.type not in ACTIVE:
        raise NotCoveredError(f"{resource.type}: neither in ACTIVE nor in PASSIVE")
    return ACTIVE[resource.type](template, resource)


ACTIVE: dict[str, Callable[[DeployedTemplate, Resource], Needs]] = {
    "AWS::ApiGateway::Account": service_requests.api_account,
    "AWS::ApiGateway::Method": service_requests.method,
    "AWS::Budgets::Budget": service_requests.budget,
    "AWS::CloudFront::Distribution": service_requests.distribution,
    "AWS::CloudTrail::Trail": service_requests.trail,
    "AWS::CloudWatch::Alarm": service_requests.alarm,
    "AWS::CodePipeline::Pipeline": service_requests.pipeline,
    "AWS::EC2::FlowLog": service_requests.flow_log,
    "AWS::Events::Rule": service_requests.rule,
    "AWS::IAM::InstanceProfile": service_requests.instance_profile,
    "AWS::Lambda::EventInvokeConfig": service_requests.asynchronous,
    "AWS::Lambda::EventSourceMapping": service_requests.event_source,
    "AWS::Lambda::Function": service_requests.function,
    "AWS::Logs::Delivery": service_requests.log_delivery,
    "AWS::Logs::LogGroup": service_requests.log_group,
    "AWS::S3::Bucket": service_requests.bucket,
    "AWS::SNS::Subscription": service_requests.subscription,
    "AWS::Scheduler::Schedule": service_requests.schedule,
    "AWS::SecretsManager::Secret": service_requests.secret,
    "AWS::StepFunctions::StateMachine": service_requests.state_machine,
}

# Types that are configuration, or that act with the caller's permissions.
PASSIVE = {
    *(f"AWS::ApiGateway::{name}" for name in ("BasePathMapping", "Deployment", "DomainName", "GatewayResponse")),
    *(f"AWS::ApiGateway::{name}" for name in ("RequestValidator", "Resource", "RestApi", "Stage")),
    *(f"AWS::Athena::{name}" for name in ("NamedQuery", "WorkGroup")),
    "AWS::CertificateManager::Certificate",
    *(f"AWS::CloudFront::{name}" for name in ("CachePolicy", "OriginAccessControl", "OriginRequestPolicy")),
    *(f"AWS::CloudFront::{name}" for name in ("Function", "ResponseHeadersPolicy")),
    "AWS::CodeCommit::Repository",
    "AWS::DynamoDB::Table",
    *(f"AWS::EC2::{name}" for name in ("Instance", "InternetGateway", "LaunchTemplate", "Route", "RouteTable")),
    *(f"AWS::EC2::{name}" for name in ("SecurityGroup", "SecurityGroupEgress", "SecurityGroupIngress", "Subnet")),
    *(f"AWS::EC2::{name}" for name in ("SubnetRouteTableAssociation", "VPC", "VPCEndpoint", "VPCGatewayAttachment")),
    *(f"AWS::EFS::{name}" for name in ("FileSystem", "MountTarget")),  # backups use service-linked roles
    *(f"AWS::Glue::{name}" for name in ("Database", "Table")),
    "AWS::SSM::Parameter",
    *(f"AWS::IAM::{name}" for name in ("ManagedPolicy", "Policy", "Role")),
    "AWS::KMS::Key",
    *(f"AWS::Lambda::{name}" for name in ("Alias", "LayerVersion", "Permission", "Version")),
    *(f"AWS::Logs::{name}" for name in ("DeliveryDestination", "DeliverySource")),
    *(f"AWS::Route53::{name}" for name in ("HealthCheck", "RecordSet")),
    "AWS::S3::BucketPolicy",
    *(f"AWS::SNS::{name}" for name in ("Topic", "TopicPolicy")),
    *(f"AWS::SQS::{name}" for name in ("Queue", "QueuePolicy")),
    *(f"AWS::WAFv2::{name}" for name in ("WebACL", "WebACLAssociation")),
    "AWS::XRay::SamplingRule",
}
