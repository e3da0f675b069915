"""Sends a test task, and shows when it came where, and what is wrong if it does not."""

from __future__ import annotations

import datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView, View

from wagtail_async_hooks import ledger
from wagtail_async_hooks.admin.views.base import AccessMixin, PageMixin
from wagtail_async_hooks.integrations import test_task
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring.details import Details
from wagtail_async_hooks.monitoring.overview import MANY, waits_since
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.types import State
from wagtail_async_hooks.utils.time import short_duration

PATIENCE = datetime.timedelta(seconds=5)
"""For so long nothing is wrong if the task has not begun."""

_LIVE = "wagtail_async_hooks/admin/test_task_live.html"


class SendView(AccessMixin, View):
    """Enqueues the test task."""

    needs_change = True
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Enqueue it, and lead to its page."""
        pk = test_task.send()
        if pk is None:
            return redirect("wagtail_async_hooks:workers")
        return redirect("wagtail_async_hooks:test_task", pk)


class _OneMixin(AccessMixin):
    """What the views of one test task share."""

    kwargs: dict[str, Any]

    @cached_property
    def row(self) -> BackgroundTask:
        """The task that the address names, if it is a test."""
        tasks = background.storage.tasks.select_related("subject_type", "worker")
        found = tasks.filter(pk=self.kwargs["pk"], name=test_task.NAME).first()
        if found is None:
            raise Http404
        return found

    def live_context(self) -> dict[str, Any]:
        """Return what the part of the page needs that changes."""
        row, state = self.row, State(self.row.state)
        waited = ledger.clock() - waits_since(row)
        return {
            "row": row,
            "waited": _between(row.enqueued_at, row.started_at),
            "ran": _between(row.started_at, row.finished_at),
            "whole": _between(row.enqueued_at, row.finished_at),
            "is_final": state.is_final,
            "verdict": self._verdict(state, waited),
            "is_wrong": state is State.FAILED or (state is State.WAITING and waited > PATIENCE),
            "url": reverse("wagtail_async_hooks:test_task", args=[row.pk]),
        }

    def _verdict(self, state: State, waited: datetime.timedelta) -> str:
        """Say how it stands, and what is wrong if nothing comes."""
        if state is State.SUCCEEDED:
            return _("Background tasks are run.")
        if state.is_final:
            return _("It did not succeed: %(state)s.") % {"state": state.label}
        if state is State.RUNNING:
            return _("A worker has begun it.")
        obstacles = Details(self.row).obstacles
        if obstacles:
            return " ".join(obstacles)
        if waited <= PATIENCE:
            return _("It waits for a worker.")
        return " ".join(_why_busy(self.row))


def _between(first: datetime.datetime | None, last: datetime.datetime | None) -> str:
    if first is None or last is None:
        return ""
    return short_duration(max(0.0, (last - first).total_seconds()))


def _why_busy(row: BackgroundTask) -> list[str]:
    """Say why a task waits although a worker serves its queue and nothing is paused."""
    tasks = background.storage.tasks.order_by()
    running = tasks.filter(state=State.RUNNING)[:MANY].count()
    threads = sum(ledger.alive().values_list("threads", flat=True))
    waiting = tasks.filter(state=State.WAITING, queue=row.queue)
    before = waiting.filter(priority__gte=row.priority, pk__lt=row.pk)[:MANY].count()
    found = []
    if running >= threads:
        told = {"running": running, "threads": threads}
        found.append(
            _("All threads are busy: %(running)d tasks run in %(threads)d threads.") % told
        )
    if before:
        found.append(_("%(number)d tasks of its queue come before it.") % {"number": before})
    return found or [
        _(
            "A worker lives, but does not take it. Look into the worker's log, and whether it uses "
            "the same database and the same settings as this site."
        )
    ]


class TestTaskView(_OneMixin, PageMixin, TemplateView):
    """The page of one test task."""

    section = "workers"
    page_title = gettext_lazy("Test task")
    header_icon = "cogs"
    template_name = "wagtail_async_hooks/admin/test_task.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs."""
        return {
            **super().get_context_data(**kwargs),
            **self.live_context(),
            "state_url": reverse("wagtail_async_hooks:test_task_state", args=[self.row.pk]),
        }


class TestTaskStateView(_OneMixin, View):
    """The part of that page that changes, for its script."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Return how the task stands."""
        context = self.live_context()
        html = render_to_string("wagtail_async_hooks/admin/test_task_live.html", context, request)
        # What is wrong is worth saying, too, although the state is the same.
        state = f"{self.row.state} {context['verdict']}"
        ended = context["is_final"]
        return JsonResponse(
            {"html": html, "state": state, "said": context["verdict"], "ended": ended}
        )
