"""What the ledger has to know of the rest of the site: users who are deleted."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db.models.signals import post_delete

from wagtail_async_hooks import conf, ledger


def forget_deleted_user(instance: Any, **kwargs: Any) -> None:
    """Keep the tasks of a user who is deleted, and drop the link to them."""
    if conf.current().backend:  # else there need not be any tables
        ledger.forget_user(instance.pk)


def register_signal_handlers() -> None:
    """Connect all handlers; called once, when the apps are ready."""
    post_delete.connect(
        forget_deleted_user, sender=get_user_model(), dispatch_uid="wagtail_async_hooks.user"
    )
