"""Middleware that shows editors the messages of their background tasks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from django.contrib.messages import add_message
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.safestring import SafeString

from wagtail_async_hooks import ledger
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.utils.text import visible

logger = logging.getLogger(__name__)

PATH: Final = "wagtail_async_hooks.middleware.TaskMessagesMiddleware"
"""How ``MIDDLEWARE`` names it."""

NEEDED: Final = (
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
)
"""What it needs to stand before it."""

TASKS_AT_ONCE: Final = 10
"""Messages of so many tasks are shown on one page; the others on the next one."""


class TaskMessagesMiddleware:
    """Shows the messages of tasks that have ended to whoever triggered them, once.

    That is at their next page of Wagtail's admin. It costs one query for each such page, and none
    for anything else. It comes after Django's middleware for users and for messages.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Put the messages among those of the request, before its view shows them."""
        if not background.immediate and _is_page_of_admin(request):
            _show(request)
        return self.get_response(request)


def _is_page_of_admin(request: HttpRequest) -> bool:
    """Return whether a logged-in person loads a page, rather than a script some part of it."""
    if request.method != "GET" or "text/html" not in request.headers.get("Accept", ""):
        return False
    try:
        admin = reverse("wagtailadmin_home")
    except NoReverseMatch:
        return False
    return request.path.startswith(admin) and request.user.is_authenticated


def _show(request: HttpRequest) -> None:
    try:
        told = ledger.take_messages(request.user.pk, TASKS_AT_ONCE)
    except DatabaseError:  # the editor gets the page anyway
        logger.exception("The messages of background tasks cannot be read.")
        return
    for message in told:
        text = visible(message["text"], lines=True)
        text = SafeString(text) if message["safe"] else text
        add_message(request, message["level"], text, message["tags"])
