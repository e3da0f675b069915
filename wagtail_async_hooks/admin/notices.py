"""Tells editors, at their next page of the admin, what became of their background tasks.

Wagtail has no hook that gets the request before it shows messages but ``construct_main_menu``: it
builds the menu of each full page ahead of the page's messages, and of no other response. A test
notices if that changes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from django.contrib.messages import add_message
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from wagtail.admin import messages

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.admin.links import is_bulk_action, url_of
from wagtail_async_hooks.admin.permissions import Access
from wagtail_async_hooks.ledger import Unread
from wagtail_async_hooks.monitoring import failures
from wagtail_async_hooks.monitoring.failures import Failure, ran
from wagtail_async_hooks.utils.database.transactions import guarded
from wagtail_async_hooks.utils.text import visible

logger = logging.getLogger(__name__)

READ_AT_ONCE: Final = 100
"""Notices that are read for one page; the others are for the next one."""

SHOWN_AT_ONCE: Final = 10
"""So many requests, or tasks that wrote messages, are told of on one page."""


def show(request: HttpRequest) -> None:
    """Put what a user has not been told yet among the messages of the page that she loads.

    One query, by an index, where there is nothing to tell. Whatever goes wrong, she gets the page.
    """
    if not _shows_messages(request):
        return
    with guarded(_log):
        unread = ledger.notices(request.user.pk, READ_AT_ONCE)
        if unread:
            _show(request, unread)


def _log(error: Exception) -> None:
    logger.error("The messages of background tasks cannot be shown.", exc_info=error)


def _shows_messages(request: HttpRequest) -> bool:
    """Return whether a person loads a page, rather than a script, and gets to see messages."""
    asks_for_page = "text/html" in request.headers.get("Accept", "")
    is_ahead = "prefetch" in request.headers.get("Sec-Purpose", "")
    is_shown = request.method != "HEAD" and asks_for_page and not is_ahead
    return is_shown and request.user.is_authenticated and hasattr(request, "_messages")


def _show(request: HttpRequest, unread: Sequence[Unread]) -> None:
    access = Access(request.user)
    if not access.views_all:
        access.learn((notice.task.subject_type_id, notice.task.subject_id) for notice in unread)
    are_more = len(unread) == READ_AT_ONCE
    for group in _groups(unread)[:SHOWN_AT_ONCE]:
        if not ledger.take_notices(group):
            continue  # another page that she loads shows it
        first, more = group[0], 0
        if are_more and first.task.cause is not None and not first.has_messages:
            more = ledger.take_notices_of(request.user.pk, first.task.cause)
        _tell(request, group, more, access)


def _groups(unread: Sequence[Unread]) -> list[list[Unread]]:
    """Return what is told together: a task that wrote messages, or the failures of a request."""
    groups: list[list[Unread]] = []
    known: dict[Any, list[Unread]] = {}
    for notice in unread:
        # Of tasks that were merged into one, it is that one that failed.
        alike = (notice.task.cause, ran(notice.task).pk)
        found = next((known[key] for key in alike if key in known), None)
        if found is None or notice.has_messages:
            groups.append(found := [])
        if not notice.has_messages:
            known |= {key: found for key in alike if key is not None}
        found.append(notice)
    return groups


def _tell(request: HttpRequest, group: Sequence[Unread], more: int, access: Access) -> None:
    """Tell of one group.

    :param more: how many further tasks of the same request have failed.
    """
    for notice in group:
        if notice.has_messages:
            _repeat(request, notice)
    failed = [Failure(notice.task, access.may_see(notice.task)) for notice in group]
    once = {failure.ran.pk: failure for failure in failed if _is_told(failure)}
    if once:
        told = list(once.values())
        text = visible(failures.sentence(told, more))
        messages.error(request, text, buttons=_buttons(told, more))


def _is_told(failure: Failure) -> bool:
    is_wanted = conf.current().tell_failures or bool(failure.ran.explanation)
    return is_wanted and failures.is_told(failure.ran)


def _buttons(told: Sequence[Failure], more: int) -> list[Any]:
    """Return what leads to the task, or to all, if the user may see what is there."""
    seen = [failure for failure in told if failure.is_open]
    if not seen:
        return []
    is_one = len(told) + more == 1
    url = url_of(seen[0].ran) if is_one else reverse("wagtail_async_hooks:tasks")
    return [messages.button(url, _("What happened"))]


def _repeat(request: HttpRequest, notice: Unread) -> None:
    """Show what a task's function had to tell; of a bulk action, with the way to its page."""
    said = notice.task.messages or []
    for number, message in enumerate(said, start=1):
        text = visible(message["text"], lines=True)
        text = SafeString(text) if message["safe"] else text
        url = url_of(notice.task) if is_bulk_action(notice.task) else ""
        if url and number == len(said) and url not in text:
            text = format_html('{} <a href="{}">{}</a>', text, url, _("Details"))
        add_message(request, message["level"], text, message["tags"])
