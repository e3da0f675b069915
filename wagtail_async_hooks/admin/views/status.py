"""The status report, to be pasted into a support request."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView, View

from wagtail_async_hooks.admin.views.base import AccessMixin, PageMixin
from wagtail_async_hooks.monitoring import report


class StatusView(PageMixin, TemplateView):
    """The report on a page, with a button that copies it."""

    section = "workers"
    page_title = gettext_lazy("Status report")
    header_icon = "clipboard-list"
    template_name = "wagtail_async_hooks/admin/status.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs."""
        text = report.text(self.moment)
        return {**super().get_context_data(**kwargs), "text": text, "rows": text.count("\n") + 1}


class TextView(AccessMixin, View):
    """The report as plain text."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Return it."""
        return HttpResponse(report.text(), content_type="text/plain; charset=utf-8")
