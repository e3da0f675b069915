"""What a task is called, and what became of it, in the reader's language.

The commands and the admin say the same, by these functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.db.models import Model
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.models import Page

from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.models import to_key
from wagtail_async_hooks.utils.time import short_duration

_OWN: Final[dict[str, Promise]] = {
    "wagtail.tasks.update_reference_index_task": gettext_lazy("Update the reference index"),
    "wagtail.tasks.delete_file_from_storage_task": gettext_lazy("Delete a file"),
    "wagtail.images.tasks.set_image_focal_point_task": gettext_lazy("Find the focal point"),
    "wagtail.contrib.frontend_cache.tasks.purge_urls_from_cache_task": gettext_lazy(
        "Purge the front-end cache"
    ),
    "modelsearch.tasks.insert_or_update_object_task": gettext_lazy("Update the search index"),
}
"""What Wagtail's own tasks do, by the dotted paths of their functions."""


def title_of(row: BackgroundTask) -> str:
    """Return what a person calls a task, such as "Purge the cache for *Spring menu*".

    :param row: with its ``title`` if its author has given one; else what the function's name says,
        and what the object is called.
    """
    if row.title:
        return str(row.title)
    what = action_of(row)
    about = subject_of(row)
    return _("%(what)s for “%(object)s”") % {"what": what, "object": about} if about else what


def action_of(row: BackgroundTask) -> str:
    """Return what a task does, without what it is about."""
    named = row.function or row.name
    known = _OWN.get(named)
    if known is not None:
        return str(known)
    return words_of(named)


def is_wagtails(row: BackgroundTask) -> bool:
    """Return whether a task is Wagtail's own, which follows from a change that an editor made."""
    return (row.function or row.name) in _OWN


def words_of(path: str) -> str:
    """Return the name of a function as words: ``shop.cdn.purge_cache`` is "Purge cache"."""
    if path.startswith("manage.py "):
        return path
    name = path.rpartition(".")[2].removesuffix("_task").strip("_")
    return capfirst(name.replace("_", " ")) or path


def subject_of(row: BackgroundTask) -> str:
    """Return what the object of a task is called; blank if it has none.

    The title of when it was enqueued, or else its kind and primary key.
    """
    if row.subject_title:
        return str(row.subject_title)
    kind = row.subject_type
    if kind is None:
        return ""
    return f"{kind.name} {row.subject_id}"


MODELS: Final = 5
"""Kinds of objects whose names are looked up for one list; the others are named by their number."""


def name_subjects(rows: Iterable[BackgroundTask]) -> None:
    """Put the titles of their objects into some rows that have none, by a few queries.

    Wagtail's own tasks name their objects by primary keys alone.
    """
    nameless: dict[type[Model], list[BackgroundTask]] = {}
    for row in rows:
        kind = row.subject_type
        if row.subject_title or kind is None or (model := kind.model_class()) is None:
            continue
        root = Page if issubclass(model, Page) else model
        nameless.setdefault(root, []).append(row)
    for model, unnamed in list(nameless.items())[:MODELS]:
        keys = {key for row in unnamed if (key := to_key(model, row.subject_id)) is not None}
        found = {str(pk): each for pk, each in model._base_manager.in_bulk(keys).items()}
        for row in unnamed:
            if (instance := found.get(row.subject_id)) is not None:
                row.subject_title = str(instance)


def is_wrong(row: BackgroundTask) -> bool:
    """Return whether a task's error is what people should read of it."""
    return bool(row.error) and row.state not in (State.SUCCEEDED, State.CANCELLED, State.MERGED)


def took(row: BackgroundTask) -> str:
    """Return how long the last attempt took, in words; blank if it has not ended."""
    if row.started_at is None or row.finished_at is None:
        return ""
    return short_duration((row.finished_at - row.started_at).total_seconds())
