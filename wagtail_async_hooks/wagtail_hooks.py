"""The package's own functions for Wagtail's hooks; Wagtail imports this module in every process.

Snapshots of objects that are about to be deleted, warnings of scheduled publishing, bulk actions in
the background, and the pages of the admin.
"""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.urls import include, path
from wagtail import hooks

from wagtail_async_hooks.hooks import catalogue, delete_snapshots, registry, takeover
from wagtail_async_hooks.integrations import scheduled_publishing
from wagtail_async_hooks.integrations.bulk_actions import moving
from wagtail_async_hooks.queue.task_queue import background

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


def register_log_actions(actions: Any) -> None:
    """Let histories show what people did to background tasks."""
    from wagtail_async_hooks.admin import log_actions  # only who asks for the log needs it

    log_actions.register(actions)


def register_reports_menu_item() -> Any:
    """Return the entry of the menu *Reports*."""
    from wagtail_async_hooks.admin import menu

    return menu.report_menu_item()


def add_homepage_panels(request: HttpRequest, panels: list[Any]) -> None:
    """Show on Wagtail's home page what is wrong, and what runs, waits and has failed."""
    from wagtail_async_hooks.admin import home

    home.add_panels(request, panels)


def register_permissions() -> Any:
    """Return what the group editor offers."""
    from wagtail_async_hooks.admin import menu

    return menu.permissions()


def show_notices(request: HttpRequest, menu_items: Any) -> None:
    """Tell the user what became of her tasks, on each full page of the admin."""
    if background.immediate:
        return
    from wagtail_async_hooks.admin import notices, receipts  # as below

    notices.show(request)
    receipts.tell_in_history(request)


def tell_on_edit(request: HttpRequest, instance: Any) -> None:
    """Say in the editor how the tasks about its object stand."""
    if not background.immediate:
        from wagtail_async_hooks.admin import receipts

        receipts.tell_on_edit(request, instance)


def tell_after(request: HttpRequest, instance: Any) -> None:
    """Say after a change to an object what still happens for it."""
    if not background.immediate:
        from wagtail_async_hooks.admin import receipts

        receipts.tell_after(request, instance)


def register_page_header_buttons(
    page: Any, user: Any, view_name: str, next_url: str | None = None
) -> list[Any]:
    """Return what leads from the menu of a page to its receipts."""
    if background.immediate or page.is_root() or not page.permissions_for_user(user).can_edit():
        return []
    from wagtail_async_hooks.admin import receipts

    return [receipts.button(page)]


def construct_page_listing_buttons(buttons: Any, page: Any, user: Any, context: Any) -> None:
    """Mark pages of which tasks run or failed, in lists of pages."""
    if not background.immediate:
        from wagtail_async_hooks.admin import marks

        marks.mark(buttons, page, user, context)


def register_admin_urls() -> list[Any]:
    """Return the URLs of the package's own pages.

    Wagtail asks for them once all apps' hooks are registered, and before it looks for the first
    bulk action: the moment to move those that the settings name.
    """
    from wagtail_async_hooks.admin import urls  # only who serves the admin needs its views

    moving.move()
    return [path("background-tasks/", include(urls))]


for _hook, _function in (
    ("before_delete_page", copy_page),
    ("before_delete_snippet", copy_snippets),
    ("before_delete_user", copy_user),
    ("before_bulk_action", copy_objects),
):
    hooks.register(_hook, _function, order=LAST)

for _hook in ("before_edit_page", "before_edit_snippet"):
    hooks.register(_hook, tell_on_edit, order=LAST)
for _hook in (
    "after_create_page",
    "after_edit_page",
    "after_create_snippet",
    "after_edit_snippet",
):
    hooks.register(_hook, tell_after, order=LAST)

hooks.register("construct_main_menu", show_notices)
hooks.register("register_page_header_buttons", register_page_header_buttons)
hooks.register("construct_page_listing_buttons", construct_page_listing_buttons)
hooks.register("register_admin_urls", register_admin_urls)
hooks.register("register_log_actions", register_late_action)
hooks.register("register_reports_menu_item", register_reports_menu_item)
hooks.register("register_permissions", register_permissions)
hooks.register("construct_homepage_panels", add_homepage_panels)
hooks.register("register_log_actions", register_log_actions)
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
