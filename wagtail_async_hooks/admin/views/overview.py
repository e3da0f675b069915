"""The overview: how many tasks stand where, who works, what waits, and charts of up to a week."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from django.urls import reverse
from django.utils.formats import date_format, number_format
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView

from wagtail_async_hooks.admin import log_actions
from wagtail_async_hooks.admin.charts import DURATIONS, BarChart, Series
from wagtail_async_hooks.admin.views.base import PageMixin
from wagtail_async_hooks.ledger.queues import MANY
from wagtail_async_hooks.monitoring import description, statistics
from wagtail_async_hooks.monitoring.overview import BoundedCount
from wagtail_async_hooks.monitoring.statistics import PERIODS, Period
from wagtail_async_hooks.monitoring.summary import Summary, summary
from wagtail_async_hooks.types import State

ALWAYS = (State.WAITING, State.RUNNING, State.SCHEDULED, State.SUCCEEDED, State.FAILED)
"""The states whose numbers are shown even if they are zero."""


class OverviewView(PageMixin, TemplateView):
    """Tiles with numbers, and charts of an hour, a day or a week: ``?period=24h``."""

    section = "overview"
    page_title = gettext_lazy("Background tasks")
    page_subtitle = gettext_lazy("Overview")
    template_name = "wagtail_async_hooks/admin/overview.html"

    @cached_property
    def period(self) -> Period:
        """The time that the charts show: a day, unless another one is asked for."""
        asked = self.request.GET.get("period")
        return next((period for period in PERIODS if period.name == asked), PERIODS[1])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the page shows."""
        found = summary(self.moment)
        description.name_subjects([found.oldest] if found.oldest else [])
        return {
            **super().get_context_data(**kwargs),
            "summary": found,
            "tiles": _tiles(found),
            "waited": None if found.waited is None else _elapsed(found),
            "oldest_title": "" if found.oldest is None else description.title_of(found.oldest),
            "pauses": [log_actions.described(each.kind, each.name) for each in self.moment.pauses],
            "periods": [(each, each is self.period) for each in PERIODS],
            "charts": self._charts(self.moment.time),
            "many": _number(MANY),
        }

    def _charts(self, now: datetime.datetime) -> list[BarChart]:
        ended = statistics.ended(self.period, now)
        waited = statistics.waited(self.period, now)
        starts = self.period.starts(now)
        shared: dict[str, Any] = {"ticks": _ticks(starts, self.period)}
        labels = _labels(starts, self.period)
        kinds = (
            (_("Succeeded"), ended.succeeded, "succeeded"),
            (_("Failed"), ended.failed, "failed"),
            (_("To run again"), ended.repeated, "repeated"),
            (_("Cancelled or expired"), ended.otherwise, "otherwise"),
        )
        parts = [Series(name, values, style, _sum(values)) for name, values, style in kinds]
        most = Series(_("Waiting at most"), waited.most)
        longest = Series(_("Longest wait"), waited.oldest)
        return [
            BarChart(
                "ended", _("Throughput"), labels, parts, empty=_("No task was run."), **shared
            ),
            BarChart(
                "failed", _("Failures"), labels, parts[1:2], empty=_("No task failed."), **shared
            ),
            BarChart(
                "waiting",
                _("Waiting tasks"),
                labels,
                [most],
                empty=_("No task had to wait when that was looked at."),
                **shared,
            ),
            BarChart(
                "oldest",
                _("Wait of the oldest task"),
                labels,
                [longest],
                scale=DURATIONS,
                empty=_("No task had to wait when that was looked at."),
                **shared,
            ),
        ]


# Tiles --------------------------------------------------------------------------------------


def _tiles(found: Summary) -> list[dict[str, Any]]:
    """Return the numbers of tasks by state, each with a link to these tasks."""
    tasks = reverse("wagtail_async_hooks:tasks")
    others = [state for state in State if state not in ALWAYS and found.counts[state].number]
    return [
        {
            "label": state.label,
            "number": _bounded(found.counts[state]),
            "url": f"{tasks}?state={state.value}",
            "is_wrong": state is State.FAILED and found.counts[state].number > 0,
        }
        for state in (*ALWAYS, *others)
    ]


def _bounded(count: BoundedCount) -> str:
    number = _number(count.number)
    return number if count.is_all else f"{number}+"


def _elapsed(found: Summary) -> str:
    assert found.waited is not None
    return DURATIONS.text(round(found.waited.total_seconds()))


# Charts -------------------------------------------------------------------------------------


def _number(value: int) -> str:
    return number_format(value, use_l10n=True, force_grouping=True)


def _sum(values: Sequence[int]) -> str:
    return _number(sum(values))


def _time(moment: datetime.datetime) -> str:
    return date_format(moment, "TIME_FORMAT")


def _labels(starts: list[datetime.datetime], period: Period) -> list[str]:
    """Return what each bar is called: "14:05 – 14:10", with the day where there are several."""
    ends = [*starts[1:], starts[-1] + period.step]
    texts = [f"{_time(start)} – {_time(end)}" for start, end in zip(starts, ends, strict=True)]
    if period.step < datetime.timedelta(minutes=30):
        return texts
    day = "D j N" if period is PERIODS[-1] else "D"
    return [f"{date_format(start, day)} {text}" for start, text in zip(starts, texts, strict=True)]


def _ticks(starts: list[datetime.datetime], period: Period) -> list[str]:
    """Return what the axis says: quarters of an hour, of a day, or the days of a week."""
    if period is PERIODS[0]:
        return [_time(start) if start.minute % 15 == 0 else "" for start in starts]
    if period is PERIODS[1]:
        return [
            _time(start) if start.hour % 6 == 0 and start.minute < 30 else "" for start in starts
        ]
    days = [None, *(start.date() for start in starts)]
    return [
        date_format(start, "D") if start.date() != before and before is not None else ""
        for start, before in zip(starts, days, strict=False)
    ]
