"""DynamoDB: the settings of tables of templates, and the permission to use their keys."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox import Sandbox
from sandbox.process import ACCOUNT
from sandbox.target import session, target_of

from .stacks import Stacks

pytestmark = pytest.mark.enable_socket
KEY_POLICY = {
    "Statement": {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "kms:*", "Resource": "*"},
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def table(**properties: Any) -> dict[str, Any]:
    attributes = [{"AttributeName": "id", "AttributeType": "S"}]
    keys = [{"AttributeName": "id", "KeyType": "HASH"}]
    values = {"AttributeDefinitions": attributes, "KeySchema": keys, "BillingMode": "PAY_PER_REQUEST"}
    return {"Type": "AWS::DynamoDB::Table", "Properties": values | properties}


def test_stack_sets_and_changes_settings_of_a_table(sandbox: Sandbox) -> None:
    stacks, dynamodb = Stacks(sandbox), session(sandbox).client("dynamodb")
    name, key = stacks.name(), {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": KEY_POLICY}}
    settings = {
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": {"Fn::GetAtt": ["Key", "Arn"]}},
        "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
    }

    def described() -> tuple[str, str, str]:
        table = stacks.physical_ids(name)["Table"]
        backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        expiry = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["TimeToLiveStatus"]
        encryption = dynamodb.describe_table(TableName=table)["Table"].get("SSEDescription", {})
        recovery = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
        return recovery, expiry, encryption.get("Status", "")

    stacks.create(name, Resources={"Key": key, "Table": table(**settings)})
    assert described() == ("ENABLED", "ENABLED", "ENABLED")
    changed = {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": False}}
    stacks.update(name, Resources={"Key": key, "Table": table(**settings | changed)})
    assert described() == ("DISABLED", "ENABLED", "ENABLED")


def test_items_of_an_encrypted_table_require_its_key(sandbox: Sandbox) -> None:
    stacks, iam = Stacks(sandbox), session(sandbox).client("iam")
    name, key = stacks.name(), {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": KEY_POLICY}}
    encryption = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": {"Ref": "Key"}}
    stacks.create(name, Resources={"Key": key, "Table": table(SSESpecification=encryption)})
    user = f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=user)
    access_key, session_with = iam.create_access_key(UserName=user)["AccessKey"], target_of(sandbox).session_with
    assert session_with
    own = session_with(access_key["AccessKeyId"], access_key["SecretAccessKey"], None).client("dynamodb")

    def permit(*actions: str) -> None:
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=json.dumps({"Statement": [statement]}))

    item = {"TableName": stacks.physical_ids(name)["Table"], "Item": {"id": {"S": "1"}}}
    permit("dynamodb:PutItem")
    with pytest.raises(ClientError, match="not authorized to perform: kms:Decrypt"):
        own.put_item(**item)
    permit("dynamodb:PutItem", "kms:Decrypt")
    own.put_item(**item)
