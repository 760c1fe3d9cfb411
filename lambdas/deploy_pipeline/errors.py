"""What can be wrong, by the name under which the state machine catches it.

Step Functions gives the class's name as the error and the message as its reason, which ends up
in front of whoever pushed.
"""


class InvalidInputError(Exception):
    """The state machine's input, or its file, is wrong; the message names every field."""


class InvalidArtifactError(Exception):
    """The source artifact has no usable template."""


class InvalidTemplateError(Exception):
    """CloudFormation refuses the template, or it does not fit what it is given."""


class StackNotReadyError(Exception):
    """The stack is in a state that allows no deployment; the message says what to do."""


class ChangeSetGoneError(Exception):
    """The change set is not there any more: somebody else has deleted it."""
