"""Groups of errors, and which of them are muted: nobody wants to hear of them any more."""

from __future__ import annotations

import hashlib
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections, router

from wagtail_async_hooks.ledger.base import database
from wagtail_async_hooks.models import MutedError
from wagtail_async_hooks.utils.database.instants import DatabaseNow
from wagtail_async_hooks.utils.database.values import fitted


def error_key(error_type: str, function: str, error_place: str) -> str:
    """Return the key of the group that an error belongs to, by three columns of its task.

    Found in addresses, so it says nothing of what they hold.
    """
    told = "\0".join((error_type, function, error_place)).encode("utf-8", "backslashreplace")
    return hashlib.sha256(told).hexdigest()[:32]


def muted_errors() -> dict[str, MutedError]:
    """Return the groups that are muted, by their keys, with who has muted them; one query."""
    rows = MutedError.objects.using(database()).order_by("pk")
    if router.db_for_read(get_user_model()) == rows.db:
        rows = rows.select_related("user")
    return {row.key: row for row in rows}


def mute(
    error_type: str, function: str, error_place: str, user: Any = None
) -> tuple[MutedError, bool]:
    """Mute a group of errors.

    :param user: primary key of who does it.
    :returns: its row, and whether it was not muted before.
    """
    told = {
        "error_type": error_type,
        "function": function,
        "error_place": error_place,
        "muted_at": DatabaseNow(),
        "user_id": user,
    }
    told = fitted(MutedError, told, connections[database()])
    key = error_key(error_type, function, error_place)
    return MutedError.objects.using(database()).get_or_create(key=key, defaults=told)


def unmute(key: str) -> MutedError | None:
    """Mute a group no longer; return the row that it had, ``None`` if it was not muted."""
    rows = MutedError.objects.using(database()).filter(key=key)
    row = rows.first()
    # Of several people who do it in the same moment, one has done it.
    return row if row is not None and rows.filter(pk=row.pk).delete()[0] else None
