"""SNS: messages to email addresses arrive in a mailbox, which a web page shows.

The page is ``http://mailbox.localhost:<HTTP port>/``, and ``/messages.json`` is the same for programs. An email
subscription gets notifications only after somebody has opened the link in its first message, as on AWS.

Not implemented: `email-json`, filter policies, links to unsubscribe, and the expiry of confirmation links.
"""

import html
import json
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlencode

from .emulator.web import Request, Response
from .ministack import sns
from .ministack.cloudformation import extend_resource_type, resource_handlers
from .process import MAILBOX_HOST

SUBSCRIBING_TYPES = ("AWS::SNS::Subscription", "AWS::SNS::Topic")
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Mailbox of the sandbox</title>
<style>body{{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}}article{{border-top:1px solid #999}}
h2{{font-size:1.1em;margin-bottom:0}}pre{{white-space:pre-wrap;overflow-wrap:anywhere}}</style>
<h1>Mailbox of the sandbox</h1>{messages}"""
MESSAGE = """<article><h2>{subject}</h2><p>From {sender} to {to}, {time}</p><pre>{body}</pre>{link}</article>"""
LINK = """<p><a href="{href}">Confirm subscription</a></p>"""


@dataclass(frozen=True)
class Message:
    """A message. `confirmation` is the URL that confirms the subscription, or empty."""

    to: str
    sender: str
    subject: str
    body: str
    time: str
    confirmation: str = ""


MESSAGES: list[Message] = []  # oldest first


def install() -> None:
    """Deliver to email subscriptions, and request their confirmation."""
    sns.fan_out.extend(_with_messages)
    sns.subscribe.extend(_with_confirmation)
    for resource_type in SUBSCRIBING_TYPES:
        extend_resource_type(
            resource_type, create=partial(_with_confirmation, resource_handlers[resource_type]["create"])
        )


def _with_confirmation(subscribe: Callable[..., Any], *arguments: Any) -> Any:
    result = subscribe(*arguments)
    for topic in list(sns.topics.values()):
        for subscription in topic["subscriptions"]:
            if subscription["protocol"] == "email" and not subscription.get("requested"):
                _request_confirmation(topic, subscription)
    return result


def _request_confirmation(topic: dict[str, Any], subscription: dict[str, Any]) -> None:
    subscription.update(requested=True, confirmed=False, token=uuid.uuid4().hex)
    subscription["attributes"]["PendingConfirmation"] = "true"
    url = f"http://{MAILBOX_HOST}/confirm?" + urlencode({"TopicArn": topic["arn"], "Token": subscription["token"]})
    text = f"You have chosen to subscribe to the topic:\n{topic['arn']}\n\nTo confirm this subscription, open the link."
    _deliver(topic, subscription, "AWS Notification - Subscription Confirmation", text, url)


def _with_messages(
    fan_out: Callable[..., None],
    topic_arn: str,
    message_id: str,
    message: str,
    subject: str,
    structure: str = "",
    *options: Any,
    **more: Any,
) -> None:
    fan_out(topic_arn, message_id, message, subject, structure, *options, **more)
    text = sns.message_for_protocol(message, structure, "email")
    topic = sns.find_topic(topic_arn) or {"subscriptions": []}
    for subscription in topic["subscriptions"]:
        if subscription["protocol"] == "email" and subscription["confirmed"]:
            _deliver(topic, subscription, subject or "AWS Notification Message", text)


def _deliver(topic: dict[str, Any], subscription: dict[str, Any], subject: str, body: str, url: str = "") -> None:
    sender = topic["attributes"].get("DisplayName") or "AWS Notifications"
    time = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    MESSAGES.append(Message(subscription["endpoint"], sender, subject, body, time, url))


async def serve(request: Request) -> Response | None:
    """Return the page, its messages as JSON, or the result of a confirmation; None for other hosts."""
    if request.host != MAILBOX_HOST:
        return None
    if request.path == "/confirm":
        status, _, body = sns.confirm_subscription(parse_qs(request.query))
        return Response(status, {"content-type": "text/xml"}, body)
    if request.path == "/messages.json":
        text = json.dumps([asdict(message) for message in MESSAGES])
        return Response(200, {"content-type": "application/json"}, text.encode())
    messages = "".join(map(_as_html, reversed(MESSAGES))) or "<p>No messages yet.</p>"
    headers = {"content-type": "text/html", "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Response(200, headers, PAGE.format(messages=messages).encode())


def _as_html(message: Message) -> str:
    fields = {name: html.escape(text) for name, text in asdict(message).items()}
    link = (
        LINK.format(href=fields["confirmation"].removeprefix(f"http://{MAILBOX_HOST}")) if message.confirmation else ""
    )
    return MESSAGE.format(**fields, link=link)
