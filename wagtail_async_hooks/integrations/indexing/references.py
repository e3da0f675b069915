"""``rebuild_references_index``, object by object, so that it can be watched and cancelled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import models, router, transaction
from wagtail.management.commands import rebuild_references_index
from wagtail.models import ReferenceIndex

from wagtail_async_hooks.integrations.indexing.reading import hold, keys_of
from wagtail_async_hooks.queue.progress import progress
from wagtail_async_hooks.utils.models import root_model

CHUNK: Final = 100
"""Objects of which it is looked up at once of which models they are."""

Models = Mapping[type[models.Model], Sequence[type[Any]]]


class Command(rebuild_references_index.Command):  # type: ignore[misc]  # Wagtail has no types
    """Wagtail's command, with a transaction for each object rather than one for all.

    What is in the index of an object is deleted and made again, so that at any time each object's
    references are either the old ones or the new ones.
    """

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        parser.set_defaults(chunk_size=CHUNK)

    def handle(self, **options: Any) -> None:
        """Rebuild the index.

        :raises CancelExecution: if somebody cancels the task.
        """
        self.verbosity = options["verbosity"]
        indexed = indexed_models()
        total = sum(root._base_manager.count() for root in indexed)
        done = 0
        progress(done, total)
        for root, found in indexed.items():
            noun = str(root._meta.verbose_name_plural)
            for keys in keys_of(root._base_manager.all(), options["chunk_size"]):
                made_of = _models_of(found, keys)
                for key in keys:
                    _rebuild(root, key, made_of.get(key, []))
                    done += 1
                    progress(done, total, noun)
        for removed in _without_object(indexed, options["chunk_size"]):
            progress(done, total, f"{removed} of deleted objects")
        self.write(f"Indexed {done} objects")


def indexed_models() -> Models:
    """Return the models whose references are indexed, by the model that has a row of each object.

    In the order in which Wagtail's command takes them: what two of them see is recorded for the
    first.
    """
    found: dict[type[models.Model], list[type[Any]]] = {}
    for model in apps.get_models():
        if ReferenceIndex.is_indexed(model):
            found.setdefault(root_model(model), []).append(model)
    return found


def _models_of(found: Sequence[type[Any]], keys: Sequence[Any]) -> dict[Any, list[type[Any]]]:
    """Return of which models some objects are."""
    made_of: dict[Any, list[type[Any]]] = {}
    for model in found:
        for key in model.objects.filter(pk__in=keys).values_list("pk", flat=True):
            made_of.setdefault(key, []).append(model)
    return made_of


def _rebuild(root: type[models.Model], key: Any, found: Sequence[type[Any]]) -> None:
    """Make the references of one object anew, as it is now."""
    alias = router.db_for_write(ReferenceIndex)
    with transaction.atomic(using=alias):
        if router.db_for_write(root) == alias:
            hold(root, [key], alias)
        _references_of(root).filter(object_id=str(key)).delete()
        for model in found:
            for instance in model.objects.using(router.db_for_write(model)).filter(pk=key):
                ReferenceIndex.create_or_update_for_object(instance)


def _references_of(root: type[models.Model]) -> models.QuerySet[Any]:
    kind = ContentType.objects.get_for_model(root, for_concrete_model=False)
    references: models.QuerySet[Any] = ReferenceIndex.objects.filter(base_content_type=kind)
    return references.using(router.db_for_write(ReferenceIndex))


def _without_object(indexed: Models, size: int) -> Iterator[int]:
    """Delete the references of what is gone, or indexed no more; yield how many after each step."""
    alias = router.db_for_write(ReferenceIndex)
    kinds = ContentType.objects.get_for_models(*indexed, for_concrete_models=False)
    known = {kind.pk for kind in kinds.values()}
    removed: int = (
        ReferenceIndex.objects.using(alias).exclude(base_content_type__in=known).delete()[0]
    )
    yield removed
    for root in indexed:
        # In the order of texts, which is that of the keys no more.
        names = _references_of(root).order_by("object_id").values_list("object_id", flat=True)
        last = ""
        while chunk := list(names.filter(object_id__gt=last).distinct()[:size]):
            gone = set(chunk) - _existing(root, chunk)
            removed += _references_of(root).filter(object_id__in=gone).delete()[0]
            yield removed
            last = chunk[-1]


def _existing(root: type[models.Model], names: Sequence[str]) -> set[str]:
    """Return those of some keys, as texts, for which there is an object."""
    keys = []
    for name in names:
        try:
            keys.append(root._meta.pk.to_python(name))
        except ValidationError:
            continue  # of a key of another type, from before
    found = root._base_manager.using(router.db_for_write(root)).filter(pk__in=keys)
    return {str(key) for key in found.values_list("pk", flat=True)}
