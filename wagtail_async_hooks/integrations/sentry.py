"""Sentry: one event for each background task that fails, and one trace from the request to it.

The integration takes the place of Sentry's own with Huey. That one reports each error of a function
as it is raised, whatever becomes of the task, and Huey's log and the worker's report it again.

A site's settings import this module, so that it loads nothing that needs them.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sentry_sdk
from sentry_sdk.integrations import Integration
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.scope import add_global_event_processor, should_send_default_pii
from sentry_sdk.utils import event_from_exception

from wagtail_async_hooks import current_task, observers, signals
from wagtail_async_hooks.types import TaskInfo
from wagtail_async_hooks.utils.catching import original

if TYPE_CHECKING:
    from wagtail_async_hooks.current_task import Running
    from wagtail_async_hooks.queue.submission import QueuedTask

try:
    from sentry_sdk.tracing_utils import has_span_streaming_enabled
except ImportError:  # of an older version

    def has_span_streaming_enabled(options: dict[str, Any] | None) -> bool:
        """Return whether spans are sent one by one, which cannot be here."""
        return False


logger = logging.getLogger(__name__)

ORIGIN: Final = "auto.queue.wagtail_async_hooks"
CONTEXT: Final = "background task"
"""The heading in Sentry under which an event tells of its task."""

FLUSH: Final = 2.0
"""Seconds that Sentry gets to send what is left as a worker ends."""

_OURS: Final = ("wagtail_async_hooks", "huey")
"""The packages whose frames have the arguments of all functions among their variables."""

_HUEYS: Final = "huey"


class BackgroundTasksIntegration(Integration):
    """Reports background tasks to Sentry; to be given to the first ``sentry_sdk.init()``."""

    identifier = _HUEYS  # so that it is taken in the place of Sentry's own
    origin = ORIGIN

    @staticmethod
    def setup_once() -> None:
        """See Sentry."""
        ignore_logger(_HUEYS)
        add_global_event_processor(_without_line_of_log)
        observers.add(_observer)
        signals.failed.connect(_report)
        signals.worker_stopped.connect(_flush)


def _is_on() -> bool:
    found = sentry_sdk.get_client().get_integration(_HUEYS)
    return isinstance(found, BackgroundTasksIntegration)


def _without_line_of_log(event: Any, hint: Any) -> Any:
    """Drop the event of the line that the worker logs of a failure, which is reported besides."""
    record = (hint or {}).get("log_record")
    is_failure = getattr(record, "action", "") == "failed" and hasattr(record, "task_pk")
    return None if is_failure and _is_on() else event


def _flush(sender: str, **more: Any) -> None:
    """Send what is left: a process of several ends without the handlers that Sentry relies on."""
    if _is_on():
        sentry_sdk.flush(timeout=FLUSH)


# Attempts -----------------------------------------------------------------------------------


class _Failure(NamedTuple):
    """An error that is reported once the ledger says that the task has failed.

    :param scope: in which the attempt was made, with its breadcrumbs and tags.
    """

    event: Any
    hint: Any
    scope: contextvars.Context


class _Thread(threading.local):
    """How this thread's last attempt went wrong, until that is recorded."""

    attempt: tuple[int, int] | None = None
    failure: _Failure | None = None


_thread: Final = _Thread()


class _Observer(observers.Observer):
    """Traces tasks, and keeps apart what Sentry knows of several attempts."""

    name = "sentry"

    def enqueueing(self, task: QueuedTask) -> AbstractContextManager[object]:
        if not _is_on() or _is_streaming():
            return nullcontext()
        return _publishing(task)

    def carry(self) -> Mapping[str, str]:
        if not _is_on():
            return {}
        found = {
            "sentry-trace": sentry_sdk.get_traceparent(),
            "baggage": sentry_sdk.get_baggage(),
        }
        return {name: value for name, value in found.items() if value}

    def attempting(
        self, running: Running, carried: Mapping[str, str]
    ) -> AbstractContextManager[object]:
        return _attempting(running, carried) if _is_on() else nullcontext()


_observer: Final = _Observer()


@contextmanager
def _publishing(task: QueuedTask) -> Iterator[None]:
    with sentry_sdk.start_span(op="queue.publish", name=_function(task), origin=ORIGIN) as span:
        _set_data(span, task)
        yield


@contextmanager
def _attempting(running: Running, carried: Mapping[str, str]) -> Iterator[None]:
    task = running.task
    _thread.attempt = _thread.failure = None
    with sentry_sdk.isolation_scope() as scope:
        scope.clear_breadcrumbs()
        seen: list[BaseException] = []
        told = cache(partial(_told_by, running))  # most attempts send nothing

        def process(event: Any, hint: Any) -> Any:
            error = ((hint or {}).get("exc_info") or (None, None))[1]
            if error is not None:
                seen.append(error)
            # In immediate mode, attempts are made within others, whose scopes they inherit.
            return _tell(event, told()) if current_task.running() is running else event

        scope.add_event_processor(process)
        transaction = sentry_sdk.continue_trace(
            dict(carried), op="queue.process", name=_function(task), source="task", origin=ORIGIN
        )
        started: AbstractContextManager[Any] = nullcontext(transaction)
        if not _is_streaming():
            started = sentry_sdk.start_transaction(transaction)
        with started as span:
            _set_data(span, task, retries=_number(running) - 1)
            raised: BaseException | None = None
            try:
                yield
            except BaseException as error:
                raised = error
                raise
            finally:
                _conclude(running, raised, span, seen)


def _conclude(
    running: Running, raised: BaseException | None, span: Any, seen: list[BaseException]
) -> None:
    """Keep what went wrong, until the ledger has it; in immediate mode, report it."""
    from wagtail_async_hooks.queue.attempt import has_failed

    is_failure = raised is not None or has_failed(running)
    error = running.exception or raised
    span.set_status("internal_error" if is_failure else "aborted" if error else "ok")
    if not is_failure or error is None:
        return
    error = original(error)
    if running.claim is not None:
        _thread.attempt = running.claim.pk, running.claim.attempt
    if any(each is error for each in seen):
        return  # the site has reported it itself, or by its log
    event, hint = _event_of(error, _function(running.task))
    event["contexts"] = {"trace": sentry_sdk.get_current_scope().get_trace_context()}
    failure = _Failure(event, hint, contextvars.copy_context())
    if running.claim is None:
        _send(failure)
    else:
        _thread.failure = failure


def _event_of(error: BaseException, function: str) -> tuple[Any, Any]:
    event: Any
    event, hint = event_from_exception(
        error,
        client_options=sentry_sdk.get_client().options,
        mechanism={"type": "wagtail_async_hooks", "handled": False},
    )
    for value in event["exception"]["values"]:
        for frame in (value.get("stacktrace") or {}).get("frames", ()):
            if str(frame.get("module")).partition(".")[0] in _OURS:
                frame["in_app"] = False
                if not should_send_default_pii():
                    frame.pop("vars", None)
    event["transaction"] = function
    event["fingerprint"] = ["{{ default }}", function]
    return event, hint


def _send(failure: _Failure) -> None:
    failure.scope.run(sentry_sdk.capture_event, failure.event, failure.hint)


# Failures -----------------------------------------------------------------------------------


def _report(sender: str, *, task: TaskInfo, error: str = "", **more: Any) -> None:
    """Report a task that has failed, now that the ledger says so."""
    if not _is_on():
        return
    is_ours = _thread.attempt == (task.pk, task.attempt)
    failure, _thread.attempt, _thread.failure = _thread.failure, None, None
    if is_ours and failure is None:
        return  # it was reported while it ran
    if not is_ours or failure is None:
        failure = _Failure(_event_without_error(task, error), None, contextvars.copy_context())
    _tell(failure.event, _told_by_row(task))
    _send(failure)


def _event_without_error(task: TaskInfo, error: str) -> dict[str, Any]:
    """Return the event of a task of which nothing was raised here, such as if its worker died."""
    function = task.function or task.name
    return {
        "level": "error",
        "logentry": {"message": f"{function} failed: %s", "params": [error]},
        "transaction": function,
        "fingerprint": [function, error],
    }


class _Told(NamedTuple):
    """What events tell of a task; nothing that it was called with.

    :param tags: by which events can be searched.
    :param context: shown with an event.
    :param user: who has triggered it.
    """

    tags: dict[str, str]
    context: dict[str, Any]
    user: dict[str, Any] | None


def _tell(event: Any, told: _Told) -> Any:
    """Have an event tell of a task, where it does not do so already."""
    tags = event.setdefault("tags", {})
    for name, value in told.tags.items():
        tags.setdefault(name, value)
    contexts = event.setdefault("contexts", {})
    contexts[CONTEXT] = {**told.context, **contexts.get(CONTEXT, {})}
    if told.user is not None and not event.get("user"):
        event["user"] = told.user
    return event


def _told_by(running: Running) -> _Told:
    """Return what is known of a task without asking the database."""
    claim, task = running.claim, running.task
    definition, submission = task.definition, task.submission
    context = {
        "task": claim.pk if claim is not None else None,
        "hook": claim.hook if claim is not None else submission.hook or definition.hook,
        "function": _function(task),
        "queue": claim.queue if claim is not None else "",
        "attempt": _number(running),
        "url": None if claim is None else _url(claim.pk),
    }
    return _told(context, _user(running.context.user))


def _number(running: Running) -> int:
    return running.tries if running.claim is None else running.claim.attempt


def _told_by_row(task: TaskInfo) -> _Told:
    """Return what the ledger knows of a task; less if the database does not answer."""
    from wagtail_async_hooks import ledger
    from wagtail_async_hooks.models import BackgroundTask

    context = {
        "task": task.pk,
        "hook": task.hook,
        "function": task.function or task.name,
        "queue": task.queue,
        "attempt": task.attempt,
        "url": _url(task.pk),
    }
    try:
        rows = BackgroundTask.objects.using(ledger.database()).filter(pk=task.pk)
        row = rows.only(*_COLUMNS).select_related("subject_type").first()
        if row is None:
            return _told(context, None)
        if row.subject_type is not None:
            kind = f"{row.subject_type.app_label}.{row.subject_type.model}"
            context["object"] = f"{kind} {row.subject_id}".strip()
        is_all_told = should_send_default_pii()
        if is_all_told:
            context |= {"title": row.title, "object_title": row.subject_title}
        return _told(context, _user(row.user_id) if not is_all_told else _user_in_full(row.user_id))
    except Exception as error:
        logger.warning("Sentry is not told what %s is about: %s", str(task), type(error).__name__)
        return _told(context, None)


_COLUMNS: Final = ("subject_type", "subject_id", "subject_title", "title", "user_id")


def _told(context: dict[str, Any], user: dict[str, Any] | None) -> _Told:
    known = {name: value for name, value in context.items() if value not in (None, "")}
    tags = {f"task.{name}": known[name] for name in ("hook", "function", "queue") if name in known}
    return _Told(tags, known, user)


def _user(key: Any) -> dict[str, Any] | None:
    """Return who has triggered a task, by the key.

    Of a user model of the site's own, it may be an e-mail address.
    """
    is_harmless = isinstance(key, int | uuid.UUID) or should_send_default_pii()
    return {"id": str(key)} if is_harmless and key is not None else None


def _user_in_full(key: Any) -> dict[str, Any] | None:
    """Return what Sentry's own integration with Django sends of a user."""
    from django.contrib.auth import get_user_model

    if key is None:
        return None
    told = {"id": str(key)}
    try:
        user = get_user_model()._default_manager.filter(pk=key).first()
        if user is not None:
            told |= {"username": user.get_username(), "email": getattr(user, "email", "")}
    except Exception as error:
        logger.warning("Sentry is not told whose task it is: %s", type(error).__name__)
    return {name: value for name, value in told.items() if value}


def _url(pk: int) -> str | None:
    """Return the address of the task's page in the admin; ``None`` if nobody knows."""
    from django.conf import settings
    from django.urls import NoReverseMatch, reverse

    base = getattr(settings, "WAGTAILADMIN_BASE_URL", None)
    try:
        path = reverse("wagtail_async_hooks:task", args=[pk])
    except NoReverseMatch:
        return None
    return f"{str(base).rstrip('/')}{path}" if base else path


def _function(task: QueuedTask) -> str:
    return task.submission.function or task.definition.function


def _set_data(span: Any, task: QueuedTask, retries: int | None = None) -> None:
    """Describe a task in a span, as Sentry's page of queues reads it."""
    if span is None or not hasattr(span, "set_data"):
        return
    claim = task.claim
    queue = claim.queue if claim is not None else task.submission.queue or task.definition.queue
    span.set_data("messaging.system", "wagtail_async_hooks")
    span.set_data("messaging.destination.name", queue or "default")
    span.set_data("messaging.message.id", task.id)
    if retries is not None:
        span.set_data("messaging.message.retry.count", retries)


def _is_streaming() -> bool:
    """Return whether Sentry sends spans one by one, for which these here are not made."""
    return bool(has_span_streaming_enabled(sentry_sdk.get_client().options))
