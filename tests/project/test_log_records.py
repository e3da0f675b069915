"""Nothing that a task was called with is in what is logged and announced: records, not lines."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from django.core.mail import EmailMessage
from django.core.mail import send_mail as django_send_mail
from django.http import HttpRequest
from wagtail.models import Page

import wagtail_async_hooks
from tests.draining import run_all
from wagtail_async_hooks import Snooze, background, hooks, progress, signals
from wagtail_async_hooks.current_task import Running
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.serialization.codecs import Reference
from wagtail_async_hooks.serialization.context import Context
from wagtail_async_hooks.types import Claim, Outcome, State, TaskInfo

SECRET: Final = "ada.lovelace@example.com"
EVENTS: Final = (
    *("enqueued", "started", "progressed", "succeeded", "failed", "retrying", "snoozed"),
    *("merged", "cancelled", "expired"),
)


def deep(value: Any, depth: int = 6) -> Iterator[str]:
    """Yield the representation of a value, and of all that hangs on it."""
    yield repr(value)
    if isinstance(value, bytes):
        yield bytes(value).decode(errors="replace")
    if depth == 0 or isinstance(value, str | bytes | int | float | type(None) | type):
        return
    if isinstance(value, dict):
        inside = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        inside = list(value)
    elif type(value).__module__.startswith(("wagtail_async_hooks", "huey")):
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        inside = [getattr(value, name, None) for name in slots]
        inside += list(getattr(value, "__dict__", {}).values())
    else:
        inside = []
    for each in inside:
        yield from deep(each, depth - 1)


@pytest.fixture
def heard() -> Iterator[list[dict[str, Any]]]:
    """Return all that is announced."""
    told: list[dict[str, Any]] = []

    def hear(sender: str, **payload: Any) -> None:
        told.append(payload)

    for name in EVENTS:
        getattr(signals, name).connect(hear)
    yield told
    for name in EVENTS:
        getattr(signals, name).disconnect(hear)


def tell_page(request: HttpRequest, page: Page) -> None:
    """Fail, without saying why."""
    raise ValueError("no luck")


@pytest.mark.django_db
def test_records_and_signals__have_no_arguments(
    registries: None,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    heard: list[dict[str, Any]],
    editor_request: HttpRequest,
) -> None:
    caplog.set_level(logging.DEBUG)
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}

    @background.task()
    def succeed(address: str, **more: Any) -> str:
        progress(1, 2)
        return address

    @background.task(retries=1, name="fail-records")
    def fail(address: str) -> None:
        raise ValueError("no luck")

    @background.task(discard_on=ValueError, name="discard-records")
    def discard(address: str) -> None:
        raise ValueError("no luck")

    @background.task(name="snooze-records")
    def snooze(address: str) -> None:
        raise Snooze(60)

    @background.task(coalesce="same", name="merge-records")
    def merge(address: str) -> None:
        """Do nothing."""

    @background.task(name="unserializable")
    def unserializable(address: str) -> Any:
        return object()

    try:
        succeed(SECRET, token=SECRET)
        for task in (fail, discard, snooze, merge, merge, unserializable):
            task(SECRET)
        succeed.s(SECRET).then(fail, SECRET)
        page = Page(title=SECRET, slug="x", pk=None)
        assert page
        hooks.register("after_publish_page", tell_page, background=True)
        editor_request.user.email = SECRET
        editor_request.META["HTTP_COOKIE"] = f"sessionid={SECRET}"
        for function in hooks.get_hooks("after_publish_page"):
            if getattr(function, "__wrapped__", None) is tell_page:
                function(editor_request, Page.get_first_root_node())
        run_all()
        gone = BackgroundTask.objects.filter(state=State.FAILED).first()
        assert gone is not None
    finally:
        for task in (succeed, fail, discard, snooze, merge, unserializable):
            task.unregister()

    names = {type(payload.get("task")) for payload in heard}
    assert names == {TaskInfo}
    assert len(heard) > 10
    assert SECRET not in "\n".join(text for payload in heard for text in deep(payload))
    for record in caplog.records:
        if record.name.startswith(("wagtail_async_hooks", "huey")):
            assert SECRET not in "\n".join(deep(vars(record))), record.getMessage()


@pytest.mark.django_db
def test_records__of_an_email(
    settings: Any, caplog: pytest.LogCaptureFixture, heard: list[dict[str, Any]]
) -> None:
    caplog.set_level(logging.DEBUG)
    settings.WAGTAIL_TASKS = {
        "BACKEND": "database",
        "EMAIL": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"},
    }
    settings.EMAIL_BACKEND = "wagtail_async_hooks.mail.BackgroundEmailBackend"

    django_send_mail("Subject", "Body", "site@example.com", [SECRET])
    run_all()

    assert EmailMessage
    assert SECRET not in "\n".join(text for payload in heard for text in deep(payload))
    for record in caplog.records:
        assert SECRET not in "\n".join(deep(vars(record))), record.getMessage()


def test_reprs__say_nothing_of_what_is_in_them() -> None:
    claim = Claim(
        *(1, "id", "name", "hook", "function", "queue", 0, 1, 0),
        SECRET.encode(),
        coalesce_key=SECRET,
        exclusive_key=SECRET,
    )
    outcome = Outcome(claim, State.FAILED, error=SECRET, traceback=SECRET, message=SECRET.encode())
    running = Running(background.task, Context(user=SECRET), claim, messages=[{"text": SECRET}])

    for value in (claim, outcome, running, running.context, Reference("model", SECRET)):
        assert SECRET not in repr(value), type(value)
        assert SECRET not in str(value), type(value)
    assert SECRET not in "".join(deep(claim.info))
    assert repr(claim.info) == "<TaskInfo hook function [task 1]>"


UNSAFE: Final = {"claim", "task", "outcome", "running", "row", "message", "args", "kwargs", "call"}
"""Names of variables and attributes that hold what a task was called with."""


def test_source__no_log_call_passes_what_holds_arguments() -> None:
    found = []
    for file in Path(wagtail_async_hooks.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and _is_of_log(node.func)):
                continue
            for given in node.args:
                name = getattr(given, "id", None) or getattr(given, "attr", None)
                if name in UNSAFE and not _is_number(given, file):
                    found.append(f"{file.name}:{node.lineno}: {ast.unparse(given)}")
    assert found == []


def _is_of_log(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id == "report"
    return isinstance(function, ast.Attribute) and ast.unparse(function.value) == "logger"


def _is_number(given: ast.expr, file: Path) -> bool:
    # In these, the key of a task's row, and the text of the line itself.
    return file.name in ("scheduler.py", "outages.py", "errors.py")
