"""What the admin's templates ask about tasks."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString

from wagtail_async_hooks.admin.tables import state_html
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import description

register = template.Library()


@register.filter
def task_title(row: BackgroundTask) -> str:
    """Return what a person calls a task."""
    return description.title_of(row)


@register.filter
def task_state(row: BackgroundTask) -> SafeString:
    """Return where a task stands, with its icon."""
    return state_html(row)
