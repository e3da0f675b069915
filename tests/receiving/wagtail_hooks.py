"""Wagtail imports this in every process that has the app."""

from __future__ import annotations

import os
from typing import Any

from wagtail.signals import page_published

from tests.work.tasks import leave_trace
from wagtail_async_hooks import receiver


@receiver(page_published, background=True, priority=3)
def tell(sender: Any, instance: Any, revision: Any, **kwargs: Any) -> None:
    """Leave a trace of what was published."""
    known = kwargs.pop("signal") is page_published and sender is type(instance)
    words = (type(instance).__name__, instance.pk, revision.pk, instance.live, known, os.getpid())
    leave_trace(os.environ["TEST_TRACE"], *words, *kwargs)
