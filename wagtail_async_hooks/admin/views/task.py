"""The page of one task, its live parts, and what can be done to it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.views.generic import TemplateView, View
from wagtail.admin.admin_url_finder import AdminURLFinder
from wagtail.admin.utils import get_user_display_name, get_valid_next_url_from_request
from wagtail.models import DraftStateMixin

from wagtail_async_hooks.admin import links, log_actions, receipts, tables
from wagtail_async_hooks.admin.charts import DURATIONS, BarChart, Series
from wagtail_async_hooks.admin.filters import label_of
from wagtail_async_hooks.admin.views.base import AccessMixin, PageMixin
from wagtail_async_hooks.admin.views.selected import tell
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import description, plans
from wagtail_async_hooks.monitoring.details import Details
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.utils.models import to_key

_FOLDER = "wagtail_async_hooks/admin"


class OneTaskMixin(AccessMixin):
    """What the views of one task share: the task, and who may see it."""

    needs_view = False
    kwargs: dict[str, Any]

    @cached_property
    def row(self) -> BackgroundTask:
        """The task that the address names."""
        tasks = background.storage.tasks.select_related("subject_type", "worker")
        found = tasks.filter(pk=self.kwargs["pk"]).first()
        if found is None:
            raise Http404
        return found

    def check_access(self) -> None:
        """Let in who may see this task.

        :raises PermissionDenied: if the user may not.
        """
        super().check_access()
        if not self.access.may_see(self.row):
            raise PermissionDenied

    @cached_property
    def details(self) -> Details:
        """What is known of it."""
        description.name_subjects([self.row])
        return Details(self.row)

    @cached_property
    def actions(self) -> list[plans.Action]:
        """What the user may do to it, and its state allows."""
        if not self.access.may_change(self.row):
            return []
        return [
            action
            for action in plans.ACTIONS.values()
            if plans.can(action, self.row) and (self.access.changes_all or not action.destroys)
        ]

    def live_context(self) -> dict[str, Any]:
        """Return what the parts of the page need that change while the task runs."""
        row = self.row
        percent = 0
        if row.progress_total:
            percent = min(100, round(100 * (row.progress_done or 0) / row.progress_total))
        return {
            "row": row,
            "details": self.details,
            "percent": percent,
            "user_name": self.details.user and get_user_display_name(self.details.user),
            "actions": [
                (
                    action,
                    reverse("wagtail_async_hooks:task_action", args=[row.pk, action.name]),
                    action.destroys or plans.repeats(action, row),
                )
                for action in self.actions
            ],
            "shows_tracebacks": self.access.changes_all,
            "shows_internals": self.access.views_all,
        }


class TaskView(OneTaskMixin, PageMixin, TemplateView):
    """The page of one task."""

    section = "tasks"
    shows_problems = False  # it says itself why this task waits
    template_name = f"{_FOLDER}/task.html"

    def get_page_title(self) -> str:
        return self.details.title

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs."""
        details = self.details
        return {
            **super().get_context_data(**kwargs),
            **self.live_context(),
            "object": self._object(),
            "action_url": links.url_of(self.row) if self._shows_objects else "",
            "receipt_url": self._receipt_url(),
            "object_filter": label_of(self.row),
            "chart": self._chart(),
            "related": self._related(),
            "log": log_actions.newest_about(self.row, self.instance),
            "arguments": details.arguments if self.access.changes_all else None,
            "result": details.result if self.access.changes_all else None,
            "options": details.options if self.access.views_all else (),
            "state_url": reverse("wagtail_async_hooks:task_state", args=[self.row.pk]),
            "is_live": not details.state.is_final,
        }

    @property
    def _shows_objects(self) -> bool:
        """Whether it is a bulk action whose page the user may see."""
        is_own = self.row.user_id is not None and self.row.user_id == self.request.user.pk
        return links.is_bulk_action(self.row) and (is_own or self.access.views_all)

    def _receipt_url(self) -> str:
        """Return the address of what else the same request led to; blank if there is none."""
        cause, instance = self.row.cause, self.instance
        if cause is None or instance is None or not self.access.may_edit(_subject(self.row)):
            return ""
        return receipts.url_of(instance, cause)

    @cached_property
    def instance(self) -> Model | None:
        """The object that it is about, if it is there still."""
        return _instance(self.row)

    def _object(self) -> dict[str, Any] | None:
        """Return the object as it is now, with its links, as far as the user may edit it."""
        row = self.row
        if row.subject_type is None or not row.subject_id:
            return None
        told: dict[str, Any] = {
            "title": description.subject_of(row),
            "kind": row.subject_type.name,
            "instance": None,
        }
        instance = self.instance
        if instance is not None:
            told["instance"] = instance
            told["title"] = str(instance)
            told["status"] = _status(instance)
            finder = AdminURLFinder(self.request.user)
            told["edit_url"] = finder.get_edit_url(instance)
            if getattr(instance, "live", False) and hasattr(instance, "get_url"):
                told["url"] = instance.get_url(self.request)
        return told

    def _chart(self) -> BarChart | None:
        """Return how long earlier runs of the same function took, beside this one."""
        runs = self.details.runs if self.access.views_all else []
        if len(runs) < 2:
            return None
        own, good, bad = [], [], []
        for run in runs:
            is_own, failed = run.pk == self.row.pk, run.state == "failed"
            own.append(run.seconds if is_own else 0.0)
            good.append(0.0 if is_own or failed else run.seconds)
            bad.append(run.seconds if failed and not is_own else 0.0)
        series = [
            Series(_("This run"), own, "plain"),
            Series(_("Succeeded"), good, "succeeded"),
            Series(_("Failed"), bad, "failed"),
        ]
        labels = [f"#{run.pk}" for run in runs]
        title = _("Duration of the latest runs of this function")
        return BarChart("runs", title, labels, series, scale=DURATIONS)

    def _related(self) -> list[tuple[Any, list[BackgroundTask]]]:
        """Return the tasks that it belongs together with, of those the user may see."""
        details = self.details
        groups: list[tuple[Any, list[BackgroundTask]]] = [
            (_("Done by"), [details.merged_into] if details.merged_into else []),
            (_("Done for these tasks as well"), details.merged),
            (_("Follow it"), details.next_ones),
            (_("Caused by the same action"), details.siblings),
        ]
        visible = [(label, self.access.visible(rows)) for label, rows in groups]
        tables.prepare([row for _label, rows in visible for row in rows])
        return [(label, rows) for label, rows in visible if rows]


def _status(instance: Model) -> str:
    """Return whether an object is live; Wagtail's own tag would ask for its schedule, too."""
    if not isinstance(instance, DraftStateMixin):
        return ""
    if not instance.live:
        return _("Draft")
    return _("Live, with an unpublished draft") if instance.has_unpublished_changes else _("Live")


def _subject(row: BackgroundTask) -> tuple[int | None, str]:
    return row.subject_type_id, row.subject_id


def _instance(row: BackgroundTask) -> Model | None:
    """Return the object that a task is about, if it is there still."""
    kind = row.subject_type
    model = None if kind is None else kind.model_class()
    if model is None:
        return None
    key = to_key(model, row.subject_id)
    if key is None:
        return None
    found: Model | None = model._base_manager.filter(pk=key).first()
    return found


class TaskStateView(OneTaskMixin, View):
    """The parts of a task's page that change, for its script."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Return how the task stands."""
        html = render_to_string(f"{_FOLDER}/task_live.html", self.live_context(), request)
        state = self.details.state
        return JsonResponse(
            {
                "html": html,
                "state": self.row.state,
                "said": f"{state.label}. {self.details.sentence}",
                "ended": state.is_final,
            }
        )


class TaskActionView(OneTaskMixin, PageMixin, TemplateView):
    """Does something to one task; asks first, by a page, where that destroys or repeats."""

    section = "tasks"
    template_name = f"{_FOLDER}/task_action.html"

    @cached_property
    def action(self) -> plans.Action:
        """What is to be done."""
        found = plans.ACTIONS.get(self.kwargs["action"])
        if found is None:
            raise Http404
        return found

    def check_access(self) -> None:
        """Let in who may do this.

        :raises PermissionDenied: if the user may not.
        """
        super().check_access()
        if not self.access.may_change(self.row):
            raise PermissionDenied
        if self.action.destroys and not self.access.changes_all:
            raise PermissionDenied

    def get_page_title(self) -> str:
        return str(self.action.label)

    def get_page_subtitle(self) -> str:
        return self.details.title

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the page needs that asks."""
        return {
            **super().get_context_data(**kwargs),
            "row": self.row,
            "action": self.action,
            "is_possible": plans.can(self.action, self.row),
            "repeats": plans.repeats(self.action, self.row),
            "back": reverse("wagtail_async_hooks:task", args=[self.row.pk]),
        }

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Do it, and lead back to the task, or to the list if it is gone."""
        action, row = self.action, self.row
        options = {}
        if plans.repeats(action, row):
            if not request.POST.get("repeat"):
                return redirect(request.path)
            options["repeat_side_effects"] = True
        number = action.do([row.pk], **options)
        if number:
            log_actions.record(action.log_name, row, request.user)
        tell(request, action, number, 1)
        return redirect(self._next(number))

    def _next(self, number: int) -> str:
        given = str(get_valid_next_url_from_request(self.request))
        if given:
            return given
        if self.action.destroys and number:
            return reverse("wagtail_async_hooks:tasks")
        return reverse("wagtail_async_hooks:task", args=[self.row.pk])
