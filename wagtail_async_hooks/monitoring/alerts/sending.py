"""How a message gets to a target: by e-mail, at once, or by a function of the site's."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Final

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils.module_loading import import_string
from huey.api import TaskWrapper

from wagtail_async_hooks import conf
from wagtail_async_hooks.integrations import mail
from wagtail_async_hooks.types import Alert
from wagtail_async_hooks.utils.text import one_line

EMAIL: Final = "e-mail"
"""The target that all e-mail addresses are together."""

_NOWHERE: Final = tuple(
    f"django.core.mail.backends.{name}" for name in ("console", "dummy", "filebased", "locmem")
)
"""Django's backends that send no e-mails."""


def targets() -> list[str]:
    """Return who is told: :data:`EMAIL`, and the dotted paths of functions."""
    given = conf.current().alerts.to
    return [*([EMAIL] if addresses() else []), *(each for each in given if not is_address(each))]


def addresses() -> list[str]:
    """Return the e-mail addresses."""
    return [each for each in conf.current().alerts.to if is_address(each)]


def is_address(recipient: str) -> bool:
    """Return whether a recipient is an e-mail address, rather than the path of a function."""
    return "@" in recipient


def names(target: str) -> str:
    """Return who a target is, for people."""
    return ", ".join(addresses()) if target == EMAIL else target


def problem_of(target: str) -> str:
    """Return why a target would hear nothing, as the end of a sentence; blank if it would."""
    if target == EMAIL:
        return _problem_of_email()
    try:
        function = import_string(target)
    except ImportError as error:
        return f"which cannot be imported: {one_line(error).rstrip('.')}"
    if not callable(function):
        return "which is not a function"
    if isinstance(function, TaskWrapper):
        return "which is a background task: without a worker, nobody would be told"
    if iscoroutinefunction(function):
        return "which is a coroutine function: nothing would await it"
    return ""


def _problem_of_email() -> str:
    try:
        sends = mail.real_default()
    except Exception as error:  # of the site's settings, or of its backend
        return f"but e-mails cannot be sent: {one_line(error).rstrip('.')}"
    path = f"{type(sends).__module__}.{type(sends).__qualname__}"
    if type(sends).__module__ in _NOWHERE and not settings.DEBUG:
        return f"but {path} sends e-mails nowhere"
    return ""


def send(target: str, alert: Alert) -> None:
    """Send a message to a target, now.

    :raises Exception: whatever goes wrong; then it has not arrived.
    """
    if target == EMAIL:
        _send_emails(alert)
    else:
        import_string(target)(alert)


def _send_emails(alert: Alert) -> None:
    email = EmailMessage(
        alert.subject,
        alert.text,
        conf.current().alerts.sender or settings.DEFAULT_FROM_EMAIL,
        addresses(),
        headers={"Auto-Submitted": "auto-generated"},
    )
    mail.send_now(email)
