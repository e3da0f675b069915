"""Functions for all hooks and signals that tell whatever reached them: well, and by an error.

What a function reads from the database in a worker was stored by others, so it is not told. What
was carried is: the request, and copies of objects that were deleted.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.http import HttpRequest
from wagtail.signals import page_published

from wagtail_async_hooks import background, background_task, hooks, receiver
from wagtail_async_hooks.hooks.catalogue import BACKGROUND_SAFE

SIGNALS: Final = (
    post_save,
    post_delete,
    m2m_changed,
    page_published,
    user_logged_in,
    user_logged_out,
)


def register() -> None:
    """Have everything told that happens on the site, by this process and its workers."""
    for hook in BACKGROUND_SAFE:
        hooks.register(hook, tell, background=True)
        hooks.register(hook, complain, background=True)
    receiver(SIGNALS, background=True)(tell)
    receiver(SIGNALS, background=True)(complain)


def tell(*args: Any, **kwargs: Any) -> None:
    """Tell the editor, if there is one."""
    if not background_task:
        return  # in the request there is everything
    for value in args:
        if isinstance(value, HttpRequest):
            messages.info(value, all_about([args, kwargs]))


def complain(*args: Any, **kwargs: Any) -> None:
    """Raise an error."""
    if background_task:
        raise ValueError(all_about([args, kwargs]))


@background.task()
def recite(value: Any) -> str:
    """Return what is told as the result of a task."""
    return all_about(value)


def all_about(value: Any) -> str:
    """Return whatever can be got at."""
    if isinstance(value, HttpRequest):
        names = [name for name in dir(value) if name not in ("user", "auser")]
        return " ".join(f"{name}: {_attempt(value, name)}" for name in names)
    if isinstance(value, Model):
        was_carried_whole = value._state.adding
        return repr(vars(value)) if was_carried_whole else f"{value._meta.label} {value.pk}"
    if isinstance(value, dict):
        return " ".join(f"{name}: {all_about(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(all_about(item) for item in value)
    return repr(value)


def _attempt(request: HttpRequest, name: str) -> str:
    try:
        return repr(getattr(request, name))
    except Exception as error:
        return repr(error)
