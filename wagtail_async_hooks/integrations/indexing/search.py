"""``update_index``, so that it reports its progress and can be cancelled between two chunks."""

from __future__ import annotations

from typing import Any, Final

from django.db import models, router, transaction
from modelsearch.backends import get_search_backend
from modelsearch.index import get_indexed_models
from modelsearch.management.commands.rebuild_modelsearch_index import (
    DEFAULT_CHUNK_SIZE,
    group_models_by_index,
)
from wagtail.search.management.commands import update_index

from wagtail_async_hooks.integrations.indexing.reading import hold, keys_of
from wagtail_async_hooks.queue.progress import progress

CHUNK: Final = 100
"""Objects that are written in one transaction, unless the command is told otherwise."""

_IN_DATABASE: Final = "modelsearch.backends.database."


class Command(update_index.Command):  # type: ignore[misc]  # Wagtail has no types
    """Wagtail's command, in small transactions.

    Where the index is in the database, Wagtail rebuilds it in one large transaction. That would
    hide the progress until its end, and keep whoever saves an indexed object waiting.
    """

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        parser.set_defaults(chunk_size=CHUNK)

    def update_backend(
        self, backend_name: str, schema_only: bool = False, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> None:
        """Rebuild the indexes of one search backend."""
        backend = get_search_backend(backend_name)
        if _is_in_database(backend):
            backend = get_search_backend(backend_name, ATOMIC_REBUILD=False)
        if not backend.rebuilder_class:
            self.write(f"{backend_name}: there is nothing to rebuild")
            return
        indexes = group_models_by_index(backend, get_indexed_models()).items()
        rebuilding = Rebuilding([] if schema_only else [m for _, found in indexes for m in found])
        for index, found in indexes:
            rebuilder = backend.rebuilder_class(index)
            index = rebuilder.start()
            for model in found:
                index.add_model(model)
            for model in found if not schema_only else ():
                rebuilding.add(index, model, chunk_size)
            rebuilder.finish()
        self.write(f"{backend_name}: indexed {rebuilding.done} objects")


class Rebuilding:
    """How far a rebuild is.

    :param found: the models whose objects are to be indexed.
    """

    def __init__(self, found: list[type[Any]]) -> None:
        self.done = 0
        self.total = sum(model.get_indexed_objects().count() for model in found)
        progress(0, self.total)

    def add(self, index: Any, model: type[Any], size: int) -> None:
        """Add all objects of a model to an index.

        :raises CancelExecution: if somebody cancels the task; all that was added stays.
        """
        changing: list[Any] = []
        for keys in keys_of(model.get_indexed_objects(), size):
            held = _write(index, model, keys, wait=False)
            changing += sorted(set(keys) - set(held))
            self._report(len(held), model)
        # One at a time: who waits for a row while it holds others may wait for ever.
        for key in changing:
            _write(index, model, [key], wait=True)
            self._report(1, model)

    def _report(self, done: int, model: type[models.Model]) -> None:
        self.done += done
        progress(self.done, self.total, str(model._meta.verbose_name_plural))


def _write(index: Any, model: type[Any], keys: list[Any], *, wait: bool) -> list[Any]:
    """Write some objects into an index, as they are now; return the keys of those held."""
    alias = router.db_for_write(model)
    with transaction.atomic(using=alias):
        held = hold(model, keys, alias, wait=wait)
        objects = list(model.get_indexed_objects().using(alias).filter(pk__in=held))
        if objects:
            index.add_items(model, objects)
    return held


def _is_in_database(backend: Any) -> bool:
    return any(base.__module__.startswith(_IN_DATABASE) for base in type(backend).__mro__)
