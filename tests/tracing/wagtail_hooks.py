"""Hooks and tasks of a site that is traced; most of them fail."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Any

import sentry_sdk
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.test import RequestFactory
from wagtail import hooks as wagtail_hooks
from wagtail.models import Page

from wagtail_async_hooks import Snooze, background, hooks

HOOK = "after_move_page"


def refuse(page: Page) -> None:
    """Fail, for whatever function asks."""
    raise ConnectionError("refused")


@hooks.register(HOOK, background=True)
def ping(request: HttpRequest, page: Page) -> None:
    """Fail within another function."""
    sentry_sdk.add_breadcrumb(message="about to ping")
    sentry_sdk.set_tag("of", "ping")
    refuse(page)


@hooks.register(HOOK, background=True, retries=1, retry_delay=1)
def purge(request: HttpRequest, page: Page) -> None:
    """Fail twice within the same other function."""
    sentry_sdk.add_breadcrumb(message="about to purge")
    refuse(page)


@hooks.register(HOOK, background=True)
def log(request: HttpRequest, page: Page) -> None:
    """Log an error, and go on."""
    logging.getLogger("site").error("a line of the site's")


@background.task(discard_on=KeyError)
def discarded(address: str) -> None:
    """End with an error that counts for nothing."""
    raise KeyError("nothing")


@background.task()
def snoozed(address: str) -> None:
    """Ask to be called later."""
    raise Snooze(3600)


@background.task()
def reports_itself(address: str) -> None:
    """Report an error, then raise it."""
    try:
        refuse(Page())
    except ConnectionError as error:
        sentry_sdk.capture_exception(error)
        raise


@background.task(retries=5, retry_delay=3600)
def retried(address: str) -> None:
    """Fail, to be called again."""
    raise ValueError("later")


@background.task()
async def fails_beside(number: int) -> None:
    """Fail in the middle of others of its kind, which share an event loop."""
    sentry_sdk.add_breadcrumb(message=f"about to wait {number}")
    sentry_sdk.set_tag("of", str(number))
    await asyncio.sleep(0.1)
    sentry_sdk.add_breadcrumb(message=f"about to fail {number}")
    raise ConnectionError(f"refused {number}")


@background.task()
def dies(address: str) -> None:
    """Take the worker along."""
    os.kill(os.getpid(), signal.SIGKILL)


def request_of(user: Any) -> HttpRequest:
    """Return a request of an editor's."""
    request = RequestFactory().post("/admin/pages/1/move/", {"secret": "of the form"})
    request.user = user
    return request


def move(username: str) -> None:
    """Do what Wagtail's view does after it has moved a page, within a traced request."""
    user = get_user_model().objects.get(username=username)
    page = Page.objects.get(depth=2)
    with sentry_sdk.start_transaction(op="http.server", name="/admin/pages/1/move/"):
        for function in wagtail_hooks.get_hooks(HOOK):
            function(request_of(user), page)
