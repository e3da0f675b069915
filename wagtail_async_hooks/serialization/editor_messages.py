"""Django's messages in a worker: kept on the task's row, and shown to the editor later."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.messages import WARNING, add_message
from django.contrib.messages.storage.base import BaseStorage, Message
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from wagtail_async_hooks import current_task
from wagtail_async_hooks.utils.text import MAX_TEXT, shortened, storable

MAX_MESSAGES: Final = 100
"""How many messages to the editor are kept of one task."""


class EditorMessages(BaseStorage):
    """Django's messages in a worker: they are kept on the task's row, to be shown later.

    In immediate mode the editor's request is still there, and shows them as ever.
    """

    def add(self, level: int, message: str, extra_tags: str | None = "") -> None:
        """Keep a message for the editor, if it is of a level that the site shows."""
        if message and int(level) >= self.level:
            self._keep(Message(level, message, extra_tags=extra_tags))

    def _keep(self, message: Message) -> None:
        running = current_task.running()
        if running is None or running.claim is None:
            request = current_task.editors_request()
            if request is not None:
                add_message(
                    request,
                    message.level,
                    message.message,
                    message.extra_tags or "",
                    fail_silently=True,
                )
            return
        if len(running.messages) < MAX_MESSAGES:
            running.messages.append(_stored(message))
        elif len(running.messages) == MAX_MESSAGES:
            running.messages.append(_stored(Message(WARNING, _("Further messages are left out."))))

    def _get(self, *args: Any, **kwargs: Any) -> tuple[list[Message], bool]:
        return [], True

    def _store(self, messages: Any, response: Any, *args: Any, **kwargs: Any) -> list[Message]:
        return []


def _stored(message: Message) -> dict[str, Any]:
    """Return a message as it is kept on the task's row."""
    text = str(message.message)
    return {
        "level": message.level,
        "text": storable(shortened(text, MAX_TEXT)),
        "tags": storable(shortened(str(message.extra_tags or ""), MAX_TEXT)),
        "safe": isinstance(message.message, SafeString) and len(text) <= MAX_TEXT,
    }
