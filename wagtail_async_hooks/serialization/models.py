"""Model instances as references: one object, or a list of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any, Final, cast

from django.apps import apps
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import DEFAULT_DB_ALIAS, models, router
from wagtail.models import Page

from wagtail_async_hooks.exceptions import CannotSerialize, TargetGone
from wagtail_async_hooks.serialization import fields

logger = logging.getLogger(__name__)

CHUNK: Final = 500
"""How many objects of a list are read from the database at once."""

MAX_NAMED: Final = 10
"""How many of the objects that are gone are named in the log."""


def encode_model(instance: models.Model) -> dict[str, Any]:
    """Return a reference to an object.

    :raises CannotSerialize: if it is in no database, or is a session.
    """
    if not isinstance(instance, models.Model):  # of a queryset's values()
        raise CannotSerialize(
            f"a queryset that yields {type(instance).__qualname__} rather than objects cannot be "
            "carried to the worker; pass list(…) of it."
        )
    if instance.pk is None or instance._state.adding:
        raise CannotSerialize(
            f"an unsaved {type(instance).__qualname__} cannot be carried to the worker; save it "
            "first, or pass plain values."
        )
    model = model_of(instance)
    refuse_session(model)
    payload = {"model": model._meta.label_lower, "pk": fields.key_of(instance)}
    # Where it is written, not where it was read: a replica may lag behind the worker.
    alias = router.db_for_write(model, instance=instance)
    return payload if alias == DEFAULT_DB_ALIAS else {**payload, "db": alias}


def refuse_session(model: type[models.Model]) -> None:
    """Refuse to serialize a session.

    :raises CannotSerialize: if a model is one of sessions.
    """
    if issubclass(model, AbstractBaseSession):
        raise CannotSerialize("a session cannot be carried to the worker: its key is a secret.")


def model_of(instance: models.Model) -> type[models.Model]:
    """Return the model; of a page that was loaded as a plain one, its own."""
    if isinstance(instance, Page):
        return cast(type[models.Model], instance.specific_class or instance.__class__)
    return instance.__class__  # not type(): request.user is a lazy object


def decode_model(payload: dict[str, Any]) -> models.Model:
    """Return the object of a reference.

    :raises TargetGone: if it was deleted.
    """
    model = apps.get_model(payload["model"])
    rows: models.QuerySet[models.Model] = model._base_manager.using(
        payload.get("db", DEFAULT_DB_ALIAS)
    )
    found = rows.filter(pk=fields.restored_key(model, payload["pk"])).first()
    if found is None:
        noun = "page" if issubclass(model, Page) else model._meta.verbose_name
        raise TargetGone(f"its {noun} was deleted")
    return found


class ModelSequence(Sequence[models.Model]):
    """Objects that were passed as a list, read from the database in chunks, in their order.

    Objects that were deleted in the meantime are left out; :attr:`gone` and the log list them.

    :param runs: model label, database alias and primary keys, for each run of the same model.
    """

    def __init__(self, runs: list[tuple[str, str, list[Any]]]) -> None:
        self.runs = runs
        self._loaded: list[models.Model] | None = None
        self._gone: list[tuple[str, Any]] | None = None

    @property
    def keys(self) -> list[Any]:
        """Primary keys of all objects that were passed, whether they still exist or not."""
        return [key for label, _, keys in self.runs for key in _restored(label, keys)]

    @property
    def gone(self) -> list[tuple[str, Any]]:
        """Model label and primary key of each object that does not exist any more."""
        if self._gone is None:
            self._load()
        return list(self._gone or ())

    def __iter__(self) -> Iterator[models.Model]:
        # Decided at the first step: list() asks for an iterator first, for the length then.
        yield from self._read() if self._loaded is None else self._loaded

    def _read(self) -> Iterator[models.Model]:
        gone: list[tuple[str, Any]] = []
        for label, alias, keys in self.runs:
            for chunk in _chunks(_restored(label, keys), CHUNK):
                found = rows_by_key(apps.get_model(label), alias, chunk)
                gone += ((label, key) for key in chunk if key not in found)
                yield from (found[key] for key in chunk if key in found)
        self._report(gone)

    def _report(self, gone: list[tuple[str, Any]]) -> None:
        if gone and self._gone is None:
            names = ", ".join(f"{label} {key}" for label, key in gone[:MAX_NAMED])
            rest = f" and {len(gone) - MAX_NAMED} more" if len(gone) > MAX_NAMED else ""
            logger.info("%d of %d objects are gone: %s%s.", len(gone), len(self.keys), names, rest)
        self._gone = gone

    def __len__(self) -> int:
        return len(self._load())

    def __getitem__(self, index: Any) -> Any:
        return self._load()[index]

    def __repr__(self) -> str:
        runs = ", ".join(f"{len(keys)} × {label}" for label, _, keys in self.runs)
        return f"<{type(self).__name__}: {runs}>"

    def _load(self) -> list[models.Model]:
        if self._loaded is None:
            self._loaded = list(self._read())
        return self._loaded


def rows_by_key(model: type[models.Model], alias: str, keys: list[Any]) -> dict[Any, models.Model]:
    """Return those rows of some keys that there are."""
    rows: models.QuerySet[models.Model] = model._base_manager.using(alias)
    found = rows.in_bulk(keys)
    if found.keys() <= set(keys):
        return found
    # To this database different texts are the same key, as they are where case does not matter.
    for key in set(keys) - found.keys():
        if (row := rows.filter(pk=key).first()) is not None:
            found[key] = row
    return found


def _restored(label: str, keys: list[Any]) -> list[Any]:
    model = apps.get_model(label)
    return [fields.restored_key(model, key) for key in keys]


def _chunks(keys: list[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(keys)
    while chunk := list(islice(rest, size)):
        yield chunk


def encode_models(instances: Iterable[models.Model]) -> list[Any]:
    """Return references to many objects; those of one model that follow each other are one run."""
    references: list[dict[str, Any]] = []
    try:
        for instance in instances:
            references.append(encode_model(instance))
    except CannotSerialize as error:
        raise error.within(f"[{len(references)}]") from None
    runs = groupby(references, key=lambda r: (r["model"], r.get("db", DEFAULT_DB_ALIAS)))
    return [[label, alias, [r["pk"] for r in run]] for (label, alias), run in runs]


def encode_sequence(sequence: ModelSequence) -> list[Any]:
    """Return the references that a sequence was made of."""
    return [list(run) for run in sequence.runs]


def decode_models(payload: list[Any]) -> ModelSequence:
    """Return the sequence of some references."""
    return ModelSequence([(label, alias, keys) for label, alias, keys in payload])
