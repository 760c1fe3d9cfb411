"""Settings of `DeployPipeline`."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from lambdas.deploy_pipeline.errors import InvalidInputError
from lambdas.deploy_pipeline.request import Request, read_request

from . import Email, Section, like

ADDED_BY_THE_TRIGGER = {"revisionS3Bucket": "artifacts", "revisionS3Key": "app.zip"}
# Characters. A role's inline policies have room for 10,240; aws-cdk-lib moves a statement with many resources into a
# managed policy, which has room for 6,144.
MAX_PERMISSION_SIZE, MAX_PERMISSIONS_SIZE = 5500, 7500
FILLED_IN = {"partition", "region", "account", "stack"}
SAMPLE = "samples/deploy_pipeline"
BOUNDARY_ARN = r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\w+=,.@/-]+"
# Letters, digits and these characters are what Systems Manager accepts; * and ? are IAM's wildcards.
SSM_PARAMETER = r"(?=.{1,200}\Z)([\w.*?-]+|(/[\w.*?-]+){1,15})"
SSM_PARAMETER_IN_WORDS = "an SSM parameter's name of at most 200 characters, such as /shop/vpc; * is a wildcard"
MAX_SSM_PARAMETERS = 20  # with the longest names they fit into the policy of the state machine's role
CONNECTION_ARN = r"arn:aws[a-z-]*:(codeconnections|codestar-connections):[^:]+:\d{12}:connection/.+"


CONDITION_OPERATOR = (
    r"(For(AllValues|AnyValue):)?(String(Not)?(Equals(IgnoreCase)?|Like)"
    r"|(Numeric|Date)((Not)?Equals|(Less|Greater)Than(Equals)?)|Bool|BinaryEquals|(Not)?IpAddress"
    r"|Arn(Not)?(Equals|Like))(IfExists)?|Null"
)


def _condition_value(value: Any) -> Any:
    values = tuple(value) if isinstance(value, list) else (value,)
    if not values or not all(isinstance(item, str | bool | int | float) for item in values):
        raise ValueError("text, a number, true or false, or a list of these")
    return values if isinstance(value, list) else value


Conditions = dict[
    Annotated[str, like(CONDITION_OPERATOR, "a condition operator of IAM, such as StringEquals")],
    Annotated[
        dict[
            Annotated[str, like(r"[a-zA-Z0-9-]+:\S+", "a condition key of IAM, such as aws:RequestTag/team")],
            Annotated[Any, AfterValidator(_condition_value)],
        ],
        Field(min_length=1),
    ],
]


class Permission(Section):
    """What CloudFormation may do to make the app's resources: one statement of a policy.

    `resources` are ARNs. In them and in the values of `conditions` ``{partition}``, ``{region}``,
    ``{account}`` and ``{stack}``, the name of the app's stack, are filled in.
    """

    actions: Annotated[
        tuple[Annotated[str, like(r"[a-z0-9-]+:[A-Za-z0-9*?]+", "an action of IAM, such as sqs:CreateQueue")], ...],
        Field(min_length=1),
    ]
    resources: Annotated[tuple[Annotated[str, like(r"\*|arn:.+", "an ARN, or *")], ...], Field(min_length=1)]

    conditions: Conditions = Field(default_factory=dict)

    def is_service_wide(self) -> bool:
        """Whether it allows every action of a service on every resource, or on every one of a type."""
        every_action = any(re.fullmatch(r"[a-z0-9-]+:[*?]*\*[*?]*", action) for action in self.actions)
        # What is before the slash is a resource type, except in S3's ARNs: a bucket.
        everything = r"\*|arn(:[^:]*){4}:[*?/]*\*[*?/]*|arn:[^:]*:(?!s3:)([^:]*:){3}[a-z-]+[/:][*?]*\*[*?]*"
        return every_action and any(re.fullmatch(everything, resource) for resource in self.resources)

    @field_validator("resources")
    @classmethod
    def _placeholders_that_are_filled_in(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if set(re.findall(r"\{(.*?)\}", " ".join(value))) - FILLED_IN:
            raise ValueError(f"ARNs in which only {{{'}, {'.join(sorted(FILLED_IN))}}} are filled in")
        return value

    @field_validator("conditions")
    @classmethod
    def _placeholders_in_conditions(cls, value: Conditions) -> Conditions:
        """Apart from IAM's policy variables, which have a dollar sign."""
        if set(re.findall(r"(?<!\$)\{(.*?)\}", str([list(keys.values()) for keys in value.values()]))) - FILLED_IN:
            raise ValueError(f"values in which only {{{'}, {'.join(sorted(FILLED_IN))}}} are filled in")
        return value


SAMPLE_PERMISSIONS = (
    Permission(
        actions=(
            "sqs:CreateQueue",
            "sqs:DeleteQueue",
            "sqs:GetQueueAttributes",
            "sqs:GetQueueUrl",
            "sqs:ListQueueTags",
            "sqs:SetQueueAttributes",
            "sqs:TagQueue",
            "sqs:UntagQueue",
        ),
        resources=("arn:{partition}:sqs:{region}:{account}:{stack}-*",),
    ),
    Permission(
        actions=(
            "sns:CreateTopic",
            "sns:DeleteTopic",
            "sns:GetDataProtectionPolicy",
            "sns:GetSubscriptionAttributes",
            "sns:GetTopicAttributes",
            "sns:ListSubscriptionsByTopic",
            "sns:ListTagsForResource",
            "sns:SetSubscriptionAttributes",
            "sns:SetTopicAttributes",
            "sns:Subscribe",
            "sns:TagResource",
            "sns:Unsubscribe",
            "sns:UntagResource",
        ),
        resources=("arn:{partition}:sns:{region}:{account}:{stack}-*",),
    ),
)


class DeployPipelineSettings(Section):
    """Settings of `DeployPipeline`."""

    source: Literal["codecommit", "codeconnections", "s3"] = Field(
        "codecommit", description="Where the app comes from: a repository made here, a connected one, or an S3 object."
    )
    app: str = Field(f"{SAMPLE}/app", description="Folder that the CodeCommit repository begins with.")
    allowed_files: tuple[
        Annotated[str, like(r"[^/].*", "a path or pattern below the folder, without a leading /")], ...
    ] = Field(
        (), description="Files of `app` with suspicious names that the repository may have, such as `schema.sql`."
    )
    branch: Annotated[str, like(r"[^\s~^:?*\[\\]+", "the name of a branch")] = Field(
        "main", description="Branch that is deployed."
    )
    connection_arn: Annotated[str, like(CONNECTION_ARN, "the ARN of a connection (CodeConnections)")] | None = Field(
        None, description="Connection to GitHub and others; with source `codeconnections`."
    )
    repository: Annotated[str, like(r"[\w.-]+(/[\w.-]+)+", "owner and name, such as owner/app")] | None = Field(
        None, description="Repository at the other end of the connection, such as `owner/app`."
    )
    source_key: Annotated[str, like(r"[^/].*\.zip", "a key that ends in .zip")] = Field(
        "app.zip", description="Key of the object with source `s3`, in a bucket made here."
    )
    input: str = Field(f"{SAMPLE}/state_machine_input.json", description="File with the state machine's input.")
    permissions: Annotated[tuple[Permission, ...], Field(min_length=1)] = Field(
        SAMPLE_PERMISSIONS, description="What CloudFormation may do for the app; by default what the sample needs."
    )
    permissions_boundary: Annotated[str, like(BOUNDARY_ARN, "the ARN of a managed policy of IAM")] | None = Field(
        None, description="Managed policy that limits what `permissions` can allow, whatever they say."
    )
    allow_service_wide_permissions: bool = Field(
        False, description="Accept `permissions` with every action of a service on every resource, such as s3:* on *."
    )
    ssm_parameters: tuple[Annotated[str, like(SSM_PARAMETER, SSM_PARAMETER_IN_WORDS)], ...] = Field(
        ("/cdk-bootstrap/*/version",),
        description="SSM parameters that templates may take as `AWS::SSM::Parameter::Value<...>`; CDK's by default.",
    )
    email: Email | None = Field(None, description="Who gets the alarms. AWS asks for a confirmation first.")

    @property
    def state_machine_input(self) -> dict[str, Any]:
        """The state machine's input, as the file has it."""
        given: dict[str, Any] = json.loads(Path(self.input).read_text())
        return given

    @property
    def stack_name(self) -> str:
        """Name of the stack that the input file asks for."""
        return _request(self.input).stack_name

    @field_validator("ssm_parameters")
    @classmethod
    def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > MAX_SSM_PARAMETERS:
            raise ValueError(f"at most {MAX_SSM_PARAMETERS} names")
        if any(not name.strip("/*?") for name in value):
            raise ValueError("names with more than wildcards in them, or CloudFormation reads every parameter")
        return value

    @field_validator("app")
    @classmethod
    def _folder(cls, value: str) -> str:
        if not Path(value).is_dir():
            raise ValueError("a folder")
        return value

    @field_validator("input")
    @classmethod
    def _input_file(cls, value: str) -> str:
        try:
            _request(value)
        except (OSError, ValueError, TypeError):
            raise ValueError("a JSON file with environmentName, stackName and templatePath") from None
        except InvalidInputError as error:
            raise ValueError(f"a file without mistakes. {error}") from None
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        mistakes = []
        connected = self.source == "codeconnections"
        if connected and not (self.connection_arn and self.repository):
            mistakes.append("connection_arn and repository with source codeconnections")
        if not connected and (self.connection_arn or self.repository):
            mistakes.append("connection_arn and repository only with source codeconnections")
        wide = [action for p in self.permissions if p.is_service_wide() for action in p.actions if "*" in action]
        if wide and not self.allow_service_wide_permissions:
            mistakes.append(f"{', '.join(wide)} on every resource only with allow_service_wide_permissions=true")
        # `branch` is not among these: cdk.json gives it, whatever the source.
        if "app" in self.model_fields_set and self.source != "codecommit":
            mistakes.append("app only with source codecommit")
        if self.allowed_files and self.source != "codecommit":
            mistakes.append("allowed_files only with source codecommit")
        if "source_key" in self.model_fields_set and self.source != "s3":
            mistakes.append("source_key only with source s3")
        sizes = [self._size(permission) for permission in self.permissions]
        if max(sizes) > MAX_PERMISSION_SIZE or sum(sizes) > MAX_PERMISSIONS_SIZE:
            limits = f"{MAX_PERMISSION_SIZE} characters each and {MAX_PERMISSIONS_SIZE} in all"
            mistakes.append(f"permissions of at most {limits}, which IAM's policies have room for")
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def _size(self, permission: Permission) -> int:
        """The number of characters in a policy, with the longest names of partitions and regions."""
        text = permission.model_dump_json()
        longest = {"partition": "aws-us-gov", "region": "ap-southeast-2", "account": "1" * 12, "stack": self.stack_name}
        for name, value in longest.items():
            text = text.replace(f"{{{name}}}", value)
        return len(text)


def _request(file: str) -> Request:
    """Read a file with the state machine's input as it is read at run time, when the trigger has added the artifact."""
    return read_request(json.loads(Path(file).read_text()) | ADDED_BY_THE_TRIGGER)
