"""Marks in lists of pages: where tasks about a page run, and where one failed.

Wagtail calls ``construct_page_listing_buttons`` for each row, with the context of its cell. In that
is the table, and with it all rows: one query, of the ledger alone, is enough for all of them. An
annotation of the queryset would need the ledger in the database of the pages.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from wagtail.admin.widgets.button import BaseButton
from wagtail.models import Page

from wagtail_async_hooks.admin import receipts as links
from wagtail_async_hooks.admin.permissions import may_view_all
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import receipts
from wagtail_async_hooks.utils.database.transactions import guarded

logger = logging.getLogger(__name__)

MOST: Final = 100
"""So many rows of a list are marked at most; a page of Wagtail's lists has 50."""

_known: Final[WeakKeyDictionary[Any, dict[str, list[BackgroundTask]]]] = WeakKeyDictionary()
"""By table: the newest tasks of its pages, by their primary keys."""


class Mark(BaseButton):  # type: ignore[misc]  # Wagtail has no types
    """How many tasks of a page run or failed, as a link."""

    template_name = "wagtail_async_hooks/receipt/mark.html"

    def __init__(self, label: str, title: str, url: str, *, is_wrong: bool) -> None:
        super().__init__(label, url=url)
        self.title = title
        self.is_wrong = is_wrong


def mark(buttons: list[Any], page: Page, user: Any, context: Any) -> None:
    """Put a mark before the buttons of a row, if its page has unfinished or failed tasks.

    :param context: that of the row's cell.
    """
    table = context.get("table")
    if table is None:
        return
    with guarded(_log):
        if table not in _known:
            _known[table] = {}  # also if what follows fails
            _known[table] = _newest(table.data)
        rows = _known[table].get(str(page.pk), [])
        unfinished, wrong = receipts.telling(rows)
        if (unfinished or wrong) and _may_see(page, user):
            buttons.insert(0, _mark(page, unfinished, wrong))


def _log(error: Exception) -> None:
    logger.error("Marks of background tasks cannot be shown.", exc_info=error)


def _newest(pages: Any) -> dict[str, list[BackgroundTask]]:
    shown: Sequence[Page] = [page for page in pages if isinstance(page, Page)][:MOST]
    found: dict[str, list[BackgroundTask]] = {}
    for row in receipts.newest_of_many([links.subject_of(page) for page in shown]):
        found.setdefault(row.subject_id, []).append(row)
    return found


def _may_see(page: Page, user: Any) -> bool:
    return page.permissions_for_user(user).can_edit() or may_view_all(user)


def _mark(page: Page, unfinished: list[BackgroundTask], wrong: list[BackgroundTask]) -> Mark:
    rows = unfinished or wrong
    number = {"number": len(rows)}
    if unfinished:
        label = ngettext("%(number)d task", "%(number)d tasks", len(rows)) % number
        title = _("Still running or waiting in the background")
    else:
        label = ngettext("%(number)d task failed", "%(number)d tasks failed", len(rows)) % number
        title = _("Failed in the background")
    cause = next((row.cause for row in rows if row.cause is not None), None)
    if cause is not None:
        url = links.url_of(page, cause)
    else:
        url = reverse("wagtail_async_hooks:task", args=[rows[0].pk])
    return Mark(label, title, url, is_wrong=not unfinished)
