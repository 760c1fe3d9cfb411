"""The only code that uses MiniStack's internal names, one module for each service.

Each module lists what the sandbox reads and calls (`need`) and replaces (`Replaceable`), each with its purpose.
Importing this package checks that the installed version has all of it. The rest of the sandbox, and its tests, use
these names or AWS's public APIs, so an upgrade changes this package only.
"""

from . import (
    apigateway,
    athena,
    autoscaling,
    budgets,
    cloudformation,
    cloudfront,
    cloudtrail,
    cloudwatch,
    dynamodb,
    ec2,
    eventbridge,
    glue,
    iam,
    kms,
    lambda_functions,
    requests,
    route53,
    s3,
    secretsmanager,
    sns,
    sqs,
    ssm,
    stepfunctions,
    sts,
    waf,
)
from .names import MissingNameError, check

__all__ = [
    "MissingNameError",
    "apigateway",
    "athena",
    "autoscaling",
    "budgets",
    "cloudformation",
    "cloudfront",
    "cloudtrail",
    "cloudwatch",
    "dynamodb",
    "ec2",
    "eventbridge",
    "glue",
    "iam",
    "kms",
    "lambda_functions",
    "requests",
    "route53",
    "s3",
    "secretsmanager",
    "sns",
    "sqs",
    "ssm",
    "stepfunctions",
    "sts",
    "waf",
]

check()
