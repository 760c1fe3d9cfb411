"""Emails from Amazon SNS, which a walkthrough can read only in the sandbox."""

from .walkthrough import EmailMessage, Target


def confirm_subscriptions(target: Target) -> None:
    """Open the links in all emails that request a confirmation."""
    for message in target.mailbox() if target.mailbox else ():
        if message["confirmation"]:
            target.get(message["confirmation"])


def emails_from(target: Target, sender: str) -> list[EmailMessage]:
    """Return the notifications of the topics whose display name begins with `sender`, the oldest first."""
    messages = target.mailbox() if target.mailbox else []
    return [message for message in messages if message["sender"].startswith(sender) and not message["confirmation"]]
