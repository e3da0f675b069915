"""The banner that says what is wrong, on Wagtail's home page and on the pages about tasks."""

from __future__ import annotations

from typing import Any, Final

from django.urls import reverse

from wagtail_async_hooks.admin.permissions import Access
from wagtail_async_hooks.monitoring import problems
from wagtail_async_hooks.monitoring.moment import Moment

TEMPLATE: Final = "wagtail_async_hooks/admin/problems.html"


def context(access: Access, moment: Moment) -> dict[str, Any]:
    """Return what the template needs: the problems as the user may know them; one query.

    Who may not see all tasks learns what it means for the site, and neither why nor where.
    """
    found = problems.problems(moment)
    if access.views_all:
        told = [
            {"text": each.text, "url": reverse(f"wagtail_async_hooks:{each.page}")}
            for each in found
        ]
    else:
        effects = dict.fromkeys(each.effect for each in found if each.effect)
        told = [{"text": effect, "url": ""} for effect in effects]
    is_critical = any(each.severity == "critical" for each in found)
    return {"problems": told, "severity": "critical" if is_critical else "warning"}
