"""A task of Huey's, with what Huey has no place for: of its function, and of this call."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from huey.api import PeriodicTask, Task

from wagtail_async_hooks.conf.options import TaskOptions
from wagtail_async_hooks.serialization.context import Context
from wagtail_async_hooks.types import Claim, Subject

if TYPE_CHECKING:
    from wagtail_async_hooks.queue.keys import OwnKeys
    from wagtail_async_hooks.utils.crontab import Times


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Definition:
    """What all tasks of one function have in common; the attribute of their class.

    :param function: dotted path under which tasks are enqueued.
    :param options: returns the options in force, for a task or for any of them.
    :param hook: name of the hook or signal; blank for any other task.
    :param queue: given in code.
    :param keys: how calls get their keys, if an option says so.
    :param called: whose parameters name the arguments.
    :param spec: of the module that has made it, which is another one once that is loaded anew.
    :param is_coroutine: returns whether a task calls a coroutine function.
    :param forgets_arguments: whether they leave the row once a task has succeeded.
    :param call_class: what restores the call that the arguments stand for, if they do.
    :param times: when it recurs.
    :param missed: what becomes of what fell due while no worker looked: ``"once"`` or ``"skip"``.
    """

    function: str
    options: Callable[[QueuedTask | None], TaskOptions]
    is_coroutine: Callable[[QueuedTask], bool]
    hook: str = ""
    queue: str | None = None
    keys: OwnKeys | None = None
    called: Callable[..., Any] | None = None
    spec: object = None
    forgets_arguments: bool = False
    call_class: type | None = None
    times: Times | None = None
    missed: str = "once"

    def own_options(self) -> TaskOptions:
        """Return what ``@background.task()`` was given of which Huey knows nothing."""
        of_keys = TaskOptions() if self.keys is None else self.keys.options
        return of_keys.over(self.options(None))._replace(queue=self.queue)


@dataclass(slots=True, eq=False)
class Submission:
    """What one call is enqueued with; blank values leave it to the task's :class:`Definition`.

    :param context: what surrounds the call; ``None`` for the context of whoever enqueues it.
    :param options: the options in force, if they are known already.
    :param named: the arguments by name, if they are known already.
    :param name: under which it is enqueued, in place of Huey's.
    :param function: dotted path, in place of the definition's.
    :param hook: name of a hook, in place of the definition's.
    :param queue: name of the queue, in place of the definition's.
    :param subject: the object that it is about.
    :param coalesce_key: of several waiting tasks with the same one only the newest runs.
    :param exclusive_key: no other task with the same one runs meanwhile.
    :param latest_at: when a debounced task is begun at the latest, in Huey's naive UTC.
    :param is_eta_named: whether the caller has named a time, rather than a delay.
    :param given_arguments: names of the keyword arguments that it was called with.
    :param added_arguments: names of those that others have added, as the message says.
    """

    context: Context | None = None
    options: TaskOptions | None = None
    named: Mapping[str, Any] | None = None
    name: str = ""
    function: str = ""
    hook: str = ""
    queue: str = ""
    subject: Subject | None = None
    coalesce_key: str = ""
    exclusive_key: str = ""
    latest_at: datetime.datetime | None = None
    is_eta_named: bool = False
    given_arguments: frozenset[str] | None = None
    added_arguments: frozenset[str] = frozenset()


class QueuedTask(Task):  # type: ignore[misc]  # Huey has no types
    """A call of a background task: Huey's, with what it is enqueued with, and what has claimed it.

    :param submission: what Huey has no place for; whoever needs it passes it.
    """

    definition: ClassVar[Definition]

    claim: Claim | None = None
    """The claim by which this process runs it; ``None`` in immediate mode."""

    tries: int = 1
    """Number of the attempt in immediate mode; the ledger's row counts any other."""

    def __init__(self, *args: Any, submission: Submission | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.submission = Submission() if submission is None else submission

    def added_arguments(self) -> Set[str]:
        """Return the names of keyword arguments that nobody has called the task with.

        Tools that trace calls put some into a call when Huey enqueues it, and take them out in a
        worker if they are at work there, too.
        """
        given = self.submission.given_arguments
        if given is None:
            return self.submission.added_arguments
        return frozenset(self.kwargs) - given

    def options(self) -> TaskOptions:
        """Return the options in force, for those of which Huey knows nothing."""
        known = self.submission.options
        return self.definition.options(self) if known is None else known


class QueuedPeriodicTask(QueuedTask, PeriodicTask):  # type: ignore[misc]  # Huey has no types
    """A call of a function that recurs."""


def base_of(base: type[Task]) -> type[QueuedTask]:
    """Return the base of a task's class that stands in for one of Huey's, or of the site's."""
    if issubclass(base, QueuedTask):
        return base
    if base is Task:
        return QueuedTask
    if base is PeriodicTask:
        return QueuedPeriodicTask
    return type(base.__name__, (QueuedTask, base), {})
