"""Django's models as such: which of them has the table that all rows of a model are in."""

from __future__ import annotations

from functools import cache

from django.db import models


@cache
def root_model(model: type[models.Model]) -> type[models.Model]:
    """Return the model whose table all rows of a model are in, such as that of pages.

    Of a proxy, that is the model behind it; of a model without parents, the model itself. Wagtail's
    indexes know an object by it.
    """
    parents = model._meta.get_parent_list()
    return parents[-1] if parents else model._meta.concrete_model or model
