"""SNS: messages to email addresses arrive in a mailbox, which a web page shows.

The page is ``http://mailbox.localhost:<HTTP port>/``, and ``/messages.json`` is the same for programs. An email
subscription gets notifications only after somebody has opened the link in its first message, as on AWS.

Not implemented: `email-json`, filter policies, links to unsubscribe, and the expiry of confirmation links.
"""

import html
import json
import uuid
from collections.abc import Callable
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


Function = Callable[..., Any]
Message = dict[str, str]  # to, sender, subject, body, time, and the URL of the confirmation or an empty string
MESSAGES: list[Message] = []  # oldest first


def install() -> None:
    """Deliver to email subscriptions, and request their confirmation."""
    sns.fan_out.extend(_with_messages)
    sns.subscribe.extend(_with_confirmation)
    for kind in SUBSCRIBING_TYPES:
        extend_resource_type(kind, create=partial(_with_confirmation, resource_handlers[kind]["create"]))


def _with_confirmation(subscribe: Function, *arguments: Any) -> Any:
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
    fan_out: Function, topic: str, message_id: str, message: str, subject: str, *more: Any, **options: Any
) -> None:
    fan_out(topic, message_id, message, subject, *more, **options)
    text = sns.message_for_protocol(message, more[0] if more else "", "email")
    record = sns.find_topic(topic) or {"subscriptions": []}
    for subscription in record["subscriptions"]:
        if subscription["protocol"] == "email" and subscription["confirmed"]:
            _deliver(record, subscription, subject or "AWS Notification Message", text)


def _deliver(topic: dict[str, Any], subscription: dict[str, Any], subject: str, body: str, url: str = "") -> None:
    sender = topic["attributes"].get("DisplayName") or "AWS Notifications"
    time = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    MESSAGES.append(
        {
            "to": subscription["endpoint"],
            "sender": sender,
            "subject": subject,
            "body": body,
            "time": time,
            "confirmation": url,
        }
    )


async def serve(request: Request) -> Response | None:
    """Return the page, its messages as JSON, or the result of a confirmation; None for other hosts."""
    if request.host != MAILBOX_HOST:
        return None
    if request.path == "/confirm":
        status, _, body = sns.confirm_subscription(parse_qs(request.query))
        return Response(status, {"content-type": "text/xml"}, body)
    if request.path == "/messages.json":
        return Response(200, {"content-type": "application/json"}, json.dumps(MESSAGES).encode())
    messages = "".join(map(_as_html, reversed(MESSAGES))) or "<p>No messages yet.</p>"
    headers = {"content-type": "text/html", "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
    return Response(200, headers, PAGE.format(messages=messages).encode())


def _as_html(message: Message) -> str:
    fields = {name: html.escape(text) for name, text in message.items()}
    path = fields["confirmation"].removeprefix(f"http://{MAILBOX_HOST}")
    return MESSAGE.format(**fields, link=LINK.format(href=path) if path else "")
