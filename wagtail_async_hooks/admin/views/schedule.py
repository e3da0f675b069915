"""The page of the schedule: when entries run, how late they are, and how the last runs ended."""

from __future__ import annotations

import datetime
import logging
import zoneinfo
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView, View
from wagtail.admin import messages

from wagtail_async_hooks.admin import log_actions
from wagtail_async_hooks.admin.charts import Sparkline
from wagtail_async_hooks.admin.views.base import AccessMixin, PageMixin
from wagtail_async_hooks.admin.views.pauses import pause_url
from wagtail_async_hooks.monitoring import schedule
from wagtail_async_hooks.monitoring.overview import RECENT
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.catching import passes
from wagtail_async_hooks.utils.text import one_line
from wagtail_async_hooks.utils.time import short_duration
from wagtail_async_hooks.worker.schedule import run_now

logger = logging.getLogger(__name__)

_STYLES = {State.SUCCEEDED: "succeeded", State.FAILED: "failed", State.EXPIRED: "failed"}


class ScheduleView(PageMixin, TemplateView):
    """All entries of the schedule."""

    section = "schedule"
    page_title = gettext_lazy("Schedule")
    header_icon = "calendar-alt"
    template_name = "wagtail_async_hooks/admin/schedule.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs."""
        found = schedule.overview(self.moment)
        here = reverse("wagtail_async_hooks:schedule")
        return {
            **super().get_context_data(**kwargs),
            "lines": [self._shown(line, here) for line in found.lines],
            "gone": found.gone,
            "is_served": found.is_served,
            "looked_at": RECENT,
            "time_zone": timezone.get_current_timezone_name(),
        }

    def _shown(self, line: schedule.Line, here: str) -> dict[str, Any]:
        late = line.late
        return {
            "line": line,
            "status": line.status,
            "late": short_duration(late.total_seconds()) if late is not None else "",
            "other_zone": _other_zone(line),
            "sparkline": _sparkline(line) if line.runs else None,
            "failed": sum(run.state == State.FAILED for run in line.runs),
            "pause_url": pause_url("function", line.function, here) if line.function else "",
        }


def _other_zone(line: schedule.Line) -> str:
    """Return the next time by the entry's own clock, if that is not the user's."""
    due, zone = line.status.next_due_at, line.status.time_zone
    if due is None or zone == timezone.get_current_timezone_name():
        return ""
    local = due.astimezone(zoneinfo.ZoneInfo(zone)) if zone else due
    told = {"time": date_format(local, "H:i"), "zone": zone}
    return _("%(time)s in %(zone)s") % told


def _sparkline(line: schedule.Line) -> Sparkline:
    """Return how long the last runs took, and how they ended."""
    label = _("Seconds that the last runs of %(name)s took") % {"name": line.name}
    return Sparkline(
        [max(1, round(run.seconds or 0)) for run in line.runs],
        label,
        [
            f"{date_format(timezone.localtime(run.at), 'H:i')} {run.state.label}"
            for run in line.runs
        ],
        styles=[_STYLES.get(run.state, "otherwise") for run in line.runs],
    )


def _clock(moment: datetime.datetime) -> str:
    return date_format(timezone.localtime(moment), "H:i")


class RunView(AccessMixin, View):
    """Runs an entry now."""

    needs_change = True
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Enqueue its task, and lead back."""
        name = request.POST.get("name", "")
        try:
            pk = run_now(name)
        except LookupError:
            raise Http404 from None
        except Exception as error:  # of the site's function that makes a key, or of the database
            if passes(error):
                raise
            logger.exception('Schedule "%s": its task cannot be recorded.', name)
            told = {"name": name, "error": one_line(error)}
            messages.error(request, _("“%(name)s” cannot be run: %(error)s") % told)
            return redirect("wagtail_async_hooks:schedule")
        row = background.storage.tasks.filter(pk=pk).first() if pk is not None else None
        buttons = []
        if row is not None:
            log_actions.record("run_now", row, request.user, schedule=name)
            url = reverse("wagtail_async_hooks:task", args=[row.pk])
            buttons = [messages.button(url, _("Show the task"))]
        told = {"name": name}
        messages.success(request, _("“%(name)s” runs as soon as a worker is free.") % told, buttons)
        return redirect("wagtail_async_hooks:schedule")
