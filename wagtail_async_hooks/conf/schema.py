"""The package's settings: what can be set, of which types, with which defaults."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from wagtail_async_hooks.conf.options import Explain, TaskOptions
from wagtail_async_hooks.utils.crontab import Crontab

SETTING = "WAGTAIL_TASKS"
SYNC_HOOKS_SETTING = "WAGTAIL_TASKS_SYNC_HOOKS"

CELERY: Final = "celery"
"""The ``BACKEND`` of sites whose tasks Celery's workers run."""

OCCASIONS: Final = ("upload", "publish")
"""When renditions can be made ahead."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class WorkerOptions(NamedTuple):
    """Defaults of the options of ``wagtail_worker``."""

    threads: int = 4
    """How many tasks a worker process runs at once."""

    processes: int = 1
    """How many processes one ``wagtail_worker`` runs."""

    coroutines: int = 20
    """How many coroutine functions a worker process runs at once, beside its threads."""

    shutdown_timeout: float = 30.0
    """Seconds that running tasks get to finish when the worker is asked to stop."""

    queues: tuple[str, ...] = ()
    """The queues that it serves; empty for all."""

    exclude_queues: tuple[str, ...] = ()
    """The queues that it does not serve."""

    max_tasks: int | None = None
    """After how many tasks a worker process is replaced; ``None`` for never."""

    max_memory: float | None = None
    """Above how many megabytes a worker process is replaced; ``None`` for never."""

    metrics: str = ""
    """Address and port at which a worker shows its metrics to Prometheus; blank for nowhere."""

    embedded: bool = False
    """Whether one web process on each host runs a worker besides."""


class QueueOptions(NamedTuple):
    """Options of one queue."""

    limit: int | None = None
    """How many of its tasks run at once at most, over all workers; ``None`` for any number."""


class HealthOptions(NamedTuple):
    """Thresholds of the view for load balancers."""

    max_wait: float | None = 300.0
    """Seconds for which the oldest task may have waited; ``None`` for any number."""

    min_workers: int = 1
    """How many workers have to be alive."""


class AlertOptions(NamedTuple):
    """Who is told that something is wrong, of what, and how often."""

    to: tuple[str, ...] = ()
    """E-mail addresses, and dotted paths of functions; empty for nobody."""

    sender: str = ""
    """The address that e-mails come from; blank for Django's ``DEFAULT_FROM_EMAIL``."""

    new_errors: bool = True
    """Whether a group of errors is told of that was not there before."""

    failure_rate: float | None = 0.5
    """From which part on of the tasks that end it is told that they fail; ``None`` for never."""

    failure_minimum: int = 10
    """How many tasks have to have ended for that, in a quarter of an hour or so."""

    waiting: float | None = 900.0
    """Seconds for which a task may wait; ``None`` for any number."""

    no_worker: float | None = 300.0
    """Seconds that pass without a worker, or while tasks of a queue wait that no worker serves."""

    every: float | None = 3600.0
    """Seconds between two messages about the same thing; ``None`` to tell once until it is over."""

    over: bool = True
    """Whether it is told, too, that something is over."""


class EmailOptions(NamedTuple):
    """How :class:`~wagtail_async_hooks.mail.BackgroundEmailBackend` sends e-mails."""

    backend: str = "django.core.mail.backends.smtp.EmailBackend"
    """Dotted path of the backend that workers send by, where Django's ``MAILERS`` is not set."""

    at_once: str = ""
    """Dotted path of a function that returns whether an e-mail is sent in the request."""

    priority: int = 0
    """Priority of the tasks."""

    retries: int = 10
    """How often an e-mail is tried again: with the defaults below, for eight and a half hours."""

    retry_delay: float = 30.0
    """Seconds between an error and the next attempt."""

    retry_backoff: float = 2.0
    """What the delay is multiplied by after each further error."""


MAX_DAYS: Final = 36_500
"""The longest time that ended tasks can be kept, other than for ever."""


class HistoryOptions(NamedTuple):
    """How many days ended tasks stay in the ledger; ``None`` for ever."""

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
    """Up to so many objects are handled in the request."""

    copies: int = 200
    """Of up to so many objects that are deleted together, background functions get copies."""

    explain: Explain | None = None
    """What errors of single objects mean, for editors."""


class ScheduleEntry(NamedTuple):
    """A management command, or a function, that runs by a crontab."""

    crontab: Crontab
    """When it is due."""

    command: str = ""
    function: str = ""
    """The dotted path of a function, or of a background task."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = _NOTHING
    """Keyword arguments of the function, or options of the command."""

    time_zone: zoneinfo.ZoneInfo | None = None
    """The time zone of the crontab; ``None`` for Django's ``TIME_ZONE``."""

    missed: str = "once"
    """What happens to runs that were due while no worker ran: ``"once"`` or ``"skip"``."""

    task_options: TaskOptions = TaskOptions()


BACKGROUND: Final = "background"
"""The key of a function's options by which a site moves it to the background, or keeps it."""


def background_setting(path: str) -> str:
    """Return where the settings say whether a function runs in the background."""
    return f'{SETTING}["HOOKS"]["{path}"]["{BACKGROUND}"]'


def line_that_moves(path: str) -> str:
    """Return the line of settings that moves a function to the background."""
    return f'{SETTING}["HOOKS"]["{path}"] = {{"{BACKGROUND}": True}}'


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
    health: HealthOptions = HealthOptions()
    alerts: AlertOptions = AlertOptions()
    email: EmailOptions = EmailOptions()
    renditions: RenditionOptions = RenditionOptions()
    schedule: Mapping[str, ScheduleEntry] = _NOTHING
    history: HistoryOptions = HistoryOptions()
    bulk_actions: BulkActionOptions = BulkActionOptions()
    scheduled_publishing: bool = False
    """Whether go-live and expiry times are kept by tasks rather than by cron."""

    measure_hooks: bool = False
    """Whether synchronous functions of background-safe hooks are timed."""

    tell_failures: bool = True
    """Whether editors are told that a task of theirs failed, also where nothing explains it."""

    prometheus: bool = False
    """Whether what happens to tasks is counted for Prometheus."""

    opentelemetry: bool = False
    """Whether tasks are traced and counted by OpenTelemetry."""

    release: str = ""
    """What the site calls its release; blank for that of this package."""

    sync_hooks: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    """One sentence for each mistake; invalid settings count as not set."""

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
        """Return the options of a function; those that are not set are those of the hook."""
        nothing = TaskOptions()
        return self.hooks.get(function, nothing).over(self.hooks.get(hook, nothing))
