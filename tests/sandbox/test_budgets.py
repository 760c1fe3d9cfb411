"""Budgets: what the API refuses, and notifications to topics that permit them."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox import Sandbox
from sandbox.process import ACCOUNT
from sandbox.target import session, set_cost, target_of

from .stacks import Stacks

pytestmark = pytest.mark.enable_socket
BUDGET = {"TimeUnit": "MONTHLY", "BudgetType": "COST", "BudgetLimit": {"Amount": "50", "Unit": "USD"}}
FROM_ACCOUNT = {
    "StringEquals": {"aws:SourceAccount": ACCOUNT},
    "ArnLike": {"aws:SourceArn": f"arn:aws:budgets::{ACCOUNT}:*"},
}
OTHER_ACCOUNT = {"StringEquals": {"aws:SourceAccount": "000000000000"}}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def clients(sandbox: Sandbox) -> boto3.Session:
    return session(sandbox)


@pytest.fixture(scope="module")
def api(clients: boto3.Session) -> Any:
    return clients.client("budgets")


def unique(prefix: str = "budget") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def notification(threshold: float = 80, *topics: str, kind: str = "ACTUAL", unit: str = "PERCENTAGE") -> dict[str, Any]:
    subscribers = [
        {"SubscriptionType": "SNS", "Address": topic} for topic in topics or (f"arn:aws:sns:us-east-1:{ACCOUNT}:t",)
    ]
    values = {"NotificationType": kind, "ComparisonOperator": "GREATER_THAN", "Threshold": threshold}
    return {"Notification": values | {"ThresholdType": unit}, "Subscribers": subscribers}


def create(api: Any, *notifications: dict[str, Any], **changes: Any) -> str:
    name = unique()
    budget = BUDGET | {"BudgetName": name} | changes
    api.create_budget(AccountId=ACCOUNT, Budget=budget, NotificationsWithSubscribers=list(notifications))
    return name


class Topic:
    """A topic with a policy, and a queue of its messages."""

    def __init__(self, clients: boto3.Session, **condition: Any) -> None:
        self.sns, self.sqs = clients.client("sns"), clients.client("sqs")
        self.arn = self.sns.create_topic(Name=unique("topic"))["TopicArn"]
        policy = statement("budgets.amazonaws.com", "sns:Publish", self.arn, Condition=condition or FROM_ACCOUNT)
        self.sns.set_topic_attributes(TopicArn=self.arn, AttributeName="Policy", AttributeValue=policy)
        self.subscribe(self.arn)

    def subscribe(self, topic: str) -> None:
        name = unique("queue")
        policy = statement("sns.amazonaws.com", "sqs:SendMessage", "*")
        self.queue = self.sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
        self.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}")

    def messages(self) -> list[dict[str, Any]]:
        """Return and delete the messages in the queue."""
        found: list[dict[str, Any]] = []
        while received := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", []):
            for message in received:
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
                found.append(json.loads(message["Body"]))
        return found

    def thresholds(self) -> list[str]:
        lines = [line for message in self.messages() for line in message["Message"].splitlines()]
        return sorted(line.partition(": ")[2] for line in lines if line.startswith("Alert Threshold"))


def statement(service: str, action: str | list[str], resource: str, **more: Any) -> str:
    allow = {"Effect": "Allow", "Principal": {"Service": service}, "Action": action, "Resource": resource, **more}
    return json.dumps({"Statement": [allow]})


@pytest.fixture
def topic(clients: boto3.Session) -> Topic:
    return Topic(clients)


def spend(api: Any, name: str) -> dict[str, float]:
    calculated = api.describe_budget(AccountId=ACCOUNT, BudgetName=name)["Budget"]["CalculatedSpend"]
    return {kind: float(value["Amount"]) for kind, value in calculated.items()}


def test_cost_is_zero_until_it_is_set(sandbox: Sandbox, api: Any) -> None:
    name = create(api)
    assert spend(api, name) == {"ActualSpend": 0}
    set_cost(sandbox, name, 12.5, 60)
    assert spend(api, name) == {"ActualSpend": 12.5, "ForecastedSpend": 60}
    set_cost(sandbox, name, 13)
    assert spend(api, name) == {"ActualSpend": 13}


def test_update_resets_the_cost(sandbox: Sandbox, api: Any) -> None:
    """API reference, UpdateBudget: the calculatedSpend drops to zero."""
    name = create(api)
    set_cost(sandbox, name, 12.5)
    api.update_budget(AccountId=ACCOUNT, NewBudget=BUDGET | {"BudgetName": name})
    assert spend(api, name) == {"ActualSpend": 0}


def test_each_threshold_notifies_once_until_the_cost_falls(sandbox: Sandbox, api: Any, topic: Topic) -> None:
    percentages = [notification(threshold, topic.arn) for threshold in (80, 100)]
    forecast = notification(120, topic.arn, kind="FORECASTED")
    name = create(api, *percentages, forecast, notification(45, topic.arn, unit="ABSOLUTE_VALUE"))
    set_cost(sandbox, name, 40)
    assert topic.thresholds() == []  # 80 % is not exceeded
    set_cost(sandbox, name, 42.5, 61)
    assert topic.thresholds() == ["> $40.00", "> $60.00"]
    set_cost(sandbox, name, 51, 61)
    assert topic.thresholds() == ["> $45.00", "> $50.00"]
    states = api.describe_notifications_for_budget(AccountId=ACCOUNT, BudgetName=name)["Notifications"]
    assert {state["NotificationState"] for state in states} == {"ALARM"}
    set_cost(sandbox, name, 0)
    set_cost(sandbox, name, 41)
    assert topic.thresholds() == ["> $40.00"]


def test_notification_has_the_text_of_budgets(sandbox: Sandbox, api: Any, topic: Topic) -> None:
    name = create(api, notification(80, topic.arn))
    set_cost(sandbox, name, 1041.5)
    (message,) = topic.messages()
    assert message["Subject"] == f"AWS Budgets: {name} has exceeded your alert threshold"
    text = message["Message"]
    assert text.startswith("AWS Budget Notification ")
    assert f"\nAWS Account {ACCOUNT}\n\nDear AWS Customer,\n" in text
    assert (
        f"when the ACTUAL Cost associated with your {name} budget is greater than $40.00 for the current month. The "
        "ACTUAL Cost associated with this budget is $1,041.50."
    ) in text
    assert f"\nBudget Name: {name}\nBudget Type: Cost\nBudgeted Amount: $50.00\nAlert Type: ACTUAL\n" in text


def test_topic_that_does_not_permit_budgets_gets_nothing(sandbox: Sandbox, clients: boto3.Session, api: Any) -> None:
    closed = Topic(clients, **OTHER_ACCOUNT)
    set_cost(sandbox, create(api, notification(80, closed.arn)), 50)
    assert closed.messages() == []
    denied = f"User: budgets.amazonaws.com is not authorized to perform: sns:Publish on resource: {closed.arn}"
    assert denied in sandbox.log.read_text()


@pytest.mark.parametrize(("condition", "count"), [(FROM_ACCOUNT, 1), (OTHER_ACCOUNT, 0)])
def test_encrypted_topic_requires_its_key(
    sandbox: Sandbox, api: Any, topic: Topic, condition: dict[str, Any], count: int
) -> None:
    actions = ["kms:Decrypt", "kms:GenerateDataKey*"]
    key = json.loads(statement("budgets.amazonaws.com", actions, "*", Condition=condition))
    policy = json.loads(statement("budgets.amazonaws.com", "sns:Publish", "*", Condition=FROM_ACCOUNT))
    resources = {
        "Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": key}},
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"KmsMasterKeyId": {"Ref": "Key"}}},
        "Policy": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {"Topics": [{"Ref": "Topic"}], "PolicyDocument": policy},
        },
    }
    stacks = Stacks(sandbox)
    name = stacks.name()
    stacks.create(name, Resources=resources)
    encrypted = stacks.physical_ids(name)["Topic"]
    topic.subscribe(encrypted)
    set_cost(sandbox, create(api, notification(80, encrypted)), 50)
    assert len(topic.messages()) == count


@pytest.mark.parametrize(
    ("notifications", "changes", "code", "message"),
    [
        ([notification(80, *(f"arn:aws:sns:us-east-1:{ACCOUNT}:{name}" for name in "ab"))], {},
         "CreationLimitExceededException", "one notification can only have 1 subscribers with type of SNS"),
        ([notification(number) for number in range(11)], {}, "CreationLimitExceededException", "at most 10"),
        ([notification(80), notification(80)], {}, "DuplicateRecordException", ""),
        ([notification(80, "topic")], {}, "InvalidParameterException", "topic"),
        ([notification(80, "arn:aws:sns:us-east-1:000000000000:t")], {}, "InvalidParameterException", "account"),
        ([], {"BudgetLimit": {"Amount": "-1", "Unit": "USD"}}, "InvalidParameterException", "'-1'"),
        ([], {"BudgetName": "a:b"}, "InvalidParameterException", "BudgetName"),
        ([], {"CostFilters": {"TagKeyValue": ["Project$Beta"]}}, "InvalidParameterException", r"user:Key\$Value"),
        ([], {"CostFilters": {"TagKeyValue": ["user:Project$Beta"]}, "Metrics": ["BlendedCost"]},
         "InvalidParameterException", "not both"),
    ],
)  # fmt: skip
def test_invalid_budget_is_refused(
    api: Any, notifications: list[dict[str, Any]], changes: dict[str, Any], code: str, message: str
) -> None:
    with pytest.raises(ClientError, match=rf"\({code}\).*{message}"):
        create(api, *notifications, **changes)


def test_second_topic_of_a_notification_is_refused(api: Any) -> None:
    first, second = (f"arn:aws:sns:us-east-1:{ACCOUNT}:{name}" for name in ("first", "second"))
    entry = notification(80, first)
    name = create(api, entry)
    with pytest.raises(ClientError, match="can only have 1 subscribers with type of SNS"):
        api.create_subscriber(
            AccountId=ACCOUNT,
            BudgetName=name,
            Notification=entry["Notification"],
            Subscriber={"SubscriptionType": "SNS", "Address": second},
        )


def test_budget_is_viewed_and_modified_only_with_permission(sandbox: Sandbox, clients: boto3.Session, api: Any) -> None:
    name, other = create(api), create(api)
    iam, user = clients.client("iam"), unique("user")
    iam.create_user(UserName=user)
    view = {"Effect": "Allow", "Action": "budgets:ViewBudget", "Resource": f"arn:aws:budgets::{ACCOUNT}:budget/{name}"}
    iam.put_user_policy(UserName=user, PolicyName="view", PolicyDocument=json.dumps({"Statement": [view]}))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    session_with = target_of(sandbox).session_with
    assert session_with
    own = session_with(key["AccessKeyId"], key["SecretAccessKey"], None).client("budgets")
    assert own.describe_budget(AccountId=ACCOUNT, BudgetName=name)["Budget"]["BudgetName"] == name
    with pytest.raises(ClientError, match=f"budgets:ViewBudget on resource: arn:aws:budgets::{ACCOUNT}:budget/{other}"):
        own.describe_budget(AccountId=ACCOUNT, BudgetName=other)
    with pytest.raises(
        ClientError, match=f"budgets:ModifyBudget on resource: arn:aws:budgets::{ACCOUNT}:budget/{name}"
    ):
        own.update_budget(AccountId=ACCOUNT, NewBudget=BUDGET | {"BudgetName": name})


def resource(amount: float, *notifications: dict[str, Any], **changes: Any) -> dict[str, Any]:
    budget = BUDGET | {"BudgetLimit": {"Amount": amount, "Unit": "USD"}} | changes
    properties = {"Budget": budget, "NotificationsWithSubscribers": list(notifications)}
    return {"Resources": {"Budget": {"Type": "AWS::Budgets::Budget", "Properties": properties}}}


def test_stack_creates_updates_and_deletes_budget(sandbox: Sandbox, api: Any, topic: Topic) -> None:
    stacks = Stacks(sandbox)
    name, filters = stacks.name(), {"TagKeyValue": ["user:Project$Beta"]}
    stacks.create(name, **resource(50, notification(80, topic.arn), CostFilters=filters))
    budget = stacks.physical_ids(name)["Budget"]
    set_cost(sandbox, budget, 45)
    assert topic.thresholds() == ["> $40.00"]
    stacks.update(name, **resource(60.5, notification(80, topic.arn), CostFilters=filters))
    assert stacks.physical_ids(name)["Budget"] == budget
    described = api.describe_budget(AccountId=ACCOUNT, BudgetName=budget)["Budget"]
    assert described["BudgetLimit"]["Amount"] == "60.5"
    assert described["CostFilters"] == filters
    assert spend(api, budget) == {"ActualSpend": 0}
    stacks.cloudformation.delete_stack(StackName=name)
    stacks.cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    with pytest.raises(ClientError, match="the budget doesn't exist"):
        api.describe_budget(AccountId=ACCOUNT, BudgetName=budget)


def test_changed_notifications_replace_a_budget_and_need_a_new_name(sandbox: Sandbox) -> None:
    """CloudFormation: NotificationsWithSubscribers requires replacement, which fails if the budget has a name."""
    stacks = Stacks(sandbox)
    name, budget = stacks.name(), unique()
    stacks.create(name, **resource(50, notification(80)))
    generated = stacks.physical_ids(name)["Budget"]
    stacks.update(name, **resource(50, notification(90)))
    assert stacks.physical_ids(name)["Budget"] != generated
    stacks.create(named := stacks.name(), **resource(50, notification(80), BudgetName=budget))
    assert stacks.update(named, **resource(50, notification(90), BudgetName=budget))["StackStatus"].startswith(
        "UPDATE_ROLLBACK"
    )
    assert f"Error creating budget: {budget} - the budget already exists." in str(stacks.events(named))
