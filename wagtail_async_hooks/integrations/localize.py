"""The job backend for wagtail-localize: what takes it long is done by a worker.

Nothing in the package imports this module. wagtail-localize does, on a site that names the class
in ``WAGTAILLOCALIZE_JOBS``. It speaks of *jobs*, each of which is a background task here.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from inspect import BoundArguments
from typing import Any, Final

from django.db.models import Model
from wagtail_localize.tasks import BaseJobBackend

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf.options import TaskOptions
from wagtail_async_hooks.exceptions import CannotSerialize, UnknownTask
from wagtail_async_hooks.queue import enqueue
from wagtail_async_hooks.queue.submission import QueuedTask, Submission
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.serialization import codecs
from wagtail_async_hooks.serialization.context import Context
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.functions import Function, dotted_path
from wagtail_async_hooks.utils.text import one_line

logger = logging.getLogger(__name__)

OPTIONS: Final = ("priority", "delay", "retries", "retry_delay", "retry_backoff")
"""The options that the setting takes, there in upper case."""

DEFAULTS: Final = TaskOptions(delay=5, retries=3, retry_delay=10)
"""The delay lets wagtail-localize come first that publishes the page above, once the request has
committed: it saves what it has in memory, with the number of children that the page had by then.

The retries are for what a long transaction may meet, such as a deadlock. Nothing is made twice: a
job looks for what has been translated or copied already."""

PAGE_INDEX: Final = "wagtail_localize.synctree.PageIndex"
"""What a job makes anew if it is not given, and then has the pages as they are. Importing it would
register a hook, which is for wagtail-localize to do."""


class BackgroundJobBackend(BaseJobBackend):  # type: ignore[misc]  # wagtail-localize has no types
    """Records the jobs of wagtail-localize as background tasks.

    :param options: ``WAGTAILLOCALIZE_JOBS["OPTIONS"]``.
    :raises ConfigurationError: if there is a mistake in them; the message lists all.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        given = conf.read_options('WAGTAILLOCALIZE_JOBS["OPTIONS"]', options, OPTIONS)
        self.options = given.over(DEFAULTS)

    def enqueue(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Record a job, in the caller's transaction; what a worker could not do is done at once.

        :raises TypeError: if the function does not take the arguments.
        """
        run = functools.partial(func, *args, **kwargs)
        if background.immediate:
            run()
        elif reason := _why_refused(func):
            logger.error("%s runs at once: %s.", functions.named(func), reason)
            run()
        else:
            call = _carried(inspect.signature(func).bind(*args, **kwargs))
            task = _make_task(func, call, self.options)
            enqueue.enqueue(task, functools.partial(_run_at_once, func, call, run))


def _why_refused(function: Function) -> str:
    """Say why a worker would not run a function; blank if it would."""
    if reason := functions.why_lost(function):
        return reason
    if functions.find(dotted_path(function)) != function:
        return "a worker only runs functions at the top level of an installed app's modules"
    return ""


def _carried(call: BoundArguments) -> BoundArguments:
    """Leave out of a call what its function can do without."""
    # Not above: it needs Django's apps.
    from wagtail_localize.components import BaseComponentManager

    for name, value in call.arguments.items():
        is_remade = dotted_path(type(value)) == PAGE_INDEX
        if is_remade or (isinstance(value, BaseComponentManager) and not _has_work(value)):
            call.arguments[name] = None
    return call


def _has_work(manager: Any) -> bool:
    """Return whether the editor has filled in one of the forms that sites add to a translation."""
    return any(component["required"] or form["enabled"].value() for component, _, form in manager)


def _make_task(function: Function, call: BoundArguments, options: TaskOptions) -> QueuedTask:
    path = dotted_path(function)
    task: QueuedTask = run_job.task_class(
        (path, _page(call), *call.args),
        call.kwargs,
        submission=Submission(context=Context.capture(), function=path),
        **options.for_huey(),
    )
    return task


def _page(call: BoundArguments) -> Model | None:
    """Return the page that a job is about, which wagtail-localize passes by its key."""
    from wagtail.models import Page  # not above: it needs Django's apps

    key = call.arguments.get("page_id")
    page: Model | None = Page.objects.filter(pk=key).first() if key else None
    return page


def _run_at_once(
    function: Function, call: BoundArguments, run: Callable[[], Any], error: Exception
) -> None:
    """Run a job that could not be recorded; its errors are raised, as without this backend."""
    told = functions.named(function)
    if isinstance(error, CannotSerialize):
        logger.error(
            "%s runs at once, because its %s cannot be carried to a worker: %s",
            told,
            _culprit(call),
            one_line(error.reason),
        )
    else:
        logger.error(
            "%s could not be recorded as a background task, so it runs at once.",
            told,
            exc_info=error,
        )
    run()


def _culprit(call: BoundArguments) -> str:
    """Say which argument of a call cannot be carried; all, if each of them could be by itself."""
    lost = (n for n, value in call.arguments.items() if not codecs.is_serializable(value))
    return next((f"argument {name}" for name in lost), "arguments")


@background.own_task("run_localize_job")
def run_job(path: str, about: Model | None, /, *args: Any, **kwargs: Any) -> None:
    """Run a job; the name of its function is looked up, never imported.

    :param path: of the function.
    :param about: the page that it is about, for the task's row; the job ends if it is deleted.
    :raises UnknownTask: if no such function is loaded here.
    """
    function = functions.find(path)
    if function is None:
        raise UnknownTask(
            f"no module of an installed app that is loaded here defines {path}; the code that "
            "recorded the job is not what this worker runs."
        )
    functions.call(function, *args, **kwargs)
