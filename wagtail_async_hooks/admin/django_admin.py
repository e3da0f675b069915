"""Our tables in Django's own admin, for sites that have it: to look at, and not to change.

Only the ledger changes rows; what can be done to tasks is in Wagtail's admin.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import BackgroundTask, Pause, Schedule, Worker


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Shows rows; whoever may view background tasks may view them."""

    show_full_result_count = False
    list_max_show_all = 0

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return whether a user may see background tasks."""
        return request.user.has_perm("wagtail_async_hooks.view_backgroundtask")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return that nobody adds rows here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return that nobody changes rows here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return that nobody deletes rows here."""
        return False


@admin.register(BackgroundTask)
class BackgroundTaskAdmin(ReadOnlyAdmin):
    """Tasks, without what is not for everybody who may see them: messages, results, tracebacks."""

    list_display = ("id", "title", "hook", "function", "state", "enqueued_at", "error")
    list_filter = ("state",)
    ordering = ("-id",)
    search_fields = ("task_id__exact",)
    exclude = ("message", "result", "traceback")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the tasks without their large columns."""
        return super().get_queryset(request).defer(*ledger.LARGE)


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """Workers, the newest first."""

    list_display = ("__str__", "release", "threads", "queues", "heartbeat_at", "stopped_at")
    ordering = ("-id",)


@admin.register(Pause)
class PauseAdmin(ReadOnlyAdmin):
    """What is paused."""

    list_display = ("__str__", "reason", "paused_at")


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    """Entries of the schedule."""

    list_display = ("name", "crontab", "next_due_at", "last_due_at")
