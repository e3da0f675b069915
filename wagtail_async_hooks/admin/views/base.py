"""What all of the admin's views share: who is let in, and what surrounds their content."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.urls import reverse_lazy
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from wagtail.admin.views.generic.base import WagtailAdminTemplateMixin

from wagtail_async_hooks.admin import banner, sections
from wagtail_async_hooks.admin.permissions import Access
from wagtail_async_hooks.monitoring.moment import Moment
from wagtail_async_hooks.queue.task_queue import background


class AccessMixin:
    """Lets in who may: by default those who may see all tasks, or change them if they post.

    With a blank ``BACKEND`` there are no tasks, and need not be any tables: nothing is found.
    """

    request: HttpRequest

    needs_view = True
    """Whether only those are let in who may see all tasks."""

    needs_change = False
    """Whether only those are let in who may change all tasks."""

    @cached_property
    def access(self) -> Access:
        """What the user may see and change."""
        return Access(self.request.user)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Refuse who may not, as Wagtail does."""
        if background.immediate:
            raise Http404
        self.check_access()
        return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]  # of a mixin

    def check_access(self) -> None:
        """Raise an error unless the user may use this view.

        :raises PermissionDenied: which Wagtail answers with its usual refusal.
        """
        if self.needs_change and not self.access.changes_all:
            raise PermissionDenied
        if self.needs_view and not self.access.views_all:
            raise PermissionDenied


class PageMixin(AccessMixin, WagtailAdminTemplateMixin):  # type: ignore[misc]  # Wagtail has no types
    """A page with our navigation; mix it in before Wagtail's views.

    Templates extend ``wagtail_async_hooks/admin/base.html``, or ``…/listing.html`` for reports.
    """

    section = ""
    """Name of the section that it is, or belongs to."""

    shows_problems = True
    """Whether the banner says what is wrong; one query."""

    header_icon = "tasks"
    template_name = "wagtail_async_hooks/admin/base.html"

    breadcrumbs_items = [
        {"url": reverse_lazy("wagtailadmin_home"), "label": _("Home")},
        {"url": reverse_lazy("wagtail_async_hooks:tasks"), "label": _("Background tasks")},
    ]

    @cached_property
    def moment(self) -> Moment:
        """What the page and its banner need to know of the workers and of what waits."""
        return Moment()

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        """Return where the page is."""
        label, below = self.get_page_title(), self.get_page_subtitle()
        return [*self.breadcrumbs_items, {"url": "", "label": label, "sublabel": below}]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs: the navigation, and what the user may do."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        context["sections"] = sections.links(self.section, views_all=self.access.views_all)
        context["access"] = self.access
        # Around results alone, the page has it already.
        if self.shows_problems and not getattr(self, "results_only", False):
            context.update(banner.context(self.access, self.moment))
        return context
