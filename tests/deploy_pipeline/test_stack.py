"""Facts about the stack's template: behaviour and policy."""

import json
from pathlib import Path
from typing import Any

import pytest

from sections.deploy_pipeline import SAMPLE_PERMISSIONS
from stacks.deploy_pipeline import machine

from ..conftest import Assembly, listed, of_type, one, synthesize

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
        for policy in of_type(template, "AWS::IAM::Policy")
        if {"Ref": role} in policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def granted(template: dict[str, Any], role: str) -> set[str]:
    return {action for statement in statements(template, role) for action in listed(statement["Action"])}


def roles(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {k: r["Properties"] for k, r in template["Resources"].items() if r["Type"] == "AWS::IAM::Role"}


def actions(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    stages = one(template, "AWS::CodePipeline::Pipeline")["Stages"]
    return {f"{stage['Name']}/{action['Name']}": action for stage in stages for action in stage["Actions"]}


def test_pipeline_is_a_source_and_one_invoke_action(template: dict[str, Any]) -> None:
    assert one(template, "AWS::CodePipeline::Pipeline")["PipelineType"] == "V2"
    assert list(actions(template)) == ["Source/Source", "Prod/Deploy"]
    deploy = actions(template)["Prod/Deploy"]
    assert deploy["ActionTypeId"]["Provider"] == "Lambda"
    assert deploy["Configuration"]["FunctionName"] == {"Ref": named(template, "AWS::Lambda::Function", "Trigger")}
    text = "".join(
        part if isinstance(part, str) else "BUCKET" for part in deploy["Configuration"]["UserParameters"]["Fn::Join"][1]
    )
    assert json.loads(text) == {"s3Bucket": "BUCKET", "stateMachineFile": "state_machine_input.json"}


def test_pipeline_knows_nothing_of_the_state_machine(template: dict[str, Any]) -> None:
    machine_id = named(template, "AWS::StepFunctions::StateMachine", "")
    assert machine_id not in json.dumps(one(template, "AWS::CodePipeline::Pipeline"))
    for role in roles(template):
        if "Delivery" in role:
            text = json.dumps(statements(template, role))
            assert "states:" not in text
            assert named(template, "AWS::S3::Bucket", "Inputs") not in text, f"{role} reaches the inputs"


def test_repository_is_made_and_begins_with_the_sample(template: dict[str, Any], assembly: Assembly) -> None:
    repository = one(template, "AWS::CodeCommit::Repository")
    assert repository["Code"]["BranchName"] == "main"
    key = repository["Code"]["S3"]["Key"].removesuffix(".zip")
    assert [p.name for p in (assembly.directory / f"asset.{key}").iterdir()] == ["template.yaml"]
    (rule,) = (r for r in of_type(template, "AWS::Events::Rule") if r["EventPattern"]["source"] == ["aws.codecommit"])
    assert rule["EventPattern"]["detail"]["referenceName"] == ["main"]
    source = actions(template)["Source/Source"]["Configuration"]
    assert (source["BranchName"], source["PollForSourceChanges"]) == ("main", False)


def test_connected_repository_needs_nothing_but_its_connection(connected: Assembly) -> None:
    template = connected.template(STACK)
    assert not connected.findings
    assert not of_type(template, "AWS::CodeCommit::Repository")
    source = actions(template)["Source/Source"]
    assert source["ActionTypeId"]["Provider"] == "CodeStarSourceConnection"
    configuration = source["Configuration"]
    assert configuration["ConnectionArn"] == CONNECTION
    assert configuration["FullRepositoryId"] == "group/owner/app"
    assert configuration["BranchName"] == "release/1.x"
    statements = [s for p in of_type(template, "AWS::IAM::Policy") for s in p["PolicyDocument"]["Statement"]]
    (used,) = (s for s in statements if "codeconnections:UseConnection" in listed(s["Action"]))
    assert used["Resource"] == CONNECTION, "IAM wants the service that the ARN names"


def test_object_in_s3_starts_the_pipeline_when_it_is_put(full: dict[str, Any]) -> None:
    bucket_id = named(full, "AWS::S3::Bucket", "Source")
    bucket = full["Resources"][bucket_id]["Properties"]
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = (r for r in of_type(full, "AWS::Events::Rule") if r["EventPattern"]["source"] == ["aws.s3"])
    assert rule["EventPattern"]["detail"] == {"bucket": {"name": [{"Ref": bucket_id}]}, "object": {"key": ["app.zip"]}}
    configuration = actions(full)["Source/Source"]["Configuration"]
    assert (configuration["S3ObjectKey"], configuration["PollForSourceChanges"]) == ("app.zip", False)
    assert not of_type(full, "AWS::CodeCommit::Repository")


def test_buckets_are_private_encrypted_and_refuse_plain_http(full: dict[str, Any]) -> None:
    for bucket in of_type(full, "AWS::S3::Bucket"):
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert bucket["BucketEncryption"]
    for name in ("Artifacts", "Inputs"):
        bucket = full["Resources"][named(full, "AWS::S3::Bucket", name)]["Properties"]
        (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    policies = of_type(full, "AWS::S3::BucketPolicy")
    assert len(policies) == 3
    for policy in policies:
        refusals = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in [refusal["Condition"] for refusal in refusals]
    assert all(key["EnableKeyRotation"] for key in of_type(full, "AWS::KMS::Key"))


def test_service_role_is_cloudformations_and_may_what_the_settings_say(
    template: dict[str, Any], full: dict[str, Any]
) -> None:
    role = service_role(template)
    (trust,) = roles(template)[role]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "cloudformation.amazonaws.com"}
    assert granted(template, role) == {action for p in SAMPLE_PERMISSIONS for action in p.actions}
    for statement in statements(template, role):
        assert "prod-sample-app-*" in json.dumps(statement["Resource"])
    (statement,) = statements(full, role)
    assert statement["Action"] == ["dynamodb:*", "ssm:GetParameter"]
    assert ':table/prod-sample-app-*"' in json.dumps(statement["Resource"])


def test_only_the_state_machine_may_pass_a_role_and_only_that_one(template: dict[str, Any]) -> None:
    passing = [
        (policy["Roles"], statement)
        for policy in of_type(template, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
        if any("PassRole" in action or action in ("iam:*", "*") for action in listed(statement["Action"]))
    ]
    ((to, statement),) = passing
    assert to == [{"Ref": named(template, "AWS::IAM::Role", "StateMachine")}]
    assert statement["Resource"] == {"Fn::GetAtt": [service_role(template), "Arn"]}
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}


def test_cloudformation_is_asked_about_the_apps_stacks_only(template: dict[str, Any]) -> None:
    for role in roles(template):
        for statement in statements(template, role):
            calls = [action for action in listed(statement["Action"]) if action.startswith("cloudformation:")]
            if not calls or calls == ["cloudformation:GetTemplateSummary"]:
                continue
            for resource in listed(statement["Resource"]):
                text = "".join(part for part in resource["Fn::Join"][1] if isinstance(part, str))
                ours = (":stack/prod-sample-app/*", ":stack/prod-sample-app-*/*", ":changeSet/deploy-*/*")
                assert text.endswith((*ours, ":aws:transform/*")), text


def test_functions_may_change_no_stack(template: dict[str, Any]) -> None:
    expected = {
        "CheckStack": {"DescribeStackEvents", "DescribeStacks", "GetTemplateSummary"},
        "ChangeSetRole": {"DescribeChangeSet", "DescribeEvents"},
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
        },
    }
    for word, calls in expected.items():
        role = named(template, "AWS::IAM::Role", word)
        prefix = "cloudformation:"
        assert {a.removeprefix(prefix) for a in granted(template, role) if a.startswith(prefix)} == calls, word


def test_trigger_may_start_and_describe_and_tell(template: dict[str, Any]) -> None:
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


def test_each_function_has_a_role_of_its_own(template: dict[str, Any]) -> None:
    used = [json.dumps(function["Role"]) for function in of_type(template, "AWS::Lambda::Function")]
    assert len(set(used)) == len(used)


def test_state_machine_is_the_one_that_is_tested(template: dict[str, Any]) -> None:
    deployed = one(template, "AWS::StepFunctions::StateMachine")
    assert json.loads(deployed["DefinitionString"]) == machine.definition()
    substitutions = deployed["DefinitionSubstitutions"]
    for name in ("CheckStack", "ChangeSet", "FirstFailure"):
        function = named(template, "AWS::Lambda::Function", name)
        assert substitutions[name] == {"Fn::GetAtt": [function, "Arn"]}
    role = service_role(template)
    assert substitutions["ServiceRole"] == {"Fn::GetAtt": [role, "Arn"]}


def test_state_machine_is_traced_and_logged_without_its_data(template: dict[str, Any]) -> None:
    deployed = one(template, "AWS::StepFunctions::StateMachine")
    assert deployed["TracingConfiguration"] == {"Enabled": True}
    logging = deployed["LoggingConfiguration"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ALL", False)
    assert logging["Destinations"]


def test_nothing_asynchronous_is_lost(template: dict[str, Any]) -> None:
    queue = {"Fn::GetAtt": [named(template, "AWS::SQS::Queue", "DeadLetters"), "Arn"]}
    configured = of_type(template, "AWS::Lambda::EventInvokeConfig")
    functions = {config["FunctionName"]["Ref"]: config for config in configured}
    trigger, clean_up = (named(template, "AWS::Lambda::Function", word) for word in ("Trigger", "CleanUp"))
    assert functions.keys() == {trigger, clean_up}
    assert {config["MaximumRetryAttempts"] for config in configured} == {2}
    assert functions[clean_up]["DestinationConfig"]["OnFailure"]["Destination"] == queue
    assert "DestinationConfig" not in functions[trigger], "a job has credentials in it, which no queue may keep"
    (rule,) = (r for r in of_type(template, "AWS::Events::Rule") if r["EventPattern"]["source"] == ["aws.states"])
    (target,) = rule["Targets"]
    assert target["DeadLetterConfig"]["Arn"] == queue


def test_executions_that_end_early_are_tidied_up_after(template: dict[str, Any]) -> None:
    (rule,) = (r for r in of_type(template, "AWS::Events::Rule") if r["EventPattern"]["source"] == ["aws.states"])
    detail = rule["EventPattern"]["detail"]
    assert detail["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
    assert detail["stateMachineArn"] == [{"Ref": named(template, "AWS::StepFunctions::StateMachine", "")}]
    assert rule["EventPattern"]["detail-type"] == ["Step Functions Execution Status Change"]


def test_alarms_go_to_the_topic(template: dict[str, Any]) -> None:
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    metrics = {alarm["MetricName"] for alarm in alarms}
    assert metrics == {
        "ApproximateNumberOfMessagesVisible",
        "Errors",
        "ExecutionsAborted",
        "ExecutionsFailed",
        "ExecutionsTimedOut",
    }
    topic = named(template, "AWS::SNS::Topic", "Notices")
    assert all(alarm["AlarmActions"] == [{"Ref": topic}] for alarm in alarms)


def test_email_is_subscribed_when_given(template: dict[str, Any], full: dict[str, Any]) -> None:
    assert not of_type(template, "AWS::SNS::Subscription")
    assert one(full, "AWS::SNS::Subscription")["Endpoint"] == "ops@example.com"


def test_function_packages_have_their_own_code_only(assembly: Assembly) -> None:
    (package,) = assembly.directory.glob("asset.*/deploy_pipeline")
    assert [p.name for p in package.parent.iterdir()] == ["deploy_pipeline"]
    assert {p.name for p in package.iterdir()} == {p.name for p in Path("lambdas/deploy_pipeline").glob("*.py")}
