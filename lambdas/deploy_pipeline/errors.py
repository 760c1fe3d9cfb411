"""What can be wrong, by the name under which the state machine catches it.

Step Functions gives the class's name as the error and the message as its reason, which ends up
in front of whoever pushed. Both come as JSON, which Step Functions cuts when it is longer than 32,768
characters, and then nothing of it could be read.
"""

from .messages import fit

MAX_MESSAGE = 5000  # characters; CodePipeline shows no more


class DeploymentError(Exception):
    """An error whose message fits, whatever the names in it."""

    def __init__(self, message: str) -> None:
        super().__init__(fit(message, MAX_MESSAGE))


class InvalidInputError(DeploymentError):
    """The state machine's input, or its file, is wrong; the message names every field."""


class InvalidArtifactError(DeploymentError):
    """The source artifact has no usable template."""


class InvalidTemplateError(DeploymentError):
    """CloudFormation refuses the template, or it does not fit what it is given."""


class StackNotReadyError(DeploymentError):
    """The stack is in a state that allows no deployment; the message says what to do."""


class ChangeSetGoneError(DeploymentError):
    """The change set is not there any more: somebody else has deleted it."""
