"""Notifications for Slack and Microsoft Teams, through Amazon Q Developer in chat applications.

It shows only AWS's own notifications, such as those of alarms, and custom notifications in this schema, and ignores
other messages. Source: its administrator guide, custom notifications.
"""

import json

from lambdas.mail_text import without_links

MAX_DESCRIPTION_CHARACTERS = 2500
# Chat programs read these as links, mentions, formatting or the end of a code block.
REPLACED = str.maketrans({"<": "(", ">": ")", "`": "'", "&": "+"})


def chat_message(subject: str, text: str, *, thread: str) -> str:
    """Return a custom notification. `text` is shown as a code block, without formatting.

    Notifications with the same `thread` are replies to each other, if the channel's preferences allow that.
    """
    description = text.translate(REPLACED)
    if len(description) > MAX_DESCRIPTION_CHARACTERS:
        description = description[:MAX_DESCRIPTION_CHARACTERS] + "\n... The email has the rest."
    content = {
        "textType": "client-markdown",
        "title": without_links(subject).translate(REPLACED),  # the lines of the text have no links
        "description": f"```\n{description}```",
    }
    return json.dumps({"version": "1.0", "source": "custom", "content": content, "metadata": {"threadId": thread}})
