"""Addresses in Wagtail's admin; Wagtail lets only those in who may use it."""

from __future__ import annotations

from typing import Final

from django.urls import path

from wagtail_async_hooks.admin.views import bulk_action

app_name: Final = "wagtail_async_hooks"

urlpatterns: Final = [
    path("bulk-action/<str:task_id>/", bulk_action.ProgressView.as_view(), name="bulk_action"),
    path(
        "bulk-action/<str:task_id>/state/",
        bulk_action.StateView.as_view(),
        name="bulk_action_state",
    ),
    path(
        "bulk-action/<str:task_id>/cancel/",
        bulk_action.CancelView.as_view(),
        name="bulk_action_cancel",
    ),
    path(
        "bulk-action/<str:task_id>/retry/",
        bulk_action.RetryView.as_view(),
        name="bulk_action_retry",
    ),
]
