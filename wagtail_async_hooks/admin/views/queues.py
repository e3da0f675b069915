"""The page of the queues: what waits, for how long, who serves it, and what is paused."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db import router
from django.urls import reverse
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView
from wagtail.admin.utils import get_user_display_name

from wagtail_async_hooks import ledger
from wagtail_async_hooks.admin import log_actions
from wagtail_async_hooks.admin.views.base import PageMixin
from wagtail_async_hooks.admin.views.pauses import pause_url
from wagtail_async_hooks.models import Pause
from wagtail_async_hooks.monitoring import description, queues
from wagtail_async_hooks.utils.time import short_duration


class QueuesView(PageMixin, TemplateView):
    """All queues."""

    section = "queues"
    page_title = gettext_lazy("Queues")
    header_icon = "list-ul"
    template_name = "wagtail_async_hooks/admin/queues.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the template needs."""
        found = queues.overview(self.moment)
        here = reverse("wagtail_async_hooks:queues")
        description.name_subjects(line.oldest for line in found.lines if line.oldest is not None)
        names = _who_paused() if self.moment.pauses else {}
        return {
            **super().get_context_data(**kwargs),
            "lines": [
                {
                    "line": line,
                    "waited": short_duration(line.waited.total_seconds()) if line.waited else "",
                    "expected": short_duration(line.expected.total_seconds())
                    if line.expected is not None
                    else "",
                    "by": names.get(line.pause.pk, "") if line.pause else "",
                    "pause_url": pause_url(Pause.Kind.QUEUE, line.name, here),
                }
                for line in found.lines
            ],
            "paused": found.paused,
            "paused_by": names.get(found.paused.pk, "") if found.paused else "",
            "others": [
                (pause, log_actions.described(pause.kind, pause.name), names.get(pause.pk, ""))
                for pause in found.others
            ],
            "pause_all_url": pause_url(Pause.Kind.EVERYTHING, "", here),
        }


def _who_paused() -> dict[int, str]:
    """Return what those are called who made the pauses, by one query where that can tell."""
    if router.db_for_read(get_user_model()) != ledger.database():
        return {}
    pauses = Pause.objects.using(ledger.database()).select_related("user")
    return {pause.pk: get_user_display_name(pause.user) for pause in pauses if pause.user}
