"""What surrounds the call of a function: language, time zone, who acts, and which revision."""

from __future__ import annotations

import datetime
import uuid
import zoneinfo
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cached_property
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils import timezone, translation
from wagtail.log_actions import LogContext, get_active_log_context

from wagtail_async_hooks.revisions import Target


class Context(NamedTuple):
    """What a function finds around it; ``None`` where that is as everywhere on the site.

    :param language: the active one.
    :param time_zone: the active one.
    :param user: primary key of the user to whom Wagtail's log ascribes what is done.
    :param log: the id by which Wagtail's log groups what is done.
    :param target: the object and revision that the call is about.
    """

    language: str | None = None
    time_zone: datetime.tzinfo | None = None
    user: Any = None
    log: uuid.UUID | None = None
    target: Target | None = None

    @classmethod
    def capture(cls, target: Target | None = None) -> Context:
        """Return what surrounds the caller now.

        :param target: what the call is about.
        """
        language, zone = translation.get_language(), timezone.get_current_timezone()
        can_be_carried = isinstance(zone, zoneinfo.ZoneInfo | datetime.timezone)
        acting = get_active_log_context()
        return cls(
            None if language == settings.LANGUAGE_CODE else language,
            zone if can_be_carried and zone != timezone.get_default_timezone() else None,
            getattr(acting.user, "pk", None),
            acting.uuid,
            target,
        )

    def __repr__(self) -> str:
        # A user's key may be an e-mail address.
        return f"<Context {self.language or ''} {self.time_zone or ''}>"

    def about(self, target: Target | None) -> Context:
        """Return the same context for a call that is about something else."""
        return self._replace(target=target)

    def payload(self) -> dict[str, Any]:
        """Return what is carried of it."""
        carried = {
            "language": self.language,
            "time_zone": self.time_zone,
            "user": self.user,
            "log": self.log,
            "target": self.target and self.target.payload(),
        }
        return {name: value for name, value in carried.items() if value is not None}

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Context:
        """Return the context that was carried."""
        if not payload:
            return _AS_EVERYWHERE
        target = payload.get("target")
        return cls(**{**payload, "target": target and Target(**target)})

    def restored(self) -> AbstractContextManager[None]:
        """Surround a function with this context."""
        surroundings = (self.language, self.time_zone, self.user, self.log)
        return nullcontext() if surroundings == _NO_SURROUNDINGS else self._restored()

    @contextmanager
    def _restored(self) -> Iterator[None]:
        with ExitStack() as stack:
            if self.language is not None:
                stack.enter_context(translation.override(self.language))
            if self.time_zone is not None:
                stack.enter_context(timezone.override(self.time_zone))
            if self.user is not None or self.log is not None:
                stack.enter_context(_CarriedLogContext(self.user, self.log))
            yield


_AS_EVERYWHERE: Final = Context()
_NO_SURROUNDINGS: Final = (None, None, None, None)


class _CarriedLogContext(LogContext):  # type: ignore[misc]  # Wagtail has no types
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
