"""Receivers of the rest of the site's signals: deleted users, go-live times, images."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db.models.signals import post_delete, post_save
from wagtail.models import Revision
from wagtail.signals import published, unpublished

from wagtail_async_hooks import conf, ledger
from wagtail_async_hooks.integrations import renditions, scheduled_publishing


def forget_deleted_user(instance: Any, **kwargs: Any) -> None:
    """Keep the tasks of a user who is deleted, and drop the link to them."""
    if conf.current().backend:  # else there need not be any tables
        ledger.forget_user(instance.pk)


def register_signal_handlers() -> None:
    """Connect all handlers; called once, when the apps are ready."""
    for signal, handler, sender in (
        (published, renditions.images_published, None),
        (post_save, scheduled_publishing.revision_saved, Revision),
        (published, scheduled_publishing.object_published, None),
        (unpublished, scheduled_publishing.object_unpublished, None),
    ):
        signal.connect(
            handler, sender=sender, dispatch_uid=f"wagtail_async_hooks.{handler.__name__}"
        )
    if apps.is_installed("wagtail.images"):
        register_image_model()
    post_delete.connect(
        forget_deleted_user, sender=get_user_model(), dispatch_uid="wagtail_async_hooks.user"
    )


def register_image_model() -> None:
    """Connect the handler for the model that the site has for its images."""
    from wagtail.images import get_image_model

    post_save.connect(
        renditions.image_saved, sender=get_image_model(), dispatch_uid="wagtail_async_hooks.image"
    )
