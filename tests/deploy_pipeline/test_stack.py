"""Facts about the stack's template: behaviour and policy."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lambdas.deploy_pipeline.request import fingerprint
from settings.deploy_pipeline import SAMPLE_PERMISSIONS
from stacks.deploy_pipeline import definition

from ..conftest import Assembly, as_list, only_resource, resources_of_type, synthesize

STACK = "DeployPipeline"
CONNECTION = "arn:aws:codeconnections:us-east-1:111111111111:connection/11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="session")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    settings = {
        "deploy_pipeline:source": "codeconnections",
        "deploy_pipeline:connection_arn": CONNECTION,
        "deploy_pipeline:repository": "group/owner/app",
        "deploy_pipeline:branch": "release/1.x",
    }
    return synthesize(tmp_path_factory.mktemp("connected"), settings, STACK)


def named(template: dict[str, Any], kind: str, word: str) -> str:
    """The only logical id of a type that has a word in it."""
    (found,) = (k for k, r in template["Resources"].items() if r["Type"] == kind and word in k)
    return found


def service_role(template: dict[str, Any]) -> str:
    """The logical id of the role that CloudFormation works under."""
    found: str = template["Outputs"]["ServiceRoleArn"]["Value"]["Fn::GetAtt"][0]
    return found


def statements(template: dict[str, Any], role: str) -> list[dict[str, Any]]:
    """What the policies of a role say."""
    return [
        statement
        for policy in resources_of_type(template, "AWS::IAM::Policy")
        if {"Ref": role} in policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def granted(template: dict[str, Any], role: str) -> set[str]:
    return {action for statement in statements(template, role) for action in as_list(statement["Action"])}


def roles(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {k: r["Properties"] for k, r in template["Resources"].items() if r["Type"] == "AWS::IAM::Role"}


def actions(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    stages = only_resource(template, "AWS::CodePipeline::Pipeline")["Stages"]
    return {f"{stage['Name']}/{action['Name']}": action for stage in stages for action in stage["Actions"]}


def test_pipeline_has_source_and_one_invoke_action(template: dict[str, Any]) -> None:
    assert only_resource(template, "AWS::CodePipeline::Pipeline")["PipelineType"] == "V2"
    assert list(actions(template)) == ["Source/Source", "Prod/Deploy"]
    deploy = actions(template)["Prod/Deploy"]
    assert deploy["ActionTypeId"]["Provider"] == "Lambda"
    assert deploy["Configuration"]["FunctionName"] == {"Ref": named(template, "AWS::Lambda::Function", "Trigger")}
    text = "".join(
        part if isinstance(part, str) else "BUCKET" for part in deploy["Configuration"]["UserParameters"]["Fn::Join"][1]
    )
    assert json.loads(text) == {"s3Bucket": "BUCKET", "stateMachineFile": "state_machine_input.json"}


def test_pipeline_does_not_reference_state_machine(template: dict[str, Any]) -> None:
    machine_id = named(template, "AWS::StepFunctions::StateMachine", "")
    assert machine_id not in json.dumps(only_resource(template, "AWS::CodePipeline::Pipeline"))
    for role in roles(template):
        if "Pipeline" in role:
            text = json.dumps(statements(template, role))
            assert "states:" not in text
            assert named(template, "AWS::S3::Bucket", "Inputs") not in text, f"{role} reaches the inputs"


def test_repository_starts_with_sample(template: dict[str, Any], assembly: Assembly) -> None:
    repository = only_resource(template, "AWS::CodeCommit::Repository")
    assert repository["Code"]["BranchName"] == "main"
    key = repository["Code"]["S3"]["Key"].removesuffix(".zip")
    assert [p.name for p in (assembly.directory / f"asset.{key}").iterdir()] == ["template.yaml"]
    (rule,) = (
        r for r in resources_of_type(template, "AWS::Events::Rule") if r["EventPattern"]["source"] == ["aws.codecommit"]
    )
    assert rule["EventPattern"]["detail"]["referenceName"] == ["main"]
    source = actions(template)["Source/Source"]["Configuration"]
    assert (source["BranchName"], source["PollForSourceChanges"]) == ("main", False)


def test_repository_is_retained_with_unique_name(template: dict[str, Any]) -> None:
    """Whatever takes it out of the stack: another source, or the stack's removal."""
    repository = template["Resources"][named(template, "AWS::CodeCommit::Repository", "")]
    assert repository["DeletionPolicy"] == "RetainExceptOnCreate"
    assert repository["UpdateReplacePolicy"] == "Retain"
    assert {"Ref": "AWS::StackId"} in references(repository["Properties"]["RepositoryName"])


def references(value: Any) -> list[Any]:
    """Every object within a value."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value, *(found for item in inner for found in references(item))]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="the pipeline runs as soon as it exists, before the policies of its roles exist",
    expected="the pipeline is created after every policy that its first run needs",
    observed="it depends on each policy and on the input",
)
def test_pipeline_is_created_after_all_permissions(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    """A pipeline runs as soon as it exists: by then each role on the way has its policy, and the input is there."""
    for found in (template, full_template):
        resources = found["Resources"]
        (pipeline,) = (k for k, r in resources.items() if r["Type"] == "AWS::CodePipeline::Pipeline")
        first, waiting = set[str](), [pipeline]
        while waiting:
            resource = resources[waiting.pop()]
            refs = [ref.get("Ref") or ref.get("Fn::GetAtt", [""])[0] for ref in references(resource) if is_ref(ref)]
            more = {name for name in [*refs, *as_list(resource.get("DependsOn", []))] if name in resources} - first
            first |= more
            waiting += more
        starting = {k for k, r in resources.items() if "EventsRole" in k}  # starts it later, by the rule
        late = {k for k, r in resources.items() if r["Type"] == "AWS::IAM::Policy"} - first - starting
        assert not late, f"may come after the first run: {late}"
        assert named(found, "Custom::CDKBucketDeployment", "") in first
        assert named(found, "AWS::Events::Rule", "Ended") in first, "a failed first run is cleaned up after"


def is_ref(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.keys() & {"Ref", "Fn::GetAtt"})


def test_connected_source_grants_only_its_connection(connected: Assembly) -> None:
    template = connected.template(STACK)
    assert not connected.findings
    assert not resources_of_type(template, "AWS::CodeCommit::Repository")
    source = actions(template)["Source/Source"]
    assert source["ActionTypeId"]["Provider"] == "CodeStarSourceConnection"
    configuration = source["Configuration"]
    assert configuration["ConnectionArn"] == CONNECTION
    assert configuration["FullRepositoryId"] == "group/owner/app"
    assert configuration["BranchName"] == "release/1.x"
    statements = [s for p in resources_of_type(template, "AWS::IAM::Policy") for s in p["PolicyDocument"]["Statement"]]
    (used,) = (s for s in statements if "codeconnections:UseConnection" in as_list(s["Action"]))
    assert used["Resource"] == CONNECTION, "IAM wants the service that the ARN names"


def test_s3_upload_starts_pipeline(full_template: dict[str, Any]) -> None:
    bucket_id = named(full_template, "AWS::S3::Bucket", "Source")
    bucket = full_template["Resources"][bucket_id]["Properties"]
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = (
        r for r in resources_of_type(full_template, "AWS::Events::Rule") if r["EventPattern"]["source"] == ["aws.s3"]
    )
    assert rule["EventPattern"]["detail"] == {"bucket": {"name": [{"Ref": bucket_id}]}, "object": {"key": ["app.zip"]}}
    configuration = actions(full_template)["Source/Source"]["Configuration"]
    assert (configuration["S3ObjectKey"], configuration["PollForSourceChanges"]) == ("app.zip", False)
    assert not resources_of_type(full_template, "AWS::CodeCommit::Repository")


def test_buckets_are_private_encrypted_and_require_tls(full_template: dict[str, Any]) -> None:
    for bucket in resources_of_type(full_template, "AWS::S3::Bucket"):
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert bucket["BucketEncryption"]
    for name in ("Artifacts", "Inputs"):
        bucket = full_template["Resources"][named(full_template, "AWS::S3::Bucket", name)]["Properties"]
        (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    policies = resources_of_type(full_template, "AWS::S3::BucketPolicy")
    assert len(policies) == 3
    for policy in policies:
        refusals = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in [refusal["Condition"] for refusal in refusals]
    assert all(key["EnableKeyRotation"] for key in resources_of_type(full_template, "AWS::KMS::Key"))


@pytest.mark.reliability(
    "deploy_pipeline", "Hostile input", fault="a template needs more than the permissions of the app"
)
def test_service_role_has_only_configured_permissions(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    role = service_role(template)
    (trust,) = roles(template)[role]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "cloudformation.amazonaws.com"}
    assert granted(template, role) == {action for p in SAMPLE_PERMISSIONS for action in p.actions}
    for statement in statements(template, role):
        assert "prod-sample-app-*" in json.dumps(statement["Resource"])
    data, roles_of_the_app = statements(full_template, role)
    assert data["Action"] == ["dynamodb:*", "ssm:GetParameter"]
    assert ':table/prod-sample-app-*"' in json.dumps(data["Resource"])
    boundary = {
        "Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":iam::", {"Ref": "AWS::AccountId"}, ":policy/app"]]
    }
    assert roles_of_the_app["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": [boundary]}}
    assert "PermissionsBoundary" not in roles(template)[role]
    assert roles(full_template)[role]["PermissionsBoundary"] == "arn:aws:iam::111111111111:policy/deployments"


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="a template needs more than the permissions of the app",
    expected="CloudFormation uses only the service role",
    observed="no other role can be passed",
)
def test_only_state_machine_can_pass_service_role(template: dict[str, Any]) -> None:
    passing = [
        (policy["Roles"], statement)
        for policy in resources_of_type(template, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
        if any("PassRole" in action or action in ("iam:*", "*") for action in as_list(statement["Action"]))
    ]
    ((to, statement),) = passing
    assert to == [{"Ref": named(template, "AWS::IAM::Role", "StateMachine")}]
    assert statement["Resource"] == {"Fn::GetAtt": [service_role(template), "Arn"]}
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}


def allowed(template: dict[str, Any], role: str, action: str, resource: str) -> bool:
    """Whether a role's statements allow an action on `resource`, an ARN without what is before the type."""
    for statement in statements(template, role):
        assert statement["Effect"] == "Allow"
        for arn in as_list(statement["Resource"]):
            parts = arn["Fn::Join"][1] if isinstance(arn, dict) and "Fn::Join" in arn else [arn]
            text = "".join(part for part in parts if isinstance(part, str))
            pattern = re.escape(text.rpartition(":")[2]).replace(r"\*", ".*").replace(r"\?", ".")
            if action in as_list(statement["Action"]) and re.fullmatch(pattern, resource):
                return True
    return False


CHANGING = [
    "cloudformation:CreateChangeSet",
    "cloudformation:CreateStack",
    "cloudformation:DeleteChangeSet",
    "cloudformation:DeleteStack",
    "cloudformation:ExecuteChangeSet",
    "cloudformation:TagResource",
    "cloudformation:UntagResource",
]


@pytest.mark.parametrize("action", CHANGING)
@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="the input names another stack, even one with the same prefix",
)
def test_state_machine_changes_only_stacks_of_app(template: dict[str, Any], action: str) -> None:
    role = named(template, "AWS::IAM::Role", "StateMachine")
    for stack in ("prod-sample-app", "prod-sample-app-green-0123abcd"):
        assert allowed(template, role, action, f"stack/{stack}/11111111-2222-3333-4444-555555555555"), stack
    for stack in ("prod-sample-app-payments", "prod-sample-application", "prod-sample", "prod-sample-app-v2"):
        assert not allowed(template, role, action, f"stack/{stack}/11111111-2222-3333-4444-555555555555"), stack


# Calls on a template or a resource type: no stack can be named.
WITHOUT_STACK = ("cloudformation:DescribeType", "cloudformation:GetTemplateSummary")


@pytest.mark.reliability(
    "deploy_pipeline",
    "Hostile input",
    fault="the input names another stack, even one with the same prefix",
)
def test_no_role_reaches_stack_with_same_prefix(template: dict[str, Any]) -> None:
    for role in roles(template):
        for action in granted(template, role):
            if action.startswith("cloudformation:") and action not in WITHOUT_STACK:
                assert not allowed(template, role, action, "stack/prod-sample-app-payments/1"), (role, action)


def test_nested_stacks_can_be_inspected(template: dict[str, Any]) -> None:
    nested = "stack/prod-sample-app-Child-1ABCDEF234567/1"
    for word, action in (("ChangeSetRole", "DescribeChangeSet"), ("FirstFailure", "DescribeStackEvents")):
        role = named(template, "AWS::IAM::Role", word)
        assert allowed(template, role, f"cloudformation:{action}", nested), action


@pytest.mark.reliability(
    "deploy_pipeline",
    "Access denied",
    fault="a template uses an SSM parameter",
    expected="CloudFormation can read the parameters in the settings, by default CDK's",
    observed="a permission of the state machine for these names",
)
def test_state_machine_reads_configured_ssm_parameters(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    """CloudFormation reads them with the permissions of the caller, which is the state machine."""
    role = named(template, "AWS::IAM::Role", "StateMachine")
    (reading,) = (s for s in statements(template, role) if s["Action"] == "ssm:GetParameters")
    text = json.dumps(reading["Resource"])
    assert ':parameter/cdk-bootstrap/*/version"' in text
    role = named(full_template, "AWS::IAM::Role", "StateMachine")
    (reading,) = (s for s in statements(full_template, role) if s["Action"] == "ssm:GetParameters")
    text = json.dumps(reading["Resource"])
    assert '"AWS::Region"}, "::parameter/aws/service/ami-amazon-linux-latest/*"' in text, "AWS's own have no account"
    assert '{"Ref": "AWS::AccountId"}, ":parameter/shop/vpc"' in text


def test_check_stack_gets_hash_of_deployed_input(template: dict[str, Any]) -> None:
    function = template["Resources"][named(template, "AWS::Lambda::Function", "CheckStack")]["Properties"]
    given = json.loads(Path("assets/deploy_pipeline/state_machine_input.json").read_text())
    variables = function["Environment"]["Variables"]
    assert variables["STACK_NAME"] == "prod-sample-app"
    assert variables["DEPLOYED_INPUT"] == fingerprint(given)


def test_functions_cannot_change_stacks(template: dict[str, Any]) -> None:
    expected = {
        "CheckStack": {"DescribeStackEvents", "DescribeStacks", "GetTemplateSummary"},
        "ChangeSetRole": {"DescribeChangeSet", "DescribeEvents", "DescribeType", "ListStackResources"},
        "FirstFailure": {"DescribeEvents", "DescribeStackEvents"},
        "CleanUp": {"DeleteChangeSet", "DescribeChangeSet"},
        "TriggerRole": set(),
        "StateMachine": {
            "CreateChangeSet",
            "CreateStack",
            "DeleteChangeSet",
            "DeleteStack",
            "DescribeStacks",
            "ExecuteChangeSet",
            "TagResource",
            "UntagResource",
        },
    }
    for word, calls in expected.items():
        role = named(template, "AWS::IAM::Role", word)
        prefix = "cloudformation:"
        assert {a.removeprefix(prefix) for a in granted(template, role) if a.startswith(prefix)} == calls, word


def test_trigger_has_only_needed_permissions(template: dict[str, Any]) -> None:
    role = named(template, "AWS::IAM::Role", "TriggerRole")
    assert granted(template, role) == {
        "codepipeline:PutJobFailureResult",
        "codepipeline:PutJobSuccessResult",
        "kms:Decrypt",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:GetObject",
        "states:DescribeExecution",
        "states:StartExecution",
    }
    (reads,) = (s for s in statements(template, role) if s["Action"] == "s3:GetObject")
    assert json.dumps(reads["Resource"]).endswith('"/state_machine_input.json"]]}')


def test_each_function_has_separate_role(template: dict[str, Any]) -> None:
    used = [json.dumps(function["Role"]) for function in resources_of_type(template, "AWS::Lambda::Function")]
    assert len(set(used)) == len(used)


def test_deployed_definition_is_tested_definition(template: dict[str, Any]) -> None:
    deployed = only_resource(template, "AWS::StepFunctions::StateMachine")
    assert json.loads(deployed["DefinitionString"]) == definition.definition()
    substitutions = deployed["DefinitionSubstitutions"]
    for name in ("CheckStack", "ChangeSet", "FirstFailure"):
        function = named(template, "AWS::Lambda::Function", name)
        assert substitutions[name] == {"Fn::GetAtt": [function, "Arn"]}
    role = service_role(template)
    assert substitutions["ServiceRole"] == {"Fn::GetAtt": [role, "Arn"]}


def test_state_machine_is_traced_and_logged_without_data(template: dict[str, Any]) -> None:
    deployed = only_resource(template, "AWS::StepFunctions::StateMachine")
    assert deployed["TracingConfiguration"] == {"Enabled": True}
    logging = deployed["LoggingConfiguration"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ALL", False)
    assert logging["Destinations"]


@pytest.mark.reliability(
    "deploy_pipeline",
    "Lost event or response",
    fault="the event about an execution's end cannot be delivered or processed",
    expected="stored in the dead-letter queue, and an alarm is raised",
    observed="EventBridge and the function can send to it",
)
def test_asynchronous_failures_go_to_dead_letter_queue(template: dict[str, Any]) -> None:
    queue = {"Fn::GetAtt": [named(template, "AWS::SQS::Queue", "DeadLetters"), "Arn"]}
    configured = resources_of_type(template, "AWS::Lambda::EventInvokeConfig")
    functions = {config["FunctionName"]["Ref"]: config for config in configured}
    trigger, clean_up = (named(template, "AWS::Lambda::Function", word) for word in ("Trigger", "CleanUp"))
    assert functions.keys() == {trigger, clean_up}
    assert {config["MaximumRetryAttempts"] for config in configured} == {2}
    assert functions[clean_up]["DestinationConfig"]["OnFailure"]["Destination"] == queue
    assert "DestinationConfig" not in functions[trigger], "a job has credentials in it, which no queue may keep"
    (rule,) = (
        r for r in resources_of_type(template, "AWS::Events::Rule") if r["EventPattern"]["source"] == ["aws.states"]
    )
    (target,) = rule["Targets"]
    assert target["DeadLetterConfig"]["Arn"] == queue


def test_rule_matches_executions_that_end_early(template: dict[str, Any]) -> None:
    (rule,) = (
        r for r in resources_of_type(template, "AWS::Events::Rule") if r["EventPattern"]["source"] == ["aws.states"]
    )
    detail = rule["EventPattern"]["detail"]
    assert detail["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
    assert detail["stateMachineArn"] == [{"Ref": named(template, "AWS::StepFunctions::StateMachine", "")}]
    assert rule["EventPattern"]["detail-type"] == ["Step Functions Execution Status Change"]


@pytest.mark.reliability(
    "deploy_pipeline", "Lost event or response", fault="the result cannot be reported to CodePipeline"
)
def test_alarms_notify_topic(template: dict[str, Any]) -> None:
    alarms = resources_of_type(template, "AWS::CloudWatch::Alarm")
    metrics = {alarm["MetricName"] for alarm in alarms}
    assert metrics == {
        "ApproximateNumberOfMessagesVisible",
        "EditedInput",
        "Errors",
        "ExecutionsAborted",
        "ExecutionsFailed",
        "ExecutionsTimedOut",
    }
    (edited,) = (alarm for alarm in alarms if alarm["MetricName"] == "EditedInput")
    assert (edited["Namespace"], edited.get("Dimensions", [])) == ("DeployPipeline", []), "what the function writes"
    topic = named(template, "AWS::SNS::Topic", "Topic")
    assert all(alarm["AlarmActions"] == [{"Ref": topic}] for alarm in alarms)


def test_email_is_subscribed_if_configured(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    assert not resources_of_type(template, "AWS::SNS::Subscription")
    assert only_resource(full_template, "AWS::SNS::Subscription")["Endpoint"] == "ops@example.com"


def test_function_package_contains_only_its_code(assembly: Assembly) -> None:
    (package,) = assembly.directory.glob("asset.*/deploy_pipeline")
    assert [p.name for p in package.parent.iterdir()] == ["deploy_pipeline"]
    assert {p.name for p in package.iterdir()} == {p.name for p in Path("lambdas/deploy_pipeline").glob("*.py")}
