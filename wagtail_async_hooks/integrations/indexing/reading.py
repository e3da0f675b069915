"""Reading all objects of a model, a bounded number at a time, and holding those that are written.

By the last key rather than by an offset: what is deleted meanwhile shifts nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from django.db import connections, models

from wagtail_async_hooks.utils.models import root_model


def keys_of(objects: models.QuerySet[Any], size: int) -> Iterator[list[Any]]:
    """Yield the primary keys of some objects in order, so many at a time."""
    keys = objects.order_by("pk").values_list("pk", flat=True)
    last = None
    while True:
        rest = keys if last is None else keys.filter(pk__gt=last)
        chunk = list(rest[:size])
        if chunk:
            yield chunk
            last = chunk[-1]
        if len(chunk) < size:
            return


def hold(
    model: type[models.Model], keys: Collection[Any], alias: str, *, wait: bool = True
) -> list[Any]:
    """Keep others from changing some rows until the transaction ends.

    :param wait: for those that somebody else is changing; else, they are left out.
    :returns: the keys of what is held. Where a database cannot hold rows, all there are: SQLite
        lets only one transaction write at a time anyway.
    """
    features = connections[alias].features
    rows: models.QuerySet[Any] = root_model(model)._base_manager.using(alias).filter(pk__in=keys)
    if features.has_select_for_update:
        rows = rows.select_for_update(
            skip_locked=not wait and features.has_select_for_update_skip_locked,
            # What refers to the rows may be written all the same.
            no_key=features.has_select_for_no_key_update,
        )
    return list(rows.order_by("pk").values_list("pk", flat=True))
