"""Runs a task of ``TASKS`` in the worker, and sends the signals of its API."""

from __future__ import annotations

import inspect
import logging
from typing import Any, Final, NamedTuple

from huey.exceptions import RetryTask

from wagtail_async_hooks import current_task, signals
from wagtail_async_hooks.conf.options import TaskOptions
from wagtail_async_hooks.exceptions import UnknownTask
from wagtail_async_hooks.integrations.tasks_backend import results, wagtails_own
from wagtail_async_hooks.integrations.tasks_backend.calls import Call, amend
from wagtail_async_hooks.integrations.tasks_backend.lookup import find_any, is_task
from wagtail_async_hooks.queue.claims import UNKNOWN_TASK_DELAYS
from wagtail_async_hooks.queue.submission import QueuedTask
from wagtail_async_hooks.queue.task_queue import background
from wagtail_async_hooks.types import Claim, State, TaskInfo
from wagtail_async_hooks.utils import functions
from wagtail_async_hooks.utils.catching import passes
from wagtail_async_hooks.utils.database import clock
from wagtail_async_hooks.utils.errors import class_of, report, traceback_of
from wagtail_async_hooks.utils.time import as_django

logger = logging.getLogger(__name__)


class Attempt(NamedTuple):
    """What a thread knows of the attempt that it makes.

    :param result: the API's, as far as it is known.
    """

    claim: Claim
    call: Call
    result: Any

    def __repr__(self) -> str:
        return f"<Attempt at {self.claim}>"


_attempts: Final[dict[tuple[int, int], Attempt]] = {}
"""The attempts of this process, until their ends are recorded, by their tasks and numbers."""

_MANY: Final = 10_000
"""Attempts above which the oldest is forgotten: nobody hears how those ended that another worker
was given meanwhile."""


def _options_now(task: QueuedTask | None) -> TaskOptions:
    assert task is not None
    return wagtails_own.options_now(task.kwargs["path"])


def _is_coroutine(task: QueuedTask) -> bool:
    found = find_any(task.kwargs.get("path", ""))
    return found is not None and inspect.iscoroutinefunction(found.func)


@background.own_task("run_task", call_class=Call, options=_options_now, is_coroutine=_is_coroutine)
def run(**payload: Any) -> Any:
    """Call a task of ``TASKS``; what it returns has to be JSON."""
    call = Call.from_payload(payload)
    running = current_task.running()
    assert running is not None
    assert running.claim is not None
    try:
        takes_context = call.task.takes_context
    except UnknownTask as error:
        _try_later(running.claim, error)
        raise
    attempt = _begin(call, running.claim)
    context = [call.package.base.TaskContext(task_result=attempt.result)] if takes_context else []
    try:
        value = _called(call, context)
    except BaseException as error:
        attempt.result.errors.append(_error(call, error))
        raise
    amend(attempt.result, _return_value=value)
    return value


def _called(call: Call, context: list[Any]) -> Any:
    with wagtails_own.calling(call.path):
        if (instead := wagtails_own.instead_of(call.path, call.args)) is not None:
            return call.task.enqueue(*instead).id
        # Not by call(), which would know of no timeout when it waits for a coroutine.
        value = functions.call(call.task.func, *context, *call.args, **call.kwargs)
        return call.package.normalize_json(value)


def _try_later(claim: Claim, error: UnknownTask) -> None:
    """Have a task that is not known tried again, as any other that a release does not know."""
    tries = claim.counted - 1
    if tries < len(UNKNOWN_TASK_DELAYS):
        raise RetryTask(str(error), delay=UNKNOWN_TASK_DELAYS[tries]) from error


def _begin(call: Call, claim: Claim) -> Attempt:
    now = as_django(clock.database_now())
    earlier = results.earlier_attempts(claim.pk, call) if claim.attempt > 1 else {}
    workers = [*earlier.get("worker_ids", ()), results.worker_id(claim.worker)]
    times = {"started_at": earlier.get("started_at") or now, "last_attempted_at": now}
    result = call.result(
        claim.task_id,
        "RUNNING",
        **times,
        errors=[*earlier.get("errors", ())],
        worker_ids=workers,
    )
    attempt = _attempts[claim.pk, claim.attempt] = Attempt(claim, call, result)
    if len(_attempts) > _MANY:
        del _attempts[next(iter(_attempts))]
    _announce(call.package.signals.task_started, call, result)
    return attempt


def _error(call: Call, error: BaseException) -> Any:
    return call.package.base.TaskError(
        exception_class_path=class_of(error),
        traceback=traceback_of(error),
    )


def _announce(signal: Any, call: Call, result: Any) -> None:
    """Send one of the API's signals; a receiver that raises is logged, and breaks nothing."""
    sender = type(call.package.handler[call.backend])
    try:
        for receiver, answer in signal.send_robust(sender, task_result=result):
            if isinstance(answer, Exception):
                named = receiver if functions.has_name(receiver) else type(receiver)
                told = functions.dotted_path(named)
                logger.error("A receiver of a signal of %s failed: %s.", call.api, told)
    except BaseException as error:  # which Django lets pass
        if passes(error):
            raise
        report(logger, error, "A receiver of a signal of %s failed.", call.api)


# How it ended -------------------------------------------------------------------------------


def succeeded(sender: str, *, task: TaskInfo, **told: Any) -> None:
    """Announce the end of a task of ``TASKS``, after the commit; called for every task."""
    if (attempt := _taken(task)) is not None:
        _announce_attempt(attempt, succeeded=True)


def ended_otherwise(sender: str, *, task: TaskInfo, **told: Any) -> None:
    """Announce the end of one that did not succeed, or was not even called."""
    if (attempt := _taken(task)) is not None:
        _announce_attempt(attempt, succeeded=False)
    elif is_task(task.function):
        _announce_row(task)


def goes_on(sender: str, *, task: TaskInfo, **told: Any) -> None:
    """Forget the attempt at one that is tried again."""
    _taken(task)


def _taken(task: TaskInfo) -> Attempt | None:
    """Return the attempt that has ended, if it was made in this process, and forget it."""
    return _attempts.pop((task.pk, task.attempt), None)


def _announce_attempt(attempt: Attempt, *, succeeded: bool) -> None:
    statuses = attempt.call.package.base.TaskResultStatus
    status = statuses.SUCCESSFUL if succeeded else statuses.FAILED
    result = amend(attempt.result, status=status, finished_at=as_django(clock.database_now()))
    _announce(attempt.call.package.signals.task_finished, attempt.call, result)


def _announce_row(task: TaskInfo) -> None:
    row = background.storage.tasks.filter(pk=task.pk).first()
    call = None if row is None else results.call_of(row)
    if row is not None and call is not None and State(row.state).is_final:
        _announce(call.package.signals.task_finished, call, results.of_row(row, call))


def connect() -> None:
    """Listen for the ends of tasks; called when the module is loaded, in web and worker processes.

    blinker keeps these functions weakly, and the module keeps them.
    """
    signals.succeeded.connect(succeeded)
    for signal in (signals.failed, signals.cancelled, signals.expired):
        signal.connect(ended_otherwise)
    for signal in (signals.retrying, signals.snoozed):
        signal.connect(goes_on)


connect()
