"""Request approval of a change set with unsafe changes, and pass the decision to the state machine.

    Request Approval --> task token in S3
                     --> notification --> person --> queue --> `Decisions` --SendTaskSuccess--> state machine

The decision arrives through a queue, because SQS adds the sender and the time, so the sender cannot choose them, except
the session name of a role. The notification does not contain the task token, so it is not sufficient for a decision.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import quote

from botocore.exceptions import ClientError

from lambdas.mail_text import subject, without_links

from .errors import InvalidInputError
from .events import ApprovalEvent, DecisionRecord
from .nesting import is_too_deeply_nested
from .objects import DENIED, MISSING
from .report import console_address
from .request import MAX_NESTING_LEVELS
from .stack import change_set_name

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sns import SNSClient
    from types_boto3_stepfunctions import SFNClient

DECISIONS = {"approve": "Approved", "decline": "Declined"}
FIELDS = ("execution", "decision", "reason")
MAX_REASON_CHARACTERS = 500
MAX_SHOWN_CHARACTERS = 60
TIME_FORMAT = "%Y-%m-%d %H:%M:%S UTC"
APPROVE = "To execute exactly this change set"
APPROVE_INSPECTED = "To accept exactly these unsafe changes when all stacks have been inspected"
CLOSED = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")


class DecisionOutput(TypedDict):
    """The output of the task that waits for the decision. `note` is part of the execution's result."""

    approved: bool
    sender: str
    time: str
    reason: str
    note: str


class DecisionRejectedError(Exception):
    """A decision that has no effect."""


@dataclass(frozen=True)
class Notifications:
    """An SNS topic."""

    sns: "SNSClient"
    topic_arn: str

    def publish(self, title: str, message: str) -> None:
        self.sns.publish(TopicArn=self.topic_arn, Subject=subject(title), Message=message)


def request_approval(
    s3: "S3Client", notifications: Notifications, event: ApprovalEvent, *, bucket: str, queue_url: str, now: datetime
) -> None:
    """Store the task token in `bucket`, and send a notification with the commands that send a decision."""
    token = json.dumps({"taskToken": event["taskToken"]}).encode()
    s3.put_object(Bucket=bucket, Key=_token_key(event["execution"]), Body=token)
    notifications.publish(f"Approval required: {event['stackName']}", _request_text(event, queue_url, now))


def _request_text(event: ApprovalEvent, queue_url: str, now: datetime) -> str:
    deadline = (now + timedelta(seconds=event["timeoutSeconds"])).strftime(TIME_FORMAT)
    stack_id, change_set_id = quote(event["stackId"], safe=""), quote(event["changeSetId"], safe="")
    region = event["executionArn"].split(":")[3]
    console = console_address(region)
    changes = f"{console}/cloudformation/home?region={region}#/stacks/changesets/changes"
    heading, *unsafe = event["cause"].split("\n")  # the heading has the link to the report
    lines = [
        f"The deployment of {event['stackName']} waits for approval until {deadline}. Without a decision, the",
        "change set is deleted and the deployment fails.",
        "",
        heading,
        *map(without_links, unsafe),
        "",
        f"Change set: {changes}?stackId={stack_id}&changeSetId={change_set_id}",
        f"Execution: {console}/states/home?region={region}#/v2/executions/details/{event['executionArn']}",
        "",
        f"{APPROVE_INSPECTED if event['inspectOnly'] else APPROVE}, replace ... with your reason:",
        _command(event["execution"], "approve", queue_url, region),
        "",
        "To decline:",
        _command(event["execution"], "decline", queue_url, region),
    ]
    return "\n".join(lines)


def _command(execution: str, decision: str, queue_url: str, region: str) -> str:
    body = json.dumps({"execution": execution, "decision": decision, "reason": "..."})
    return f"aws sqs send-message --region {region} --queue-url {queue_url} --message-body '{body}'"


def _token_key(execution: str) -> str:
    return f"approvals/{change_set_name(execution)}.json"


@dataclass(frozen=True)
class Decisions:
    """Passes decisions to the executions that wait for them."""

    s3: "S3Client"
    step_functions: "SFNClient"
    notifications: Notifications
    bucket: str

    def handle(self, record: DecisionRecord) -> DecisionOutput | None:
        """Return the output of the task that was waiting; None for a decision without effect, which is reported.

        Other errors are raised, so that SQS delivers the message again.
        """
        attributes = record["attributes"]
        sender = attributes["SenderId"]
        time = datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC).strftime(TIME_FORMAT)
        try:
            fields = parse_decision(record["body"])
            output = _output(fields, sender, time)
            self._send(fields["execution"], output)
        except (InvalidInputError, DecisionRejectedError) as error:
            message = f"The message that {sender} sent at {time} has no effect: {error}"
            self.notifications.publish("Decision without effect", without_links(message))
            return None
        return output

    def _send(self, execution: str, output: DecisionOutput) -> None:
        try:
            content = self.s3.get_object(Bucket=self.bucket, Key=_token_key(execution))["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in (*DENIED, *MISSING):  # without s3:ListBucket, S3 returns 403
                raise DecisionRejectedError(f"no execution {execution} has requested a decision.") from error
            raise
        try:
            token = json.loads(content)["taskToken"]
            self.step_functions.send_task_success(taskToken=token, output=json.dumps(output))
        except ClientError as error:
            if error.response["Error"]["Code"] in CLOSED:
                reasons = "it has a decision, has ended, or is past its deadline"
                raise DecisionRejectedError(f"the execution {execution} no longer waits: {reasons}.") from error
            raise


def parse_decision(body: str) -> dict[str, str]:
    """Validate the body of a message.

    Raises:
        InvalidInputError: names every invalid field and the accepted values.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or is_too_deeply_nested(value, MAX_NESTING_LEVELS):
        raise InvalidInputError(f"the body is not a JSON object with the text fields {', '.join(FIELDS)}.")
    accepted = {
        "execution": (_is_name, "the name of an execution"),
        "decision": (DECISIONS.__contains__, " or ".join(DECISIONS)),
        "reason": (_is_reason, f"1 to {MAX_REASON_CHARACTERS} characters on one line, other than ..."),
    }
    errors = [
        f"{name}: {_shown(value, name)}; accepted: {description}"
        for name, (is_valid, description) in accepted.items()
        if not (isinstance(value.get(name), str) and is_valid(value[name]))
    ]
    errors += [f"{name[:MAX_SHOWN_CHARACTERS]}: unknown field" for name in sorted(set(value) - set(FIELDS))[:5]]
    if errors:
        raise InvalidInputError("; ".join(errors))
    return value


def _is_name(text: str) -> bool:
    return 0 < len(text) <= 80 and text.isprintable()


def _is_reason(text: str) -> bool:
    """Return whether a value is a reason: text on one line, so that it cannot look like another part of the result."""
    return 0 < len(text.strip(" .")) <= len(text) <= MAX_REASON_CHARACTERS and text.isprintable()


def _shown(fields: Mapping[str, object], name: str) -> str:
    return f"given {json.dumps(fields[name])[:MAX_SHOWN_CHARACTERS]}" if name in fields else "missing"


def _output(fields: Mapping[str, str], sender: str, time: str) -> DecisionOutput:
    note = f"{DECISIONS[fields['decision']]} by {sender} at {time}: {fields['reason']}"
    approved = fields["decision"] == "approve"
    return {"approved": approved, "sender": sender, "time": time, "reason": fields["reason"], "note": note}
