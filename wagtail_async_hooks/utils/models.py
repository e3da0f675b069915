"""Django's models as such: whose table has all rows of a model, and what can be a primary key."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models


@cache
def root_model(model: type[models.Model]) -> type[models.Model]:
    """Return the model whose table all rows of a model are in, such as that of pages.

    Of a proxy, that is the model behind it; of a model without parents, the model itself. Wagtail's
    indexes know an object by it.
    """
    parents = model._meta.get_parent_list()
    return parents[-1] if parents else model._meta.concrete_model or model


def to_key(model: type[models.Model], text: str) -> Any:
    """Return a primary key in its own type; ``None`` if none of the model can be called so.

    Such as a word, or a number that is too large, where keys are integers: a database would refuse
    to compare with it.
    """
    field = model._meta.pk
    assert field is not None  # every model has one
    try:
        key = field.to_python(text)
        field.run_validators(key)
    except ValidationError:
        return None
    return None if isinstance(key, str) and "\x00" in key else key
