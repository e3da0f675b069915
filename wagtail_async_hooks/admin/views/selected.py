"""What can be done with selected tasks, told before it is done, and then done."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.generic import TemplateView
from wagtail.admin import messages
from wagtail.admin.utils import get_valid_next_url_from_request

from wagtail_async_hooks.admin import log_actions
from wagtail_async_hooks.admin.views.base import PageMixin
from wagtail_async_hooks.admin.views.tasks import SearchMixin
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.monitoring import finding, plans
from wagtail_async_hooks.queue.task_queue import background

MOST: Final = 500
"""Tasks that can be selected one by one; all that match can be more."""

_OWN: Final = {"id", "all", "last", "action", "next", "repeat", "csrfmiddlewaretoken"}


class SelectedView(SearchMixin, PageMixin, TemplateView):
    """Shows what can be done with the tasks that were selected, and does it if asked to."""

    section = "tasks"
    needs_view = False
    page_title = _("Selected tasks")
    template_name = "wagtail_async_hooks/admin/selected.html"

    @cached_property
    def asked(self) -> QueryDict:
        """The parameters that say what was selected."""
        given: QueryDict = self.request.POST if self.request.method == "POST" else self.request.GET
        return given

    @cached_property
    def rows(self) -> list[Any]:
        """The tasks that were selected, and that the user may change."""
        if self.asked.get("all"):
            rows = self.find(_NEEDED).rows
        else:
            keys = [int(key) for key in self.asked.getlist("id")[:MOST] if _is_key(key)]
            named = background.storage.tasks.filter(pk__in=keys).order_by("-pk")
            rows = self.access.visible(named.only(*_NEEDED))
        last = self.asked.get("last", "")
        return [row for row in rows if row.pk <= int(last)] if _is_key(last) else rows

    @cached_property
    def actions(self) -> list[plans.Action]:
        """What the user may do: to discard is for those alone who may change all."""
        everything = self.access.changes_all
        may = everything or not self.access.views_all or bool(self._changeable)
        possible = plans.ACTIONS.values() if may else ()
        return [action for action in possible if everything or not action.destroys]

    @cached_property
    def _changeable(self) -> list[Any]:
        """The selected tasks that the user may change; who may see all need not be allowed to."""
        if self.access.changes_all:
            return self.rows
        self.access.learn((row.subject_type_id, row.subject_id) for row in self.rows)
        return [row for row in self.rows if self.access.may_change(row)]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs."""
        rows = self._changeable
        selection = [
            (name, value)
            for name, values in self.asked.lists()
            for value in values
            if name in ("id", "all") or name not in _OWN
        ]
        return {
            **super().get_context_data(**kwargs),
            "plans": plans.plans(rows, self.actions),
            "total": len(rows),
            "selection": selection,
            "last": max((row.pk for row in rows), default=0),
            "next_url": self.next_url,
        }

    @cached_property
    def next_url(self) -> str:
        """Where the user came from: the report, with its filters."""
        given = str(get_valid_next_url_from_request(self.request))
        if given:
            return given
        query = self.asked.copy()
        for name in _OWN:
            query.pop(name, None)
        encoded = query.urlencode()
        report = reverse("wagtail_async_hooks:tasks")
        return f"{report}?{encoded}" if encoded else report

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Do it, and lead back."""
        action = plans.ACTIONS.get(request.POST.get("action", ""))
        if action not in self.actions:
            raise PermissionDenied
        made = plans.plan(action, self._changeable)
        options = {}
        keys = made.keys
        if request.POST.get("repeat") and made.side_effects:
            keys = [row.pk for row in self._changeable if plans.can(action, row)]
            options["repeat_side_effects"] = True
        rows = self._logged(keys)
        number = action.do(keys, **options) if keys else 0
        if number and rows:
            log_actions.record(action.log_name, rows, request.user)
        elif number:
            log_actions.record_many(action.log_name, number, request.user)
        tell(request, action, number, len(self._changeable))
        return redirect(self.next_url)

    @staticmethod
    def _logged(keys: list[int]) -> list[BackgroundTask]:
        """Return the tasks for which there is to be an entry each in the log; none if too many."""
        return finding.rows_of(keys) if len(keys) <= log_actions.MOST else []


_NEEDED: Final = (*plans.COLUMNS, *finding.OF_ACCESS)


def _is_key(text: str) -> bool:
    return text.isdecimal() and len(text) < 19


def tell(request: HttpRequest, action: plans.Action, number: int, total: int) -> None:
    """Say to how many tasks something was done."""
    told = {
        plans.RETRY.name: ngettext(
            "%(number)d task waits to be run again.",
            "%(number)d tasks wait to be run again.",
            number,
        ),
        plans.RUN_NOW.name: ngettext(
            "%(number)d task waits for a worker now.",
            "%(number)d tasks wait for a worker now.",
            number,
        ),
        plans.CANCEL.name: ngettext(
            "%(number)d task is cancelled, or will be when it next reports its progress.",
            "%(number)d tasks are cancelled, or will be when they next report their progress.",
            number,
        ),
        plans.DISCARD.name: ngettext(
            "%(number)d task was discarded.", "%(number)d tasks were discarded.", number
        ),
    }[action.name]
    level = messages.success if number else messages.warning
    left = total - number
    if left > 0:
        told += " " + ngettext(
            "%(left)d was left as it is.", "%(left)d were left as they are.", left
        )
    level(request, told % {"number": number, "left": left})
