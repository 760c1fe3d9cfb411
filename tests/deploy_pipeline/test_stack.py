"""The template: pipeline, sources, functions, state machine and alarms."""

import json
from pathlib import Path
from typing import Any

import pytest

from lambdas.deploy_pipeline.request import fingerprint
from stacks.deploy_pipeline import definition

from ..conftest import Assembly, only_resource, resources_of_type
from .template_queries import logical_id, nested_values, pipeline_actions, roles_by_id, service_role, statements

STACK = "DeployPipeline"


def test_pipeline_has_source_and_one_invoke_action(template: dict[str, Any]) -> None:
    assert only_resource(template, "AWS::CodePipeline::Pipeline")["PipelineType"] == "V2"
    assert list(pipeline_actions(template)) == ["Source/Source", "Prod/Deploy"]
    deploy = pipeline_actions(template)["Prod/Deploy"]
    assert deploy["ActionTypeId"]["Provider"] == "Lambda"
    assert deploy["Configuration"]["FunctionName"] == {"Ref": logical_id(template, "AWS::Lambda::Function", "Trigger")}
    text = "".join(
        part if isinstance(part, str) else "BUCKET" for part in deploy["Configuration"]["UserParameters"]["Fn::Join"][1]
    )
    assert json.loads(text) == {"s3Bucket": "BUCKET", "stateMachineFile": "state_machine_input.json"}


def test_pipeline_does_not_reference_state_machine(template: dict[str, Any]) -> None:
    machine_id = logical_id(template, "AWS::StepFunctions::StateMachine", "")
    assert machine_id not in json.dumps(only_resource(template, "AWS::CodePipeline::Pipeline"))
    for role in roles_by_id(template):
        if "Pipeline" in role:
            text = json.dumps(statements(template, role))
            assert "states:" not in text
            assert logical_id(template, "AWS::S3::Bucket", "Inputs") not in text, f"{role} reaches the inputs"


def test_repository_starts_with_sample(template: dict[str, Any], assembly: Assembly) -> None:
    repository = only_resource(template, "AWS::CodeCommit::Repository")
    assert repository["Code"]["BranchName"] == "main"
    key = repository["Code"]["S3"]["Key"].removesuffix(".zip")
    assert [p.name for p in (assembly.directory / f"asset.{key}").iterdir()] == ["template.yaml"]
    (rule,) = (
        r for r in resources_of_type(template, "AWS::Events::Rule") if r["EventPattern"]["source"] == ["aws.codecommit"]
    )
    assert rule["EventPattern"]["detail"]["referenceName"] == ["main"]
    source = pipeline_actions(template)["Source/Source"]["Configuration"]
    assert (source["BranchName"], source["PollForSourceChanges"]) == ("main", False)


def test_repository_is_retained_with_unique_name(template: dict[str, Any]) -> None:
    """It is removed from the stack with another source, or when the stack is deleted."""
    repository = template["Resources"][logical_id(template, "AWS::CodeCommit::Repository", "")]
    assert repository["DeletionPolicy"] == "RetainExceptOnCreate"
    assert repository["UpdateReplacePolicy"] == "Retain"
    assert {"Ref": "AWS::StackId"} in nested_values(repository["Properties"]["RepositoryName"])


def test_s3_upload_starts_pipeline(full_template: dict[str, Any]) -> None:
    bucket_id = logical_id(full_template, "AWS::S3::Bucket", "Source")
    bucket = full_template["Resources"][bucket_id]["Properties"]
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = (
        r for r in resources_of_type(full_template, "AWS::Events::Rule") if r["EventPattern"]["source"] == ["aws.s3"]
    )
    assert rule["EventPattern"]["detail"] == {"bucket": {"name": [{"Ref": bucket_id}]}, "object": {"key": ["app.zip"]}}
    configuration = pipeline_actions(full_template)["Source/Source"]["Configuration"]
    assert (configuration["S3ObjectKey"], configuration["PollForSourceChanges"]) == ("app.zip", False)
    assert not resources_of_type(full_template, "AWS::CodeCommit::Repository")


def test_buckets_are_private_encrypted_and_require_tls(full_template: dict[str, Any]) -> None:
    for bucket in resources_of_type(full_template, "AWS::S3::Bucket"):
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert bucket["BucketEncryption"]
    for name in ("Artifacts", "Inputs"):
        bucket = full_template["Resources"][logical_id(full_template, "AWS::S3::Bucket", name)]["Properties"]
        (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    policies = resources_of_type(full_template, "AWS::S3::BucketPolicy")
    assert len(policies) == 4
    for policy in policies:
        refusals = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in [refusal["Condition"] for refusal in refusals]
    assert all(key["EnableKeyRotation"] for key in resources_of_type(full_template, "AWS::KMS::Key"))


def test_check_stack_gets_hash_of_deployed_input(template: dict[str, Any]) -> None:
    function = template["Resources"][logical_id(template, "AWS::Lambda::Function", "CheckStack")]["Properties"]
    content = json.loads(Path("assets/deploy_pipeline/state_machine_input.json").read_text())
    variables = function["Environment"]["Variables"]
    assert variables["STACK_NAMES"] == "prod-sample-app"
    assert variables["ARTIFACT_BUCKET"] == {"Ref": logical_id(template, "AWS::S3::Bucket", "Artifacts")}
    assert variables["DEPLOYED_INPUT"] == fingerprint(content)


def test_clean_up_gets_stack_and_artifacts_that_check_stack_accepts(template: dict[str, Any]) -> None:
    first, second = (
        template["Resources"][logical_id(template, "AWS::Lambda::Function", word)]["Properties"]["Environment"]
        for word in ("CheckStack", "CleanUp")
    )
    for name in ("STACK_NAMES", "ARTIFACT_BUCKET"):
        assert first["Variables"][name] == second["Variables"][name]


def test_deployed_definition_is_tested_definition(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    for variant, rollout in ((full_template, True), (template, False)):
        deployed = only_resource(variant, "AWS::StepFunctions::StateMachine")
        assert json.loads(deployed["DefinitionString"]) == definition.definition(rollout=rollout)
    substitutions = deployed["DefinitionSubstitutions"]
    for name, word in {
        "CheckStack": "CheckStack",
        "ChangeSet": "ChangeSet",
        "FirstFailure": "FirstFailure",
        "RequestApproval": "ApprovalRequest",
    }.items():
        function = logical_id(template, "AWS::Lambda::Function", word)
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
    queue = {"Fn::GetAtt": [logical_id(template, "AWS::SQS::Queue", "DeadLetters"), "Arn"]}
    configs = resources_of_type(template, "AWS::Lambda::EventInvokeConfig")
    functions = {config["FunctionName"]["Ref"]: config for config in configs}
    trigger, clean_up = (logical_id(template, "AWS::Lambda::Function", word) for word in ("Trigger", "CleanUp"))
    assert functions.keys() == {trigger, clean_up}
    assert {config["MaximumRetryAttempts"] for config in configs} == {2}
    assert functions[clean_up]["DestinationConfig"]["OnFailure"]["Destination"] == queue
    assert "DestinationConfig" not in functions[trigger], (
        "a job contains credentials, which must not be stored in a queue"
    )
    (rule,) = (
        r for r in resources_of_type(template, "AWS::Events::Rule") if r["EventPattern"]["source"] == ["aws.states"]
    )
    (target,) = rule["Targets"]
    assert target["DeadLetterConfig"]["Arn"] == queue


def test_decisions_are_retried_and_then_go_to_dead_letter_queue(template: dict[str, Any]) -> None:
    queue = template["Resources"][logical_id(template, "AWS::SQS::Queue", "Decisions")]["Properties"]
    dead_letters = {"Fn::GetAtt": [logical_id(template, "AWS::SQS::Queue", "DeadLetters"), "Arn"]}
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": dead_letters, "maxReceiveCount": 5}
    function = template["Resources"][logical_id(template, "AWS::Lambda::Function", "ApprovalDecide")]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
    mapping = only_resource(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["BatchSize"] == 1, "a failed decision would repeat the others"


def test_rule_matches_executions_that_end_early(template: dict[str, Any]) -> None:
    (rule,) = (
        r for r in resources_of_type(template, "AWS::Events::Rule") if r["EventPattern"]["source"] == ["aws.states"]
    )
    detail = rule["EventPattern"]["detail"]
    assert detail["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
    assert detail["stateMachineArn"] == [{"Ref": logical_id(template, "AWS::StepFunctions::StateMachine", "")}]
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
    assert (edited["Namespace"], edited.get("Dimensions", [])) == ("DeployPipeline", []), "as the function publishes it"
    assert edited["Statistic"] == "Maximum", "a value of -1, which others can publish, must not cancel 1"
    topic = logical_id(template, "AWS::SNS::Topic", "Topic")
    assert all(alarm["AlarmActions"] == [{"Ref": topic}] for alarm in alarms)


def test_email_is_subscribed_if_configured(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    assert not resources_of_type(template, "AWS::SNS::Subscription")
    assert only_resource(full_template, "AWS::SNS::Subscription")["Endpoint"] == "ops@example.com"


def test_function_package_contains_only_its_code(assembly: Assembly) -> None:
    (package,) = assembly.directory.glob("asset.*/deploy_pipeline")
    code = {p.name for p in Path("lambdas/deploy_pipeline").glob("*.py")}
    assert {p.name for p in package.iterdir()} == code | {"identifying_attributes.json"}


def test_functions_have_configured_log_level(template: dict[str, Any], full_template: dict[str, Any]) -> None:
    for variant, level in ((template, "INFO"), (full_template, "WARNING")):
        functions = [
            f for f in resources_of_type(variant, "AWS::Lambda::Function") if "deploy_pipeline" in f["Handler"]
        ]
        assert [f["Environment"]["Variables"]["LOG_LEVEL"] for f in functions] == [level] * 8
        for function in functions:
            assert function["LoggingConfig"]["LogFormat"] == "JSON"
            level_of_metrics = function["LoggingConfig"].get("ApplicationLogLevel", "INFO")
            assert level_of_metrics == "INFO", "Lambda would discard metrics, which it treats as INFO"
