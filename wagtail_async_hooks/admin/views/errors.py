"""Errors: the groups of failed tasks, one group's page, and what can be done to all of a group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, ClassVar, Final

from django.contrib.auth import get_user_model
from django.db.models import Case, F, TextField, Value, When
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse, reverse_lazy
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView
from wagtail.admin import messages
from wagtail.admin.ui.tables import BaseColumn, Column, DateColumn
from wagtail.admin.utils import get_user_display_name
from wagtail.admin.views.reports import ReportView

from wagtail_async_hooks import ledger
from wagtail_async_hooks.admin import log_actions, tables
from wagtail_async_hooks.admin.charts import Sparkline
from wagtail_async_hooks.admin.permissions import policy
from wagtail_async_hooks.admin.views.base import AccessMixin, PageMixin
from wagtail_async_hooks.admin.views.selected import tell
from wagtail_async_hooks.admin.views.tasks import Matches
from wagtail_async_hooks.models import BackgroundTask, MutedError
from wagtail_async_hooks.monitoring import errors, finding, overview, plans, tracebacks
from wagtail_async_hooks.monitoring.errors import Errors, Failed, Group
from wagtail_async_hooks.queue.task_queue import background

MOST: Final = 2_000
"""Tasks of a group to which something is done by one request."""

_FOLDER: Final = "wagtail_async_hooks/admin"


def sparkline(group: Group) -> Sparkline:
    """Return a chart of when the tasks of a group failed."""
    styles = ["failed" if number else "plain" for number in group.hourly]
    return Sparkline(group.hourly, _("Failures in the last 24 hours"), styles=styles)


class _ErrorColumn(Column):  # type: ignore[misc]  # Wagtail has no types
    """What a group is called, the error of its newest task, and where it was raised."""

    cell_template_name = f"{_FOLDER}/error_cell.html"


class _SparklineColumn(BaseColumn):  # type: ignore[misc]
    """When the tasks of a group failed."""

    cell_template_name = f"{_FOLDER}/error_sparkline_cell.html"

    def get_cell_context_data(self, instance: Any, parent_context: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_cell_context_data(instance, parent_context)
        context["chart"] = sparkline(instance)
        return context


class _NumberColumn(Column):  # type: ignore[misc]
    """A number."""

    cell_template_name = f"{_FOLDER}/number_cell.html"


class ErrorsView(PageMixin, ReportView):  # type: ignore[misc]
    """The groups of errors: those that are not muted, or those that are."""

    section = "errors"
    page_title = gettext_lazy("Errors")
    header_icon = "warning"
    permission_policy = policy
    template_name = f"{_FOLDER}/errors.html"
    results_template_name = f"{_FOLDER}/errors_results.html"
    index_url_name = "wagtail_async_hooks:errors"
    index_results_url_name = "wagtail_async_hooks:errors_results"
    context_object_name = "groups"
    default_ordering = "-last_seen"
    paginate_by = 20

    columns: ClassVar[list[Any]] = [
        _ErrorColumn("title", label=gettext_lazy("Error"), width="45%"),
        _SparklineColumn("hourly", label=gettext_lazy("Last 24 hours")),
        _NumberColumn("last_hour", label=gettext_lazy("1 h"), sort_key="last_hour"),
        _NumberColumn("last_day", label=gettext_lazy("24 h"), sort_key="last_day"),
        _NumberColumn("last_week", label=gettext_lazy("7 d"), sort_key="last_week"),
        _NumberColumn("number", label=gettext_lazy("All"), sort_key="number"),
        DateColumn("first_seen", label=gettext_lazy("First seen"), sort_key="first_seen"),
        DateColumn("last_seen", label=gettext_lazy("Last seen"), sort_key="last_seen"),
    ]

    @cached_property
    def found(self) -> Errors:
        """All groups."""
        return errors.errors()

    @cached_property
    def shows_muted(self) -> bool:
        """Whether those are asked for that are muted."""
        return bool(self.request.GET.get("muted"))

    def get_filtered_queryset(self) -> list[Group]:
        """Return the groups that are asked for, in the order that is asked for."""
        groups = self.found.muted if self.shows_muted else self.found.open
        ordering = self.ordering
        by: Callable[[Group], Any] = attrgetter(ordering.lstrip("-"))
        return sorted(groups, key=by, reverse=ordering.startswith("-"))

    def get_table(self, object_list: Any) -> Any:
        """Return the table of the groups, with the newest task of each."""
        groups = list(object_list)
        newest = errors.examples(groups)
        for group in groups:
            group.example = newest.get(group.newest)
        return super().get_table(groups)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs beside what Wagtail gives it."""
        found = self.found
        url = self.index_url
        return {
            **super().get_context_data(**kwargs),
            "found": found,
            "shows_muted": self.shows_muted,
            "tabs": [
                (_("Open"), url, len(found.open), not self.shows_muted),
                (_("Muted"), f"{url}?muted=1", len(found.muted), self.shows_muted),
            ],
            "most": overview.RECENT,
        }


class GroupMixin(AccessMixin):
    """What the views of one group share."""

    kwargs: dict[str, Any]

    @cached_property
    def found(self) -> Errors:
        """All groups."""
        return errors.errors()

    @cached_property
    def group(self) -> Group:
        """The group that the address names.

        One that is muted is known by that, also when none of its tasks is there any more.
        """
        key = self.kwargs["key"]
        found = self.found.find(key)
        if found is None and (muted := ledger.muted_errors().get(key)) is not None:
            return _without_tasks(muted)
        if found is None:
            raise Http404
        return found

    @property
    def chosen(self) -> list[Failed]:
        """The tasks to which something is done at once: of very many, the oldest."""
        return self.group.tasks[-MOST:]

    @property
    def url(self) -> str:
        """Its page."""
        return reverse("wagtail_async_hooks:error", args=[self.kwargs["key"]])


def _without_tasks(muted: MutedError) -> Group:
    names = (muted.error_type, muted.function, muted.error_place)
    return Group(*names, muted.muted_at, muted.muted_at, muted=muted)


class _Tasks(Matches):
    """The tasks of a group; the newest one is read with its traceback, by the same statement."""

    def read(self, keys: Sequence[int]) -> list[BackgroundTask]:
        """Return some rows."""
        newest = When(pk=self.keys[0] if self.keys else 0, then=F("traceback"))
        tasks = background.storage.tasks.select_related("subject_type", "worker")
        told = Case(newest, default=Value(""), output_field=TextField())
        found = tasks.defer(*ledger.LARGE).annotate(told=told).in_bulk(list(keys))
        for row in found.values():
            row.traceback = row.told
        return [found[key] for key in keys if key in found]


class ErrorView(GroupMixin, PageMixin, ReportView):  # type: ignore[misc]
    """One group: how often and where, an example with its traceback, and its tasks."""

    section = "errors"
    header_icon = "warning"
    permission_policy = policy
    template_name = f"{_FOLDER}/error.html"
    results_template_name = f"{_FOLDER}/error_results.html"
    context_object_name = "tasks"
    paginate_by = 20
    breadcrumbs_items = [
        *PageMixin.breadcrumbs_items,
        {"url": reverse_lazy("wagtail_async_hooks:errors"), "label": gettext_lazy("Errors")},
    ]

    @cached_property
    def columns(self) -> list[Any]:
        """The columns of the table of tasks."""
        return tables.columns(selects=False)

    def get_page_title(self) -> str:
        return self.group.title

    def get_index_url(self) -> str:
        """Return where the other pages of the list are."""
        return self.url

    def get_filtered_queryset(self) -> Matches:
        """Return the tasks, of which only those are read that a page shows."""
        keys = [each.pk for each in self.group.tasks]
        return _Tasks(keys) if self.access.changes_all else Matches(keys)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs beside what Wagtail gives it."""
        context = super().get_context_data(**kwargs)
        group, chosen = self.group, self.chosen
        context |= {
            "group": group,
            "chart": sparkline(group),
            "muted_by": group.muted and _name_of(group.muted),
            "is_all": self.found.is_all,
            "most": overview.RECENT,
        }
        newest = next(iter(context["object_list"]), None)
        if newest is not None and newest.pk == group.newest:
            context["example"] = newest
            if self.access.changes_all:
                context["traceback"] = tracebacks.frames(newest.traceback)
        if self.access.changes_all:
            context["retry"] = plans.plan(plans.RETRY, chosen) if chosen else None
            context["is_limited"] = len(chosen) < len(self.group.tasks)
        return context


def _name_of(muted: MutedError) -> str:
    """Return what the user is called who has muted a group; blank if nobody knows."""
    try:
        return str(get_user_display_name(muted.user)) if muted.user is not None else ""
    except get_user_model().DoesNotExist:
        return ""


class GroupActionView(GroupMixin, PageMixin, TemplateView):
    """Does something to all tasks of a group, or mutes it; asks first where that destroys."""

    section = "errors"
    needs_change = True
    header_icon = "warning"
    template_name = f"{_FOLDER}/error_action.html"
    breadcrumbs_items = ErrorView.breadcrumbs_items

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Refuse what is no action, and what need not be asked."""
        super().setup(request, *args, **kwargs)
        self.action = self.kwargs["action"]
        if self.action not in ("retry", "discard", "mute", "unmute"):
            raise Http404
        if self.action != "discard":
            self.http_method_names = ["post"]

    def get_page_title(self) -> str:
        return _("Discard all")

    def get_page_subtitle(self) -> str:
        return self.group.title

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the page needs that asks."""
        return {
            **super().get_context_data(**kwargs),
            "group": self.group,
            "number": len(self.chosen),
            "is_limited": len(self.chosen) < len(self.group.tasks),
            "back": self.url,
        }

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Do it, and lead back to the group, or to the list if it is gone."""
        chosen = self.chosen
        if self.action in ("mute", "unmute"):
            self._mute() if self.action == "mute" else self._unmute()
            return redirect(self.url if chosen else "wagtail_async_hooks:errors")
        self._act(plans.ACTIONS[self.action], chosen)
        is_all = len(chosen) == len(self.group.tasks)
        if is_all and not errors.still_failed([each.pk for each in chosen[:1]]).exists():
            return redirect("wagtail_async_hooks:errors")
        return redirect(self.url)

    def _act(self, action: plans.Action, chosen: list[Failed]) -> None:
        request = self.request
        repeats = bool(request.POST.get("repeat"))
        made = plans.plan(action, chosen)
        keys = [each.pk for each in chosen] if repeats else made.keys
        options = {"repeat_side_effects": True} if repeats and action is plans.RETRY else {}
        rows = finding.rows_of(keys) if len(keys) <= log_actions.MOST else []
        # What has been run again meanwhile, and waits or runs, is not meant.
        number = action.do(errors.still_failed(keys), **options) if keys else 0
        told = {"error": self.group.title, "error_key": self.group.key}
        if number and rows:
            log_actions.record(action.log_name, rows, request.user, **told)
        elif number:
            log_actions.record_many(action.log_name, number, request.user, **told)
        tell(request, action, number, len(chosen))

    def _mute(self) -> None:
        group = self.group
        names = (group.error_type, group.function, group.error_place)
        muted, is_new = ledger.mute(*names, user=self.request.user.pk)
        if is_new:
            log_actions.record_muted("mute", muted, self.request.user)
        messages.success(
            self.request, _("The error is muted. Its tasks are kept, and are listed as before.")
        )

    def _unmute(self) -> None:
        muted = ledger.unmute(self.kwargs["key"])
        if muted is not None:
            log_actions.record_muted("unmute", muted, self.request.user)
        messages.success(self.request, _("The error is muted no longer."))
