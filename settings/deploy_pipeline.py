"""Settings of `DeployPipeline`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from lambdas.deploy_pipeline.errors import InvalidInputError
from lambdas.deploy_pipeline.fields import FieldReader
from lambdas.deploy_pipeline.request import SELECTION_FIELDS, parse_request, stacks_of
from lambdas.deploy_pipeline.rollout import Rollout

from .types import Conflict, Email, SettingsModel, accepts, matches

ADDED_BY_THE_TRIGGER = {"revisionS3Bucket": "artifacts", "revisionS3Key": "app.zip"}
# Characters. A role's inline policies have room for 10,240; aws-cdk-lib moves a statement with many resources into a
# managed policy, which has room for 6,144.
MAX_PERMISSION_CHARACTERS, MAX_PERMISSIONS_CHARACTERS = 5500, 7500
FILLED_IN = {"partition", "region", "account", "stack"}
SAMPLE = "assets/deploy_pipeline"
CONNECTION_ARN = r"arn:aws:(codeconnections|codestar-connections):[a-z0-9-]+:\d{12}:connection/[A-Za-z0-9_-]+"
RESOURCE_ARN = r"arn:(aws(-[a-z]+)*|\{partition\}):[a-z0-9-]+:[a-z0-9{}*-]*:(\d{12}|aws|\*|\{account\})?:[!-~]+"
# What git refuses in the name of a branch.
NOT_IN_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(^|/)\.|(\.|\.lock)(/|$)|^[-/]|/$|^@$")
BOUNDARY_ARN = r"arn:aws:iam::(\d{12}|aws):policy/[\w+=,.@/-]+"
# The characters that Systems Manager accepts, and the wildcards * and ? of IAM.
SSM_PARAMETER = r"[\w.*?-]+|(/[\w.*?-]+){1,15}"
SSM_PARAMETER_DESCRIPTION = "an SSM parameter's name of at most 200 characters, such as /shop/vpc; * is a wildcard"
MAX_SSM_PARAMETERS = 20  # with the longest names within the maximum size of a role's policy
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
    Annotated[str, matches(CONDITION_OPERATOR, "a condition operator of IAM, such as StringEquals")],
    Annotated[
        dict[
            Annotated[str, matches(r"[a-zA-Z0-9-]+:\S+", "a condition key of IAM, such as aws:RequestTag/team")],
            Annotated[Any, AfterValidator(_condition_value)],
        ],
        Field(min_length=1),
    ],
]


def _is_branch(value: str) -> bool:
    return 0 < len(value) <= 256 and value.isprintable() and not NOT_IN_BRANCH.search(value)


def _only_known_placeholders(value: str) -> str:
    rest = value
    for name in FILLED_IN:
        rest = rest.replace(f"{{{name}}}", "")
    if "{" in rest or "}" in rest:
        raise ValueError(f"an ARN with no placeholder other than {{{'}, {'.join(sorted(FILLED_IN))}}}")
    return value


UNTYPED = ("codecommit", "codepipeline", "s3", "sns", "sqs")  # services whose ARNs have a name in place of the type


class Permission(SettingsModel):
    """Actions that CloudFormation can perform to create and update the app's resources: one policy statement.

    `resources` are ARNs. In them and in the values of `conditions` the placeholders ``{partition}``, ``{region}``,
    ``{account}`` and ``{stack}``, the name of the app's stack, are replaced.
    """

    actions: Annotated[
        tuple[
            Annotated[
                str,
                matches(r"[a-z0-9-]+:[A-Za-z0-9*?]+", "an IAM action, such as sqs:CreateQueue", max_length=128),
            ],
            ...,
        ],
        Field(min_length=1),
    ]
    resources: Annotated[
        tuple[
            Annotated[
                str,
                matches(rf"\*|{RESOURCE_ARN}", "* or an ARN, such as arn:{partition}:sqs:{region}:{account}:{stack}-*"),
                AfterValidator(_only_known_placeholders),
            ],
            ...,
        ],
        Field(min_length=1),
    ]
    conditions: Conditions = Field(default_factory=dict)

    def is_service_wide(self) -> bool:
        """Return whether it allows every action of a service, or any of IAM or STS, on every resource (of a type).

        Identities of IAM whose names have fewer than three characters before a wildcard count as every resource, and so
        do generated IDs of EC2, EFS, FSx and Route 53 with only their prefix, such as ``i-*``.
        """
        # The part before the slash is a resource type, except in ARNs of S3, where it is a bucket.
        everything = (
            r"\*|arn(:[^:]*){4}:[*?/]*\*[*?/]*|arn:[^:]*:(?!s3:)([^:]*:){3}/?[a-z][a-zA-Z-]*[/:][*?:/-]*\*[*?:/-]*"
        )
        everything += r"|arn:[^:]*:(ec2|elasticfilesystem|fsx):([^:]*:){2}"
        everything += r"(?!key-pair|placement-group)[a-z-]+/[a-z-]+-[*?]*\*[*?]*"
        everything += r"|arn:[^:]*:route53:([^:]*:){2}[a-z]+/[A-Z][*?]*\*[*?]*"
        # Wildcards in the type, except in ARNs without one, which begin with a name.
        everything += rf"|arn:[^:]*:(?!({'|'.join(UNTYPED)}):)([^:]*:){{3}}/?(?=[^/:{{]*[*?])[^/:{{]*([/:][*?:/-]*)?"
        if any(re.match("(iam|sts):", action) for action in self.actions):
            # Wildcards in the account, in the type, or soon after it.
            everything += r"|arn:[^:]*:(iam|sts):[^:]*:([^:]*[*?].*|[^/]*[*?].*|[^/]*/.{0,2}[*?].*)"
        every_action = any(map(self.is_wide_action, self.actions))
        return every_action and any(re.fullmatch(everything, resource) for resource in self.resources)

    @staticmethod
    def is_wide_action(action: str) -> bool:
        """Return whether the action is every action of a service, or any of IAM or STS, which can give permissions."""
        return bool(re.fullmatch(r"[a-z0-9-]+:[*?]*\*[*?]*|(iam|sts):.*", action))

    @field_validator("conditions")
    @classmethod
    def _check_placeholders_in_conditions(cls, value: Conditions) -> Conditions:
        """Reject unknown placeholders, except policy variables of IAM, which start with a dollar sign."""
        if set(re.findall(r"(?<!\$)\{([^{}]*)\}", str([list(keys.values()) for keys in value.values()]))) - FILLED_IN:
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


class DeployPipelineSettings(SettingsModel):
    """Settings of `DeployPipeline`."""

    source: Literal["codecommit", "codeconnections", "s3"] = Field(
        "codecommit", description="Source of the app: a new CodeCommit repository, a connected one, or an S3 object."
    )
    app: str = Field(f"{SAMPLE}/app", description="Folder with the initial content of the CodeCommit repository.")
    allowed_files: tuple[
        Annotated[str, matches(r"[^/].*", "a path or pattern below the folder, without a leading /")], ...
    ] = Field((), description="Files of `app` with suspicious names to accept in the repository, such as `schema.sql`.")
    branch: Annotated[str, accepts("the name of a git branch of at most 256 characters", _is_branch)] = Field(
        "main", description="Branch to deploy."
    )
    connection_arn: (
        Annotated[str, matches(CONNECTION_ARN, "the ARN of a connection of CodeConnections", max_length=256)] | None
    ) = Field(None, description="Connection to GitHub or another provider; with source `codeconnections`.")
    repository: (
        Annotated[
            str,
            matches(r"(?!.{256}.*/)[\w.-]+(/[\w.-]+)*/[\w.-]{1,128}", "owner and name, such as owner/app"),
        ]
        | None
    ) = Field(None, description="Repository of the connection, such as `owner/app`.")
    source_key: Annotated[
        str,
        matches(
            r"(?!/)[ -#%-)+->@-~]+\.zip",
            "a key of at most 1000 ASCII characters that ends in .zip, without *, ?, $ and a leading /",
            max_length=1000,
        ),
    ] = Field("app.zip", description="Key of the object with source `s3`, in a bucket of the stack.")
    input: str = Field(f"{SAMPLE}/state_machine_input.json", description="File with the state machine's input.")
    permissions: Annotated[tuple[Permission, ...], Field(min_length=1)] = Field(
        SAMPLE_PERMISSIONS, description="Permissions of CloudFormation for the app; default: those of the sample."
    )
    permissions_boundary: Annotated[str, matches(BOUNDARY_ARN, "the ARN of a managed policy of IAM")] | None = Field(
        None, description="Managed policy that limits `permissions`."
    )
    allow_service_wide_permissions: bool = Field(
        False,
        description="Accept `permissions` with every action of a service, or any of IAM or STS, on every resource.",
    )
    ssm_parameters: tuple[Annotated[str, matches(SSM_PARAMETER, SSM_PARAMETER_DESCRIPTION, max_length=200)], ...] = (
        Field(
            ("/cdk-bootstrap/*/version",),
            description="SSM parameters that templates can use as `AWS::SSM::Parameter::Value<...>`; default: CDK's.",
        )
    )
    email: Email | None = Field(
        None, description="Recipient of alarms and requests for approval; AWS sends a confirmation request first."
    )
    log_level: Literal["INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level of the functions' log messages. Metrics do not depend on it."
    )

    @property
    def state_machine_input(self) -> dict[str, Any]:
        """The content of the input file."""
        content: dict[str, Any] = json.loads(Path(self.input).read_text())
        return content

    @property
    def stack_name(self) -> str:
        """The name of the stack in the input file, or the beginning of the names of several stacks."""
        content = self.state_machine_input
        return f"{content['environmentName']}-{content['stackName']}"

    @property
    def stacks(self) -> list[str]:
        """The stacks of a cloud assembly, in the order of their deployment; empty if there is only one."""
        return stacks_of(self.state_machine_input)

    @property
    def stack_names(self) -> list[str]:
        """The complete names of all stacks."""
        return [f"{self.stack_name}-{stack}" for stack in self.stacks] or [self.stack_name]

    @property
    def rollout(self) -> Rollout:
        """The alias and the state machine in the input file; with empty ARNs if there is no rollout."""
        return Rollout.parse(FieldReader(self.state_machine_input))

    @field_validator("ssm_parameters")
    @classmethod
    def _check_ssm_parameters(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > MAX_SSM_PARAMETERS:
            raise ValueError(f"at most {MAX_SSM_PARAMETERS} names")
        if any(not name.strip("/*?") for name in value):
            raise ValueError("names that contain more than wildcards, because wildcards alone allow every parameter")
        return value

    @field_validator("app")
    @classmethod
    def _check_folder(cls, value: str) -> str:
        try:
            exists = Path(value).is_dir()
        except OSError:  # a name that is too long
            exists = False
        if not exists:
            raise ValueError("an existing folder")
        return value

    @field_validator("input")
    @classmethod
    def _check_input_file(cls, value: str) -> str:
        try:
            _check_input(value)
        except FileNotFoundError:
            raise ValueError("a JSON file with environmentName, stackName and templatePath; file not found") from None
        except (OSError, ValueError, TypeError, RecursionError):
            raise ValueError("a JSON file with environmentName, stackName and templatePath") from None
        except InvalidInputError as error:
            raise ValueError(f"a valid file; {error}") from None
        return value

    def conflicts(self) -> Iterator[Conflict]:
        """Yield missing settings of the source, settings of other sources, and permissions that are too long."""
        if self.source == "codeconnections":
            for name in ("connection_arn", "repository"):
                if getattr(self, name) is None:
                    yield Conflict("source", f"needs {{{name}}}")
        sources = {
            "app": ["codecommit"],
            "allowed_files": ["codecommit"],
            "branch": ["codecommit", "codeconnections"],
            "connection_arn": ["codeconnections"],
            "repository": ["codeconnections"],
            "source_key": ["s3"],
        }
        for name, possible in sources.items():
            if name in self.model_fields_set and getattr(self, name) is not None and self.source not in possible:
                yield Conflict(name, f"needs {' or '.join(possible)} as source, not {{source}}")
        wide = [
            action for p in self.permissions if p.is_service_wide() for action in p.actions if p.is_wide_action(action)
        ]
        if wide and not self.allow_service_wide_permissions:
            needed = "deploy_pipeline:allow_service_wide_permissions=true"
            yield Conflict("permissions", f"{', '.join(wide)} on every resource needs {needed}")
        sizes = [self._size(permission) for permission in self.permissions]
        if max(sizes) > MAX_PERMISSION_CHARACTERS or sum(sizes) > MAX_PERMISSIONS_CHARACTERS:
            limits = f"at most {MAX_PERMISSION_CHARACTERS} characters each and {MAX_PERMISSIONS_CHARACTERS} in total"
            yield Conflict("permissions", f"has up to {max(sizes)} characters each and {sum(sizes)} in total; {limits}")

    def _size(self, permission: Permission) -> int:
        """Return the number of characters in a policy, with the longest names of partitions and Regions."""
        text = permission.model_dump_json()
        longest = {"partition": "aws-us-gov", "region": "ap-southeast-2", "account": "1" * 12, "stack": self.stack_name}
        for name, value in longest.items():
            text = text.replace(f"{{{name}}}", value)
        return len(text)


def _check_input(file: str) -> None:
    """Validate a file with the state machine's input as at run time, when the trigger has added some fields."""
    content = json.loads(Path(file).read_text()) | ADDED_BY_THE_TRIGGER
    try:
        selections: list[dict[str, str]] = [{"stack": stack} for stack in stacks_of(content)]
    except (AttributeError, TypeError):  # an error that is reported with the others
        selections = []
    if selections and (fields := [name for name in SELECTION_FIELDS if name in content]):
        raise InvalidInputError(f"{', '.join(fields)}: set by the pipeline with assembly.stacks")
    for selection in selections or [{}]:
        parse_request(content | selection)
