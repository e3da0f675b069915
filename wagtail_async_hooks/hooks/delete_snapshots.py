"""Snapshots of objects that are about to be deleted, taken while their children still exist.

When ``after_delete_*`` or ``after_bulk_action`` fires, the children are deleted, and a user or a
single snippet has no primary key. So snapshots are taken before: by functions of our own for
Wagtail's ``before_*`` hooks, which are called last, and by ``pre_delete`` for receivers of
``post_delete``. Without a background function for the hook, none is taken; and of many objects,
only the first ones are copied.
"""

from __future__ import annotations

import copy
import functools
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Model, prefetch_related_objects
from django.http import HttpRequest

from wagtail_async_hooks import conf
from wagtail_async_hooks.utils.database.transactions import guarded
from wagtail_async_hooks.utils.errors import report

if TYPE_CHECKING:
    from wagtail_async_hooks.serialization.arguments import DeletedList, Snapshot

logger = logging.getLogger(__name__)

_ATTRIBUTE: Final = "_wagtail_async_hooks_kept"


class _Kept:
    """References to, and snapshots of, objects that are about to be deleted.

    The objects are kept as well, since afterwards they are identified by ``is``.
    """

    def __init__(self) -> None:
        self.references: list[tuple[Model, dict[str, Any]]] = []
        self.copies: dict[str, tuple[Model, Snapshot]] = {}


def keep(holder: HttpRequest | Model, instances: Iterable[Model]) -> None:
    """Take snapshots of objects; errors are logged, so that the objects can be deleted.

    :param holder: the request, or the object itself: it lives as long as the snapshots are needed.
    """
    setattr(holder, _ATTRIBUTE, _Kept())
    keep_also(holder, instances)


def keep_also(holder: HttpRequest | Model, instances: Iterable[Model]) -> None:
    """Take further snapshots for the same holder."""
    kept = getattr(holder, _ATTRIBUTE, None)
    if kept is None:
        kept = _Kept()
        setattr(holder, _ATTRIBUTE, kept)
    fresh: list[tuple[str, Model]] = []
    limit = conf.current().bulk_actions.copies
    for instance in instances:
        reference = _reference(instance)
        if reference is None:
            continue
        kept.references.append((instance, reference))
        known = repr(reference)
        if known not in kept.copies and len(kept.copies) + len(fresh) < limit:
            fresh.append((known, instance))
    for (known, instance), whole in zip(fresh, _whole([i for _, i in fresh]), strict=True):
        if (copied := _copied(whole)) is not None:
            kept.copies[known] = (instance, copied)


def _reference(instance: Model) -> dict[str, Any] | None:
    from wagtail_async_hooks.exceptions import CannotSerialize
    from wagtail_async_hooks.serialization.models import encode_model  # they need Wagtail's models

    try:
        return encode_model(instance)
    except CannotSerialize:
        return None  # the error is raised again when the arguments are serialized


def _reference_now(instance: Model) -> dict[str, Any]:
    """Return a reference to an object, which may have lost its primary key."""
    return _reference(instance) or {"model": instance._meta.label_lower, "pk": None}


def _whole(instances: Sequence[Model]) -> Sequence[Model]:
    """Return objects with their children, read by a few queries for all of them."""
    if len(instances) < 2:
        return instances
    whole: list[Model] = []
    told = "What is about to be deleted is read object by object."
    with guarded(lambda error: report(logger, error, told)):
        whole = list(_prefetched(_specific(instances)))
    return whole or instances


def _specific(instances: Sequence[Model]) -> list[Model]:
    from wagtail.models import Page

    plain = [each for each in instances if isinstance(each, Page)]
    if not plain:
        return list(instances)
    pages = Page.objects.using(plain[0]._state.db).filter(pk__in=[page.pk for page in plain])
    found = {page.pk: page for page in pages.specific()}
    return [found.get(each.pk, each) if isinstance(each, Page) else each for each in instances]


def _prefetched(instances: Sequence[Model]) -> Iterator[Model]:
    from modelcluster.models import get_all_child_m2m_relations, get_all_child_relations

    # Not the objects themselves: their cache would show deleted children to the site's code.
    twins = [copy.copy(instance) for instance in instances]
    by_model: dict[type[Model], list[Model]] = defaultdict(list)
    for twin in twins:
        vars(twin).pop("_prefetched_objects_cache", None)
        by_model[type(twin)].append(twin)
    for model, group in by_model.items():
        names = [relation.get_accessor_name() for relation in get_all_child_relations(model)]
        names += [field.name for field in get_all_child_m2m_relations(model)]
        prefetch_related_objects(group, *names)
    yield from twins


def _copied(instance: Model) -> Snapshot | None:
    from wagtail_async_hooks.serialization.arguments import (
        Snapshot,  # not above: it needs Wagtail's models
    )

    with guarded(functools.partial(_complain, instance)):
        return Snapshot.of(instance)
    return None


def _complain(instance: Model, error: Exception) -> None:
    told = "%s %s cannot be copied before it is deleted."
    report(logger, error, told, instance._meta.label, instance.pk)


def snapshot(holder: Any, instance: Model) -> Snapshot:
    """Return the snapshot that was taken of an object, or else one of its present state."""
    from wagtail_async_hooks.serialization.arguments import (
        Snapshot,  # not above: it needs Wagtail's models
    )

    kept = getattr(holder, _ATTRIBUTE, None)
    for original, copied in kept.copies.values() if kept else ():
        if original is instance or (instance.pk is not None and original == instance):
            return copied  # type: ignore[no-any-return]
    return Snapshot.of(instance)


def deleted_list(holder: Any, instances: Iterable[Model]) -> DeletedList:
    """Return references to deleted objects, with the snapshots that were taken."""
    from wagtail_async_hooks.serialization.arguments import (
        DeletedList,  # not above: it needs Wagtail's models
    )

    kept = getattr(holder, _ATTRIBUTE, None) or _Kept()
    by_identity = {id(original): reference for original, reference in kept.references}
    references, copies = [], []
    for instance in instances:
        reference = by_identity.get(id(instance)) or _reference_now(instance)
        references.append(reference)
        found = kept.copies.get(repr(reference))
        if found is not None:
            copies.append(found[1])
        elif not kept.references and len(copies) < conf.current().bulk_actions.copies:
            copied = _copied(instance)  # no function of ours is called before this hook
            copies += [] if copied is None else [copied]
    return DeletedList(references, copies)
