"""Copies of objects that are about to be deleted, taken while their children are still there.

When ``after_delete_*`` fires, children are gone, and a user or a single snippet has lost its key.
So the copy is taken before: by a hook of our own among Wagtail's ``before_delete_*``, which says
nothing and is the last of them, and by ``pre_delete`` for receivers of ``post_delete``. Where no
background function wants a copy, none is taken.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Model
from django.http import HttpRequest

from wagtail_async_hooks.error_texts import report
from wagtail_async_hooks.transactions import guarded

if TYPE_CHECKING:
    from wagtail_async_hooks.arguments import Snapshot

logger = logging.getLogger(__name__)

_ATTRIBUTE: Final = "_wagtail_async_hooks_snapshots"


def keep(holder: HttpRequest | Model, instances: Iterable[Model]) -> None:
    """Copy some objects; whatever happens, they can be deleted.

    :param holder: what lives as long as the copies are needed: the request, or the object itself.
    """
    setattr(holder, _ATTRIBUTE, _copied(instances))


def keep_also(holder: HttpRequest | Model, instances: Iterable[Model]) -> None:
    """Copy some objects beside those that have been copied for the same holder."""
    if not hasattr(holder, _ATTRIBUTE):
        setattr(holder, _ATTRIBUTE, [])
    getattr(holder, _ATTRIBUTE).extend(_copied(instances))


def _copied(instances: Iterable[Model]) -> list[tuple[Model, Snapshot]]:
    from wagtail_async_hooks.arguments import Snapshot  # not above: it needs Wagtail's models

    given = list(instances)
    kept: list[tuple[Model, Snapshot]] = []
    # All at once, as each of these blocks may cost a savepoint: what belongs to one is read.
    with guarded(lambda error: kept.clear()):
        kept += [(instance, Snapshot.of(instance)) for instance in given]
        return kept
    for instance in given:
        with guarded(functools.partial(_complain, instance)):
            kept.append((instance, Snapshot.of(instance)))
    return kept


def _complain(instance: Model, error: Exception) -> None:
    told = "%s %s cannot be copied before it is deleted."
    report(logger, error, told, instance._meta.label, instance.pk)


def snapshot(holder: Any, instance: Model) -> Snapshot:
    """Return the copy that was kept of an object, or else one of what is left of it."""
    from wagtail_async_hooks.arguments import Snapshot  # not above: it needs Wagtail's models

    for original, kept in getattr(holder, _ATTRIBUTE, ()):
        if original is instance or (instance.pk is not None and original == instance):
            return kept  # type: ignore[no-any-return]
    return Snapshot.of(instance)
