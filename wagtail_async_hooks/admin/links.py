"""Where in the admin a task has its page."""

from __future__ import annotations

from typing import Final

from django.urls import reverse

from wagtail_async_hooks.models import BackgroundTask

BULK_ACTION: Final = "wagtail_async_hooks.run_bulk_action"
"""The function, as their rows have it, of bulk actions."""


def is_bulk_action(row: BackgroundTask) -> bool:
    """Return whether a task is a bulk action, which has a page of its own."""
    return bool(row.function == BULK_ACTION)


def url_of(row: BackgroundTask) -> str:
    """Return the address of the page of a task: of a bulk action, that with its objects."""
    if is_bulk_action(row):
        return reverse("wagtail_async_hooks:bulk_action", args=[row.task_id])
    return reverse("wagtail_async_hooks:task", args=[row.pk])
