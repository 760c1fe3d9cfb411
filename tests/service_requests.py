"""Requests that AWS services make for the resources of a template, with their condition keys.

One function for each resource type whose service makes requests, according to the service's documentation. A property
that a function does not cover is an error.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from sandbox.iam.policy import Request

from .deployed_template import ACCOUNT, DeployedTemplate, Resource

ASSUME = "sts:AssumeRole"
Needs = Iterator[Request]  # of a service principal or a role


class NotCoveredError(Exception):
    """A resource makes requests that no function here covers."""


def _only(resource: Resource, properties: dict[str, Any], *covered: str) -> None:
    """Raise an error for properties that the function does not cover."""
    others = set(properties) - set(covered)
    if others:
        raise NotCoveredError(f"{resource.type} with {', '.join(sorted(others))}")


def _from(source_arn: str) -> dict[str, str | list[str]]:
    return {"aws:SourceArn": source_arn, "aws:SourceAccount": ACCOUNT}


def _publish(template: DeployedTemplate, principal: str, topic_arn: str, context: dict[str, Any]) -> Needs:
    """Publishing to an encrypted topic also needs its key."""
    topic = template.named("AWS::SNS::Topic", topic_arn)
    yield Request(principal, "sns:Publish", topic.arn, context)
    key = template.key_of(topic, "KmsMasterKeyId")
    if key:
        yield from (Request(principal, action, key, context) for action in ("kms:Decrypt", "kms:GenerateDataKey"))


def _send(template: DeployedTemplate, principal: str, queue_arn: str, context: dict[str, Any]) -> Needs:
    """Sending to an encrypted queue also needs its key."""
    queue = template.named("AWS::SQS::Queue", queue_arn)
    yield Request(principal, "sqs:SendMessage", queue.arn, context)
    key = template.key_of(queue, "KmsMasterKeyId")
    if key:
        yield from (Request(principal, action, key, context) for action in ("kms:Decrypt", "kms:GenerateDataKey"))


def alarm(template: DeployedTemplate, alarm: Resource) -> Needs:
    for kind in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        for arn in alarm.properties.get(kind, []):
            if ":sns:" not in arn:
                raise NotCoveredError(f"{alarm.type} with the action {arn}")
            yield from _publish(template, "cloudwatch.amazonaws.com", arn, _from(alarm.arn))


def trail(template: DeployedTemplate, trail: Resource) -> Needs:
    """CloudTrail user guide, "Amazon S3 bucket policy for CloudTrail" and "Configure AWS KMS key policies"."""
    if {"CloudWatchLogsLogGroupArn", "SnsTopicName"} & set(trail.properties):
        raise NotCoveredError(f"{trail.type} that writes to a log group or a topic")
    service, context = "cloudtrail.amazonaws.com", _from(trail.arn)
    bucket = template.named("AWS::S3::Bucket", trail.properties["S3BucketName"])
    prefix = f"{trail.properties['S3KeyPrefix']}/" if "S3KeyPrefix" in trail.properties else ""
    owned = {**context, "s3:x-amz-acl": "bucket-owner-full-control"}
    yield Request(service, "s3:GetBucketAcl", bucket.arn, context)
    yield Request(
        service, "s3:PutObject", f"{bucket.arn}/{prefix}AWSLogs/{ACCOUNT}/CloudTrail/{template.region}/x", owned
    )
    key = template.key_of(trail, "KMSKeyId")
    if key:
        encrypted = {**context, "kms:EncryptionContext:aws:cloudtrail:arn": trail.arn}
        yield Request(service, "kms:GenerateDataKey", key, encrypted)
        yield Request(service, "kms:DescribeKey", key, context)


def rule(template: DeployedTemplate, rule: Resource) -> Needs:
    service, context = "events.amazonaws.com", _from(rule.arn)
    for target in rule.properties["Targets"]:
        role = target.get("RoleArn")
        if role:
            yield Request(service, ASSUME, role, context)
        match target["Arn"].split(":")[2]:
            case "lambda":
                yield Request(service, "lambda:InvokeFunction", target["Arn"], context)
            case "sns" if role:
                yield from _publish(template, role, target["Arn"], {})
            case "codepipeline" if role:
                yield Request(role, "codepipeline:StartPipelineExecution", target["Arn"])
            case "states" if role:
                yield Request(role, "states:StartExecution", target["Arn"])
            case _:
                raise NotCoveredError(f"{rule.type} with the target {target['Arn']}")
        if "DeadLetterConfig" in target:
            yield from _send(template, service, target["DeadLetterConfig"]["Arn"], context)


def asynchronous(template: DeployedTemplate, config: Resource) -> Needs:
    """Lambda delivers to destinations with the role of the function."""
    function = template.named("AWS::Lambda::Function", config.properties["FunctionName"])
    for result in config.properties.get("DestinationConfig", {}).values():
        if ":sqs:" not in result["Destination"]:
            raise NotCoveredError(f"{config.type} with the destination {result['Destination']}")
        yield from _send(template, function.properties["Role"], result["Destination"], {})


def event_source(template: DeployedTemplate, mapping: Resource) -> Needs:
    """Lambda polls a queue with the role of the function."""
    queue = template.named("AWS::SQS::Queue", mapping.properties["EventSourceArn"])
    if template.key_of(queue, "KmsMasterKeyId"):
        raise NotCoveredError(f"{mapping.type} with a key")
    function = template.named("AWS::Lambda::Function", mapping.properties["FunctionName"])
    for call in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"):
        yield Request(function.properties["Role"], f"sqs:{call}", queue.arn)


def function(template: DeployedTemplate, function: Resource) -> Needs:
    """The runtime writes logs and traces with the function's role; Lambda@Edge functions need no log permission."""
    properties = function.properties
    if {"DeadLetterConfig", "FileSystemConfigs", "KmsKeyArn", "VpcConfig"} & set(properties):
        raise NotCoveredError(f"{function.type} with a queue, a file system, a key or a VPC")
    role = properties["Role"]
    yield Request("lambda.amazonaws.com", ASSUME, role)
    if properties.get("TracingConfig", {}).get("Mode") == "Active":
        yield from (Request(role, f"xray:{call}", "*") for call in ("PutTraceSegments", "PutTelemetryRecords"))
    if not _at_the_edge(template, function):
        group = properties.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{function.id}"
        stream = f"arn:aws:logs:{template.region}:{ACCOUNT}:log-group:{group}:log-stream:1"
        yield from (Request(role, f"logs:{call}", stream) for call in ("CreateLogStream", "PutLogEvents"))


def _at_the_edge(template: DeployedTemplate, function: Resource) -> bool:
    return any(
        version.properties["FunctionName"] in (function.id, function.arn)
        for version in template.of_type("AWS::Lambda::Version")
        if version.arn in json.dumps([d.properties for d in template.of_type("AWS::CloudFront::Distribution")])
    )


def bucket(template: DeployedTemplate, bucket: Resource) -> Needs:
    """S3 user guide, "Permissions for log delivery"."""
    considered = "BucketEncryption LifecycleConfiguration LoggingConfiguration NotificationConfiguration"
    considered += " OwnershipControls PublicAccessBlockConfiguration Tags VersioningConfiguration BucketName"
    _only(bucket, bucket.properties, *considered.split())
    # Unlike queues, topics and functions, EventBridge needs no grant for S3 events.
    _only(bucket, bucket.properties.get("NotificationConfiguration", {}), "EventBridgeConfiguration")
    logging = bucket.properties.get("LoggingConfiguration")
    if logging:
        target = template.named("AWS::S3::Bucket", logging["DestinationBucketName"])
        if template.bucket_key(target):
            raise NotCoveredError(f"{bucket.type} whose log bucket has a customer managed key")
        log_file = f"{target.arn}/{logging.get('LogFilePrefix', '')}2026-11-26-00-00-00-0123456789ABCDEF"
        yield Request("logging.s3.amazonaws.com", "s3:PutObject", log_file, _from(bucket.arn))


def distribution(template: DeployedTemplate, distribution: Resource) -> Needs:
    """CloudFront developer guide, "Restrict access to an Amazon S3 origin" and "Set up IAM for Lambda@Edge"."""
    config = distribution.properties["DistributionConfig"]
    context = _from(distribution.arn)
    for origin in config["Origins"]:
        if not origin.get("OriginAccessControlId"):
            raise NotCoveredError(f"{distribution.type} with an origin without access control")
        bucket = template.named("AWS::S3::Bucket", origin["DomainName"].split(".")[0])
        yield Request("cloudfront.amazonaws.com", "s3:GetObject", f"{bucket.arn}/index.html", context)
        key = template.bucket_key(bucket)
        if key:
            yield Request("cloudfront.amazonaws.com", "kms:Decrypt", key, context)
    if config.get("Logging"):
        raise NotCoveredError(f"{distribution.type} with standard logging (legacy), which needs ACLs")
    behaviors = [config["DefaultCacheBehavior"], *config.get("CacheBehaviors", [])]
    for association in (a for b in behaviors for a in b.get("LambdaFunctionAssociations", [])):
        version = template.by_arn(association["LambdaFunctionARN"])
        assert version, association
        function = template.named("AWS::Lambda::Function", version.properties["FunctionName"])
        yield Request("edgelambda.amazonaws.com", ASSUME, function.properties["Role"])


def log_delivery(template: DeployedTemplate, delivery: Resource) -> Needs:
    """CloudWatch Logs user guide, "Logs sent to Amazon S3" (V2)."""
    destination = template.by_arn(delivery.properties["DeliveryDestinationArn"])
    assert destination, delivery
    bucket = template.by_arn(destination.properties["DestinationResourceArn"])
    assert bucket, destination
    if template.bucket_key(bucket):
        raise NotCoveredError(f"{delivery.type} to a bucket with a customer managed key")
    source = f"arn:aws:logs:{template.region}:{ACCOUNT}:delivery-source:{delivery.properties['DeliverySourceName']}"
    context = _from(source) | {"s3:x-amz-acl": "bucket-owner-full-control"}
    log_file = f"{bucket.arn}/AWSLogs/{ACCOUNT}/CloudFront/E1.2026-11-26-00.01234567.gz"
    yield Request("delivery.logs.amazonaws.com", "s3:PutObject", log_file, context)


def flow_log(template: DeployedTemplate, flow_log: Resource) -> Needs:
    """VPC user guide, "IAM role for publishing flow logs to CloudWatch Logs"."""
    if flow_log.properties["LogDestinationType"] != "cloud-watch-logs":
        raise NotCoveredError(f"{flow_log.type} to {flow_log.properties['LogDestinationType']}")
    role = flow_log.properties["DeliverLogsPermissionArn"]
    group = template.named("AWS::Logs::LogGroup", flow_log.properties["LogGroupName"]).arn
    yield Request("vpc-flow-logs.amazonaws.com", ASSUME, role, {"aws:SourceAccount": ACCOUNT})
    for call in ("CreateLogStream", "DescribeLogStreams", "PutLogEvents"):
        yield Request(role, f"logs:{call}", group)


def state_machine(_: DeployedTemplate, machine: Resource) -> Needs:
    """Step Functions developer guide, "Using CloudWatch Logs" and "Tracing with AWS X-Ray"."""
    properties, role = machine.properties, machine.properties["RoleArn"]
    yield Request("states.amazonaws.com", ASSUME, role, _from(machine.arn))
    if properties.get("LoggingConfiguration", {}).get("Level", "OFF") != "OFF":
        calls = "CreateLogDelivery GetLogDelivery UpdateLogDelivery DeleteLogDelivery ListLogDeliveries"
        calls += " PutResourcePolicy DescribeResourcePolicies DescribeLogGroups"
        yield from (Request(role, f"logs:{call}", "*") for call in calls.split())
    if properties.get("TracingConfiguration", {}).get("Enabled"):
        for call in ("PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets"):
            yield Request(role, f"xray:{call}", "*")
    for value in properties.get("DefinitionSubstitutions", {}).values():
        if ":lambda:" in value:
            yield Request(role, "lambda:InvokeFunction", value)


def schedule(template: DeployedTemplate, schedule: Resource) -> Needs:
    """EventBridge Scheduler uses the target's role, also for its dead-letter queue."""
    target = schedule.properties["Target"]
    role, arn = target["RoleArn"], target["Arn"]
    yield Request("scheduler.amazonaws.com", ASSUME, role, {"aws:SourceAccount": ACCOUNT})
    if not arn.endswith(":aws-sdk:ec2:stopInstances"):
        raise NotCoveredError(f"{schedule.type} with the target {arn}")
    for name in json.loads(target["Input"])["InstanceIds"]:
        yield Request(role, "ec2:StopInstances", template.named("AWS::EC2::Instance", name).arn)
    if "DeadLetterConfig" in target:
        yield from _send(template, role, target["DeadLetterConfig"]["Arn"], {})


def pipeline(template: DeployedTemplate, pipeline: Resource) -> Needs:
    """CodePipeline assumes its role, and with it the roles of the actions."""
    role = pipeline.properties["RoleArn"]
    yield Request("codepipeline.amazonaws.com", ASSUME, role, _from(pipeline.arn))
    bucket = template.named("AWS::S3::Bucket", pipeline.properties["ArtifactStore"]["Location"])
    key = template.bucket_key(bucket)
    for action in (action for stage in pipeline.properties["Stages"] for action in stage["Actions"]):
        acting = action["RoleArn"]
        yield Request(role, ASSUME, acting)
        yield from _action(template, acting, action)
        for artifacts, call, key_call in (
            ("InputArtifacts", "s3:GetObject", "kms:Decrypt"),
            ("OutputArtifacts", "s3:PutObject", "kms:GenerateDataKey"),
        ):
            if action.get(artifacts):
                yield Request(acting, call, f"{bucket.arn}/pipeline/app/artifact.zip")
                if key:
                    yield Request(acting, key_call, key)


def _action(template: DeployedTemplate, role: str, action: dict[str, Any]) -> Needs:
    """CodePipeline user guide, "Add permissions to the CodePipeline service role" and the action reference."""
    configuration = action["Configuration"]
    match action["ActionTypeId"]["Provider"]:
        case "CodeCommit":
            (repository,) = template.of_type("AWS::CodeCommit::Repository")
            calls = "GetBranch GetCommit UploadArchive GetUploadArchiveStatus CancelUploadArchive"
            yield from (Request(role, f"codecommit:{call}", repository.arn) for call in calls.split())
        case "S3":
            source = template.named("AWS::S3::Bucket", configuration["S3Bucket"])
            yield Request(role, "s3:GetBucketVersioning", source.arn)
            for call in ("GetObject", "GetObjectVersion"):
                yield Request(role, f"s3:{call}", f"{source.arn}/{configuration['S3ObjectKey']}")
        case "CodeStarSourceConnection":
            connection = configuration["ConnectionArn"]
            yield Request(role, f"{connection.split(':')[2]}:UseConnection", connection)
        case "Lambda":
            function = template.named("AWS::Lambda::Function", configuration["FunctionName"])
            yield Request(role, "lambda:ListFunctions", "*")
            yield Request(role, "lambda:InvokeFunction", function.arn)
        case provider:
            raise NotCoveredError(f"CodePipeline action of {provider}")


def api_account(template: DeployedTemplate, account: Resource) -> Needs:
    """API Gateway developer guide, "Permissions for CloudWatch logging"."""
    role = account.properties["CloudWatchRoleArn"]
    yield Request("apigateway.amazonaws.com", ASSUME, role)
    stream = f"arn:aws:logs:{template.region}:{ACCOUNT}:log-group:API-Gateway-Execution-Logs_x/prod:log-stream:1"
    for call in ("CreateLogGroup", "CreateLogStream", "PutLogEvents"):
        yield Request(role, f"logs:{call}", stream)
    yield from (Request(role, f"logs:{call}", "*") for call in ("DescribeLogGroups", "DescribeLogStreams"))


def method(template: DeployedTemplate, method: Resource) -> Needs:
    integration = method.properties["Integration"]
    if integration["Type"] == "MOCK":
        return
    match = re.search(r"/functions/(arn:.+)/invocations$", integration.get("Uri", ""))
    if not match or "Credentials" in integration:
        raise NotCoveredError(f"{method.type} with the integration {integration}")
    api = method.properties["RestApiId"]
    for stage in template.of_type("AWS::ApiGateway::Stage"):
        if stage.properties["RestApiId"] == api:
            path = f"{method.properties['HttpMethod']}{_path(template, method.properties['ResourceId'])}"
            # The Ref of a stage is its name; here both are the logical ID.
            source = f"arn:aws:execute-api:{template.region}:{ACCOUNT}:{api}/{stage.id}/{path}"
            yield Request("apigateway.amazonaws.com", "lambda:InvokeFunction", match[1], _from(source))


def _path(template: DeployedTemplate, resource_id: str) -> str:
    """The path of an API's resource, from its parents."""
    for resource in template.of_type("AWS::ApiGateway::Resource"):
        if resource.id == resource_id:
            return f"{_path(template, resource.properties['ParentId'])}/{resource.properties['PathPart']}"
    return ""


def subscription(template: DeployedTemplate, subscription: Resource) -> Needs:
    """An email subscription needs no permission, only its recipient's confirmation."""
    properties = subscription.properties
    if properties["Protocol"] not in ("email", "lambda", "sqs"):
        raise NotCoveredError(f"{subscription.type} by {properties['Protocol']}")
    if properties["Protocol"] == "email":
        _only(subscription, properties, "Endpoint", "Protocol", "TopicArn")
        return
    context = _from(properties["TopicArn"])
    if properties["Protocol"] == "sqs":
        yield from _send(template, "sns.amazonaws.com", properties["Endpoint"], context)
    if properties["Protocol"] == "lambda":
        yield Request("sns.amazonaws.com", "lambda:InvokeFunction", properties["Endpoint"], context)
    if "RedrivePolicy" in properties:
        yield from _send(template, "sns.amazonaws.com", properties["RedrivePolicy"]["deadLetterTargetArn"], context)


def budget(template: DeployedTemplate, budget: Resource) -> Needs:
    """Cost Management user guide, "Creating an Amazon SNS topic for budget notifications"."""
    context = _from(f"arn:aws:budgets::{ACCOUNT}:budget/{budget.properties['Budget']['BudgetName']}")
    for notification in budget.properties["NotificationsWithSubscribers"]:
        for subscriber in notification["Subscribers"]:
            if subscriber["SubscriptionType"] != "SNS":
                raise NotCoveredError(f"{budget.type} with a subscriber by {subscriber['SubscriptionType']}")
            yield from _publish(template, "budgets.amazonaws.com", subscriber["Address"], context)


def log_group(_: DeployedTemplate, group: Resource) -> Needs:
    if "KmsKeyId" in group.properties:
        raise NotCoveredError(f"{group.type} with a customer managed key")
    return iter(())


def secret(_: DeployedTemplate, secret: Resource) -> Needs:
    """Its readers need its key, here the AWS managed key; rotation is another resource type."""
    if "KmsKeyId" in secret.properties:
        raise NotCoveredError(f"{secret.type} with a customer managed key")
    return iter(())


def instance_profile(template: DeployedTemplate, profile: Resource) -> Needs:
    for name in profile.properties["Roles"]:
        yield Request("ec2.amazonaws.com", ASSUME, template.named("AWS::IAM::Role", name).arn)
