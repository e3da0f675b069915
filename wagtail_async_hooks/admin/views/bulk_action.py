"""The page of a bulk action that runs in the background: progress, results, cancel and retry."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView, View
from wagtail.admin import messages
from wagtail.admin.admin_url_finder import AdminURLFinder
from wagtail.admin.paginator import WagtailPaginator
from wagtail.admin.utils import get_valid_next_url_from_request
from wagtail.admin.views.generic.base import WagtailAdminTemplateMixin

from wagtail_async_hooks import ledger
from wagtail_async_hooks.integrations.bulk_actions.action_record import RecordedAction
from wagtail_async_hooks.integrations.bulk_actions.calls import label_of
from wagtail_async_hooks.integrations.bulk_actions.words import counted, name_of_many
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import State

PER_PAGE: Final = 50
"""How many objects one page of results shows."""

_FOLDER: Final = "wagtail_async_hooks/bulk_action"


class _BulkActionView(View):
    """What the views of one bulk action share: who may do what."""

    @cached_property
    def action(self) -> RecordedAction:
        """The bulk action that the address names."""
        found = RecordedAction.find(self.kwargs["task_id"])
        if found is None:
            raise Http404
        return found

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Let in who started the action, and who may see, or change, all background tasks."""
        if not (self._may("view") if request.method in ("GET", "HEAD") else self.may_change):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    @cached_property
    def may_change(self) -> bool:
        """Whether the user may cancel the action, and run it again."""
        return self._may("change")

    def _may(self, what: str) -> bool:
        user = self.request.user
        if self.action.row.user_id is not None and self.action.row.user_id == user.pk:
            return True
        permissions = {f"wagtail_async_hooks.{p}_backgroundtask" for p in (what, "change")}
        return any(user.has_perm(permission) for permission in permissions)

    def url(self, name: str = "") -> str:
        """Return an address of this action's."""
        return reverse(f"wagtail_async_hooks:bulk_action{name}", args=[self.kwargs["task_id"]])

    @cached_property
    def next_url(self) -> str:
        """Where the editor came from; blank if that is not known."""
        return str(get_valid_next_url_from_request(self.request))

    def fragments(self) -> dict[str, Any]:
        """Return what the parts of the page that change are made of."""
        action = self.action
        paginator = WagtailPaginator(action.items(), PER_PAGE)
        page = paginator.get_page(self.request.GET.get("p"))
        return {
            "action": action,
            "text": status_text(action),
            "percent": round(100 * (action.done + action.failed) / max(1, action.total)),
            "may_change": self.may_change,
            "no_worker": not action.state.is_final and not ledger.is_served(),
            "results": self._results(page.object_list),
            "objects": name_of_many(action.model, 2),
            "retry_label": retry_label(action),
            **self._left(),
            "page": page,
            "elided_page_range": paginator.get_elided_page_range(page.number),
            "urls": {name: self.url(f"_{name}") for name in ("state", "cancel", "retry")},
            "page_url": self.url(),
            "next_url": self.next_url,
        }

    def _left(self) -> dict[str, Any]:
        """Return what the list of objects needs that have not had their turn."""
        keys = self.action.keys_left(PER_PAGE)
        found = self.action.model._base_manager.in_bulk(keys)
        finder = AdminURLFinder(self.request.user)
        left = [found.get(self.action.model._meta.pk.to_python(key)) for key in keys]
        shown = [(label_of(each), finder.get_edit_url(each) or "") for each in left if each]
        return {"left": shown, "more_left": self.action.left - len(keys)}

    def _results(self, items: Any) -> list[tuple[Any, str]]:
        """Return items, each with the address under which its object is edited, if there is one."""
        items = list(items)
        manager = self.action.model._base_manager
        found = {str(key): o for key, o in manager.in_bulk([item.key for item in items]).items()}
        finder = AdminURLFinder(self.request.user)
        return [
            (item, (item.key in found and finder.get_edit_url(found[item.key])) or "")
            for item in items
        ]


def retry_label(action: RecordedAction) -> str:
    """Return what running an action again would do, in a few words."""
    told = {"failed": action.failed, "left": action.left}
    if action.failed and action.left:
        return _("Retry %(failed)d and go on with %(left)d") % told
    if action.failed:
        return _("Retry %(failed)d") % told
    return _("Go on with %(left)d") % told if action.left else _("Go on")


def status_text(action: RecordedAction) -> str:
    """Say in one or two sentences how far an action is."""
    counts = {
        "done": action.done,
        "failed": action.failed,
        "objects": counted(action.model, action.total),
        "object": name_of_many(action.model, 1),
    }
    parts = [_STATES[action.state], _("%(done)d of %(objects)s done.") % counts]
    if action.failed:
        parts.append(_("%(failed)d failed.") % counts)
    if not action.state.is_final and action.row.cancel_requested:
        parts.append(_("It ends after the current %(object)s.") % counts)
    return " ".join(str(part) for part in parts)


_STATES: Final = {
    State.SCHEDULED: gettext_lazy("Waiting for its time."),
    State.WAITING: gettext_lazy("Waiting for a worker."),
    State.RUNNING: gettext_lazy("Running."),
    State.SUCCEEDED: gettext_lazy("Finished."),
    State.FAILED: gettext_lazy("Finished with errors."),
    State.CANCELLED: gettext_lazy("Cancelled."),
    State.EXPIRED: gettext_lazy("Expired."),
    State.MERGED: gettext_lazy("Done by another task."),
}


class ProgressView(_BulkActionView, WagtailAdminTemplateMixin, TemplateView):  # type: ignore[misc]  # Wagtail has no types
    """The page of one bulk action, which refreshes itself while it runs."""

    template_name = f"{_FOLDER}/progress.html"
    header_icon = "tasks"

    def get_page_title(self) -> str:
        return self.action.title

    def get_page_subtitle(self) -> str:
        return counted(self.action.model, self.action.total)

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        return [*self.breadcrumbs_items, {"url": "", "label": self.get_header_title()}]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), **self.fragments()}


class StateView(_BulkActionView):
    """The parts of that page that change, for its script."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Return how far the action is."""
        context = self.fragments()
        return JsonResponse(
            {
                "state": self.action.row.state,
                "ended": self.action.state.is_final,
                "text": context["text"],
                "done": self.action.done + self.action.failed,
                **{
                    part: render_to_string(f"{_FOLDER}/{part}.html", context, request)
                    for part in ("notes", "buttons", "results")
                },
            }
        )


class _ChangingView(_BulkActionView):
    """Does something to the action, then shows its page again."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Do it, and lead back to the page."""
        self.change()
        query = f"?{urlencode({'next': self.next_url})}" if self.next_url else ""
        return redirect(f"{self.url()}{query}")

    def change(self) -> None:
        """Do it."""
        raise NotImplementedError


class CancelView(_ChangingView):
    """Cancels the action: at once if it waits, after the current object if it runs."""

    def change(self) -> None:
        if not control.cancel([self.action.row.pk]):
            messages.warning(self.request, _("It has ended already."))


class RetryView(_ChangingView):
    """Runs the action again, for the objects that failed or never had their turn."""

    def change(self) -> None:
        if not control.retry([self.action.row.pk]):
            messages.warning(self.request, _("There is nothing to run again."))
