"""Lambda's aliases and versions in the sandbox: routing, rejected requests, templates and events.

The messages are those that others have recorded from AWS, except the one about dead-letter queues.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox import Sandbox
from sandbox.process import ACCOUNT
from sandbox.target import session, target_of

from .functions import SOURCE, Functions, archive, arn
from .stacks import Stacks

pytestmark = pytest.mark.enable_socket
CONFIG = Config(parameter_validation=False, retries={"total_max_attempts": 1})
HALF = {"AdditionalVersionWeights": {"2": 0.5}}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(speed=60) as running:
        yield running


@pytest.fixture(scope="module")
def functions(sandbox: Sandbox) -> Functions:
    return Functions(sandbox)


@pytest.fixture(scope="module")
def client(sandbox: Sandbox) -> Any:
    """A client that sends what the model excludes."""
    return session(sandbox).client("lambda", config=CONFIG)


@pytest.fixture(scope="module")
def name(functions: Functions) -> str:
    """A function with the versions 1 and 2, and an alias."""
    name = functions.with_two_versions()
    functions.lambda_.create_alias(FunctionName=name, Name="unchanged", FunctionVersion="1")
    return name


def rejection(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**parameters)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_weighted_alias_shares_invocations(client: Any, name: str) -> None:
    client.create_alias(FunctionName=name, Name="shared", FunctionVersion="1", RoutingConfig=HALF)
    by_version = {"1": 0, "2": 0}
    for number in range(80):
        qualified = {"FunctionName": f"{name}:shared"} if number % 2 else {"FunctionName": name, "Qualifier": "shared"}
        response = client.invoke(**qualified)
        version = response["ExecutedVersion"]
        assert json.load(response["Payload"]) == f"code 1 {version} {name}:shared"
        by_version[version] += 1
    assert 15 < by_version["2"] < 65, by_version  # the chance to be outside is below 1 in 10 million


@pytest.mark.parametrize(("weight", "version"), [(0.0, "1"), (1.0, "2")])
def test_extreme_weight_selects_one_version(client: Any, name: str, weight: float, version: str) -> None:
    routing = {"AdditionalVersionWeights": {"2": weight}}
    client.create_alias(FunctionName=name, Name=f"all-on-{version}", FunctionVersion="1", RoutingConfig=routing)
    executed = {client.invoke(FunctionName=f"{name}:all-on-{version}")["ExecutedVersion"] for _ in range(10)}
    assert executed == {version}
    configuration = client.get_function_configuration(FunctionName=name, Qualifier=f"all-on-{version}")
    assert (configuration["Version"], configuration["FunctionArn"]) == ("1", f"{arn(name)}:all-on-{version}")


def test_asynchronous_invocation_of_alias_is_routed(sandbox: Sandbox, client: Any, functions: Functions) -> None:
    name = functions.with_two_versions()
    routing = {"AdditionalVersionWeights": {"2": 1.0}}
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1", RoutingConfig=routing)
    client.invoke(FunctionName=name, Qualifier="live", InvocationType="Event")
    executed = target_of(sandbox).wait_until(lambda: functions.executed_versions(name), "the function has run")
    assert executed == {"2"}


def test_rule_with_alias_as_target_is_routed(sandbox: Sandbox, client: Any, functions: Functions) -> None:
    name = functions.with_two_versions()
    routing = {"AdditionalVersionWeights": {"2": 1.0}}
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1", RoutingConfig=routing)
    events = session(sandbox).client("events")
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": f"{arn(name)}:live"}])
    client.add_permission(
        FunctionName=name,
        Qualifier="live",
        StatementId="rule",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule,
    )
    events.put_events(Entries=[{"Source": name, "DetailType": "test", "Detail": "{}"}])
    executed = target_of(sandbox).wait_until(lambda: functions.executed_versions(name), "the function has run")
    assert executed == {"2"}


def test_task_with_qualifier_is_routed_with_permission_for_the_alias(
    sandbox: Sandbox, functions: Functions, client: Any, name: str
) -> None:
    routing = {"AdditionalVersionWeights": {"2": 1.0}}
    client.create_alias(FunctionName=name, Name="task", FunctionVersion="1", RoutingConfig=routing)
    role, states = functions.role("states.amazonaws.com"), session(sandbox).client("stepfunctions")
    task = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True}
    arguments = {"FunctionName": name, "Qualifier": "task", "Payload": {}}
    definition = {"StartAt": "Invoke", "States": {"Invoke": task | {"Parameters": arguments}}}
    machine = states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=role)

    def execute() -> dict[str, Any]:
        execution = states.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]

        def ended() -> dict[str, Any] | None:
            described = states.describe_execution(executionArn=execution)
            return None if described["status"] == "RUNNING" else dict(described)

        return target_of(sandbox).wait_until(ended, "the execution has ended")

    functions.allow(role, "lambda:InvokeFunction", arn(name))
    denied = execute()
    assert denied["error"] == "Lambda.AWSLambdaException"
    assert f"lambda:InvokeFunction on resource: {arn(name)}:task" in denied["cause"]
    functions.allow(role, "lambda:InvokeFunction", f"{arn(name)}:task")
    output = json.loads(execute()["output"])
    assert (output["ExecutedVersion"], output["Payload"]) == ("2", f"code 1 2 {name}:task")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    assert execute()["error"] == "Lambda.TooManyRequestsException"
    client.delete_function_concurrency(FunctionName=name)


@pytest.mark.parametrize(
    ("version", "weights", "code", "message"),
    [
        ("1", {"1": 0.8, "2": 0.2}, "InvalidParameterValueException", "Number of items in AdditionalVersionWeights"),
        ("1", {"1": 0.5}, "InvalidParameterValueException", "Invalid function version 1. Function version 1 is alr"),
        ("$LATEST", {"1": 0.5}, "InvalidParameterValueException", "$LATEST is not supported for an alias pointing t"),
        ("1", {"$LATEST": 0.5}, "ValidationException", "1 validation error detected: Value '{$LATEST=0.5}' at 'routi"),
        ("1", {"2": 2}, "ValidationException", "1 validation error detected: Value '{2=2.0}' at 'routingConfig.addit"),
        ("1", {"2": -1}, "ValidationException", "1 validation error detected: Value '{2=-1.0}' at 'routingConfig.add"),
        ("9", {}, "ResourceNotFoundException", "Function not found: {arn}:9"),
        ("1", {"9": 0.1}, "ResourceNotFoundException", "Function not found: {arn}:9"),
    ],
)
def test_alias_that_aws_rejects_is_rejected(
    client: Any, name: str, version: str, weights: Any, code: str, message: str
) -> None:
    routing = {"FunctionVersion": version, "RoutingConfig": {"AdditionalVersionWeights": weights}}
    before = client.update_alias(FunctionName=name, Name="unchanged", FunctionVersion="1")["RevisionId"]
    for call, alias in ((client.create_alias, "new"), (client.update_alias, "unchanged")):
        found_code, found = rejection(call, FunctionName=name, Name=alias, **routing)
        assert found_code == code
        assert found.startswith(message.replace("{arn}", arn(name)))
    assert client.get_alias(FunctionName=name, Name="unchanged")["RevisionId"] == before


def test_update_with_old_revision_is_rejected(client: Any, name: str) -> None:
    first = client.create_alias(FunctionName=name, Name="revised", FunctionVersion="1")["RevisionId"]
    second = client.update_alias(FunctionName=name, Name="revised", RevisionId=first, RoutingConfig=HALF)["RevisionId"]
    assert first != second
    code, _ = rejection(client.update_alias, FunctionName=name, Name="revised", RevisionId=first, FunctionVersion="2")
    assert code == "PreconditionFailedException"


def test_version_that_the_alias_routes_to_cannot_become_its_version(client: Any, name: str) -> None:
    client.create_alias(FunctionName=name, Name="finishing", FunctionVersion="1", RoutingConfig=HALF)
    code, _ = rejection(client.update_alias, FunctionName=name, Name="finishing", FunctionVersion="2")
    assert code == "InvalidParameterValueException"
    done = client.update_alias(
        FunctionName=name, Name="finishing", FunctionVersion="2", RoutingConfig={"AdditionalVersionWeights": {}}
    )
    assert (done["FunctionVersion"], "RoutingConfig" in done) == ("2", False)


@pytest.mark.parametrize("difference", ["execution role", "dead-letter queue"])
def test_versions_with_different_settings_cannot_share_traffic(
    client: Any, functions: Functions, difference: str
) -> None:
    name = functions.create()
    functions.publish(name)
    queue = {"TargetArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead-letters"}
    functions.publish(name, **({"Role": functions.role()} if "role" in difference else {"DeadLetterConfig": queue}))
    code, message = rejection(
        client.create_alias, FunctionName=name, Name="live", FunctionVersion="1", RoutingConfig=HALF
    )
    assert code == "InvalidParameterValueException"
    assert message.startswith(f"Specified versions must be associated with the same {difference}")
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")  # one version is accepted


def test_version_in_use_cannot_be_deleted(client: Any, name: str) -> None:
    client.create_alias(FunctionName=name, Name="used", FunctionVersion="1", RoutingConfig=HALF)
    for version in "12":
        code, _ = rejection(client.delete_function, FunctionName=name, Qualifier=version)
        assert code == "ResourceConflictException"


def test_unchanged_function_publishes_no_version(client: Any, functions: Functions) -> None:
    name = functions.create(Publish=True)
    latest = client.get_function_configuration(FunctionName=name)
    client.update_function_code(FunctionName=name, ZipFile=archive(SOURCE % "code 1"))
    functions.wait(name)
    again = client.publish_version(FunctionName=name)
    assert (latest["Version"], again["Version"], again["FunctionArn"]) == ("$LATEST", "1", f"{arn(name)}:1")


def test_publication_requires_the_given_code_and_revision(client: Any, functions: Functions) -> None:
    name = functions.create()
    sha = client.get_function_configuration(FunctionName=name)["CodeSha256"]
    assert rejection(client.publish_version, FunctionName=name, CodeSha256="other") == (
        "InvalidParameterValueException",
        f"CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({sha}). "
        "Please try again with the CodeSHA256 in $LATEST.",
    )
    code, _ = rejection(client.publish_version, FunctionName=name, RevisionId="other")
    assert code == "PreconditionFailedException"
    assert client.publish_version(FunctionName=name, CodeSha256=sha)["Version"] == "1"


def test_update_of_code_publishes_and_rejects_other_updates_until_it_ends(client: Any, functions: Functions) -> None:
    name = functions.create()
    published = client.update_function_code(FunctionName=name, ZipFile=archive(SOURCE % "code 2"), Publish=True)
    assert (published["Version"], published["FunctionArn"]) == ("1", f"{arn(name)}:1")
    assert rejection(client.invoke, FunctionName=name, Qualifier="1") == (
        "ResourceConflictException",
        "The operation cannot be performed at this time. The function is currently in the following state: Pending",
    )
    updating = client.get_function_configuration(FunctionName=name)
    assert (updating["State"], updating["LastUpdateStatus"]) == ("Active", "InProgress")
    assert rejection(client.publish_version, FunctionName=name) == (
        "ResourceConflictException",
        f"The operation cannot be performed at this time. An update is in progress for resource: {arn(name)}",
    )
    functions.wait(name)
    assert json.load(client.invoke(FunctionName=f"{name}:1")["Payload"]) == f"code 2 1 {name}:1"


def template(role: str, code: str, version: str, **alias: Any) -> dict[str, Any]:
    """Return a template as CDK's currentVersion writes it: each version has its own logical id."""
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": role,
            "Code": {"ZipFile": SOURCE % code},
        },
    }
    published = {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Function"}}}
    properties = {
        "FunctionName": {"Ref": "Function"},
        "Name": "live",
        "FunctionVersion": {"Fn::GetAtt": [version, "Version"]},
    }
    resources = {
        "Function": function,
        version: published | {"DeletionPolicy": "Retain"},
        "Alias": {"Type": "AWS::Lambda::Alias", "Properties": properties | alias},
    }
    return {"Resources": resources, "Outputs": {"Alias": {"Value": {"Ref": "Alias"}}}}


def test_stack_update_moves_alias_to_new_version(sandbox: Sandbox, functions: Functions, client: Any) -> None:
    stacks, role = Stacks(sandbox), functions.role()
    stack = stacks.name()
    assert stacks.create(stack, **template(role, "first", "VersionA"))["StackStatus"] == "CREATE_COMPLETE"
    ids = stacks.physical_ids(stack)
    updated = stacks.update(stack, **template(role, "second", "VersionB"))
    assert updated["StackStatus"] == "UPDATE_COMPLETE", stacks.events(stack)
    assert stacks.physical_ids(stack)["Alias"] == ids["Alias"]  # updated, not replaced
    name = ids["Function"]
    assert json.load(client.invoke(FunctionName=f"{name}:live")["Payload"]) == f"second 2 {name}:live"
    assert json.load(client.invoke(FunctionName=f"{name}:1")["Payload"]) == f"first 1 {name}:1"  # retained


def test_stack_with_invalid_alias_is_rolled_back(sandbox: Sandbox, functions: Functions) -> None:
    stacks = Stacks(sandbox)
    stack = stacks.name()
    routing = {"AdditionalVersionWeights": [{"FunctionVersion": "7", "FunctionWeight": 0.5}]}
    created = stacks.create(stack, **template(functions.role(), "first", "VersionA", RoutingConfig=routing))
    assert created["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any("Function not found" in reason for _, _, reason in stacks.events(stack))


def test_dead_letter_queue_and_concurrency_of_template_apply(
    sandbox: Sandbox, functions: Functions, client: Any
) -> None:
    stacks, content = Stacks(sandbox), template(functions.role(), "first", "VersionA")
    stack, properties = stacks.name(), content["Resources"]["Function"]["Properties"]
    queue = {"TargetArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead-letters"}
    properties |= {"DeadLetterConfig": queue, "ReservedConcurrentExecutions": 0}
    assert stacks.create(stack, **content)["StackStatus"] == "CREATE_COMPLETE"
    name = stacks.physical_ids(stack)["Function"]
    assert client.get_function_configuration(FunctionName=name, Qualifier="live")["DeadLetterConfig"] == queue
    code, _ = rejection(client.invoke, FunctionName=f"{name}:live")  # versions share the function's concurrency
    assert code == "TooManyRequestsException"
    properties.pop("ReservedConcurrentExecutions")
    assert stacks.update(stack, **content)["StackStatus"] == "UPDATE_COMPLETE"
    assert client.invoke(FunctionName=f"{name}:live")["StatusCode"] == 200


def test_publication_is_sent_to_rules_through_cloudtrail(sandbox: Sandbox, functions: Functions, client: Any) -> None:
    clients = session(sandbox)
    events, sqs, trail = clients.client("events"), clients.client("sqs"), clients.client("cloudtrail")
    name = functions.create()
    clients.client("s3").create_bucket(Bucket=f"trail-{name}")
    trail.create_trail(Name=name, S3BucketName=f"trail-{name}")
    trail.start_logging(Name=name)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue_arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
    send = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [send | {"Resource": queue_arn}]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    detail = {"eventSource": ["lambda.amazonaws.com"], "eventName": ["PublishVersion20150331"]}
    pattern = {"source": ["aws.lambda"], "detail-type": ["AWS API Call via CloudTrail"], "detail": detail}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": queue_arn}])
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")  # not matched by the rule
    (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5, MaxNumberOfMessages=10)["Messages"]
    found = json.loads(message["Body"])["detail"]
    assert found["requestParameters"]["functionName"] == name
    assert (found["responseElements"]["version"], found["responseElements"]["functionArn"]) == ("1", f"{arn(name)}:1")
    trail.delete_trail(Name=name)
