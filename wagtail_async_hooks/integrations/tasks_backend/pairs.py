"""Which task Wagtail enqueues right after another one, so that one INSERT can be for both.

For each object that is saved, a receiver of ``post_save`` enqueues the task that writes it into the
search index, and the next one that which writes down what it refers to.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db.models.signals import post_save

from wagtail_async_hooks.hooks import private_registries
from wagtail_async_hooks.integrations.tasks_backend.wagtails_own import INDEX


def follower(path: str, args: list[Any]) -> Any | None:
    """Return the task that is enqueued right after another one, with the same arguments.

    Both write anew what is in the database when they run. So if it is not enqueued after all, since
    the site has called the first task itself, it has run once more than needed, and no more.

    :returns: ``None`` if none follows.
    """
    if path != INDEX or len(args) != 3:
        return None
    # Not above: these make tasks as they are loaded, for which they need the backend.
    from modelsearch.signal_handlers import post_save_signal_handler as to_search
    from wagtail import signal_handlers

    if getattr(signal_handlers.reference_index_auto_update_disabled, "value", False):
        return None
    to_references = signal_handlers.update_reference_index_on_save
    try:
        model: Any = apps.get_model(*args[:2])
        follows = private_registries.are_called_in_order(post_save, model, to_search, to_references)
    except (private_registries.Unreadable, LookupError):
        return None
    return signal_handlers.update_reference_index_task if follows else None
