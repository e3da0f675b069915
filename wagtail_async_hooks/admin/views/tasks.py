"""The report of all background tasks: Reports, *Background tasks*."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin.views.reports import ReportView

from wagtail_async_hooks.admin import tables
from wagtail_async_hooks.admin.filters import TaskFilterSet, criteria_of
from wagtail_async_hooks.admin.permissions import Access, policy
from wagtail_async_hooks.admin.views.base import PageMixin
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import description, finding, overview
from wagtail_async_hooks.types import State

WINDOW_OF_EDITORS: Final = 2_000
"""Rows that are read for somebody who may not see all: each one's object has to be asked for."""

STATES: Final = (
    State.FAILED,
    State.RUNNING,
    State.WAITING,
    State.SCHEDULED,
    State.SUCCEEDED,
    State.CANCELLED,
    State.EXPIRED,
    State.MERGED,
)
"""In the order in which they are shown: what needs somebody first."""

_EXPORT_AT_ONCE: Final = 500


class Matches(Sequence[BackgroundTask]):
    """Tasks of which only those are read that a page shows.

    :param keys: their primary keys.
    :param users: who were read already, by primary key.
    """

    def __init__(
        self, keys: Sequence[int], users: Mapping[Any, Any] = MappingProxyType({})
    ) -> None:
        self.keys = keys
        self.users = users

    def read(self, keys: Sequence[int]) -> list[BackgroundTask]:
        """Return some rows."""
        return finding.rows_of(keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(tables.prepare(self.read(self.keys[index]), self.users))
        return self[index : index + 1][0]

    def __iter__(self) -> Iterator[BackgroundTask]:
        for start in range(0, len(self.keys), _EXPORT_AT_ONCE):
            yield from self[start : start + _EXPORT_AT_ONCE]


class SearchMixin:
    """Finds the tasks that a request asks for by filters and text, of those the user may see."""

    request: Any
    access: Access

    @cached_property
    def found(self) -> finding.Found:
        """What the filters and the search leave."""
        return self.find()

    def find(self, also: Sequence[str] = ()) -> finding.Found:
        """Return what the filters and the search leave.

        :param also: columns that are wanted of the rows.
        """
        asked = criteria_of(
            self.asked_filters,
            text=self.asked.get("q", ""),
            before=self.asked.get("before"),
            arguments=self.access.changes_all,
        )
        if self.access.views_all:
            return finding.find(asked, also=also)
        return find_visible(self.access, asked, also)

    @cached_property
    def asked(self) -> Any:
        """The parameters that say what is looked for."""
        return self.request.GET

    @cached_property
    def asked_filters(self) -> TaskFilterSet:
        """The filters, with what was chosen."""
        return TaskFilterSet(self.asked, request=self.request, views_all=self.access.views_all)


def find_visible(
    access: Access, asked: finding.Criteria, also: Sequence[str] = ()
) -> finding.Found:
    """Return what somebody may see who may not see all: of the newest tasks."""

    def keep(rows: Sequence[Any]) -> Iterable[Any]:
        return access.visible(rows)

    limited = {name: getattr(asked, name) for name in asked.__dataclass_fields__}
    limited["limit"] = WINDOW_OF_EDITORS
    return finding.find(finding.Criteria(**limited), keep, also)


class TasksView(SearchMixin, PageMixin, ReportView):  # type: ignore[misc]  # Wagtail has no types
    """The tasks that the user may see, the newest first."""

    section = "tasks"
    needs_view = False
    page_title = gettext_lazy("Background tasks")
    permission_policy = policy
    template_name = "wagtail_async_hooks/admin/tasks.html"
    results_template_name = "wagtail_async_hooks/admin/tasks_results.html"
    index_url_name = "wagtail_async_hooks:tasks"
    index_results_url_name = "wagtail_async_hooks:tasks_results"
    filterset_class = TaskFilterSet
    is_searchable = True
    paginate_by = 25  # a row takes as long to draw as all the queries of the page together
    context_object_name = "tasks"
    export_filename = "background-tasks"
    list_export = (
        "pk",
        "what",
        "state",
        "hook",
        "function",
        "queue",
        "priority",
        "caused_by",
        "subject_title",
        "enqueued_at",
        "started_at",
        "finished_at",
        "attempt",
        "error_type",
        "error",
    )
    export_headings = {
        "pk": gettext_lazy("Number of the task"),
        "what": gettext_lazy("Task"),
        "state": gettext_lazy("State"),
        "hook": gettext_lazy("Hook"),
        "function": gettext_lazy("Function"),
        "queue": gettext_lazy("Queue"),
        "priority": gettext_lazy("Priority"),
        "caused_by": gettext_lazy("Caused by"),
        "subject_title": gettext_lazy("Object"),
        "enqueued_at": gettext_lazy("Enqueued"),
        "started_at": gettext_lazy("Begun"),
        "finished_at": gettext_lazy("Ended"),
        "attempt": gettext_lazy("Attempts"),
        "error_type": gettext_lazy("Class of the error"),
        "error": gettext_lazy("Error"),
    }

    @cached_property
    def columns(self) -> list[Any]:
        """The columns of the table."""
        return tables.columns(selects=True)

    @cached_property
    def filters(self) -> TaskFilterSet:
        """Wagtail's name for the filters."""
        return self.asked_filters

    @cached_property
    def is_filtering(self) -> bool:
        """Whether any filter is on."""
        return bool(self.filters.is_valid() and self.filters.form.has_changed())

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        """Return where the page is; it is the first of its section."""
        return [*self.breadcrumbs_items[:1], {"url": "", "label": self.get_page_title()}]

    def get_filtered_queryset(self) -> Matches:
        """Return what the filters and the search leave."""
        return Matches(self.found.keys, self.asked_filters.users)

    def to_row_dict(self, item: Any) -> Any:
        """Return the cells of a row of a spreadsheet; no text in it is taken for a formula."""
        item.what = description.title_of(item)
        return {name: _harmless(value) for name, value in super().to_row_dict(item).items()}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs beside what Wagtail gives it."""
        context = super().get_context_data(**kwargs)
        if not self.is_export:
            found = self.found
            context["states"] = self._states()
            context["looked_at"] = 0 if found.is_all else found.looked_at
            context["older_url"] = self._url(before=found.last) if found.last else ""
            chosen = self.request.GET.lists()
            context["criteria"] = [
                (name, value)
                for name, values in chosen
                for value in values
                if name not in ("id", "all", "p", "export", "_w_filter_fragment")
            ]
        return context

    def _states(self) -> list[dict[str, Any]]:
        """Return the states, each with the number of its tasks, as links that are filters."""
        current = self.request.GET.get("state", "")
        counts = overview.bounded_counts() if self.access.views_all else {}
        links: list[dict[str, Any]] = [
            {"label": _("All"), "url": self._url(state=None), "is_current": not current}
        ]
        for state in STATES:
            count = counts.get(state)
            if self.access.views_all and not (count and count.number) and current != state:
                continue
            links.append(
                {
                    "label": state.label,
                    "url": self._url(state=state.value),
                    "is_current": current == state,
                    "number": count and count.number,
                    "is_more": count is not None and not count.is_all,
                }
            )
        return links

    def _url(self, **changes: Any) -> str:
        """Return the address of this report with some parameters changed, from its first page."""
        query = self.request.GET.copy()
        for name in ("p", "before", "_w_filter_fragment"):
            query.pop(name, None)
        for name, value in changes.items():
            query.pop(name, None)
            if value is not None:
                query[name] = value
        encoded = urlencode(list(query.lists()), doseq=True)
        return f"{self.index_url}?{encoded}" if encoded else str(self.index_url)


def _harmless(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: those run what they are told."""
    is_formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if is_formula else value
