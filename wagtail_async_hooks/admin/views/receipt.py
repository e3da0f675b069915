"""The publish receipt of an object: what one request did, and how its tasks stand."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView, View
from wagtail.admin.admin_url_finder import AdminURLFinder
from wagtail.admin.utils import get_latest_str
from wagtail.log_actions import registry
from wagtail.models import Page

from wagtail_async_hooks import ledger
from wagtail_async_hooks.admin import receipts as links
from wagtail_async_hooks.admin.views.base import AccessMixin, PageMixin
from wagtail_async_hooks.monitoring import receipts
from wagtail_async_hooks.monitoring.receipts import Receipt
from wagtail_async_hooks.utils.models import to_key

_FOLDER = "wagtail_async_hooks/receipt"

LISTED = 20
"""So many earlier changes are listed."""


class _ReceiptMixin(AccessMixin):
    """What the views of a receipt share: the object, and who may see what became of it."""

    needs_view = False
    kwargs: dict[str, Any]

    @cached_property
    def instance(self) -> Model:
        """The object that the address names."""
        try:
            model = apps.get_model(self.kwargs["model"])
        except (LookupError, ValueError):
            raise Http404 from None
        key = to_key(model, unquote(self.kwargs["pk"]))
        found = None if key is None else model._default_manager.filter(pk=key).first()
        if found is None:
            raise Http404
        instance: Model = found.specific if isinstance(found, Page) else found
        return instance

    @cached_property
    def subject(self) -> receipts.Subject:
        """How rows name the object."""
        return links.subject_of(self.instance)

    def check_access(self) -> None:
        """Let in who may edit the object, or see all tasks.

        :raises PermissionDenied: if the user may do neither.
        """
        super().check_access()
        if not self.access.views_all and not self.access.may_edit(self.subject):
            raise PermissionDenied

    @cached_property
    def receipt(self) -> Receipt:
        """The receipt of the request that the address names."""
        cause = self.kwargs["cause"]
        rows = receipts.tasks_of(cause)
        if not self.access.views_all:
            self.access.learn((row.subject_type_id, row.subject_id) for row in rows)
        title = get_latest_str(self.instance)
        return receipts.receipt(self.instance, title, cause, rows, self.access.may_see)

    def live_context(self) -> dict[str, Any]:
        """Return what the part of the page needs that changes."""
        return {
            "receipt": self.receipt,
            "steps": [
                (step, number, links.url_of_step(step, self.access))
                for step, number in self.receipt.lines
            ],
            "no_worker": bool(self.receipt.open) and not ledger.is_served(),
        }


class ReceiptView(_ReceiptMixin, PageMixin, TemplateView):
    """The page of one receipt, which refreshes itself while something is unfinished."""

    section = "tasks"
    template_name = f"{_FOLDER}/receipt.html"
    page_title = _("Receipt")
    header_icon = "tasks"

    def get_page_subtitle(self) -> str:
        return self.receipt.title

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs."""
        names = [self.kwargs["model"], self.kwargs["pk"]]
        return {
            **super().get_context_data(**kwargs),
            **self.live_context(),
            "edit_url": AdminURLFinder(self.request.user).get_edit_url(self.instance),
            "state_url": reverse(
                "wagtail_async_hooks:receipt_state", args=[*names, self.kwargs["cause"]]
            ),
            "all_url": reverse("wagtail_async_hooks:receipts", args=names),
        }


class ReceiptStateView(_ReceiptMixin, View):
    """What changes of a receipt, for the scripts of its page and of the editor."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Return how it stands."""
        if "brief" in request.GET:
            html = render_to_string(f"{_FOLDER}/brief.html", {"receipt": self.receipt})
        else:
            html = render_to_string(f"{_FOLDER}/steps.html", self.live_context(), request)
        return JsonResponse(
            {
                "html": html,
                "state": self.receipt.state,
                "said": self.receipt.summary,
                "ended": not self.receipt.open,
            }
        )


class ReceiptsView(_ReceiptMixin, PageMixin, TemplateView):
    """The newest changes to an object, each with the way to its receipt."""

    section = "tasks"
    template_name = f"{_FOLDER}/receipts.html"
    page_title = _("Receipts")
    header_icon = "tasks"

    def get_page_subtitle(self) -> str:
        return str(get_latest_str(self.instance))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs."""
        entries = registry.get_logs_for_instance(self.instance).filter(uuid__isnull=False)
        newest = entries.select_related("user").order_by("-timestamp")[: 3 * LISTED]
        by_cause: dict[Any, list[Any]] = {}
        for entry in newest:
            by_cause.setdefault(entry.uuid, []).append(entry)
        return {
            **super().get_context_data(**kwargs),
            "changes": [
                (of_one, links.url_of(self.instance, cause))
                for cause, of_one in list(by_cause.items())[:LISTED]
            ],
            "edit_url": AdminURLFinder(self.request.user).get_edit_url(self.instance),
        }
