"""``went_live()``: whether a published object is live, or is scheduled for a later time."""

from __future__ import annotations

from typing import Any, Final

from django.apps import apps
from django.db import models, router

from wagtail_async_hooks import current_task

_SIGNALS: Final = ("page_published", "published")
"""Wagtail's signals whose receivers get an object that knows its live revision already."""


def went_live(instance: models.Model) -> bool:
    """Return whether a page or snippet that was published has gone live, and was not scheduled.

    Wagtail fires ``after_publish_page`` and ``after_publish`` for both. ``live`` does not tell them
    apart: a page that is live stays live while its new version is scheduled.

    In a background task, the version is the one that was published when the task was enqueued;
    elsewhere it is the latest one. It costs one query.

    :param instance: the page or snippet; an object without drafts is live once it is saved.
    """
    model: Any = type(instance)
    alias = router.db_for_write(model, instance=instance)
    rows = model._base_manager.using(alias).filter(pk=instance.pk)
    if not hasattr(instance, "live_revision_id"):
        return bool(rows.exists())
    # Not the instance's own: after_publish passes a snippet that Wagtail has not read again.
    is_live, live_revision = rows.values_list("live", "live_revision_id").first() or (False, None)
    published = _revision_of(instance)
    # A live revision that is newer has taken the place of this one, which was live before.
    return bool(is_live) and (None in (published, live_revision) or live_revision >= published)


def _revision_of(instance: models.Model) -> Any:
    """Return the primary key of the revision that was published or scheduled."""
    running = current_task.running()
    target = running and running.context.target
    if running and target and str(target.key) == str(instance.pk):
        model = apps.get_model(target.model)
        if isinstance(instance, model) or issubclass(model, type(instance)):
            by_signal = running.task.definition.hook in _SIGNALS
            return target.live if by_signal and target.live else target.revision
    return getattr(instance, "latest_revision_id", None)
