"""What is wrong with the site itself: settings, modules that fail, system checks, ``TASKS``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage
from django.core.management.base import CommandError

from wagtail_async_hooks import conf
from wagtail_async_hooks.hooks import discovery, takeover
from wagtail_async_hooks.integrations.tasks_backend.backend import leads_here
from wagtail_async_hooks.monitoring.doctor.finding import Code, Finding, Severity

TAG: Final = "wagtail_async_hooks"
"""The tag of this package's own system checks."""

_EXAMINED_HERE: Final = ("E001", "E002", "I001", "W005", "W016", "W017", "W018")
"""Checks of which the doctor says more itself, as it asks databases and Redis."""

_BLANK: Final = ("I001", "W016")

_OURS: Final = '{"default": {"BACKEND": "wagtail_async_hooks.tasks_backend.WagtailTasksBackend"}}'


def mistakes() -> Iterator[Finding]:
    """Yield what is wrong in ``WAGTAIL_TASKS``."""
    for problem in conf.current().problems:
        yield Finding(
            Severity.CRITICAL,
            Code.SETTINGS,
            f"{problem} Until that is corrected, no worker starts.",
            'Correct it; the page "Settings" of the documentation has all settings. '
            '"manage.py check" says whether it is right.',
        )


def failing_modules() -> Iterator[Finding]:
    """Import what a worker would; yield what fails."""
    try:
        discovery.import_all()
        takeover.take_over()
        takeover.provide_tasks()
    except CommandError as error:
        yield Finding(
            Severity.CRITICAL,
            Code.HOOKS,
            f"{error} Until then, neither the site nor a worker works.",
            'Correct it; "manage.py check" shows where it is.',
        )


def failing_checks() -> Iterator[Finding]:
    """Yield what this package's system checks say, but for what is silenced or examined here."""
    for message in _messages():
        if _number(message) in _EXAMINED_HERE or message.level < checks.WARNING:
            continue
        is_error = message.level >= checks.ERROR
        yield Finding(
            Severity.CRITICAL if is_error else Severity.WARNING,
            Code.CHECK,
            f"{message.msg} ({_number(message)})",
            f"{message.hint or 'See the page “Checks” of the documentation.'}",
        )


def blank_backend() -> Iterator[Finding]:
    """Yield that nothing runs in the background, if functions ask for it."""
    for message in _messages():
        if _number(message) in _BLANK:
            yield Finding(
                Severity.WARNING,
                Code.BLANK_BACKEND,
                str(message.msg),
                f'Set {conf.SETTING}["BACKEND"] to "database", and start "manage.py '
                'wagtail_worker".',
            )


def _messages() -> list[CheckMessage]:
    found = checks.run_checks(tags=[TAG])
    return [message for message in found if not message.is_silenced()]


def _number(message: CheckMessage) -> str:
    return str(message.id).rpartition(".")[2]


def tasks_elsewhere() -> Iterator[Finding]:
    """Yield that Wagtail's own work does not get to our workers."""
    given = getattr(django_settings, "TASKS", None) or {}
    backends = [_backend_of(params) for params in given.values()] if given else []
    if any(map(leads_here, backends)):
        return
    default = _backend_of(given.get("default", {})) if given else ""
    where = f"TASKS leads to {default}" if default else "TASKS is not set"
    severity, what = _consequence(default)
    yield Finding(
        severity,
        Code.TASKS_ELSEWHERE,
        f"{where}, so Wagtail's own work, such as its search index, {what}.",
        f"Set TASKS = {_OURS}",
    )


def _consequence(backend: str) -> tuple[Severity, str]:
    """Return what becomes of Wagtail's own work with another backend than ours."""
    if backend.endswith(".DummyBackend"):
        return Severity.WARNING, "is never done"
    if not backend or backend.endswith(".ImmediateBackend"):
        return Severity.WARNING, "is done in the editor's request"
    return Severity.NOTE, "is done there, and not by the workers of this package"


def _backend_of(params: Any) -> str:
    return str(params.get("BACKEND", "")) if isinstance(params, Mapping) else ""
