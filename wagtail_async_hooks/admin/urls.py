"""Addresses in Wagtail's admin; Wagtail lets only those in who may use it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Final

from django.http import HttpRequest, HttpResponseBase
from django.urls import path


def lazy(name: str, **options: Any) -> Callable[..., HttpResponseBase]:
    """Return a view that is imported when somebody first asks for it.

    A web process imports these addresses at its start, and most never show one of these pages.

    :param name: module and class in ``admin.views``.
    :param options: of the class's ``as_view()``.
    """

    @cache
    def view() -> Any:
        module, _, made = name.partition(".")
        found = import_module(f"wagtail_async_hooks.admin.views.{module}")
        return getattr(found, made).as_view(**options)

    def call(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = view()(request, *args, **kwargs)
        return response

    return call


app_name: Final = "wagtail_async_hooks"

urlpatterns: Final = [
    path("overview/", lazy("overview.OverviewView"), name="overview"),
    path("", lazy("tasks.TasksView"), name="tasks"),
    path("task/<int:pk>/", lazy("task.TaskView"), name="task"),
    path("task/<int:pk>/state/", lazy("task.TaskStateView"), name="task_state"),
    path("task/<int:pk>/<slug:action>/", lazy("task.TaskActionView"), name="task_action"),
    path("receipts/<str:model>/<str:pk>/", lazy("receipt.ReceiptsView"), name="receipts"),
    path(
        "receipts/<str:model>/<str:pk>/<uuid:cause>/",
        lazy("receipt.ReceiptView"),
        name="receipt",
    ),
    path(
        "receipts/<str:model>/<str:pk>/<uuid:cause>/state/",
        lazy("receipt.ReceiptStateView"),
        name="receipt_state",
    ),
    path("selected/", lazy("selected.SelectedView"), name="selected"),
    path("results/", lazy("tasks.TasksView", results_only=True), name="tasks_results"),
    path("hooks/", lazy("hooks.HooksView"), name="hooks"),
    path("errors/", lazy("errors.ErrorsView"), name="errors"),
    path("errors/results/", lazy("errors.ErrorsView", results_only=True), name="errors_results"),
    path("errors/<slug:key>/", lazy("errors.ErrorView"), name="error"),
    path("errors/<slug:key>/<slug:action>/", lazy("errors.GroupActionView"), name="error_action"),
    path("bulk-action/<str:task_id>/", lazy("bulk_action.ProgressView"), name="bulk_action"),
    path(
        "bulk-action/<str:task_id>/state/",
        lazy("bulk_action.StateView"),
        name="bulk_action_state",
    ),
    path(
        "bulk-action/<str:task_id>/cancel/",
        lazy("bulk_action.CancelView"),
        name="bulk_action_cancel",
    ),
    path(
        "bulk-action/<str:task_id>/retry/",
        lazy("bulk_action.RetryView"),
        name="bulk_action_retry",
    ),
    path("schedule/", lazy("schedule.ScheduleView"), name="schedule"),
    path("schedule/run/", lazy("schedule.RunView"), name="schedule_run"),
    path("workers/", lazy("workers.WorkersView"), name="workers"),
    path("workers/test/", lazy("test_task.SendView"), name="test_task_send"),
    path("workers/test/<int:pk>/", lazy("test_task.TestTaskView"), name="test_task"),
    path(
        "workers/test/<int:pk>/state/",
        lazy("test_task.TestTaskStateView"),
        name="test_task_state",
    ),
    path("queues/", lazy("queues.QueuesView"), name="queues"),
    path("pause/", lazy("pauses.PauseView"), name="pause"),
    path("resume/", lazy("pauses.ResumeView"), name="resume"),
    path("status/", lazy("status.StatusView"), name="status"),
    path("status/report.txt", lazy("status.TextView"), name="status_text"),
]
