"""Which backend or mailer really sends the e-mails of a background mailer, by the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.core import mail as django_mail
from django.core.mail.backends.smtp import EmailBackend
from django.utils.module_loading import import_string

from wagtail_async_hooks import conf
from wagtail_async_hooks.exceptions import ConfigurationError

DEFAULT_MAILER: Final = "default"


class Queueing:
    """Base of the backends that enqueue e-mails rather than send them."""


def has_mailers() -> bool:
    """Return whether the site uses ``MAILERS``, which Django knows since 6.1."""
    return hasattr(django_mail, "mailers") and hasattr(settings, "MAILERS")


def mailers() -> Mapping[str, Mapping[str, Any]]:
    """Return the configuration of each mailer, by its alias."""
    return settings.MAILERS


def path_in(mailer: Mapping[str, Any]) -> str:
    """Return the dotted path of a mailer's backend."""
    return str(mailer.get("BACKEND", conf.EmailOptions().backend))


def setting_of(alias: str | None) -> str:
    """Return the setting that says what really sends."""
    if alias is None:
        return f'{conf.SETTING}["EMAIL"]["BACKEND"]'
    return f'MAILERS["{alias}"]["OPTIONS"]["using"]'


def problem_of(alias: str, using: str | None) -> str:
    """Return one sentence if a background mailer does not say who sends for it, else a blank.

    :param alias: of the mailer.
    :param using: alias of the mailer that really sends.
    """
    if using is None:
        return (
            f"{setting_of(alias)} is missing: it should be the alias of the mailer by which "
            'workers send, such as "smtp".'
        )
    return loop(setting_of(alias)) if using == alias else ""


def sender_of_default() -> str:
    """Return the alias of the mailer that really sends what the default mailer is given.

    :raises ConfigurationError: if ``MAILERS`` does not say so.
    """
    mailer = mailers().get(DEFAULT_MAILER, {})
    if not _is_ours(path_in(mailer)):
        return DEFAULT_MAILER
    using = mailer.get("OPTIONS", {}).get("using")
    if problem := problem_of(DEFAULT_MAILER, using):
        raise ConfigurationError(problem)
    return str(using)


def loop(setting: str) -> str:
    """Return the sentence about a setting that names a background mailer again."""
    return f"{setting} leads back to the queue: it should name what really sends, such as SMTP."


def problem_of_at_once() -> str:
    """Return what is wrong with the function that tells which e-mails to send at once."""
    path = conf.current().email.at_once
    setting = f'{conf.SETTING}["EMAIL"]["at_once"]'
    try:
        fits = not path or callable(import_string(path))
    except ImportError as error:
        return f"{setting} is {path!r}, which cannot be imported: {error}."
    return "" if fits else f"{setting} is {path!r}, which is not a function."


@dataclass(frozen=True)
class Route:
    """How the e-mails of one background mailer go out.

    :param setting: which one says what really sends.
    :param problem: one sentence, if nothing can be sent that way.
    :param waits_for_ever: whether a worker waits without end for a server that does not answer.
    """

    setting: str
    problem: str = ""
    waits_for_ever: bool = False


def routes() -> Iterator[Route]:
    """Return how e-mails go out, for each background mailer of the site."""
    if not has_mailers():
        if _is_ours(settings.EMAIL_BACKEND):
            yield _route(setting_of(None), conf.current().email.backend, settings.EMAIL_TIMEOUT)
        return
    for alias, mailer in mailers().items():
        if _is_ours(path_in(mailer)):
            yield _route_of(alias, mailer.get("OPTIONS", {}).get("using"))


def _route_of(alias: str, using: str | None) -> Route:
    setting = setting_of(alias)
    if problem := problem_of(alias, using):
        return Route(setting, problem)
    mailer = mailers().get(str(using))
    if mailer is None:
        return Route(setting, f'{setting} is "{using}", which MAILERS does not have.')
    return _route(setting, path_in(mailer), mailer.get("OPTIONS", {}).get("timeout"))


def _route(setting: str, path: str, timeout: float | None) -> Route:
    try:
        found = import_string(path)
    except ImportError as error:
        return Route(setting, f"{setting} leads to {path!r}, which cannot be imported: {error}.")
    if _is_ours(path):
        return Route(setting, loop(setting))
    smtp = isinstance(found, type) and issubclass(found, EmailBackend)
    return Route(setting, waits_for_ever=smtp and timeout is None)


def _is_ours(path: str) -> bool:
    try:
        found = import_string(path)
    except ImportError:
        return False  # Django says so, as soon as an e-mail is sent
    return isinstance(found, type) and issubclass(found, Queueing)
