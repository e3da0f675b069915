"""The package's own functions for Wagtail's hooks; Wagtail imports this module in every process.

Snapshots of objects that are about to be deleted, warnings of scheduled publishing, bulk actions in
the background, and the pages of the admin.
"""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.urls import include, path
from wagtail import hooks

from wagtail_async_hooks.admin import urls
from wagtail_async_hooks.hooks import catalogue, delete_snapshots, registry, takeover
from wagtail_async_hooks.integrations import scheduled_publishing
from wagtail_async_hooks.integrations.bulk_actions import moving

LAST: Final = 10_000
"""Order of the ``before_*`` functions: after those of the site, which may refuse."""


def copy_page(request: HttpRequest, page: Any) -> None:
    """Copy a page while it has its children."""
    _copy("after_delete_page", request, [page])


def copy_snippets(request: HttpRequest, instances: Any) -> None:
    """Copy snippets while they have their keys."""
    _copy("after_delete_snippet", request, instances)


def copy_user(request: HttpRequest, user: Any) -> None:
    """Copy a user who has a key still."""
    _copy("after_delete_user", request, [user])


def copy_objects(request: HttpRequest, action_type: str, objects: Any, action: Any) -> None:
    """Copy objects that a bulk action deletes, unless it does so in a worker."""
    if action_type == catalogue.DELETE and not getattr(action, "is_recorded", False):
        _copy("after_bulk_action", request, objects)


def _copy(hook: str, request: HttpRequest, instances: Any) -> None:
    if request.method == "POST" and registry.has_functions(hook):
        delete_snapshots.keep_also(request, instances)


def register_late_action(actions: Any) -> None:
    """Let histories show publications that came late."""
    actions.register_action(scheduled_publishing.LATE_ACTION)(scheduled_publishing.LateFormatter)


def register_admin_urls() -> list[Any]:
    """Return the URLs of the package's own pages.

    Wagtail asks for them once all apps' hooks are registered, and before it looks for the first
    bulk action: the moment to move those that the settings name.
    """
    moving.move()
    return [path("background-tasks/", include(urls))]


for _hook, _function in (
    ("before_delete_page", copy_page),
    ("before_delete_snippet", copy_snippets),
    ("before_delete_user", copy_user),
    ("before_bulk_action", copy_objects),
):
    hooks.register(_hook, _function, order=LAST)

hooks.register("register_admin_urls", register_admin_urls)
hooks.register("register_log_actions", register_late_action)
for _hook in (
    "before_create_page",
    "before_edit_page",
    "before_create_snippet",
    "before_edit_snippet",
):
    hooks.register(_hook, scheduled_publishing.warn)

# This imports the hooks of the apps after this one, in the same sequence, and then moves the
# functions that the settings name, before any hook is called.
takeover.take_over()
