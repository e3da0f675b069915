"""What surrounds a call, for it to go on in another thread: language, time zone, address, editor.

Context variables can be copied. But Django and Wagtail keep these in ``asgiref.local.Local``, which
since asgiref 3.13 shows them only to the thread that has set them, or where asgiref moves a call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.urls import get_script_prefix, get_urlconf, set_script_prefix, set_urlconf
from django.utils import timezone, translation
from wagtail.log_actions import activate, get_active_log_context


def taken() -> Callable[[], None]:
    """Return what sets in another thread what is set in this one."""
    parts = [
        partial(_activate_language, translation.get_language()),
        partial(timezone.activate, timezone.get_current_timezone()),
        partial(set_script_prefix, get_script_prefix()),
        partial(set_urlconf, get_urlconf()),
        partial(activate, get_active_log_context()),
    ]

    def enter() -> None:
        for part in parts:
            part()

    return enter


def _activate_language(language: str | None) -> None:
    if language is None:
        translation.deactivate_all()
    else:
        translation.activate(language)
