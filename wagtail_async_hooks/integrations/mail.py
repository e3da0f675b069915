"""An e-mail backend that enqueues each e-mail as a task; a worker sends it by the real backend.

The real one is ``WAGTAIL_TASKS["EMAIL"]["BACKEND"]`` or, since Django 6.1, the mailer that the
option ``using`` names in ``MAILERS``. What cannot be recorded is sent in the request: an e-mail is
neither lost nor changed on the way.
"""

from __future__ import annotations

import copy
import logging
import smtplib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar, cast

from django.core import mail as django_mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as SMTPBackend
from django.utils.module_loading import import_string
from huey.api import Task
from huey.exceptions import CancelExecution

from wagtail_async_hooks import conf, current_task, signals
from wagtail_async_hooks.exceptions import CannotSerialize, ConfigurationError
from wagtail_async_hooks.integrations import mail_routes
from wagtail_async_hooks.queue import enqueue
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.utils.database.transactions import guarded
from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger(__name__)

TIMEOUT: Final = 30
"""Seconds to wait for a mail server, where nothing waits for one without end."""

T = TypeVar("T")

_sends_at_once: Final[ContextVar[bool]] = ContextVar("sends_at_once", default=False)


class BackgroundEmailBackend(mail_routes.Queueing, BaseEmailBackend):
    """Enqueues e-mails as tasks, in the caller's transaction.

    :param fail_silently: ignore errors of e-mails that are sent in the request. In a worker, an
        error is retried all the same.
    :param alias: alias of this mailer in ``MAILERS``; by default that of the default mailer.
    :param using: alias of the mailer that really sends.
    :param arguments: arguments of this connection, such as ``username`` and ``password``. E-mails
        with secrets are sent in the request, since the ledger must not contain them.
    :raises ConfigurationError: if ``MAILERS`` does not say which mailer really sends.
    """

    def __init__(
        self,
        fail_silently: bool | None = False,
        *,
        alias: str | None = None,
        using: str | None = None,
        **arguments: Any,
    ) -> None:
        if alias is None:
            super().__init__()
            if mail_routes.has_mailers():  # made by hand: it sends as the default mailer does
                alias, using = mail_routes.DEFAULT_MAILER, mail_routes.sender_of_default()
        else:
            super().__init__(alias=alias, **arguments)  # refuses options that it does not know
            if problem := mail_routes.problem_of(alias, using):
                raise ConfigurationError(problem)
        self.alias = alias
        self.using = using
        self.fail_silently = bool(fail_silently)
        self._arguments = {
            name: value
            for name, value in arguments.items()
            if value is not None and not name.startswith("_")
        }
        self._opened: BaseEmailBackend | None = None

    def open(self) -> bool | None:
        """Connect to the server if e-mails are sent in the request; otherwise do nothing."""
        if self._opened is not None or self._queues():
            return False
        self._opened = self.real()
        return self._unless_silenced(self._opened.open)

    def close(self) -> None:
        """Close what :meth:`open` has opened."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Record e-mails for a worker; return how many were recorded, or sent."""
        if not self._queues():
            return self._send(email_messages)
        return sum(self._record_or_send(email) for email in email_messages if email.recipients())

    def real(self) -> BaseEmailBackend:
        """Return the backend that really sends; it is not connected yet.

        :raises ConfigurationError: if that is one of this class again.
        """
        connection = self._mailer() if self.alias is not None else self._by_path()
        if isinstance(connection, BackgroundEmailBackend):
            raise ConfigurationError(mail_routes.loop(mail_routes.setting_of(self.alias)))
        return connection

    def _by_path(self) -> BaseEmailBackend:
        path = conf.current().email.backend
        return django_mail.get_connection(path, fail_silently=self.fail_silently, **self._arguments)

    def _mailer(self) -> BaseEmailBackend:
        if not self._arguments:
            return django_mail.mailers[str(self.using)]
        config = mail_routes.mailers()[str(self.using)]
        made = import_string(mail_routes.path_in(config))
        options = {**config.get("OPTIONS", {}), **self._arguments}
        return cast(BaseEmailBackend, made(alias=self.using, **options))

    def _queues(self) -> bool:
        return not (
            background.immediate or self._arguments or _sends_at_once.get() or _tells_of_an_email()
        )

    def _send(self, emails: Sequence[EmailMessage]) -> int:
        connection = self._opened or self.real()
        try:
            return self._unless_silenced(lambda: connection.send_messages(emails)) or 0
        finally:
            if connection is not self._opened:
                _close(connection)  # one that could not log in, say, is left half open

    def _unless_silenced(self, action: Callable[[], T]) -> T | None:
        """Do something, and pass over what the server does; mailers of Django 6.1 do not do so."""
        try:
            return action()
        except OSError:
            if self.fail_silently:
                return None
            raise

    def _record_or_send(self, email: EmailMessage) -> int:
        counted = 1

        def send(error: Exception | None = None) -> None:
            nonlocal counted
            with _sent_at_once():  # and so is what a log handler makes of the line
                _say_why(error)
                counted = self._send([email])

        stamped = None if _is_kept_from_the_queue(email) else _stamped(email)
        if stamped is None:
            send()
        else:
            enqueue.enqueue(_task(stamped, self.alias), otherwise=send)
        return counted


def _say_why(error: Exception | None) -> None:
    """Log what kept an e-mail from the queue."""
    if isinstance(error, CannotSerialize):
        logger.warning("An e-mail is sent at once, since it cannot be carried: %s", one_line(error))
    elif error is not None:
        logger.error(
            "An e-mail could not be recorded as a task, so it is sent at once.", exc_info=error
        )


@contextmanager
def _sent_at_once() -> Iterator[None]:
    """Have e-mails that are sent meanwhile not recorded."""
    token = _sends_at_once.set(True)
    try:
        yield
    finally:
        _sends_at_once.reset(token)


def _tells_of_an_email() -> bool:
    """Return whether what goes on here is the sending of an e-mail, or the news of how that ended.

    Where logged errors, or failed tasks, are told by e-mail, each of these that fails would make
    another one, without end.
    """
    running, told = current_task.running(), signals.announced()
    return isinstance(running and running.task, send_email.task_class) or (
        getattr(told, "function", None) == send_email.task_class.definition.function
    )


def _is_kept_from_the_queue(email: EmailMessage) -> bool:
    path = conf.current().email.at_once
    if not path:
        return False

    def complain(error: Exception) -> None:
        with _sent_at_once():
            logger.error(
                "%s could not tell whether to send an e-mail at once, so it is.",
                path,
                exc_info=error,
            )

    kept = True
    with guarded(complain):  # a function of the site's, which may ask the database
        kept = bool(import_string(path)(email))
    return kept


def _stamped(email: EmailMessage) -> EmailMessage | None:
    """Return a copy that has its number and date, the same however often it is sent.

    ``None`` for one that Django cannot write: what is wrong with it, if anything, is for the real
    backend to say, and for the caller to hear.
    """

    def complain(error: Exception) -> None:
        kind = type(error).__name__  # its text may have the subject, and addresses
        with _sent_at_once():
            logger.warning("An e-mail is sent at once, since it cannot be written: %s.", kind)

    written = None
    with guarded(complain):
        written = email.message()
    if written is None:
        return None
    given = {name.lower() for name in email.extra_headers}
    added = [name for name in ("Message-ID", "Date") if name.lower() not in given]
    stamped = copy.copy(email)
    stamped.extra_headers = {**email.extra_headers, **{name: str(written[name]) for name in added}}
    return stamped


def _task(email: EmailMessage, alias: str | None) -> Task:
    options = conf.current().email
    return send_email.task_class(
        (email, alias),
        {},
        priority=options.priority,
        retries=options.retries,
        retry_delay=options.retry_delay,
        retry_backoff=options.retry_backoff,
    )


# At once ------------------------------------------------------------------------------------


def send_now(email: EmailMessage) -> None:
    """Send an e-mail in this thread by what really sends, also where the site queues its e-mails.

    A mail server that does not answer is waited for as long as the site's settings say, or else
    :data:`TIMEOUT`.

    :raises Exception: whatever the server, or the settings, are in the way with.
    """
    connection = real_default()
    if isinstance(connection, SMTPBackend) and connection.timeout is None:
        connection.timeout = TIMEOUT
    try:
        connection.send_messages([email])
    finally:
        _close(connection)


def real_default() -> BaseEmailBackend:
    """Return what really sends the e-mails of the site's default mailer."""
    if mail_routes.has_mailers():
        return _real_now(None)
    connection = django_mail.get_connection()
    return connection.real() if isinstance(connection, BackgroundEmailBackend) else connection


# In the worker ------------------------------------------------------------------------------


@background.own_task("send_email", context=True, forget_arguments=True, side_effect="email")
def send_email(
    email: EmailMessage | None = None, alias: str | None = None, task: Task | None = None
) -> None:
    """Send an e-mail by the real backend.

    :param alias: of the mailer that recorded it; ``None`` without ``MAILERS``.
    :param task: from Huey; an error that will not go away takes its retries.
    """
    if email is None:
        raise CancelExecution("its e-mail was sent, and is not kept", retry=False)
    connection = _real_now(alias)
    try:
        connection.open()
        connection.send_messages([email])
    except Exception as error:
        if task is not None and is_permanent(error):
            task.retries = 0
        raise
    finally:
        _close(connection)


def _real_now(alias: str | None) -> BaseEmailBackend:
    """Return what really sends, by the settings as they are when it is sent."""
    if not mail_routes.has_mailers():
        return BackgroundEmailBackend().real()
    mailer = django_mail.mailers[alias or mail_routes.DEFAULT_MAILER]
    return mailer.real() if isinstance(mailer, BackgroundEmailBackend) else mailer


def _close(connection: BaseEmailBackend) -> None:
    """Say good-bye; an error in that is no reason to send the e-mail once more."""
    try:
        connection.close()
    except Exception as error:
        logger.warning(
            "The connection to the mail server did not end properly: %s", one_line(error)
        )


def is_permanent(error: Exception) -> bool:
    """Return whether it is the e-mail that was refused, so that trying again is of no use.

    Everything else may be over soon, or be put right while the e-mail waits: a server that is away
    or busy, a password, a setting.
    """
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPDataError):
        return error.smtp_code >= 500
    if isinstance(error, OSError):
        return False
    return isinstance(error, ValueError | TypeError)
