"""System checks of e-mails, ``TASKS``, renditions and bulk actions in the background."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf.validators import queue_name
from wagtail_async_hooks.integrations import mail_routes, renditions
from wagtail_async_hooks.integrations.bulk_actions import moving
from wagtail_async_hooks.integrations.bulk_actions import registry as bulk_registry
from wagtail_async_hooks.integrations.tasks_backend.backend import leads_here
from wagtail_async_hooks.monitoring.alerts import sending
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.suggestions import nearest


def check_email(**kwargs: Any) -> Iterator[CheckMessage]:
    """E-mail settings with which a worker could not send queued e-mails."""
    routes = mail_routes.routes()
    problems = [mail_routes.problem_of_at_once(), *(route.problem for route in routes)]
    for problem in filter(None, problems):
        yield Error(
            problem,
            hint="See the page “E-mail” of the documentation.",
            id="wagtail_async_hooks.E003",
        )


def check_email_timeout(**kwargs: Any) -> Iterator[CheckMessage]:
    """SMTP without a timeout."""
    for route in mail_routes.routes() if conf.current().backend else ():
        if route.waits_for_ever:
            yield checks.Warning(
                f"{route.setting} leads to SMTP without a timeout: a mail server that does not "
                "answer keeps a worker's thread waiting without end.",
                hint='Set EMAIL_TIMEOUT or, in MAILERS, the option "timeout", to some seconds.',
                id="wagtail_async_hooks.W008",
            )


def check_tasks(**kwargs: Any) -> Iterator[CheckMessage]:
    """Entries of ``TASKS`` with our backend and keys or queues that it does not take."""
    given = getattr(django_settings, "TASKS", {})
    for alias, params in given.items() if isinstance(given, Mapping) else ():
        if isinstance(params, Mapping) and leads_here(params.get("BACKEND")):
            for problem, hint in _problems_of_tasks(f'TASKS["{alias}"]', params):
                yield Error(problem, hint=hint, id="wagtail_async_hooks.E005")


def _problems_of_tasks(where: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    known = ("BACKEND", "QUEUES")
    for key in sorted(set(params) - set(known)):
        near = nearest(str(key).upper(), known)
        yield (
            f"{where} has {key}, which {params['BACKEND']} does not take.",
            f"Did you mean {near}?"
            if near
            else 'Remove it. WAGTAIL_TASKS["HOOKS"] takes options of a task by its path.',
        )
    queues = params.get("QUEUES", ())
    if not isinstance(queues, list | tuple | set | frozenset):
        yield f'{where}["QUEUES"] should be a list of names, but is {queues!r}.', "Make it a list."
        return
    for name in queues:
        if expected := queue_name(name):
            yield (
                f'{where}["QUEUES"] has {name!r}, which should be {expected}.',
                "Give the queue such a name.",
            )


def check_renditions(**kwargs: Any) -> Iterator[CheckMessage]:
    """Filter specs that Wagtail cannot parse."""
    where, specs = f'{conf.SETTING}["RENDITIONS"]["specs"]', conf.current().renditions.specs
    if specs and not apps.is_installed("wagtail.images"):
        yield _wrong_specs(
            f'{where} names specs, but "wagtail.images" is not in INSTALLED_APPS.',
            "Add it, or remove the specs.",
        )
        return
    for spec in specs:
        if problem := renditions.problem_of(spec):
            yield _wrong_specs(
                f'{where} names "{spec}", which Wagtail cannot parse: {problem}.',
                'Write it as in the template tag "image", e.g. "fill-800x600|format-webp".',
            )


def check_sentry(**kwargs: Any) -> Iterator[CheckMessage]:
    """Sentry's own integration with Huey, which is on by itself."""
    sentry = sys.modules.get("sentry_sdk")  # where nobody has imported it, nothing is reported
    if sentry is None or not conf.current().backend:
        return
    client = sentry.get_client()
    found = client.get_integration("huey") if client.options.get("dsn") else None
    if found is not None and type(found).__module__.startswith("sentry_sdk."):
        yield checks.Warning(
            "Sentry reports background tasks by its integration with Huey, which sends several "
            "events for one error, and events for errors that are retried.",
            hint="Give sentry_sdk.init() integrations=[BackgroundTasksIntegration()], from "
            "wagtail_async_hooks.sentry.",
            id="wagtail_async_hooks.W045",
        )


def check_alerts(**kwargs: Any) -> Iterator[CheckMessage]:
    """Recipients of alerts who would hear nothing."""
    setting = f'{conf.SETTING}["ALERTS"]["to"]'
    for target in sending.targets() if conf.current().backend else ():
        if problem := sending.problem_of(target):
            yield checks.Warning(
                f"{setting} names {sending.names(target)}, {problem}.",
                hint='See "Alerts" on the page “Monitoring” of the documentation, and try it by '
                '"manage.py wagtail_tasks doctor --test-alert".',
                id="wagtail_async_hooks.W046",
            )


def _wrong_specs(said: str, hint: str) -> CheckMessage:
    return Error(said, hint=hint, id="wagtail_async_hooks.E006")


def check_bulk_actions(**kwargs: Any) -> Iterator[CheckMessage]:
    """Bulk actions that the settings name and that do not run in the background."""
    actions = bulk_registry.registered() if conf.current().bulk_actions.actions else {}
    setting = f'{conf.SETTING}["BULK_ACTIONS"]["actions"]'
    for name in sorted(conf.current().bulk_actions.actions):
        if name not in actions:
            near = nearest(name, actions)
            yield checks.Warning(
                f'{setting} names "{name}", which is not a bulk action that is registered.',
                hint=f'Did you mean "{near}"?' if near else "Correct or remove it.",
                id="wagtail_async_hooks.W014",
            )
        elif why := moving.why_not(actions[name]):
            yield checks.Warning(
                f'{setting} names "{name}", which stays in the request: {why}.',
                hint="Move that work to execute_action(), or let the class have "
                "BackgroundBulkActionMixin before its other bases.",
                obj=functions.label(actions[name]),
                id="wagtail_async_hooks.W015",
            )
