"""Keys, retries and subjects of the tasks that Wagtail and modelsearch enqueue."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, Final

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from huey.exceptions import CancelExecution
from modelcluster.fields import ParentalKey

from wagtail_async_hooks import conf
from wagtail_async_hooks.conf.options import TaskOptions
from wagtail_async_hooks.exceptions import BackgroundError
from wagtail_async_hooks.types import Subject
from wagtail_async_hooks.utils.models import root_model

INDEX: Final = "modelsearch.tasks.insert_or_update_object_task"
_REFERENCES: Final = "wagtail.tasks.update_reference_index_task"
_PURGE: Final = "wagtail.contrib.frontend_cache.tasks.purge_urls_from_cache_task"
_DELETE_FILE: Final = "wagtail.tasks.delete_file_from_storage_task"

_ABOUT_OBJECTS: Final = (
    INDEX,
    _REFERENCES,
    "wagtail.images.tasks.set_image_focal_point_task",
)
"""They are about the object that three arguments name, read it anew, and write what follows."""


def _alone(path: str) -> TaskOptions:
    """Return options for what has to run alone for each object, and once for all that waits.

    Two runs at the same time could end in the other order: the one that has read the older state
    would be the last to write.
    """

    def exclusive(app_label: str, model_name: str, pk: str) -> str:
        return _key(path, _model(app_label, model_name), pk)

    return TaskOptions(
        coalesce="{app_label}.{model_name} {pk}",
        exclusive=exclusive,
        retries=3,
        retry_delay=5,
        retry_backoff=4,
    )


@cache
def _model(app_label: str, model_name: str) -> type[models.Model]:
    """Return a model; each task about an object asks several times."""
    return apps.get_model(app_label, model_name)


def _key(path: str, model: type[models.Model], pk: Any) -> str:
    # A page is indexed as what it is, whether it was saved as a plain page or as that.
    return f"{path} {root_model(model)._meta.label_lower} {pk}"


def key_of_references(model: type[models.Model], pk: Any) -> str:
    """Return the exclusive key of the task that writes down what an object refers to.

    What has the same key, and is recorded later, runs after it.
    """
    return _key(_REFERENCES, model, pk)


_REMOTE: Final = TaskOptions(retries=5, retry_delay=5, retry_backoff=4)
"""For what another server has to answer: the attempts are spread over half an hour."""

OPTIONS: Final[Mapping[str, TaskOptions]] = {
    **{path: _alone(path) for path in _ABOUT_OBJECTS},
    _PURGE: _REMOTE,
    _DELETE_FILE: _REMOTE,
}
"""The options of these tasks, which the site's settings overrule."""


_settled: Final[dict[str, tuple[conf.Settings, TaskOptions]]] = {}
"""The options of each task, with the settings that they are in force by."""


def options_now(path: str) -> TaskOptions:
    """Return the options in force for a task of ``TASKS``."""
    settings = conf.current()
    # Each call asks, and in a process the settings are the same ones until a test changes them.
    known = _settled.get(path)
    if known is not None and known[0] is settings:
        return known[1]
    given = settings.options_for(path, path)
    options = given.over(OPTIONS[path]) if path in OPTIONS else given
    _settled[path] = settings, options
    return options


def subject_of(path: str, arguments: Mapping[str, Any]) -> Subject | None:
    """Return model and primary key of the object that a call is about."""
    if path not in _ABOUT_OBJECTS:
        return None
    model = _model(arguments["app_label"], arguments["model_name"])
    return Subject(model, arguments["pk"])


def instead_of(path: str, args: list[Any]) -> list[Any] | None:
    """Return the arguments of the call that is to be made in the place of another one.

    What an inline child refers to is in the index under its page, and Wagtail's task finds that
    out when it runs. Several such tasks would then write about the same page at the same time, as
    their keys are about the children. So they have the page's own task do it.

    :returns: ``None`` if the call is to be made as it is.
    :raises ObjectDoesNotExist: if the child is gone.
    """
    if path != _REFERENCES:
        return None
    app_label, model_name, pk = args
    instance: Any = apps.get_model(app_label, model_name)
    if _parental_key(instance) is None:
        return None
    instance = instance._base_manager.get(pk=pk)
    while instance is not None and (key := _parental_key(instance)) is not None:
        instance = getattr(instance, key.name)
    if instance is None:
        return None  # it belongs to nothing, and Wagtail's task does nothing
    return [instance._meta.app_label, instance._meta.model_name, str(instance.pk)]


def _parental_key(model: Any) -> Any:
    keys = (field for field in model._meta.get_fields() if isinstance(field, ParentalKey))
    return next(keys, None)


_LOGS: Final[Mapping[str, str]] = {
    INDEX: "modelsearch.index",
    _PURGE: "wagtail.frontendcache",
}
"""Where these tasks log that another server has failed them. They do not raise, since elsewhere
they run in an editor's request; here, they are to be tried again."""


class ServerFailed(BackgroundError):
    """A search engine or a front-end cache did not do what it was asked for."""


@contextmanager
def calling(path: str) -> Iterator[None]:
    """While one of these tasks is called: make of what goes wrong what the ledger should say.

    :raises CancelExecution: if the object that an index is to be written for is gone. Wagtail took
        it out of the index when it was deleted.
    :raises ServerFailed: if the task has logged that a server failed it.
    """
    with ExitStack() as stack:
        if path in _ABOUT_OBJECTS:
            stack.enter_context(_cancelled_without_object())
        if path in _LOGS:
            stack.enter_context(_failed_if_logged(_LOGS[path]))
        yield


@contextmanager
def _cancelled_without_object() -> Iterator[None]:
    try:
        yield
    except ObjectDoesNotExist as error:
        raise CancelExecution("its object was deleted", retry=False) from error


class _Listener(logging.Handler):
    """Keeps the errors that are logged in one thread."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            cause = record.exc_info[1] if record.exc_info else None
            told = record.getMessage()
            self.errors.append(f"{told}: {cause}" if cause else told)


@contextmanager
def _failed_if_logged(logger: str) -> Iterator[None]:
    listener = _Listener()
    logging.getLogger(logger).addHandler(listener)
    try:
        yield
    finally:
        logging.getLogger(logger).removeHandler(listener)
    if listener.errors:
        raise ServerFailed(" ".join(listener.errors))
