"""Updates in place that lose data are refused, the opposite direction is not."""

import json
import time
from functools import partial
from typing import Any

import pytest
from hypothesis import given, strategies as st

from lambdas.deploy_pipeline.change_set import inspect
from lambdas.deploy_pipeline.inspection import Lookups, Policy, violations

from .changes import change, detail, update
from .fake_cloudformation import FakeCloudFormation
from .machine_run import APP, Machine

MARKER = "{{changeSet:KNOWN_AFTER_APPLY}}"


def reasons(*changes: Any, policy: Policy | None = None, lookups: Lookups | None = None) -> str:
    return "\n".join(found.why for found in violations(changes, policy or Policy(), "", lookups))


def rules(*given_rules: dict[str, Any]) -> dict[str, Any]:
    return {"LifecycleConfiguration": {"Rules": [{"Status": "Enabled", **rule} for rule in given_rules]}}


def deny(*resources: str) -> list[dict[str, Any]]:
    return [{"Effect": "Deny", "Action": "s3:*", "Principal": "*", "Resource": name} for name in resources]


def bucket_policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Bucket": "orders", "PolicyDocument": {"Version": "2012-10-17", "Statement": list(statements)}}


ALLOW = {"Effect": "Allow", "Action": "s3:GetObject", "Principal": "*", "Resource": "arn:aws:s3:::orders/*"}
TTL = {"TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True}}
PITR = "PointInTimeRecoverySpecification"
LOSSY = [
    (
        "AWS::SQS::Queue",
        {"MessageRetentionPeriod": 1209600},
        {"MessageRetentionPeriod": 60},
        "MessageRetentionPeriod 1209600 -> 60 seconds: messages older than that are deleted",
    ),
    ("AWS::SQS::Queue", {}, {"MessageRetentionPeriod": 60}, "MessageRetentionPeriod 345600 -> 60 seconds"),
    ("AWS::Logs::LogGroup", {}, {"RetentionInDays": 1}, "RetentionInDays unlimited -> 1 days: log events"),
    ("AWS::Logs::LogGroup", {"RetentionInDays": 30}, {"RetentionInDays": 7}, "RetentionInDays 30 -> 7 days"),
    ("AWS::S3::Bucket", {}, rules({"ExpirationInDays": 1}), "LifecycleConfiguration.Rules has a new or earlier"),
    ("AWS::S3::Bucket", rules({"ExpirationInDays": 9}), rules({"ExpirationInDays": 1}), "LifecycleConfiguration.Rules"),
    (
        "AWS::S3::Bucket",
        {},
        rules({"NoncurrentVersionExpiration": {"NoncurrentDays": 1}}),
        "objects or object versions",
    ),
    ("AWS::S3::Bucket", {}, rules({"ExpirationDate": "2020-01-01"}), "LifecycleConfiguration.Rules"),
    (
        "AWS::S3::Bucket",
        rules({"ExpirationInDays": 9, "Prefix": "logs/"}),
        rules({"ExpirationInDays": 9}),
        "LifecycleConfiguration.Rules",
    ),
    (
        "AWS::S3::Bucket",
        {"VersioningConfiguration": {"Status": "Enabled"}},
        {"VersioningConfiguration": {"Status": "Suspended"}},
        "VersioningConfiguration.Status is turned off",
    ),
    ("AWS::S3::Bucket", {"VersioningConfiguration": {"Status": "Enabled"}}, {}, "VersioningConfiguration.Status"),
    ("AWS::DynamoDB::Table", {}, TTL, "TimeToLiveSpecification is enabled"),
    (
        "AWS::DynamoDB::GlobalTable",
        TTL,
        {"TimeToLiveSpecification": {"AttributeName": "created", "Enabled": True}},
        "uses another attribute",
    ),
    (
        "AWS::DynamoDB::Table",
        {PITR: {"PointInTimeRecoveryEnabled": True}},
        {PITR: {"PointInTimeRecoveryEnabled": False}},
        "earlier states can no longer be restored",
    ),
    ("AWS::KMS::Key", {}, {"Enabled": False}, "Enabled is turned off: data encrypted with it cannot be read"),
    ("AWS::RDS::DBInstance", {"BackupRetentionPeriod": 7}, {"BackupRetentionPeriod": 0}, "7 -> 0 days"),
    ("AWS::RDS::DBCluster", {"BackupRetentionPeriod": 7}, {}, "BackupRetentionPeriod 7 -> 1 days"),
    ("AWS::RDS::DBInstance", {"DeletionProtection": True}, {}, "no longer protected against deletion"),
    ("AWS::Kinesis::Stream", {"RetentionPeriodHours": 48}, {}, "RetentionPeriodHours 48 -> 24 hours"),
    ("AWS::CloudTrail::Trail", {"IsLogging": True}, {"IsLogging": False}, "API calls are no longer recorded"),
    ("AWS::Events::Archive", {}, {"RetentionDays": 1}, "RetentionDays 0 -> 1 days"),
    ("AWS::ECR::Repository", {}, {"LifecyclePolicy": {"LifecyclePolicyText": "{}"}}, "images that it selects"),
    ("AWS::S3::BucketPolicy", bucket_policy(ALLOW, *deny("a")), bucket_policy(ALLOW), "loses or changes a `Deny`"),
    (
        "AWS::S3::BucketPolicy",
        bucket_policy(*deny("a", "b")),
        bucket_policy(*deny("a", "c")),
        "requests that it denied",
    ),
    ("AWS::S3::BucketPolicy", bucket_policy(*deny("a", "b")), bucket_policy(*deny(MARKER)), "requests that it denied"),
]


@pytest.mark.parametrize(("kind", "before", "after", "reason"), LOSSY)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="an update in place loses data, weakens a `DeletionPolicy` or removes a `Deny` statement",
    expected="rejected; the message contains no secret values; can be exempted like a replacement",
    observed="each row of the table, in one direction only",
)
def test_update_that_loses_data_is_unsafe(kind: str, before: Any, after: Any, reason: str) -> None:
    assert reason in reasons(update(kind, before, after))


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        *((kind, after, before) for kind, before, after, _ in LOSSY if kind not in ("AWS::S3::BucketPolicy",)
          and "Prefix" not in str(before) and "created" not in str(after)),
        ("AWS::S3::BucketPolicy", bucket_policy(), bucket_policy(*deny("a"))),
        ("AWS::S3::BucketPolicy", bucket_policy(*deny("a"), ALLOW), bucket_policy(*deny("a"))),
        ("AWS::S3::BucketPolicy", bucket_policy(*deny("a", "b")), bucket_policy(*deny("b", MARKER))),
        ("AWS::S3::Bucket", {}, rules({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})),
        ("AWS::S3::Bucket", {}, rules({"ExpirationInDays": 1, "Status": "Disabled"})),
        ("AWS::KMS::Key", {}, {"PendingWindowInDays": 7, "EnableKeyRotation": False}),
        ("AWS::SQS::Queue", {"VisibilityTimeout": 60}, {"VisibilityTimeout": 30}),
    ],
)  # fmt: skip
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="an update in place loses data, weakens a `DeletionPolicy` or removes a `Deny` statement",
)
def test_update_that_loses_nothing_is_safe(kind: str, before: Any, after: Any) -> None:
    assert not reasons(update(kind, before, after))


@pytest.mark.parametrize(
    ("kind", "policies", "reason"),
    [
        ("AWS::SQS::Queue", ("Retain", "Delete"), "DeletionPolicy Retain -> Delete: a later removal deletes it"),
        ("AWS::SQS::Queue", ("Retain", None), "DeletionPolicy Retain -> Delete"),
        ("AWS::EC2::Volume", ("Snapshot", "Delete"), "DeletionPolicy Snapshot -> Delete"),
        ("AWS::RDS::DBInstance", (None, "Delete"), "DeletionPolicy Snapshot -> Delete"),
        ("AWS::SQS::Queue", ("Delete", "Retain"), ""),
        ("AWS::SQS::Queue", ("Retain", "RetainExceptOnCreate"), ""),
        ("AWS::RDS::DBInstance", ("Snapshot", None), ""),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="an update in place loses data, weakens a `DeletionPolicy` or removes a `Deny` statement",
)
def test_weaker_deletion_policy_is_unsafe(kind: str, policies: Any, reason: str) -> None:
    found = reasons(update(kind, {}, {}, DeletionPolicy=policies))
    assert reason in found
    assert bool(found) is bool(reason)


def test_weaker_update_replace_policy_is_unsafe() -> None:
    assert "a later replacement deletes it" in reasons(update("A::B::C", {}, {}, UpdateReplacePolicy=("Retain", None)))


def test_exempted_loss_is_safe() -> None:
    lossy = update("AWS::SQS::Queue", {}, {"MessageRetentionPeriod": 60})
    assert not reasons(lossy, policy=Policy(exempt_logical_ids=frozenset({"Queue"})))
    assert not reasons(lossy, policy=Policy(exempt_types=frozenset({"AWS::SQS::Queue"})))
    assert reasons(lossy, policy=Policy(conditional=True, dynamic=True))


def test_replacement_and_loss_are_both_reported() -> None:
    lossy = update("AWS::SQS::Queue", {}, {"MessageRetentionPeriod": 60})
    lossy["ResourceChange"]["Replacement"] = "True"
    assert "it is replaced" in reasons(lossy)
    assert "MessageRetentionPeriod 345600 -> 60" in reasons(lossy)


@pytest.mark.parametrize(
    "contexts",
    [
        {},
        {"BeforeContext": '{"Properties": {}}', "AfterContext": '{"Properties": {"MessageRet'},
        {"BeforeContext": '{"Properties": {}}'},
        {
            name: json.dumps({"Properties": {"MessageRetentionPeriod": "****"}})
            for name in ("BeforeContext", "AfterContext")
        },
        {
            "BeforeContext": '{"Properties": {"MessageRetentionPeriod": "60"}}',
            "AfterContext": json.dumps({"Properties": {"MessageRetentionPeriod": MARKER}}),
        },
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="a property listed as lossy changes, and CloudFormation omits, truncates or masks its values",
    expected="rejected",
    observed='"its values are not visible"',
)
def test_change_of_hidden_value_is_unsafe(contexts: dict[str, str]) -> None:
    """Left out, cut off, masked (NoEcho), or known only after the update."""
    changed = change("Modify", Details=[detail("Never", name="MessageRetentionPeriod")], **contexts)
    assert "MessageRetentionPeriod changes, but its values are not visible" in reasons(changed)
    assert "60" not in reasons(changed)
    assert not reasons(change("Modify", Details=[detail("Never", name="DelaySeconds")]))


def test_reasons_do_not_show_secret_values() -> None:
    secret = {"TimeToLiveSpecification": {"AttributeName": "SECRET", "Enabled": True}}
    assert "SECRET" not in reasons(update("AWS::DynamoDB::Table", {}, secret))
    odd = update("AWS::SQS::Queue", {"MessageRetentionPeriod": 60}, {"MessageRetentionPeriod": "SECRET"})
    assert reasons(odd)
    assert "SECRET" not in reasons(odd)
    target = change("Add", "P", "AWS::SQS::QueuePolicy", AfterContext='{"Properties": {"Queues": ["SECRET"]}}')
    assert reasons(target)
    assert "SECRET" not in reasons(target)


@given(st.integers(60, 1_209_600), st.integers(60, 1_209_600))
def test_retention_change_is_unsafe_only_if_lowered(before: int, after: int) -> None:
    lossy = update("AWS::SQS::Queue", {"MessageRetentionPeriod": before}, {"MessageRetentionPeriod": after})
    assert bool(reasons(lossy)) is (after < before)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(MARKER),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["Rules", "Status", "Statement", "Effect"]), inner),
    max_leaves=8,
)
LISTED = st.sampled_from([("AWS::S3::Bucket", "LifecycleConfiguration"), ("AWS::KMS::Key", "KeyPolicy"),
                          ("AWS::DynamoDB::Table", "TimeToLiveSpecification")])  # fmt: skip


@given(LISTED, JSON, JSON)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="a property listed as lossy changes, and CloudFormation omits, truncates or masks its values",
)
def test_values_of_any_type_are_evaluated(listed: tuple[str, str], before: Any, after: Any) -> None:
    kind, name = listed
    contexts = {"BeforeContext": before, "AfterContext": after}
    contexts = {when: json.dumps({"Properties": {name: value}}) for when, value in contexts.items()}
    reasons(change("Modify", kind=kind, Details=[detail("Never", name=name)], **contexts))


POLICIES = [("AWS::SQS::QueuePolicy", "Queues", ["https://sqs/q"], "AWS::SQS::Queue"),
            ("AWS::SNS::TopicPolicy", "Topics", ["arn:t"], "AWS::SNS::Topic"),
            ("AWS::S3::BucketPolicy", "Bucket", "bucket", "AWS::S3::Bucket")]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "target", "target_type"), POLICIES)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="a policy is attached to a resource outside the stack",
    expected="rejected",
    observed='"names a resource outside the stack"',
)
def test_policy_of_resource_outside_stack_is_unsafe(kind: str, name: str, target: Any, target_type: str) -> None:
    added = change("Add", "Policy", kind, AfterContext=json.dumps({"Properties": {name: target}}))
    targets = [target] if isinstance(target, str) else target
    outside = Lookups(physical_ids=lambda: frozenset({(target_type, "another")}))
    inside = Lookups(physical_ids=lambda: frozenset((target_type, text) for text in targets))
    assert f"{name} names a resource outside the stack" in reasons(added, lookups=outside)
    assert not reasons(added, lookups=inside)
    known_later = [MARKER] if isinstance(target, list) else MARKER
    added["ResourceChange"]["AfterContext"] = json.dumps({"Properties": {name: known_later}})
    assert not reasons(added, lookups=outside)
    del added["ResourceChange"]["AfterContext"]
    assert "is not visible" in reasons(added, lookups=inside)


def test_policy_target_with_id_of_another_type_is_unsafe() -> None:
    """The name of a parameter or the id that a custom resource returns can be that of somebody else's bucket."""
    added = change("Add", "P", "AWS::S3::BucketPolicy", AfterContext='{"Properties": {"Bucket": "theirs"}}')
    for kind in ("AWS::SSM::Parameter", "Custom::Bucket", "AWS::DynamoDB::Table"):
        named = frozenset({(kind, "theirs")})
        assert "outside the stack" in reasons(added, lookups=Lookups(physical_ids=partial(frozenset, named)))


def test_existing_policy_can_be_updated() -> None:
    queues = {"Queues": ["https://sqs/theirs"]}
    document = {"PolicyDocument": {"Statement": [ALLOW]}}
    assert not reasons(update("AWS::SQS::QueuePolicy", queues, queues | document))
    more = {"Queues": ["https://sqs/theirs", "https://sqs/another"]}
    assert "outside the stack" in reasons(update("AWS::SQS::QueuePolicy", queues, more))


@pytest.mark.parametrize(
    ("reference", "safe"),
    [
        ("{{resolve:ssm:/app/name}}", False),
        ("{{resolve:ssm:/app/name:3}}", True),
        ("{{resolve:ssm:arn:aws:ssm:us-east-1:111111111111:parameter/name}}", False),
        ("{{resolve:ssm-secure:/app/name}}", False),
        ("{{resolve:secretsmanager:app}}", False),
        ("{{resolve:secretsmanager:app:SecretString:name}}", False),
        ("{{resolve:secretsmanager:app:SecretString:name:AWSCURRENT}}", False),
        ("{{resolve:secretsmanager:app:SecretString:name::11111111-2222-3333-4444-555555555555}}", True),
        (f"{{{{resolve:secretsmanager:{MARKER}:SecretString:name}}}}", False),
        ("a-{{resolve:ssm:/a:1}}-{{resolve:ssm:/b}}", False),
        ("{{resolve:ssm:/app/name", False),
    ],
)
@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="the value of a dynamic reference without a version changes",
    expected="rejected if the property is create-only, or may be",
    observed="resources that depend on it are not treated as retained",
)
def test_unversioned_reference_in_create_only_is_unsafe(reference: str, safe: bool) -> None:
    lookups = Lookups(create_only={"AWS::SQS::Queue": ("/properties/QueueName",)}.get)
    name = {"QueueName": reference}
    changed = update("AWS::SQS::Queue", name, name | {"VisibilityTimeout": 45})
    found = reasons(changed, lookups=lookups)
    assert bool(found) is not safe
    assert safe or "it may be replaced because of QueueName: dynamic references without a version" in found
    assert "resolve" not in found
    assert not reasons(changed, lookups=lookups, policy=Policy(conditional=True))
    elsewhere = {"KmsMasterKeyId": reference}
    assert not reasons(update("AWS::SQS::Queue", elsewhere, elsewhere | {"DelaySeconds": 1}), lookups=lookups)


@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="the value of a dynamic reference without a version changes",
)
def test_unversioned_reference_in_unknown_type_is_unsafe() -> None:
    name = {"Name": [{"Key": "{{resolve:ssm:/app/name}}"}]}
    assert "replaced because of Name" in reasons(update("Their::Own::Type", name, name))


@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="the value of a dynamic reference without a version changes",
)
def test_unversioned_reference_does_not_retain_dependents() -> None:
    name = {"QueueName": "{{resolve:ssm:/app/name}}"}
    source = detail("Always", "Dynamic", source="ResourceAttribute", entity="Queue.Arn")
    dependent = change("Modify", "Sub", "AWS::SNS::Subscription", Replacement="Conditional", Details=[source])
    assert reasons(update("AWS::SQS::Queue", name, name), dependent).count("may be replaced") == 2


def inspected(fake: FakeCloudFormation) -> dict[str, Any]:
    fake.add_stack(APP, "UPDATE_COMPLETE")
    return inspect(fake, fake.create_change_set(StackName=APP, ChangeSetName="deploy")["Id"], APP, Policy())


def test_values_are_read_on_every_page_and_in_nested_stacks() -> None:
    fake = FakeCloudFormation()
    arn = "arn:aws:cloudformation:us-east-1:111111111111:changeSet/nested/1"
    lossy = update("AWS::SQS::Queue", {}, {"MessageRetentionPeriod": 60})
    fake.changes = [change("Add", f"Q{number}") for number in range(4)]
    fake.changes += [lossy, change("Modify", "Child", "AWS::CloudFormation::Stack", ChangeSetId=arn)]
    fake.nested = {arn: [lossy]}
    assert [found["logicalId"] for found in inspected(fake)["violations"]] == ["Queue", "Child/Queue"]


@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="CloudFormation lists other changes in a description with property values",
    expected="they do not affect which replacements are detected",
    observed="each change set is described twice",
)
def test_replacement_only_listed_with_values_is_ignored() -> None:
    """AWS answers so: with property values an unchanged reference is a replacement, or a change is left out."""

    class WithValues(FakeCloudFormation):
        def describe_change_set(self, *arguments: Any, **options: Any) -> dict[str, Any]:
            answer = super().describe_change_set(*arguments, **options)
            if options.get("IncludePropertyValues"):
                answer["Changes"] = [change("Add", "Added", Replacement="True"), change("Modify", Replacement="True")]
            return answer

    fake = WithValues()
    fake.changes = [change("Add", "Added"), change("Modify"), change("Modify", "Left")]
    assert inspected(fake)["safe"]
    fake.changes += [change("Modify", "Out", Details=[detail("Never", name="MessageRetentionPeriod")])]
    assert [found["logicalId"] for found in inspected(fake)["violations"]] == ["Out"]


def test_lookups_run_once_and_only_when_needed() -> None:
    fake = FakeCloudFormation()
    fake.changes = [update("AWS::SQS::Queue", {}, {"DelaySeconds": 1})]
    assert inspected(fake)["safe"]
    assert not {"describe_type", "list_stack_resources"} & set(fake.calls)
    fake.resources, fake.schemas = ["https://sqs/q"], {"AWS::SQS::Queue": {"createOnlyProperties": []}}
    name = {"QueueName": "{{resolve:ssm:/app/name}}"}
    policy = json.dumps({"Properties": {"Queues": ["https://sqs/q"]}})
    fake.changes = [update("AWS::SQS::Queue", name, name, f"Q{number}") for number in range(5)]
    fake.changes += [change("Add", f"P{n}", "AWS::SQS::QueuePolicy", AfterContext=policy) for n in range(5)]
    assert inspected(fake)["safe"]
    assert [fake.calls.count(call) for call in ("describe_type", "list_stack_resources")] == [1, 1]


@pytest.mark.reliability(
    "deploy_pipeline",
    "System-specific",
    fault="an update in place loses data, weakens a `DeletionPolicy` or removes a `Deny` statement",
)
def test_state_machine_rejects_loss_unless_exempted(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    fake = machine.cloudformation
    fake.add_stack(APP, "UPDATE_COMPLETE")
    fake.changes = [update("AWS::SQS::Queue", {}, {"MessageRetentionPeriod": 60})]
    refused = machine.run()
    assert refused.status == "FAILED"
    assert "- Queue (AWS::SQS::Queue), Modify: MessageRetentionPeriod 345600 -> 60 seconds" in refused.cause
    assert not fake.executed
    assert machine.run(policy={"exemptLogicalIds": ["Queue"]}).status == "SUCCEEDED"
    assert fake.executed


@pytest.mark.reliability("deploy_pipeline", "Hostile input", fault="hundreds of changes that depend on each other")
def test_large_change_set_is_inspected_within_a_second() -> None:
    """500 resources with 100 details each, their values, and everything that makes work."""
    statements = bucket_policy(*deny(*map(str, range(100))))
    details = [
        detail("Always", "Dynamic", source="ResourceAttribute", entity=f"R{number}.Arn") for number in range(100)
    ]
    changes = []
    for number in range(500):
        lossy = update("AWS::S3::BucketPolicy", statements, bucket_policy(*deny(*[MARKER] * 100)), f"R{number}")
        lossy["ResourceChange"] |= {"Replacement": "Conditional", "Details": details}
        changes.append(lossy)
    started = time.process_time()
    assert len(list(violations(changes, Policy()))) == 500
    assert time.process_time() - started < 3, "one second on a computer with nothing else to do"
