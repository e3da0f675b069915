"""Whether the app is among INSTALLED_APPS, and the error and check if it is not.

Its own system checks do not run then, so that one is registered when the package is first used.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from django.apps import apps
from django.core import checks
from django.core.checks import CheckMessage
from django.urls import URLPattern
from django.urls.resolvers import RegexPattern

from wagtail_async_hooks import conf
from wagtail_async_hooks.exceptions import ConfigurationError

APP: Final = "wagtail_async_hooks"

MISSING: Final = f'"{APP}" is not in INSTALLED_APPS'
HINT: Final = f'Add "{APP}" to INSTALLED_APPS, then run "manage.py migrate {APP}".'


def is_missing() -> bool:
    """Return whether Django is ready, and does not have the app."""
    return apps.apps_ready and APP not in apps.app_configs


def require() -> None:
    """Make sure that the app is installed, under its own label.

    :raises ConfigurationError: if it is not; Django would say of a model what is wrong, and not
        what to do.
    """
    if not is_missing():
        return
    for app in apps.get_app_configs():
        if app.name == APP:
            raise ConfigurationError(
                f"The AppConfig {type(app).__module__}.{type(app).__qualname__} has the label "
                f'"{app.label}"; keep the label "{APP}", by which tables and migrations are named.'
            )
    raise ConfigurationError(f"{MISSING}, so that there are no background tasks. {HINT}")


@cache
def watch() -> None:
    """Have system checks say if the app is missing."""
    if not apps.apps_ready:
        checks.register(check)
    elif is_missing():
        _watch_late()


def check(**kwargs: Any) -> list[CheckMessage]:
    """Return an error if settings or functions ask for background tasks, and the app is missing."""
    if not is_missing() or not conf.current().backend:
        return []
    return [
        checks.Error(
            f"{conf.SETTING} is set, but {MISSING}: functions with background=True run in the "
            "request, and background tasks cannot be enqueued.",
            hint=HINT,
            id="wagtail_async_hooks.E009",
        )
    ]


class _Complaint(URLPattern):
    """An address that matches nothing, and that Django asks what is wrong with it."""

    def check(self) -> list[CheckMessage]:
        return check()


def _watch_late() -> None:
    """Have the check run even if checks run already: they would not notice a further one.

    That is when ``wagtail_hooks.py`` is usually imported: by Wagtail's admin, whose addresses
    Django checks. So it is checked with them.
    """
    from wagtail import hooks

    hooks.register("register_admin_urls", _complaints)


def _complaints() -> list[URLPattern]:
    return [_Complaint(RegexPattern(r"(?!)", is_endpoint=True), _nowhere)]


def _nowhere(request: Any) -> Any:
    raise NotImplementedError
