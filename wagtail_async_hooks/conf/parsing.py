"""From Django's settings to a :class:`~wagtail_async_hooks.conf.schema.Settings`, and mistakes.

By hand, so that each mistake is one sentence that names the setting and what it should be, and a
system check reports all mistakes at once. pydantic would need each of these sentences as well, and
takes 0.14 s to import in every process of a site.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any, Final

from wagtail_async_hooks.conf import validators
from wagtail_async_hooks.conf.options import UNKNOWN_TO_HUEY, TaskOptions
from wagtail_async_hooks.conf.schema import (
    BACKGROUND,
    CELERY,
    MAX_DAYS,
    OCCASIONS,
    SETTING,
    SYNC_HOOKS_SETTING,
    AlertOptions,
    BulkActionOptions,
    EmailOptions,
    HealthOptions,
    HistoryOptions,
    QueueOptions,
    RenditionOptions,
    ScheduleEntry,
    Settings,
    WorkerOptions,
)
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.utils.crontab import MISSED, Crontab, parse_zone
from wagtail_async_hooks.utils.redaction import without_password
from wagtail_async_hooks.utils.suggestions import nearest


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
        "HEALTH": _health,
        "ALERTS": _alerts,
        "EMAIL": _email,
        "RENDITIONS": _renditions,
        "SCHEDULE": _schedule,
        "SCHEDULED_PUBLISHING": _flag,
        "HISTORY": _history,
        "BULK_ACTIONS": _bulk_actions,
        "MEASURE_HOOKS": _flag,
        "TELL_FAILURES": _flag,
        "PROMETHEUS": _flag_of("prometheus_client", "prometheus"),
        "OPENTELEMETRY": _flag_of("opentelemetry.trace", "opentelemetry"),
        "RELEASE": _label,
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
    if values.get("backend") == CELERY:
        problems += _mistakes_for_celery(values.get("backend_options", {}))
    try:
        values["sync_hooks"] = _names(SYNC_HOOKS_SETTING, raw_sync_hooks)
    except ValueError as error:
        problems.append(str(error))
    return Settings(**values, problems=tuple(problems))


_CELERY_OPTIONS: Final = {
    "app": 'the Celery app as after "celery -A", such as "mysite.celery"',
    "queue": 'the name of one of Celery\'s queues, such as "wagtail"',
}


def _mistakes_for_celery(options: Mapping[str, Any]) -> Iterator[str]:
    name = f'{SETTING}["BACKEND_OPTIONS"]'
    for key, value in options.items():
        if key not in _CELERY_OPTIONS:
            yield _unknown(f"{name} has an unknown key", key, _CELERY_OPTIONS)
        elif not isinstance(value, str) or not value.strip():
            yield _expected(f'{name}["{key}"]', _CELERY_OPTIONS[key], value)


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


def _label(name: str, value: Any, problems: list[str]) -> str:
    if not isinstance(value, str):
        raise ValueError(_expected(name, "a text", value))
    return value


def _text(name: str, value: Any, problems: list[str]) -> str:
    if not isinstance(value, str):
        raise ValueError(
            _expected(name, 'a text such as "database", "redis", "celery" or a dotted path', value)
        )
    return value


def _flag(name: str, value: Any, problems: list[str]) -> bool:
    return bool(_reader(validators.flag)(name, value))


def _flag_of(module: str, extra: str) -> Callable[[str, Any, list[str]], bool]:
    """Return the reader of a flag that needs an extra of the package.

    :param module: of the library that comes with the extra. It is not imported.
    """

    def read(name: str, value: Any, problems: list[str]) -> bool:
        if is_on := _flag(name, value, problems):
            require_extra(name, module, extra)
        return is_on

    return read


def require_extra(name: str, module: str, extra: str) -> None:
    """Make sure that the library is installed that a setting or an option needs.

    :raises ValueError: if it is not; says what to install.
    """
    if not is_installed(module):
        raise ValueError(
            f"{name} needs a library that is not installed; "
            f'install it with "pip install wagtail-async-hooks[{extra}]".'
        )


def is_installed(module: str) -> bool:
    """Return whether a module could be imported; it is not."""
    try:
        return find_spec(module) is not None
    except ImportError:  # of the package that the module is in
        return False


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
        if read.pop(BACKGROUND, None) is not None and not _is_path(hook):
            problems.append(
                f'{where}["{BACKGROUND}"] is about a function, so it should stand under the '
                'dotted path of one, such as "thirdparty.wagtail_hooks.purge".'
            )
        for option, expected in validators.contradictions(read).items():
            problems.append(_expected(f'{where}["{option}"]', expected, read.pop(option)))
        read_hooks[hook] = TaskOptions(**read)
    return read_hooks


def _own_hooks(hooks: Any) -> dict[str, tuple[str, ...]]:
    """Return the hooks that have the key ``arguments``; mistakes are reported by _hooks()."""
    found = {}
    for hook, given in hooks.items() if isinstance(hooks, Mapping) else ():
        if isinstance(given, Mapping) and _are_names(given.get(_ARGUMENTS)):
            found[hook] = tuple(given[_ARGUMENTS])
    return found


def _background(hooks: Any) -> dict[str, bool]:
    """Return the functions that have the key ``background``; mistakes are reported by _hooks()."""
    found = {}
    for name, given in hooks.items() if isinstance(hooks, Mapping) else ():
        if _is_path(name) and isinstance(given, Mapping) and type(given.get(BACKGROUND)) is bool:
            found[name] = given[BACKGROUND]
    return found


def _is_path(name: Any) -> bool:
    """Return whether a text looks like the dotted path of a function."""
    parts = name.split(".") if isinstance(name, str) else []
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


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
_RETRY_OPTIONS: Final = ("retries", "retry_delay", "retry_backoff")
_HOOK_READERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    **{name: _reader(expected) for name, expected in validators.VALIDATORS.items()},
    _ARGUMENTS: _read_arguments,
    BACKGROUND: _reader(lambda value: "" if value is None else validators.flag(value)),
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
    *UNKNOWN_TO_HUEY,
    _ARGUMENTS,
    BACKGROUND,
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
        "coroutines": _reader(validators.count),
        "shutdown_timeout": _seconds,
        "queues": _queue_names,
        "exclude_queues": _queue_names,
        "max_tasks": _reader(lambda value: "" if value is None else validators.positive(value)),
        "max_memory": _reader(lambda value: "" if value is None else validators.megabytes(value)),
        "metrics": _address,
        "embedded": _reader(validators.flag),
    }
    assert set(readers) == set(WorkerOptions._fields)
    read = _options(name, _mapping(name, value, problems), readers, problems)
    if read.get("queues") and read.get("exclude_queues"):
        problems.append(f'{name} should have "queues" or "exclude_queues", but has both.')
        del read["exclude_queues"]
    return WorkerOptions(**read)


def _address(name: str, value: Any) -> str:
    address = _reader(validators.address)(name, value)
    if address:
        require_extra(name, "prometheus_client", "prometheus")
    return str(address)


def _queue_names(name: str, value: Any) -> tuple[str, ...]:
    expected = f"a list of queues, each {validators.queue_name(None)}"
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(_expected(name, expected, value))
    if any(validators.queue_name(queue) for queue in value):
        raise ValueError(_expected(name, expected, value))
    return tuple(dict.fromkeys(value))


def _queues(name: str, value: Any, problems: list[str]) -> dict[str, QueueOptions]:
    queues = {}
    for queue, given in _mapping(name, value, problems).items():
        where = f'{name}["{queue}"]'
        if what := validators.queue_name(queue):
            problems.append(f"A queue in {name} should have {what}, but is {queue!r}.")
        elif not isinstance(given, Mapping):
            problems.append(_expected(where, 'a dict such as {"limit": 1}', given))
        else:
            readers = {"limit": _positive_integer}
            queues[queue] = QueueOptions(**_options(where, given, readers, problems))
    return queues


def _health(name: str, value: Any, problems: list[str]) -> HealthOptions:
    readers = {
        "max_wait": lambda where, given: None if given is None else _seconds(where, given),
        "min_workers": _reader(validators.count),
    }
    assert set(readers) == set(HealthOptions._fields)
    return HealthOptions(**_options(name, _mapping(name, value, problems), readers, problems))


def _alerts(name: str, value: Any, problems: list[str]) -> AlertOptions:
    duration = _or_none(validators.duration)
    readers = {
        "to": _read_recipients,
        "sender": _read_sender,
        "new_errors": _reader(validators.flag),
        "failure_rate": _or_none(validators.rate),
        "failure_minimum": _reader(validators.positive),
        **dict.fromkeys(("waiting", "no_worker", "every"), duration),
        "over": _reader(validators.flag),
    }
    assert set(readers) == set(AlertOptions._fields)
    given = _mapping(name, value, problems)
    if given and "to" not in given:
        problems.append(f'{name} lacks "to", which says who is told, such as ["ops@example.com"].')
    return AlertOptions(**_options(name, given, readers, problems))


def _or_none(expected: Callable[[Any], str]) -> Callable[[str, Any], Any]:
    """Return the reader of an option that ``None`` turns off."""

    def judge(value: Any) -> str:
        what = "" if value is None else expected(value)
        return f"{what}, or None" if what else ""

    return _reader(judge)


def _read_recipients(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(
            _expected(name, "a list of e-mail addresses, and of dotted paths of functions", value)
        )
    for each in value:
        if expected := validators.recipient(each):
            raise ValueError(f"{name} has {each!r}, which should be {expected}.")
    return tuple(dict.fromkeys(value))


def _read_sender(name: str, value: Any) -> str:
    if value != "" and validators.email_address(value):
        raise ValueError(_expected(name, validators.email_address(value), value))
    return str(value)


def _history(name: str, value: Any, problems: list[str]) -> HistoryOptions:
    readers = dict.fromkeys(HistoryOptions._fields, _days)
    return HistoryOptions(**_options(name, _mapping(name, value, problems), readers, problems))


def _days(name: str, value: Any) -> float | None:
    if value is not None and (type(value) not in (int, float) or not 0 <= value <= MAX_DAYS):
        expected = f"a number of days from 0 to {MAX_DAYS}, or None for ever"
        raise ValueError(_expected(name, expected, value))
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
        "threshold": _reader(validators.count),
        "copies": _positive_integer,
        "explain": _HOOK_READERS["explain"],
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
    return float(_reader(validators.seconds)(name, value))
