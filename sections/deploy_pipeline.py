"""Settings of `DeployPipeline`."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from lambdas.deploy_pipeline.errors import InvalidInputError
from lambdas.deploy_pipeline.request import Request, read_request

from . import Email, Section, like

ADDED_BY_THE_TRIGGER = {"revisionS3Bucket": "artifacts", "revisionS3Key": "app.zip"}
# Characters. A role's inline policies have room for 10,240; aws-cdk-lib moves a statement with many resources into a
# managed policy, which has room for 6,144.
MAX_PERMISSION_SIZE, MAX_PERMISSIONS_SIZE = 5500, 7500
FILLED_IN = {"partition", "region", "account", "stack"}
SAMPLE = "samples/deploy_pipeline"
CONNECTION_ARN = r"arn:aws[a-z-]*:(codeconnections|codestar-connections):[^:]+:\d{12}:connection/.+"


class Permission(Section):
    """What CloudFormation may do to make the app's resources.

    `resources` are ARNs; ``{partition}``, ``{region}``, ``{account}`` and ``{stack}``, the name
    of the app's stack, are filled in.
    """

    actions: Annotated[
        tuple[Annotated[str, like(r"[a-z0-9-]+:[A-Za-z0-9*?]+", "an action of IAM, such as sqs:CreateQueue")], ...],
        Field(min_length=1),
    ]
    resources: Annotated[tuple[Annotated[str, like(r"\*|arn:.+", "an ARN, or *")], ...], Field(min_length=1)]

    @field_validator("resources")
    @classmethod
    def _placeholders_that_are_filled_in(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if set(re.findall(r"\{(.*?)\}", " ".join(value))) - FILLED_IN:
            raise ValueError(f"ARNs in which only {{{'}, {'.join(sorted(FILLED_IN))}}} are filled in")
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
    email: Email | None = Field(None, description="Who gets the alarms. AWS asks for a confirmation first.")

    @property
    def stack_name(self) -> str:
        """Name of the stack that the input file asks for."""
        return _request(self.input).stack_name

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
