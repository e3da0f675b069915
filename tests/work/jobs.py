"""Functions that another package would have done in the background, as wagtail-localize does."""

from __future__ import annotations

from typing import Any

from wagtail.models import Page

from tests.work.tasks import leave_trace

__all__ = ["calls", "fail", "leave_trace", "note", "rename", "sum_up"]

calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
"""The arguments with which the functions below were called."""


def note(*args: Any, **kwargs: Any) -> None:
    """Keep the arguments."""
    calls.append((args, kwargs))


def sum_up(objects: Any, *, parcel: Any = None) -> None:
    """Keep what some objects are."""
    calls.append((([str(each) for each in objects], parcel), {}))


def rename(page_id: int, title: str) -> None:
    """Change the title of a page that is passed by its key."""
    Page.objects.filter(pk=page_id).update(title=title)


def fail(text: str) -> None:
    """Raise an error."""
    raise ValueError(text)
