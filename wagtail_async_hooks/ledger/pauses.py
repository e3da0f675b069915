"""Pauses: what workers must not begin until it is resumed."""

from __future__ import annotations

from typing import Any

from django.db import connections

from wagtail_async_hooks.ledger.base import database
from wagtail_async_hooks.models import Pause
from wagtail_async_hooks.utils.database.instants import DatabaseNow
from wagtail_async_hooks.utils.database.values import fitted


def pauses() -> list[Pause]:
    """Return what is paused, in the order in which it was."""
    return list(Pause.objects.using(database()).order_by("pk"))


def add_pause(kind: str, name: str, user: Any, reason: str) -> bool:
    """Pause something; return whether it was not paused before."""
    told = {"paused_at": DatabaseNow(), "user_id": user, "reason": reason}
    told = fitted(Pause, told, connections[database()])
    _, is_new = Pause.objects.using(database()).get_or_create(kind=kind, name=name, defaults=told)
    return is_new


def remove_pause(kind: str, name: str) -> bool:
    """Resume something; return whether it was paused."""
    return Pause.objects.using(database()).filter(kind=kind, name=name).delete()[0] > 0
