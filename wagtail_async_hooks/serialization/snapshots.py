"""Copies of objects that are deleted: their fields and children, as they were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, models, router
from modelcluster.models import get_all_child_m2m_relations, get_all_child_relations
from wagtail.models import Page

from wagtail_async_hooks.exceptions import CannotSerialize
from wagtail_async_hooks.serialization import fields as columns
from wagtail_async_hooks.serialization.models import model_of, refuse_session, rows_by_key
from wagtail_async_hooks.types import Subject
from wagtail_async_hooks.utils.redaction import is_secret

_EMPTY: Final[dict[type[columns.Field], Any]] = {
    models.CharField: "",
    models.TextField: "",
    models.BinaryField: b"",
    models.JSONField: None,
}
"""What a field holds instead of a secret; fields of other types cannot hold any."""


@dataclass(frozen=True, eq=False, repr=False)
class Snapshot:
    """An object that is serialized whole, since it is deleted: it arrives unsaved, with its key.

    :param model: its class.
    :param key: its primary key at the time of the copy.
    :param data: its columns, and its children if the model has any; secrets are left empty, since
        messages are kept for days.
    :param alias: of its database.
    :param instance: the object itself, if it is at hand.
    """

    model: type[models.Model]
    key: Any
    data: dict[str, Any]
    alias: str = DEFAULT_DB_ALIAS
    instance: models.Model | None = None

    @classmethod
    def of(cls, instance: models.Model) -> Snapshot:
        """Copy an object as it is now.

        :raises CannotSerialize: if something of it was never read, and its row is gone.
        """
        if isinstance(instance, Page):
            instance = instance.specific
        model, data = model_of(instance), _copied(instance)
        alias = router.db_for_write(model, instance=instance)
        return cls(model, instance.pk, data, alias, instance)

    def __repr__(self) -> str:
        return f"<Snapshot of {self.model._meta.label} {self.key}>"

    @property
    def subject(self) -> Subject:
        """Model and primary key, for the ledger's row."""
        return Subject(self.model, self.key, self.instance)


def _copied(instance: models.Model) -> dict[str, Any]:
    """Return all columns, those of parent models too, and what is edited together with an object.

    Not modelcluster's ``serializable_data()``: that calls each field's ``pre_save()``, which sets
    dates and stores files, and what it makes of values does not always become the same again.
    """
    data = _columns(instance)
    for relation in get_all_child_relations(instance):
        name = relation.get_accessor_name()
        data[name] = [_copied(child) for child in getattr(instance, name).all()]
    for field in get_all_child_m2m_relations(instance):
        data[field.name] = [columns.key_of(row) for row in getattr(instance, field.name).all()]
    return data


def _columns(instance: models.Model) -> dict[str, Any]:
    row, unknown = instance, _unknown(instance)
    if unknown:
        rows = model_of(instance)._base_manager.using(instance._state.db)
        found = rows.filter(pk=instance.pk).only(*unknown).first()
        if found is None:
            raise CannotSerialize(
                f"{', '.join(unknown)} of the {model_of(instance).__name__} was not read from the "
                "database before it was deleted, so it cannot be copied."
            )
        row = found
    return {
        field.attname: _harmless(field, row if field.name in unknown else instance)
        for field in instance._meta.concrete_fields
    }


def _harmless(field: columns.Field, instance: models.Model) -> Any:
    """Return an object's value in a column, or an empty one instead of a secret."""
    value = columns.serializable(field, instance)
    if not value or not is_secret(field.name):
        return value
    return next((empty for kind, empty in _EMPTY.items() if isinstance(field, kind)), value)


def _unknown(instance: models.Model) -> list[str]:
    """Return the fields of which only the database knows what they hold.

    Those that were not read yet, and those that were saved as an expression.
    """
    unread = instance.get_deferred_fields()
    return [
        field.name
        for field in instance._meta.concrete_fields
        if field.attname in unread
        or hasattr(field.value_from_object(instance), "resolve_expression")
    ]


def encode_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    """Return the payload of a copy.

    :raises CannotSerialize: if it is a session.
    """
    refuse_session(snapshot.model)
    payload = {"model": snapshot.model._meta.label_lower, "data": snapshot.data}
    return payload if snapshot.alias == DEFAULT_DB_ALIAS else {**payload, "db": snapshot.alias}


def decode_snapshot(payload: dict[str, Any]) -> models.Model:
    """Return the object again, which is in no database any more."""
    model = apps.get_model(payload["model"])
    return _restored(model, payload["data"], payload.get("db", DEFAULT_DB_ALIAS))


def _restored(model: type[models.Model], data: dict[str, Any], alias: str) -> models.Model:
    fields = model._meta.concrete_fields
    values = [
        columns.restored(field, data[field.attname])
        if field.attname in data
        else field.get_default()  # it was added while the message waited
        for field in fields
    ]
    instance = model.from_db(alias, [field.attname for field in fields], values)
    instance._state.adding = True
    for relation in get_all_child_relations(model):
        name = relation.get_accessor_name()
        copies = data.get(name, ())
        _put(instance, name, [_restored(relation.related_model, copy, alias) for copy in copies])
    for field in get_all_child_m2m_relations(model):
        # Without what is gone, too.
        keys = [columns.restored_key(field.related_model, k) for k in data.get(field.name, ())]
        found = rows_by_key(field.related_model, alias, keys)
        _put(instance, field.name, [found[key] for key in keys if key in found])
    return instance


def _put(instance: models.Model, name: str, related: list[models.Model]) -> None:
    """Let a relation have these objects, in this order: databases sort in their own ways."""
    manager = getattr(instance, name)
    manager.set(related)
    manager.get_object_list()[:] = related
