"""Values of columns that can be serialized, and how fields get them back."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, TypeAlias, cast

from django.core.exceptions import ValidationError
from django.db import models

from wagtail_async_hooks.serialization.codecs import is_serializable

Field: TypeAlias = "models.Field[Any, Any]"


def serializable(field: Field, instance: models.Model) -> Any:
    """Return an object's value in a column, as the database would give it where that is possible.

    Code may have put there what only saving makes a date or a number of.
    """
    value = _python(field, field.value_from_object(instance))
    if is_serializable(value):
        return value
    if isinstance(field, models.JSONField):  # its value_to_string() leaves that to others
        return json.loads(json.dumps(value, cls=field.encoder), cls=field.decoder)
    # A field takes its value from an object: here from one that has it as the field knows it.
    return field.value_to_string(cast(models.Model, SimpleNamespace(**{field.attname: value})))


def restored(field: Field, value: Any) -> Any:
    """Return the value of a column from one that was serialized."""
    return None if value is None else _python(field, value)


def _python(field: Field, value: Any) -> Any:
    try:
        return field.to_python(value)
    except ValidationError:  # SQLite keeps anything in any column, and nobody has to validate it
        return value


def key_of(instance: models.Model) -> Any:
    """Return the primary key of an object."""
    return _key([serializable(field, instance) for field in instance._meta.pk_fields])


def restored_key(model: type[models.Model], key: Any) -> Any:
    """Return the primary key of a row, as an object has it that was read from the database."""
    fields = model._meta.pk_fields
    values = key if len(fields) > 1 else [key]
    return _key([restored(field, value) for field, value in zip(fields, values, strict=True)])


def _key(parts: list[Any]) -> Any:
    return tuple(parts) if len(parts) > 1 else parts[0]  # of several, if it is a composite one
