"""Errors that the state machine catches by their class name.

Step Functions uses the class name as the error and the message as its cause, which is shown in
the pipeline's Deploy action. Lambda returns both as JSON, which Step Functions cuts at 32,768
characters; JSON that is cut off cannot be parsed, so messages are limited.
"""

from .truncation import truncate

MAX_MESSAGE_CHARACTERS = 5000  # CodePipeline shows no more


class DeploymentError(Exception):
    """An error whose message is truncated to what CodePipeline shows."""

    def __init__(self, message: str) -> None:
        super().__init__(truncate(message, MAX_MESSAGE_CHARACTERS))


class InvalidInputError(DeploymentError):
    """The state machine's input, or its file, is invalid; the message names every invalid field."""


class InvalidArtifactError(DeploymentError):
    """The source artifact does not contain a valid template."""


class InvalidTemplateError(DeploymentError):
    """CloudFormation rejects the template, or the template does not declare a parameter in the input."""


class StackNotReadyError(DeploymentError):
    """The stack's status does not allow a deployment; the message describes what to do."""


class ChangeSetDeletedError(DeploymentError):
    """Somebody else deleted the change set."""
