"""Deletes the file of a share image together with its row."""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete

from .models import ShareImage


def delete_share_image_file(instance: ShareImage, **kwargs: Any) -> None:
    """Delete the file once the deletion of its row is certain."""
    transaction.on_commit(lambda: instance.file.delete(save=False))


def register_signal_handlers() -> None:
    """Connect this module's handlers."""
    post_delete.connect(delete_share_image_file, sender=ShareImage)
