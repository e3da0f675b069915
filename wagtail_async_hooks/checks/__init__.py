"""Django's system checks: what is wrong with the settings and with registered hooks."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.management import get_commands
from django.db import connections, router
from huey.api import TaskWrapper
from wagtail import hooks as wagtail_hooks

from wagtail_async_hooks import conf, middleware
from wagtail_async_hooks.checks import leftovers, oversights, source
from wagtail_async_hooks.checks.options import leads_here
from wagtail_async_hooks.conf import ScheduleEntry
from wagtail_async_hooks.conf.validators import queue_name
from wagtail_async_hooks.exceptions import CannotSerialize, ConfigurationError
from wagtail_async_hooks.hooks import catalogue, discovery, registry, takeover
from wagtail_async_hooks.integrations import mail_routes, renditions
from wagtail_async_hooks.integrations.bulk_actions import moving
from wagtail_async_hooks.integrations.bulk_actions import registry as bulk_registry
from wagtail_async_hooks.integrations.tasks_backend.lookup import is_task
from wagtail_async_hooks.queue import retries
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.storage.factory import find_class, make_notifier
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.suggestions import nearest
from wagtail_async_hooks.worker import schedule


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Every mistake in ``WAGTAIL_TASKS`` and ``WAGTAIL_TASKS_SYNC_HOOKS``."""
    return [
        Error(
            problem,
            hint="See the page “Settings” of the documentation.",
            id="wagtail_async_hooks.E001",
        )
        for problem in conf.current().problems
    ]


def check_backend(**kwargs: Any) -> list[CheckMessage]:
    """A backend that does not exist, or whose library is not installed."""
    settings = conf.current()
    if settings.backend in ("", "database"):
        return []
    try:
        if settings.backend == "redis" and importlib.util.find_spec("redis"):
            return []  # whether it answers is for the worker to say, not for a deployment's check
        if settings.backend != "redis":
            find_class(settings.backend)
            return []
        make_notifier(settings, "check")
    except ConfigurationError as error:
        hint = _hint_of_backend(settings.backend)
        return [Error(str(error), hint=hint, id="wagtail_async_hooks.E002")]
    return []


def _hint_of_backend(given: str) -> str:
    if given == "redis":
        return 'Run "pip install wagtail-async-hooks[redis]".'
    near = nearest(given.strip().lower(), ("database", "redis"))
    return f'Did you mean "{near}"?' if near else "See the page “Storages”."


def check_database(**kwargs: Any) -> list[CheckMessage]:
    """A ledger that is not in the database of the pages."""
    if not conf.current().backend:
        return []
    ledger = router.db_for_write(apps.get_model("wagtail_async_hooks", "BackgroundTask"))
    pages = router.db_for_write(apps.get_model("wagtailcore", "Page"))
    if ledger == pages:
        return []
    return [
        checks.Warning(
            f"Background tasks are written to the database {ledger!r}, pages to {pages!r}: a task "
            "is lost if the process dies between the two commits.",
            hint="Let DATABASE_ROUTERS send the app wagtail_async_hooks where pages go.",
            id="wagtail_async_hooks.W001",
        )
    ]


def check_sqlite(**kwargs: Any) -> list[CheckMessage]:
    """An SQLite database on which an editor's save and a worker would get in each other's way."""
    if not conf.current().backend:
        return []
    alias = router.db_for_write(apps.get_model("wagtail_async_hooks", "BackgroundTask"))
    if connections[alias].vendor != "sqlite":
        return []
    missing = _missing_of_sqlite(connections[alias].settings_dict["OPTIONS"])
    if not missing:
        return []
    return [
        checks.Warning(
            f"The SQLite database {alias!r} is not set up for a worker beside the site, so an "
            f'editor may see "database is locked"; it lacks {" and ".join(missing)}.',
            hint=f'Put this into DATABASES["{alias}"]: "OPTIONS": {{"transaction_mode": '
            '"IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL; PRAGMA '
            'synchronous=NORMAL;"}',
            id="wagtail_async_hooks.W005",
        )
    ]


def _missing_of_sqlite(options: Mapping[str, Any]) -> list[str]:
    found = []
    if str(options.get("transaction_mode", "")).upper() != "IMMEDIATE":
        found.append("transaction_mode IMMEDIATE")
    if "timeout" not in options:
        found.append("a timeout")
    script = str(options.get("init_command", ""))
    if not re.search(r"journal_mode\s*=\s*wal", script, re.IGNORECASE):
        found.append("journal_mode=WAL")
    return found


def check_task_modules(**kwargs: Any) -> Iterator[CheckMessage]:
    """Modules of tasks that workers import, and that cannot be imported."""
    for failure in discovery.import_tasks() if conf.current().backend else ():
        yield checks.Warning(
            f"{failure}.",
            hint="Install what it imports, or correct it; workers go on without its tasks.",
            id="wagtail_async_hooks.W041",
        )


def check_tasks(**kwargs: Any) -> Iterator[CheckMessage]:
    """What our backend cannot do with its entries in ``TASKS``."""
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


def check_email(**kwargs: Any) -> Iterator[CheckMessage]:
    """E-mails that would be queued, and that no worker could send."""
    routes = mail_routes.routes()
    problems = [mail_routes.problem_of_at_once(), *(route.problem for route in routes)]
    for problem in filter(None, problems):
        yield Error(
            problem,
            hint="See the page “E-mail” of the documentation.",
            id="wagtail_async_hooks.E003",
        )


def check_email_timeout(**kwargs: Any) -> Iterator[CheckMessage]:
    """A mail server for which a worker would wait without end."""
    for route in mail_routes.routes() if conf.current().backend else ():
        if route.waits_for_ever:
            yield checks.Warning(
                f"{route.setting} leads to SMTP without a timeout: a mail server that does not "
                "answer keeps a worker's thread waiting without end.",
                hint='Set EMAIL_TIMEOUT or, in MAILERS, the option "timeout", to some seconds.',
                id="wagtail_async_hooks.W008",
            )


def check_renditions(**kwargs: Any) -> Iterator[CheckMessage]:
    """Filter specs that Wagtail cannot parse."""
    where, specs = f'{conf.SETTING}["RENDITIONS"]["specs"]', conf.current().renditions.specs
    if specs and not apps.is_installed("wagtail.images"):
        yield Error(
            f'{where} names specs, but "wagtail.images" is not in INSTALLED_APPS.',
            hint="Add it, or remove the specs.",
            id="wagtail_async_hooks.E006",
        )
        return
    for spec in specs:
        if problem := renditions.problem_of(spec):
            yield Error(
                f'{where} names "{spec}", which Wagtail cannot parse: {problem}.',
                hint='Write it as in the template tag "image", e.g. "fill-800x600|format-webp".',
                id="wagtail_async_hooks.E006",
            )


def check_bulk_actions(**kwargs: Any) -> Iterator[CheckMessage]:
    """Bulk actions that the settings name, and that do not run in the background."""
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


def check_middleware(**kwargs: Any) -> Iterator[CheckMessage]:
    """A middleware that would show messages before there are any, or to nobody."""
    order = list(django_settings.MIDDLEWARE)
    if middleware.PATH not in order:
        return
    for needed in middleware.NEEDED:
        if needed not in order[: order.index(middleware.PATH)]:
            yield Error(
                f"MIDDLEWARE has {middleware.PATH}, but not {needed} before it.",
                hint=f'Put "{middleware.PATH}" after "{needed}".',
                id="wagtail_async_hooks.E008",
            )


def check_hooks(**kwargs: Any) -> list[CheckMessage]:
    """Functions that asked for the background and run in the request anyway."""
    wagtail_hooks.search_for_hooks()
    return [
        checks.Warning(
            f"{functions.named(kept.function)}, {_how(kept)}: {kept.reason}.",
            hint=_hint(kept),
            obj=functions.label(kept.function),
            id="wagtail_async_hooks.W003" if kept.is_unsuitable else "wagtail_async_hooks.W002",
        )
        for kept in registry.kept_synchronous
        if kept.is_receiver or not kept.is_unsuitable or oversights.is_known(kept.hook)
    ]


def check_moved(**kwargs: Any) -> Iterator[CheckMessage]:
    """Functions of other packages that the settings cannot move, or that run twice."""
    for problem in takeover.problems():
        yield checks.Warning(
            f"{problem.text}.",
            hint=problem.hint,
            obj=problem.obj and functions.label(problem.obj),
            id=problem.number,
        )


def check_sources(**kwargs: Any) -> Iterator[CheckMessage]:
    """Background functions that ask for what is not carried, or do not take what is."""
    wagtail_hooks.search_for_hooks()
    for entry in registry.entries.values():
        if entry.is_synchronous_now():
            continue
        if entry.is_receiver or "request" in entry.kind.arguments[:1]:
            yield from _missing(entry)
        if entry.kind.arguments and not entry.is_receiver:
            yield from _misfit(entry)


def _missing(entry: registry.BackgroundFunction) -> Iterator[CheckMessage]:
    # A receiver gets it by its name, wherever that stands.
    name = "request" if entry.is_receiver else ""
    for finding in source.what_is_missing(entry.function, name, len(entry.kind.arguments)):
        yield checks.Warning(
            f"{functions.dotted_path(entry.function)}, which runs in the background for "
            f'"{entry.hook}", reads {finding.what} ({finding.place}); a worker does not have it.',
            hint="Read what you need from the object that the hook is about, or keep the function "
            "synchronous with WAGTAIL_TASKS_SYNC_HOOKS.",
            obj=functions.label(entry.function),
            id="wagtail_async_hooks.W006",
        )


def _misfit(entry: registry.BackgroundFunction) -> Iterator[CheckMessage]:
    if misfit := source.does_not_fit(entry.function, entry.kind.arguments):
        passed = ", ".join(entry.kind.arguments)
        yield checks.Warning(
            f'{functions.named(entry.function)} {misfit}, but "{entry.hook}" passes ({passed}).',
            hint="Give it these arguments.",
            obj=functions.label(entry.function),
            id="wagtail_async_hooks.W007",
        )


def check_leftovers(**kwargs: Any) -> Iterator[CheckMessage]:
    """Background functions that read what an earlier function left on the page or the request."""
    wagtail_hooks.search_for_hooks()
    entries = [entry for entry in registry.entries.values() if not entry.is_synchronous_now()]
    written = leftovers.written() if entries else {}
    for entry in entries:
        for found in leftovers.read_by(entry.function, written):
            left = f", which {found.writer} leaves there" if found.writer else ""
            yield checks.Warning(
                f"{functions.dotted_path(entry.function)}, which runs in the background for "
                f'"{entry.hook}", reads {found.what}{left} ({found.place}); such attributes do not '
                "reach a worker.",
                hint="Keep the function synchronous with WAGTAIL_TASKS_SYNC_HOOKS, or have its "
                "synchronous part pass the value to a task.",
                obj=functions.label(entry.function),
                id="wagtail_async_hooks.W035",
            )


def check_error_classes(**kwargs: Any) -> Iterator[CheckMessage]:
    """Classes of exceptions in ``retry_on`` and ``discard_on`` that do not exist."""
    wagtail_hooks.search_for_hooks()
    given = [
        (f'{conf.SETTING}["HOOKS"]["{name}"]', options)
        for name, options in conf.current().hooks.items()
    ]
    given += [(str(entry), entry.options) for entry in registry.entries.values()]
    for where, options in given:
        for option in ("retry_on", "discard_on"):
            for problem in retries.problems_of(getattr(options, option)):
                yield Error(
                    f"{where} has {option}, of which {problem}.",
                    hint="Give classes of exceptions, or their dotted paths.",
                    id="wagtail_async_hooks.E007",
                )


def check_hook_names(**kwargs: Any) -> Iterator[CheckMessage]:
    """Names in the settings that are neither a hook's nor a background function's."""
    wagtail_hooks.search_for_hooks()
    settings = conf.current()
    known = registry.hook_names() | registry.function_paths()
    for setting, names in (
        (f'{conf.SETTING}["HOOKS"]', settings.hooks),
        (conf.SYNC_HOOKS_SETTING, settings.sync_hooks),
    ):
        for name in sorted(set(names) - known):
            if is_task(name) or name in settings.background:
                continue  # of those that are to be moved, check_moved() says what is wrong
            near = nearest(name, known)
            yield checks.Warning(
                f'{setting} names "{name}", which is neither a background-safe hook nor a '
                "function that is registered to run in the background, nor a task of TASKS.",
                hint=f'Did you mean "{near}"?' if near else "Remove it, or correct it.",
                id="wagtail_async_hooks.W004",
            )


def check_schedule(**kwargs: Any) -> Iterator[CheckMessage]:
    """Commands and functions of the schedule that do not exist, or do not take what is given."""
    for name, given in conf.current().schedule.items():
        where = f'{conf.SETTING}["SCHEDULE"]["{name}"]'
        if given.command:
            yield from _unknown_command(where, given.command)
        else:
            yield from _function_of_the_schedule(where, given)
        try:
            background.serializer.serialize((given.args, dict(given.kwargs)))
        except CannotSerialize as error:
            yield _cannot_run(f"{where} has an argument that cannot be carried: {error}")


def _unknown_command(where: str, name: str) -> Iterator[CheckMessage]:
    if name not in get_commands():
        near = nearest(name, get_commands())
        yield Error(
            f'{where} names the command "{name}", which no installed app has.',
            hint=f'Did you mean "{near}"?' if near else "Correct or remove it.",
            id="wagtail_async_hooks.E004",
        )


def _function_of_the_schedule(where: str, given: ScheduleEntry) -> Iterator[CheckMessage]:
    try:
        found = schedule.find_function(given.function)
    except ImportError as error:
        yield Error(
            f'{where} names the function "{given.function}", which cannot be imported: {error}.',
            hint="Give the dotted path of a function, or of a background task.",
            id="wagtail_async_hooks.E004",
        )
        return
    names = set(given.kwargs)
    if isinstance(found, TaskWrapper):
        names |= {"task"} if found.context else set()
        found = found.func
    if misfit := source.does_not_fit(found, given.args, names):
        yield _cannot_run(f"{where} does not fit {given.function}, which {misfit}.")


def _cannot_run(said: str) -> CheckMessage:
    hint = 'Correct "args", and "kwargs" or "options".'
    return checks.Warning(said, hint=hint, id="wagtail_async_hooks.W009")


def _how(kept: registry.KeptSynchronous) -> str:
    if kept.is_receiver:
        return f'connected to the signal "{kept.hook}" with background=True, runs at once'
    return f'registered for "{kept.hook}" with background=True, runs in the request'


def _hint(kept: registry.KeptSynchronous) -> str:
    if not kept.is_unsuitable:
        return "Move it to the top level of a module, and give it a name."
    if kept.is_receiver:
        after = kept.hook.replace("pre_", "post_", 1)
        suits = after != kept.hook and after in catalogue.SIGNALS
        other = f', or did you mean the signal "{after}"?' if suits else "."
        return f"Remove background=True{other}"
    after = kept.hook.replace("before_", "after_", 1)
    if after != kept.hook and after in catalogue.hooks():
        return f'Remove background=True, or did you mean the hook "{after}"?'
    return "Remove background=True."


CHECKS: Final = (
    check_settings,
    check_backend,
    check_database,
    check_sqlite,
    check_tasks,
    check_task_modules,
    check_email,
    check_email_timeout,
    check_renditions,
    check_bulk_actions,
    check_middleware,
    check_hooks,
    check_moved,
    check_sources,
    check_leftovers,
    check_error_classes,
    check_hook_names,
    check_schedule,
)
"""What :mod:`.apps` makes known to Django."""
