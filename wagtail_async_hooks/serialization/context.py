"""What surrounds the call of a function: language, time zone, who acts, and which revision."""

from __future__ import annotations

import contextvars
import datetime
import decimal
import threading
import uuid
import zoneinfo
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model
from django.urls import get_script_prefix, get_urlconf, set_script_prefix, set_urlconf
from django.utils import timezone, translation
from wagtail.log_actions import LogContext, activate, get_active_log_context

from wagtail_async_hooks.observers import Carried
from wagtail_async_hooks.serialization.revisions import Target


class Context(NamedTuple):
    """Language, time zone, user and so on; ``None`` means the site's default.

    :param language: the active one.
    :param time_zone: the active one.
    :param user: primary key of the user whom Wagtail's log names.
    :param log: the id by which Wagtail's log groups its entries.
    :param target: the object and revision that the call is about.
    :param script_prefix: prefix of the path in the URLs of the site.
    :param urlconf: the module of the site's URLs, if that depends on the request.
    :param carried: what :mod:`~wagtail_async_hooks.observers` pass on.
    """

    language: str | None = None
    time_zone: datetime.tzinfo | None = None
    user: Any = None
    log: uuid.UUID | None = None
    target: Target | None = None
    script_prefix: str | None = None
    urlconf: str | None = None
    carried: Carried | None = None

    @classmethod
    def capture(cls, target: Target | None = None) -> Context:
        """Return what surrounds the caller now.

        :param target: what the call is about.
        """
        language, zone = translation.get_language(), timezone.get_current_timezone()
        is_serializable = isinstance(zone, zoneinfo.ZoneInfo | datetime.timezone)
        acting = get_active_log_context()
        prefix, urlconf = get_script_prefix(), get_urlconf()
        return cls(
            None if language == settings.LANGUAGE_CODE else language,
            zone if is_serializable and zone != timezone.get_default_timezone() else None,
            getattr(acting.user, "pk", None),
            acting.uuid,
            target,
            None if prefix == _site_prefix() else str(prefix),
            urlconf if isinstance(urlconf, str) and urlconf != settings.ROOT_URLCONF else None,
        )

    def __repr__(self) -> str:
        # A user's key may be an e-mail address.
        return f"<Context {self.language or ''} {self.time_zone or ''}>"

    def about(self, target: Target | None) -> Context:
        """Return the same context for a call that is about something else."""
        return self._replace(target=target)

    def payload(self) -> dict[str, Any]:
        """Return the payload of the context, without defaults."""
        payload = {
            "language": self.language,
            "time_zone": self.time_zone,
            "user": self.user,
            "log": self.log,
            "target": self.target and self.target.payload(),
            "script_prefix": self.script_prefix,
            "urlconf": self.urlconf,
            "carried": self.carried,
        }
        return {name: value for name, value in payload.items() if value is not None}

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Context:
        """Return the context of a payload."""
        if not payload:
            return _SITE_DEFAULTS
        target = payload.get("target")
        return cls(**{**payload, "target": target and Target(**target)})

    def enter(self) -> None:
        """Surround what this thread does from now on, in a context that ends with it."""
        if self is _SITE_DEFAULTS:
            return
        if self.language is not None:
            translation.activate(self.language)
        if self.time_zone is not None:
            timezone.activate(self.time_zone)
        if self.user is not None or self.log is not None:
            activate(_LazyLogContext(self.user, self.log))
        if self.script_prefix is not None:
            set_script_prefix(self.script_prefix)
        if self.urlconf is not None:
            set_urlconf(self.urlconf)


_SITE_DEFAULTS: Final = Context()


def _site_prefix() -> str:
    """Return the script prefix that Django sets at its start."""
    prefix: str | None = settings.FORCE_SCRIPT_NAME
    return "/" if prefix is None else f"{prefix.rstrip('/')}/"


class _Thread(threading.local):
    """This thread's context in which all is the site's default, once it was found."""

    plain: contextvars.Context | None = None


_here: Final = _Thread()


def fresh() -> contextvars.Context:
    """Return a context for an attempt at a task, in which all is the site's default.

    Whatever the thread has in its own context is there as well, but for what a task is enqueued
    with: a test may run tasks amid its own language.
    """
    context = contextvars.copy_context()
    if _equal(context, _here.plain):
        return context
    before = context.copy()
    context.run(_make_plain)
    if _equal(context, before):
        _here.plain = before  # to find out takes longer than to compare
    return context


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a context of its own, which ends with it."""
    return contextvars.copy_context().run(_apart, function, *arguments)


def _apart(function: Callable[..., Any], *arguments: Any) -> Any:
    decimal.setcontext(decimal.getcontext().copy())  # which can be changed in place
    return function(*arguments)


def _equal(context: contextvars.Context, other: contextvars.Context | None) -> bool:
    try:
        return bool(context == other)
    except Exception:  # of a value in one of them
        return False


def _make_plain() -> None:
    if translation.get_language() != settings.LANGUAGE_CODE:
        translation.activate(settings.LANGUAGE_CODE)
    if timezone.get_current_timezone() != timezone.get_default_timezone():
        timezone.deactivate()
    acting = get_active_log_context()
    if acting.user is not None or acting.uuid is not None:
        activate(LogContext(generate_uuid=False))
    if get_script_prefix() != (prefix := _site_prefix()):
        set_script_prefix(prefix)
    if get_urlconf() is not None:
        set_urlconf(None)


class _LazyLogContext(LogContext):  # type: ignore[misc]  # Wagtail has no types
    """Wagtail's log context in a worker; the user is loaded when something is logged."""

    def __init__(self, user: Any, log: uuid.UUID | None) -> None:
        super().__init__(generate_uuid=False)
        del self.user  # set to None there; now it is looked up
        self.uuid = log
        self._key = user

    @cached_property
    def user(self) -> Any:
        if self._key is None:
            return None
        return get_user_model()._default_manager.filter(pk=self._key).first()
