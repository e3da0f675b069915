"""``WAGTAIL_TASKS`` and ``WAGTAIL_TASKS_SYNC_HOOKS``, read once into a frozen, validated object.

By hand, so that each mistake is one sentence that names the setting and what it should be, with all
mistakes told at once by a system check. pydantic would need each of these sentences as well, and
takes 0.14 s to import in every process of a site.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from django.conf import settings as django_settings
from django.core.signals import setting_changed

from wagtail_async_hooks.conf import options
from wagtail_async_hooks.conf.options import TaskOptions
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.utils.crontab import MISSED, Crontab, parse_zone
from wagtail_async_hooks.utils.redaction import without_password
from wagtail_async_hooks.utils.suggestions import nearest

SETTING = "WAGTAIL_TASKS"
SYNC_HOOKS_SETTING = "WAGTAIL_TASKS_SYNC_HOOKS"

OCCASIONS: Final = ("upload", "publish")
"""When renditions can be made ahead."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class WorkerOptions(NamedTuple):
    """Defaults of the options of ``wagtail_worker``."""

    threads: int = 4
    """How many tasks a worker process runs at once."""

    processes: int = 1
    """How many processes one ``wagtail_worker`` runs."""

    shutdown_timeout: float = 30.0
    """Seconds that running tasks get to finish when the worker is asked to stop."""

    queues: tuple[str, ...] = ()
    """The queues that it serves; empty for all."""

    exclude_queues: tuple[str, ...] = ()
    """The queues that it does not serve."""


class QueueOptions(NamedTuple):
    """What is set for one queue."""

    limit: int | None = None
    """How many of its tasks run at once at most, over all workers; ``None`` for any number."""


class EmailOptions(NamedTuple):
    """How :class:`~wagtail_async_hooks.mail.BackgroundEmailBackend` sends e-mails."""

    backend: str = "django.core.mail.backends.smtp.EmailBackend"
    """Dotted path of the backend that workers send by, where Django's ``MAILERS`` is not set."""

    at_once: str = ""
    """Dotted path of a function that tells whether an e-mail is sent in the request."""

    priority: int = 0
    """That of the tasks."""

    retries: int = 10
    """How often an e-mail is tried again: with the defaults below, for eight and a half hours."""

    retry_delay: float = 30.0
    """Seconds between an error and the next attempt."""

    retry_backoff: float = 2.0
    """What the delay is multiplied by after each further error."""


MAX_DAYS: Final = 36_500
"""The longest time that what has ended can be kept, other than for ever."""


class HistoryOptions(NamedTuple):
    """How many days tasks stay in the ledger once they have ended; ``None`` for ever."""

    succeeded: float | None = 7
    """Those that have succeeded, or were merged."""

    failed: float | None = 30
    """Those that have failed, expired or been cancelled."""


class RenditionOptions(NamedTuple):
    """Which renditions of images are made ahead, and when."""

    specs: tuple[str, ...] = ()
    """Filter specs, as in the template tag ``image``."""

    on: tuple[str, ...] = OCCASIONS
    """After an ``"upload"`` of an image, and after a ``"publish"`` of what shows it."""


class BulkActionOptions(NamedTuple):
    """Which bulk actions of Wagtail's admin run in the background."""

    actions: frozenset[str] = frozenset()
    """Their names, such as ``wagtailcore.page.publish``."""

    threshold: int = 25
    """So many objects at most are done in the request still."""

    copies: int = 200
    """Of so many objects at most that are deleted together, background functions get copies."""


class ScheduleEntry(NamedTuple):
    """What recurs: a management command, or a function."""

    crontab: Crontab
    """When it is due."""

    command: str = ""
    function: str = ""
    """The dotted path of a function, or of a background task."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = _NOTHING
    """Keyword arguments of the function, or options of the command."""

    time_zone: zoneinfo.ZoneInfo | None = None
    """Where the crontab's clock hangs; ``None`` for Django's ``TIME_ZONE``."""

    missed: str = "once"
    """What becomes of what fell due while no worker looked: run ``"once"``, or ``"skip"``."""

    task_options: TaskOptions = TaskOptions()


class Settings(NamedTuple):
    """The package's settings, with their defaults."""

    backend: str = ""
    backend_options: Mapping[str, Any] = _NOTHING
    hooks: Mapping[str, TaskOptions] = _NOTHING
    own_hooks: Mapping[str, tuple[str, ...]] = _NOTHING
    """Hooks that the site adds to the catalogue, with the names of their arguments."""

    background: Mapping[str, bool] = _NOTHING
    """By the dotted path of a function: whether it is moved to the background, or kept from it."""

    worker: WorkerOptions = WorkerOptions()
    queues: Mapping[str, QueueOptions] = _NOTHING
    email: EmailOptions = EmailOptions()
    renditions: RenditionOptions = RenditionOptions()
    schedule: Mapping[str, ScheduleEntry] = _NOTHING
    history: HistoryOptions = HistoryOptions()
    bulk_actions: BulkActionOptions = BulkActionOptions()
    scheduled_publishing: bool = False
    """Whether go-live and expiry times are kept by tasks rather than by cron."""

    sync_hooks: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    """One sentence for each mistake; what is wrong counts as not given."""

    def runs_synchronously(self, hook: str, function: str) -> bool:
        """Return whether the site forces this hook, or this function, to run in the request."""
        return (
            hook in self.sync_hooks
            or function in self.sync_hooks
            or self.background.get(function) is False
        )

    def why_synchronous(self, hook: str, function: str) -> str:
        """Return the setting that forces a function to run in the request; blank if none does."""
        if hook in self.sync_hooks or function in self.sync_hooks:
            return SYNC_HOOKS_SETTING
        if self.background.get(function) is False:
            return background_setting(function)
        return ""

    @property
    def moved(self) -> frozenset[str]:
        """The dotted paths of the functions of others that are to run in the background."""
        return frozenset(path for path, moved in self.background.items() if moved)

    @property
    def limits(self) -> Mapping[str, int]:
        """How many tasks of a queue may run at once, of the queues that have a limit."""
        limits = {queue: given.limit for queue, given in self.queues.items()}
        return {queue: limit for queue, limit in limits.items() if limit is not None}

    def options_for(self, hook: str, function: str) -> TaskOptions:
        """Return what is set for the function, and where nothing is, for the hook."""
        nothing = TaskOptions()
        return self.hooks.get(function, nothing).over(self.hooks.get(hook, nothing))


@cache
def current() -> Settings:
    """Return the settings as they are now, faulty parts left out and listed in ``problems``."""
    return parse(
        getattr(django_settings, SETTING, {}), getattr(django_settings, SYNC_HOOKS_SETTING, ())
    )


def with_backend(backend: str) -> dict[str, Any]:
    """Return ``WAGTAIL_TASKS`` as it is, but for a backend that takes no options."""
    raw = getattr(django_settings, SETTING, {})
    known = raw if isinstance(raw, Mapping) else {}
    return {**known, "BACKEND": backend, "BACKEND_OPTIONS": {}}


def require() -> Settings:
    """Return the settings.

    :raises ConfigurationError: if there is a mistake in them; the message lists all.
    """
    settings = current()
    if settings.problems:
        raise ConfigurationError(" ".join(settings.problems))
    return settings


def parse(raw: Any, raw_sync_hooks: Any = ()) -> Settings:
    """Turn the two raw settings into a :class:`Settings`."""
    problems: list[str] = []
    if not isinstance(raw, Mapping):
        problems.append(_expected(SETTING, "a dict", raw))
        raw = {}
    readers = {
        "BACKEND": _text,
        "BACKEND_OPTIONS": _mapping,
        "HOOKS": _hooks,
        "WORKER": _worker,
        "QUEUES": _queues,
        "EMAIL": _email,
        "RENDITIONS": _renditions,
        "SCHEDULE": _schedule,
        "SCHEDULED_PUBLISHING": _flag,
        "HISTORY": _history,
        "BULK_ACTIONS": _bulk_actions,
    }
    values: dict[str, Any] = {}
    for key, value in raw.items():
        name = f'{SETTING}["{key}"]'
        if key not in readers:
            problems.append(_unknown(f"{SETTING} has an unknown key", key, readers))
            continue
        try:
            values[key.lower()] = readers[key](name, value, problems)
        except ValueError as error:
            problems.append(str(error))
    values["own_hooks"] = _own_hooks(raw.get("HOOKS"))
    values["background"] = _background(raw.get("HOOKS"))
    if values.get("backend") == "database" and values.get("backend_options"):
        problems.append(
            f'{SETTING}["BACKEND_OPTIONS"] should be empty for the backend "database": Django\'s '
            "DATABASES and DATABASE_ROUTERS say where it is."
        )
    try:
        values["sync_hooks"] = _names(SYNC_HOOKS_SETTING, raw_sync_hooks)
    except ValueError as error:
        problems.append(str(error))
    return Settings(**values, problems=tuple(problems))


def read_options(name: str, given: Any, known: Iterable[str]) -> TaskOptions:
    """Read options out of another package's setting, where their names are upper case.

    :param name: of the setting, for the error.
    :param known: the options that can be given there.
    :raises ConfigurationError: if there is a mistake in them; the message lists all.
    """
    problems: list[str] = []
    readers = {option.upper(): _HOOK_READERS[option] for option in known}
    try:
        read = _options(name, _mapping(name, given, problems), readers, problems)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    if problems:
        raise ConfigurationError(" ".join(problems))
    return TaskOptions(**{option.lower(): value for option, value in read.items()})


def _expected(name: str, what: str, value: Any) -> str:
    if name == f'{SETTING}["BACKEND_OPTIONS"]':
        return f"{name} should be {what}, but is something else, which may hold a password."
    return f"{name} should be {what}, but is {without_password(repr(value))}."


def _unknown(said: str, name: Any, known: Iterable[str]) -> str:
    near = nearest(str(name).upper(), [k.upper() for k in known])
    names = {k.upper(): k for k in known}
    hint = f'did you mean "{names[near]}"?' if near else f"known are: {', '.join(known)}."
    return f'{said} "{name}"; {hint}'


def _text(name: str, value: Any, problems: list[str]) -> str:
    if not isinstance(value, str):
        raise ValueError(
            _expected(name, 'a text such as "database", "redis" or a dotted path', value)
        )
    return value


def _flag(name: str, value: Any, problems: list[str]) -> bool:
    return bool(_reader(options.flag)(name, value))


def _mapping(name: str, value: Any, problems: list[str]) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(_expected(name, "a dict with text keys", value))
    return dict(value)


def _names(name: str, value: Any) -> frozenset[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(_expected(name, "a list of hook names or dotted function paths", value))
    names = list(value)
    if not all(isinstance(item, str) for item in names):
        raise ValueError(_expected(name, "a list of hook names or dotted function paths", value))
    return frozenset(names)


def _hooks(name: str, value: Any, problems: list[str]) -> dict[str, TaskOptions]:
    read_hooks = {}
    for hook, given in _mapping(name, value, problems).items():
        where = f'{name}["{hook}"]'
        if not isinstance(given, Mapping):
            problems.append(_expected(where, 'a dict such as {"priority": 50}', given))
            continue
        read = _options(where, given, _HOOK_READERS, problems)
        read.pop(_ARGUMENTS, None)
        if read.pop(_BACKGROUND, None) is not None and not _is_path(hook):
            problems.append(
                f'{where}["{_BACKGROUND}"] is about a function, so it should stand under the '
                'dotted path of one, such as "thirdparty.wagtail_hooks.purge".'
            )
        for option, expected in options.at_odds(read).items():
            problems.append(_expected(f'{where}["{option}"]', expected, read.pop(option)))
        read_hooks[hook] = TaskOptions(**read)
    return read_hooks


def _own_hooks(hooks: Any) -> dict[str, tuple[str, ...]]:
    """Return the hooks that have the key ``arguments``; what is wrong is told by _hooks()."""
    found = {}
    for hook, given in hooks.items() if isinstance(hooks, Mapping) else ():
        if isinstance(given, Mapping) and _are_names(given.get(_ARGUMENTS)):
            found[hook] = tuple(given[_ARGUMENTS])
    return found


def _background(hooks: Any) -> dict[str, bool]:
    """Return the functions that have the key ``background``; what is wrong is told by _hooks()."""
    found = {}
    for name, given in hooks.items() if isinstance(hooks, Mapping) else ():
        if _is_path(name) and isinstance(given, Mapping) and type(given.get(_BACKGROUND)) is bool:
            found[name] = given[_BACKGROUND]
    return found


def _is_path(name: Any) -> bool:
    """Return whether a text looks like the dotted path of a function."""
    parts = name.split(".") if isinstance(name, str) else []
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


def background_setting(path: str) -> str:
    """Return where the settings say whether a function runs in the background."""
    return f'{SETTING}["HOOKS"]["{path}"]["{_BACKGROUND}"]'


def _are_names(value: Any) -> bool:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return False
    return all(isinstance(name, str) and name.isidentifier() for name in value)


def _read_arguments(name: str, value: Any) -> Any:
    if not _are_names(value):
        raise ValueError(_expected(name, 'a list of names such as ["request", "order"]', value))
    return value


def _reader(expected: Callable[[Any], str]) -> Callable[[str, Any], Any]:
    def read(name: str, value: Any) -> Any:
        if what := expected(value):
            raise ValueError(_expected(name, what, value))
        return value

    return read


_ARGUMENTS: Final = "arguments"
_BACKGROUND: Final = "background"
_RETRY_OPTIONS: Final = ("retries", "retry_delay", "retry_backoff")
_HOOK_READERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    **{name: _reader(expected) for name, expected in options.EXPECTED.items()},
    _ARGUMENTS: _read_arguments,
    _BACKGROUND: _reader(lambda value: "" if value is None else options.flag(value)),
}


def _schedule(name: str, value: Any, problems: list[str]) -> dict[str, ScheduleEntry]:
    entries = {}
    for entry, given in _mapping(name, value, problems).items():
        found: list[str] = []
        read = _schedule_entry(f'{name}["{entry}"]', given, found)
        if not 0 < len(entry) <= 255:
            found.append(f"A name in {name} should have 1 to 255 characters, but is {entry!r}.")
        if read is not None and not found:
            entries[entry] = read
        problems += found
    return entries


def _schedule_entry(where: str, given: Any, problems: list[str]) -> ScheduleEntry | None:
    if not isinstance(given, Mapping):
        example = '{"command": "publish_scheduled", "crontab": "*/5 * * * *"}'
        problems.append(_expected(where, f"a dict such as {example}", given))
        return None
    kinds = [kind for kind in _ARGUMENTS_OF if kind in given]
    if len(kinds) != 1:
        either = " and ".join(f'"{kind}"' for kind in kinds) or "neither"
        problems.append(f'{where} should have either "command" or "function", but has {either}.')
        return None
    if "crontab" not in given:
        problems.append(f'{where} lacks "crontab", such as "*/5 * * * *".')
        return None
    keywords = _ARGUMENTS_OF[kinds[0]]
    readers = {kinds[0]: _read_name, "args": _read_list, keywords: _read_keywords, **_ENTRY_READERS}
    read = _options(where, given, readers, problems)
    if "crontab" not in read or kinds[0] not in read:
        return None
    task_options = TaskOptions(**{k: read.pop(k) for k in _TASK_OPTION_READERS if k in read})
    kwargs = read.pop(keywords, {})
    return ScheduleEntry(**read, kwargs=kwargs, task_options=task_options)


def _read_name(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(_expected(name, "a name", value))
    return value


def _read_list(name: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(_expected(name, "a list", value))
    return tuple(value)


def _read_keywords(name: str, value: Any) -> dict[str, Any]:
    return _mapping(name, value, [])


def _read_crontab(name: str, value: Any) -> Crontab:
    try:
        crontab = Crontab.parse(value)
    except ValueError as error:
        raise ValueError(_expected(name, str(error), value)) from None
    if len(crontab.text) > 255:
        raise ValueError(_expected(name, "a crontab of at most 255 characters", value))
    return crontab


def _read_time_zone(name: str, value: Any) -> zoneinfo.ZoneInfo:
    try:
        return parse_zone(value)
    except ValueError as error:
        raise ValueError(_expected(name, str(error), value)) from None


def _read_missed(name: str, value: Any) -> str:
    if value not in MISSED:
        raise ValueError(_expected(name, '"once" or "skip"', value))
    return str(value)


_ARGUMENTS_OF: Final = {"command": "options", "function": "kwargs"}
"""What can recur, and the key of its keyword arguments."""

_NOT_OF_THE_SCHEDULE: Final = (
    *("coalesce", "debounce", "debounce_max", "supersede"),
    *options.UNKNOWN_TO_HUEY,
    _ARGUMENTS,
    _BACKGROUND,
)
_TASK_OPTION_READERS: Final = {
    # A run that has not ended keeps the next one from being recorded: there is nothing to merge.
    name: reader
    for name, reader in _HOOK_READERS.items()
    if name not in _NOT_OF_THE_SCHEDULE
}
_ENTRY_READERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "crontab": _read_crontab,
    "time_zone": _read_time_zone,
    "missed": _read_missed,
    **_TASK_OPTION_READERS,
}


def _worker(name: str, value: Any, problems: list[str]) -> WorkerOptions:
    readers = {
        "threads": _positive_integer,
        "processes": _positive_integer,
        "shutdown_timeout": _seconds,
        "queues": _queue_names,
        "exclude_queues": _queue_names,
    }
    assert set(readers) == set(WorkerOptions._fields)
    read = _options(name, _mapping(name, value, problems), readers, problems)
    if read.get("queues") and read.get("exclude_queues"):
        problems.append(f'{name} should have "queues" or "exclude_queues", but has both.')
        del read["exclude_queues"]
    return WorkerOptions(**read)


def _queue_names(name: str, value: Any) -> tuple[str, ...]:
    expected = f"a list of queues, each {options.queue_name(None)}"
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(_expected(name, expected, value))
    if any(options.queue_name(queue) for queue in value):
        raise ValueError(_expected(name, expected, value))
    return tuple(dict.fromkeys(value))


def _queues(name: str, value: Any, problems: list[str]) -> dict[str, QueueOptions]:
    queues = {}
    for queue, given in _mapping(name, value, problems).items():
        where = f'{name}["{queue}"]'
        if what := options.queue_name(queue):
            problems.append(f"A queue in {name} should have {what}, but is {queue!r}.")
        elif not isinstance(given, Mapping):
            problems.append(_expected(where, 'a dict such as {"limit": 1}', given))
        else:
            readers = {"limit": _positive_integer}
            queues[queue] = QueueOptions(**_options(where, given, readers, problems))
    return queues


def _history(name: str, value: Any, problems: list[str]) -> HistoryOptions:
    readers = dict.fromkeys(HistoryOptions._fields, _days)
    return HistoryOptions(**_options(name, _mapping(name, value, problems), readers, problems))


def _days(name: str, value: Any) -> float | None:
    if value is not None and (type(value) not in (int, float) or not 0 <= value <= MAX_DAYS):
        told = f"a number of days from 0 to {MAX_DAYS}, or None for ever"
        raise ValueError(_expected(name, told, value))
    return None if value is None else float(value)


def _email(name: str, value: Any, problems: list[str]) -> EmailOptions:
    readers = {
        "BACKEND": _path,
        "at_once": lambda where, path: path and _path(where, path),
        **{option: _HOOK_READERS[option] for option in ("priority", *_RETRY_OPTIONS)},
    }
    assert {key.lower() for key in readers} == set(EmailOptions._fields)
    read = _options(name, _mapping(name, value, problems), readers, problems)
    return EmailOptions(**{key.lower(): option for key, option in read.items()})


def _renditions(name: str, value: Any, problems: list[str]) -> RenditionOptions:
    readers = {"specs": _read_specs, "on": _read_occasions}
    assert set(readers) == set(RenditionOptions._fields)
    return RenditionOptions(**_options(name, _mapping(name, value, problems), readers, problems))


def _read_specs(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(s, str) and s for s in value):
        raise ValueError(_expected(name, 'a list of filter specs such as ["fill-800x600"]', value))
    return tuple(value)


def _read_occasions(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(item in OCCASIONS for item in value):
        known = " and ".join(f'"{occasion}"' for occasion in OCCASIONS)
        raise ValueError(_expected(name, f"a list of {known}, or of one of them", value))
    return tuple(value)


def _bulk_actions(name: str, value: Any, problems: list[str]) -> BulkActionOptions:
    readers = {
        "actions": _action_names,
        "threshold": _reader(options.count),
        "copies": _positive_integer,
    }
    assert set(readers) == set(BulkActionOptions._fields)
    return BulkActionOptions(**_options(name, _mapping(name, value, problems), readers, problems))


def _action_names(name: str, value: Any) -> frozenset[str]:
    expected = 'a list of names such as "wagtailcore.page.publish"'
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(_expected(name, expected, value))
    names = list(value)
    if not all(isinstance(item, str) and item.count(".") >= 2 for item in names):
        raise ValueError(_expected(name, expected, value))
    return frozenset(names)


def _options(
    name: str, given: Mapping[str, Any], readers: Mapping[str, Any], problems: list[str]
) -> dict[str, Any]:
    read = {}
    for key, value in given.items():
        if key not in readers:
            problems.append(_unknown(f"{name} has an unknown key", key, readers))
            continue
        try:
            read[key] = readers[key](f'{name}["{key}"]', value)
        except ValueError as error:
            problems.append(str(error))
    return read


def _path(name: str, value: Any) -> str:
    parts = value.split(".") if isinstance(value, str) else []
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise ValueError(_expected(name, 'a dotted path such as "myapp.mail.name"', value))
    return str(value)


def _positive_integer(name: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 1000:
        raise ValueError(_expected(name, "a whole number from 1 to 1000", value))
    return value


def _seconds(name: str, value: Any) -> float:
    return float(_reader(options.seconds)(name, value))


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in (SETTING, SYNC_HOOKS_SETTING):
        current.cache_clear()


setting_changed.connect(_forget, dispatch_uid="wagtail_async_hooks.conf")
