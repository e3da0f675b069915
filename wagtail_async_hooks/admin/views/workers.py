"""The page of the workers: which live, what each is doing, and which are gone."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView
from wagtail.admin.widgets.button import HeaderButton

from wagtail_async_hooks.admin.views.base import PageMixin
from wagtail_async_hooks.monitoring import description, workers
from wagtail_async_hooks.monitoring.moment import WORKERS
from wagtail_async_hooks.utils.time import short_duration
from wagtail_async_hooks.worker.identity import release

SHOWN = 10
"""So many tasks of one worker are listed."""


class WorkersView(PageMixin, TemplateView):
    """All workers of the last day."""

    section = "workers"
    page_title = gettext_lazy("Workers")
    header_icon = "cogs"
    template_name = "wagtail_async_hooks/admin/workers.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs."""
        found = workers.overview(self.moment)
        lines = [*found.living, *found.gone]
        description.name_subjects(row for line in lines for row in line.tasks[:SHOWN])
        return {
            **super().get_context_data(**kwargs),
            "found": found,
            "living": [_shown(line) for line in found.living],
            "gone": [_shown(line) for line in found.gone],
            "own_release": release(),
            "differs": bool(found.living) and {*found.releases, release()} != {release()},
            "most": WORKERS,
        }

    def get_header_buttons(self) -> list[Any]:
        """Return the link to the status report."""
        url = reverse("wagtail_async_hooks:status")
        return [HeaderButton(_("Status report"), url=url, icon_name="clipboard-list")]


def _shown(line: workers.Line) -> dict[str, Any]:
    row = line.row
    return {
        "line": line,
        "row": row,
        "age": short_duration(line.age.total_seconds()),
        "silence": short_duration(line.silence.total_seconds()),
        "tasks": [
            (
                task,
                short_duration((line.now - task.started_at).total_seconds())
                if task.started_at is not None and line.is_alive
                else "",
            )
            for task in line.tasks[:SHOWN]
        ],
        "more": max(0, len(line.tasks) - SHOWN),
        "clock_ahead": short_duration(abs(row.clock_ahead)) if line.is_clock_wrong else "",
    }
