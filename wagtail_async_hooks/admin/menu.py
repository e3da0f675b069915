"""The entry of Wagtail's menu *Reports*, and what the group editor offers."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.models import Permission
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from wagtail.admin.menu import MenuItem
from wagtail.permissions import page_permission_policy

from wagtail_async_hooks.admin.permissions import may_view_all
from wagtail_async_hooks.queue.task_queue import background

ORDER: Final = 1100
"""After Wagtail's own reports."""


class ReportMenuItem(MenuItem):  # type: ignore[misc]  # Wagtail has no types
    """Shown to those who may see all tasks, and to those who edit pages; not where none run."""

    def is_shown(self, request: HttpRequest) -> bool:
        """Return whether there is something to see for this user."""
        if background.immediate:
            return False
        if may_view_all(request.user):
            return True
        may_edit: bool = page_permission_policy.user_has_any_permission(
            request.user, {"add", "change", "publish"}
        )
        return may_edit


def report_menu_item() -> ReportMenuItem:
    """Return the entry; a function for Wagtail's hook ``register_reports_menu_item``."""
    return ReportMenuItem(
        _("Background tasks"),
        reverse("wagtail_async_hooks:tasks"),
        name="background-tasks",
        icon_name="tasks",
        order=ORDER,
    )


def permissions() -> QuerySet[Any]:
    """Return what groups may be given; a function for Wagtail's hook ``register_permissions``."""
    return Permission.objects.filter(
        content_type__app_label="wagtail_async_hooks",
        codename__in=("view_backgroundtask", "change_backgroundtask"),
    )
