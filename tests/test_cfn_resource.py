"""The CloudFormation resource of a construct."""

import pytest
from aws_cdk import App, Stack, aws_s3 as s3, aws_sns as sns

from stacks.constructs.cfn_resource import cfn_resource


def test_cfn_resource_of_other_type_raises_error() -> None:
    topic = sns.Topic(Stack(App(), "Stack"), "Topic")
    assert cfn_resource(topic, sns.CfnTopic).cfn_resource_type == "AWS::SNS::Topic"
    with pytest.raises(TypeError, match="Stack/Topic: expected CfnBucket, found CfnTopic"):
        cfn_resource(topic, s3.CfnBucket)
