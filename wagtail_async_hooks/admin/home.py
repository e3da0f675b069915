"""The panels on Wagtail's home page: what is wrong, and what runs, waits and has failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.forms.widgets import Media
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from wagtail.admin.staticfiles import versioned_static
from wagtail.admin.ui.components import Component

from wagtail_async_hooks.admin import banner
from wagtail_async_hooks.admin.permissions import Access
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import description, overview
from wagtail_async_hooks.monitoring.moment import Moment
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.types import State

SHOWN: Final = 5
"""So many tasks are listed, of each state."""

LOOKED_AT: Final = 50
"""So many tasks of each state are looked at for those that an editor may see."""

_STATES: Final[tuple[tuple[State, Promise], ...]] = (
    (State.RUNNING, _("Running")),
    (State.WAITING, _("Waiting")),
    (State.FAILED, _("Failed")),
)


def add_panels(request: HttpRequest, panels: list[Any]) -> None:
    """Add our panels; a function for Wagtail's hook ``construct_homepage_panels``."""
    if not background.immediate:
        access = Access(request.user)
        panels += [ProblemsPanel(access), TasksPanel(access)]


class _Panel(Component):  # type: ignore[misc]  # Wagtail has no types
    """A panel that is left out where it has nothing to say."""

    def __init__(self, access: Access) -> None:
        self.access = access

    @property
    def media(self) -> Any:
        """The styles of our own."""
        return Media(css={"all": [versioned_static("wagtail_async_hooks/operation.css")]})

    def content(self) -> dict[str, Any]:
        """Return what the template needs; nothing if there is nothing to show."""
        raise NotImplementedError

    def render_html(self, parent_context: Mapping[str, Any] | None = None) -> str:
        """Return the panel; blank if there is nothing to show."""
        content = self.content()
        request = (parent_context or {}).get("request")
        return render_to_string(self.template_name, content, request) if content else ""


class ProblemsPanel(_Panel):
    """What is wrong, above all else on the page."""

    name = "background_problems"
    template_name = banner.TEMPLATE
    order = 10

    def content(self) -> dict[str, Any]:
        """Return the problems; nothing if there are none."""
        context = banner.context(self.access, Moment())
        return context if context["problems"] else {}


class TasksPanel(_Panel):
    """What runs, waits and has failed: of all tasks, or of those that an editor may see."""

    name = "background_tasks"
    template_name = "wagtail_async_hooks/admin/home_panel.html"
    order = 230

    def content(self) -> dict[str, Any]:
        """Return tasks by state; nothing if there are none."""
        groups = self._all() if self.access.views_all else self._hers()
        shown = [row for group in groups for row in group["rows"]]
        description.name_subjects(shown)
        if not any(group["number"] for group in groups):
            return {}
        return {"groups": groups, "url": reverse("wagtail_async_hooks:tasks")}

    def _all(self) -> list[dict[str, Any]]:
        counts = overview.bounded_counts()
        return [
            _group(state, label, *counts[state], overview.first(state, SHOWN))
            for state, label in _STATES
        ]

    def _hers(self) -> list[dict[str, Any]]:
        """Return those among the newest of each state, and her own, that she may see."""
        own = overview.newest(control.select(user=self.access.user.pk), LOOKED_AT)
        found: dict[int, BackgroundTask] = {row.pk: row for row in own}
        for state, _label in _STATES:
            found |= {row.pk: row for row in overview.first(state, LOOKED_AT)}
        visible = self.access.visible(found.values())
        groups = []
        for state, label in _STATES:
            rows = [row for row in visible if row.state == state]
            rows.sort(key=lambda row: row.pk, reverse=True)
            groups.append(_group(state, label, len(rows), len(rows) < LOOKED_AT, rows[:SHOWN]))
        return groups


def _group(
    state: State, label: Any, number: int, is_all: bool, rows: list[BackgroundTask]
) -> dict[str, Any]:
    return {"state": state, "label": label, "number": number, "is_all": is_all, "rows": rows}
