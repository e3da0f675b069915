"""System check of the site's Celery app, where Celery's workers are to run the tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage

from wagtail_async_hooks import conf
from wagtail_async_hooks.exceptions import ConfigurationError
from wagtail_async_hooks.storage.factory import make_notifier

_ID = "wagtail_async_hooks.W048"


def check_celery(**kwargs: Any) -> Iterator[CheckMessage]:
    """Settings of the app with which no worker gets, or takes, the messages."""
    if conf.current().backend != conf.CELERY:
        return
    try:
        app = make_notifier(conf.current(), "check").app
    except ConfigurationError:
        return  # an error of its own
    if app.conf.task_always_eager:
        yield checks.Warning(
            "The Celery app has task_always_eager on, but background tasks are not called by "
            "Celery where they are enqueued: they wait for a worker.",
            hint=f'Start a worker, or set {conf.SETTING}["BACKEND"] = "" to run hooks in the '
            "request; task_always_eager is for tasks of Celery's own.",
            id=_ID,
        )
    if not {"json", "application/json"} & set(app.conf.accept_content or ()):
        yield checks.Warning(
            "The workers of the Celery app refuse JSON (accept_content), so that no background "
            "task begins: each message is refused.",
            hint='Add "json" to accept_content.',
            id=_ID,
        )
