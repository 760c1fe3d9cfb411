"""A template as if deployed: references have values, and requests are evaluated with its policies."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sandbox.iam.policy import Decision, Document, Request, evaluate

ACCOUNT, PARTITION = "111111111111", "aws"
LOGGED_CALLS = ("CreateLogGroup", "CreateLogStream", "DescribeLogGroups", "DescribeLogStreams", "PutLogEvents")


def _allow_all(*actions: str) -> Document:
    return {"Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}


# AWS managed policies, from the AWS managed policy reference.
MANAGED_POLICIES: dict[str, Document] = {
    "service-role/AWSLambdaBasicExecutionRole": _allow_all(
        "logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"
    ),
    "service-role/AmazonAPIGatewayPushToCloudWatchLogs": _allow_all(
        *(f"logs:{call}" for call in (*LOGGED_CALLS, "GetLogEvents", "FilterLogEvents"))
    ),
}

# ARNs after the partition. Other types have an ARN that no policy names.
ARNS = {
    "AWS::CloudFront::Distribution": "cloudfront::{account}:distribution/{name}",
    "AWS::CloudTrail::Trail": "cloudtrail:{region}:{account}:trail/{name}",
    "AWS::CloudWatch::Alarm": "cloudwatch:{region}:{account}:alarm:{name}",
    "AWS::CodeCommit::Repository": "codecommit:{region}:{account}:{name}",
    "AWS::CodePipeline::Pipeline": "codepipeline:{region}:{account}:{name}",
    "AWS::EC2::Instance": "ec2:{region}:{account}:instance/{name}",
    "AWS::Events::Rule": "events:{region}:{account}:rule/{name}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::KMS::Key": "kms:{region}:{account}:key/{name}",
    "AWS::Lambda::Function": "lambda:{region}:{account}:function:{name}",
    "AWS::Lambda::Version": "lambda:{region}:{account}:function:{function}:1",
    "AWS::Logs::DeliveryDestination": "logs:{region}:{account}:delivery-destination:{name}",
    "AWS::Logs::LogGroup": "logs:{region}:{account}:log-group:{name}:*",
    "AWS::S3::Bucket": "s3:::{name}",
    "AWS::SNS::Topic": "sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "sqs:{region}:{account}:{name}",
    "AWS::StepFunctions::StateMachine": "states:{region}:{account}:stateMachine:{name}",
}
REF_IS_ARN = ("AWS::Lambda::Version", "AWS::SNS::Topic", "AWS::StepFunctions::StateMachine")
NAMES = {
    "AWS::CloudTrail::Trail": "TrailName",
    "AWS::CodeCommit::Repository": "RepositoryName",
    "AWS::Logs::LogGroup": "LogGroupName",
}
POLICY_OF = {
    "AWS::S3::BucketPolicy": "Bucket",
    "AWS::SNS::TopicPolicy": "Topics",
    "AWS::SQS::QueuePolicy": "Queues",
}


@dataclass(frozen=True)
class Resource:
    """A resource with resolved references."""

    id: str
    type: str
    arn: str
    properties: dict[str, Any]


class DeployedTemplate:
    """Resources and policies of a template, in an example account."""

    def __init__(self, name: str, body: dict[str, Any]) -> None:
        self.name, self.body = name, body
        match = re.search(r"[a-z]{2}-[a-z]+-\d$", name)
        self.region = match[0] if match else "us-east-1"

    @cached_property
    def resources(self) -> list[Resource]:
        return [
            Resource(name, r["Type"], self._arn(name), self.value(r.get("Properties", {})))
            for name, r in self.body["Resources"].items()
        ]

    def of_type(self, resource_type: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.type == resource_type]

    def by_arn(self, arn: str) -> Resource | None:
        return next((resource for resource in self.resources if resource.arn == arn), None)

    def named(self, resource_type: str, name: str) -> Resource:
        """The resource of a type whose Ref is `name`."""
        (resource,) = (r for r in self.of_type(resource_type) if name in (self._ref(r.id), r.arn))
        return resource

    def key_of(self, resource: Resource, *path: str) -> str | None:
        """ARN of the customer managed key in a property, or None."""
        value: Any = resource.properties
        for step in path:
            value = value.get(step) or {}
        return next((k.arn for k in self.of_type("AWS::KMS::Key") if value in (k.arn, self._ref(k.id))), None)

    def bucket_key(self, bucket: Resource) -> str | None:
        """ARN of the customer managed key that encrypts a bucket, or None."""
        (rule,) = bucket.properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        default = Resource(bucket.id, bucket.type, bucket.arn, rule["ServerSideEncryptionByDefault"])
        return self.key_of(default, "KMSMasterKeyID")

    def decide(self, request: Request) -> Decision:
        """Evaluate a request with all policies of the template."""
        return evaluate(
            request,
            identity_policies=self._identity_policies.get(request.principal, []),
            resource_policy=self._resource_policy(request),
        )

    def _resource_policy(self, request: Request) -> Document:
        arn = request.resource
        if arn.startswith(f"arn:{PARTITION}:s3:::"):
            arn = arn.split("/")[0]
        return {"Statement": self._resource_statements.get(arn, [])}

    @cached_property
    def _identity_policies(self) -> dict[str, list[Document]]:
        """Identity policies by the ARN of their role."""
        policies: dict[str, list[Document]] = {}
        for role in self.of_type("AWS::IAM::Role"):
            documents = [policy["PolicyDocument"] for policy in role.properties.get("Policies", [])]
            for arn in role.properties.get("ManagedPolicyArns", []):
                owner, name = arn.split("::")[1].split(":policy/")
                documents += [MANAGED_POLICIES[name]] if owner == "aws" else []  # others are not in the template
            policies[role.arn] = documents
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            for policy in self.of_type(kind):
                for name in policy.properties.get("Roles", []):
                    policies[self.named("AWS::IAM::Role", name).arn].append(policy.properties["PolicyDocument"])
        return policies

    @cached_property
    def _resource_statements(self) -> dict[str, list[dict[str, Any]]]:
        """Statements by the ARN of their resource, including trust policies of roles."""
        statements_by_arn: dict[str, list[dict[str, Any]]] = {}
        for resource in self.resources:
            properties = resource.properties
            match resource.type:
                case "AWS::IAM::Role":
                    statements_by_arn[resource.arn] = properties["AssumeRolePolicyDocument"]["Statement"]
                case "AWS::KMS::Key":
                    statements_by_arn[resource.arn] = properties["KeyPolicy"]["Statement"]
                case "AWS::Lambda::Permission":
                    function = self.named("AWS::Lambda::Function", properties["FunctionName"])
                    statements_by_arn.setdefault(function.arn, []).append(_permission(function.arn, properties))
                case "AWS::S3::BucketPolicy" | "AWS::SNS::TopicPolicy" | "AWS::SQS::QueuePolicy":
                    kind = resource.type.removesuffix("Policy")
                    targets = properties[POLICY_OF[resource.type]]
                    for target in targets if isinstance(targets, list) else [targets]:
                        statements = statements_by_arn.setdefault(self.named(kind, target).arn, [])
                        statements.extend(properties["PolicyDocument"]["Statement"])
        return statements_by_arn

    def value(self, value: Any) -> Any:
        match value:
            case {"Ref": str(name)}:
                return self._ref(name)
            case {"Fn::GetAtt": [str(name), str(attribute)]}:
                return self._attribute(name, attribute)
            case {"Fn::Join": [separator, parts]}:
                return str(separator).join(str(self.value(part)) for part in parts)
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{(.+?)\}", lambda match: self._ref(match[1]), text)
            case {"Fn::Base64": text}:
                return self.value(text)
            case {"Fn::FindInMap": [str(name), key, str(attribute)]}:
                return self.body["Mappings"][name][self.value(key)][attribute]
            case {"Fn::Select": [index, values]}:
                return self.value(values)[int(index)]
            case {"Fn::Split": [str(separator), text]}:
                return self.value(text).split(separator)
            case {"Fn::GetAZs": _}:
                return [f"{self.region}{letter}" for letter in "abc"]
            case dict() if any(key.startswith("Fn::") for key in value):
                raise NotImplementedError(f"{self.name}: {json.dumps(value)}")
            case dict():
                return {key: self.value(item) for key, item in value.items()}
            case list():
                return [self.value(item) for item in value]
        return value

    def _ref(self, name: str) -> str:
        pseudo = {"AccountId": ACCOUNT, "Partition": PARTITION, "Region": self.region, "URLSuffix": "amazonaws.com"}
        if name.startswith("AWS::"):
            stack = f"arn:{PARTITION}:cloudformation:{self.region}:{ACCOUNT}:stack/{self.name}/1"
            return (pseudo | {"StackId": stack, "StackName": self.name})[name.removeprefix("AWS::")]
        if name in self.body.get("Parameters", {}):
            return name
        kind = self.body["Resources"][name]["Type"]
        if kind in REF_IS_ARN:
            return self._arn(name)
        if kind == "AWS::SQS::Queue":
            return f"https://sqs.{self.region}.amazonaws.com/{ACCOUNT}/{name}"
        return self._physical_name(name)

    def _physical_name(self, name: str) -> str:
        resource = self.body["Resources"][name]
        physical_name = resource.get("Properties", {}).get(NAMES.get(resource["Type"], ""))
        if physical_name:
            return str(self.value(physical_name))
        return name.lower() if resource["Type"] == "AWS::S3::Bucket" else name

    def _arn(self, name: str) -> str:
        resource = self.body["Resources"][name]
        function = resource.get("Properties", {}).get("FunctionName")
        text = ARNS.get(resource["Type"], "none:{region}:{account}:{name}").format(
            account=ACCOUNT,
            region=self.region,
            name=self._physical_name(name),
            function=self.value(function) if resource["Type"] == "AWS::Lambda::Version" else "",
        )
        return f"arn:{PARTITION}:{text}"

    def _attribute(self, name: str, attribute: str) -> str:
        if attribute in ("Arn", "TopicArn"):
            return self._arn(name)
        if attribute in ("DomainName", "RegionalDomainName"):
            return f"{self._physical_name(name)}.s3.amazonaws.com"
        return self._physical_name(name) if attribute.endswith("Name") else f"{name}.{attribute}"


def _permission(function_arn: str, properties: dict[str, Any]) -> dict[str, Any]:
    """The statement that Lambda adds for a permission."""
    conditions = {"ArnLike": "SourceArn", "StringEquals": "SourceAccount"}
    return {
        "Effect": "Allow",
        "Principal": {"Service": properties["Principal"]},
        "Action": properties["Action"],
        "Resource": function_arn,
        "Condition": {o: {f"aws:{p}": properties[p]} for o, p in conditions.items() if p in properties},
    }


@dataclass(frozen=True)
class Grant:
    """One action that one statement of a template allows."""

    resource: str
    action: str
    without: DeployedTemplate  # the same template without it
    principal: str  # a service or another principal; empty in an identity policy

    def __str__(self) -> str:
        return f"{self.without.name}: {self.action} of {self.resource}"


def grants(template: DeployedTemplate) -> Iterator[Grant]:
    """Each action that the policies of a template allow."""
    for name, resource in template.body["Resources"].items():
        if resource["Type"] == "AWS::Lambda::Permission":
            without = {k: r for k, r in template.body["Resources"].items() if k != name}
            properties = resource["Properties"]
            yield Grant(name, properties["Action"], _with_resources(template, without), properties["Principal"])
        for arn in resource.get("Properties", {}).get("ManagedPolicyArns", []):
            changed = deepcopy(resource)
            changed["Properties"]["ManagedPolicyArns"].remove(arn)
            body = template.body["Resources"] | {name: changed}
            yield Grant(name, str(template.value(arn)), _with_resources(template, body), "")
        for path in _statement_lists(resource.get("Properties", {}), ()):
            for index, statement in enumerate(_at(resource, path)):
                if statement["Effect"] == "Allow":
                    yield from _of_statement(template, name, path, index)


def _of_statement(template: DeployedTemplate, name: str, path: tuple[Any, ...], index: int) -> Iterator[Grant]:
    statement = _at(template.body["Resources"][name], path)[index]
    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    principal = statement.get("Principal", {})
    for action in actions:
        resource = deepcopy(template.body["Resources"][name])
        _at(resource, path)[index]["Action"] = [other for other in actions if other != action]
        body = template.body["Resources"] | {name: resource}
        service = principal.get("Service") if isinstance(principal, dict) else principal
        yield Grant(name, action, _with_resources(template, body), str(service or principal or ""))


def _with_resources(template: DeployedTemplate, resources: dict[str, Any]) -> DeployedTemplate:
    return DeployedTemplate(template.name, template.body | {"Resources": resources})


def _statement_lists(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Paths of the lists of statements in a resource's properties."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if key == "Statement" and isinstance(item, list):
            yield ("Properties", *path, key)
        elif not isinstance(item, str):
            yield from _statement_lists(item, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value
