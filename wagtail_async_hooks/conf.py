"""``WAGTAIL_TASKS`` and ``WAGTAIL_TASKS_SYNC_HOOKS``, read once into a frozen, validated object."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.core.signals import setting_changed

from wagtail_async_hooks.exceptions import ConfigurationError

SETTING = "WAGTAIL_TASKS"
SYNC_HOOKS_SETTING = "WAGTAIL_TASKS_SYNC_HOOKS"


@dataclass(frozen=True)
class HookOptions:
    """What ``WAGTAIL_TASKS["HOOKS"]`` says about one hook or one function."""

    priority: int | None = None
    """Higher runs first, whenever it was submitted."""


@dataclass(frozen=True)
class WorkerOptions:
    """Defaults of the options of ``wagtail_worker``."""

    threads: int = 4
    """How many tasks a worker process runs at once."""

    processes: int = 1
    """How many processes one ``wagtail_worker`` runs."""

    shutdown_timeout: float = 30.0
    """Seconds that running tasks get to finish when the worker is asked to stop."""


@dataclass(frozen=True)
class Settings:
    """The package's settings, with their defaults."""

    backend: str = ""
    backend_options: Mapping[str, Any] = field(default_factory=dict)
    hooks: Mapping[str, HookOptions] = field(default_factory=dict)
    worker: WorkerOptions = field(default_factory=WorkerOptions)
    sync_hooks: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    """One sentence for each mistake; what is wrong counts as not given."""

    def runs_synchronously(self, hook: str, function: str) -> bool:
        """Tell whether the site forces this hook, or this function, to run in the request."""
        return hook in self.sync_hooks or function in self.sync_hooks

    def priority_for(self, hook: str, function: str) -> int | None:
        """Return the priority set for the function, else for the hook, else ``None``."""
        for name in (function, hook):
            options = self.hooks.get(name)
            if options is not None and options.priority is not None:
                return options.priority
        return None


@cache
def current() -> Settings:
    """Return the settings as they are now, faulty parts left out and listed in ``problems``."""
    return parse(
        getattr(django_settings, SETTING, {}), getattr(django_settings, SYNC_HOOKS_SETTING, ())
    )


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


def _expected(name: str, what: str, value: Any) -> str:
    return f"{name} should be {what}, but is {value!r}."


def _unknown(said: str, name: Any, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name).upper(), [k.upper() for k in known], n=1)
    names = {k.upper(): k for k in known}
    hint = f'did you mean "{names[near[0]]}"?' if near else f"known are: {', '.join(known)}."
    return f'{said} "{name}"; {hint}'


def _text(name: str, value: Any, problems: list[str]) -> str:
    if not isinstance(value, str):
        raise ValueError(
            _expected(name, 'a text such as "database", "redis" or a dotted path', value)
        )
    return value


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


def _hooks(name: str, value: Any, problems: list[str]) -> dict[str, HookOptions]:
    options = {}
    for hook, given in _mapping(name, value, problems).items():
        where = f'{name}["{hook}"]'
        if not isinstance(given, Mapping):
            problems.append(_expected(where, 'a dict such as {"priority": 50}', given))
            continue
        read = _options(where, given, {"priority": _integer}, problems)
        options[hook] = HookOptions(**read)
    return options


def _worker(name: str, value: Any, problems: list[str]) -> WorkerOptions:
    readers = {
        "threads": _positive_integer,
        "processes": _positive_integer,
        "shutdown_timeout": _seconds,
    }
    assert set(readers) == {f.name for f in fields(WorkerOptions)}
    return WorkerOptions(**_options(name, _mapping(name, value, problems), readers, problems))


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


def _integer(name: str, value: Any) -> int:
    if type(value) is not int or not -(2**31) <= value < 2**31:
        raise ValueError(_expected(name, "a whole number that fits 32 bits", value))
    return value


def _positive_integer(name: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 1000:
        raise ValueError(_expected(name, "a whole number from 1 to 1000", value))
    return value


def _seconds(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise ValueError(_expected(name, "a number of seconds of at least 0", value))
    return float(value)


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting in (SETTING, SYNC_HOOKS_SETTING):
        current.cache_clear()


setting_changed.connect(_forget, dispatch_uid="wagtail_async_hooks.conf")
