"""Tests of ``wagtail_tasks show``."""

from __future__ import annotations

import pytest
from wagtail.models import Page

from tests.draining import run_all
from tests.management.conftest import Ask
from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask


@background.task(retries=1)
def fail_with_page(page: Page, password: str) -> None:
    """Raise an error."""
    raise ValueError("no luck")


def row() -> BackgroundTask:
    """Return the only task."""
    return BackgroundTask.objects.get()


@pytest.mark.usefixtures("retried_at_once")
def test_show__all_that_is_known(ask: Ask, ask_json: Ask) -> None:
    page = Page.objects.get(depth=2)
    fail_with_page(page, password="hunter2")
    run_all()
    BackgroundTask.objects.update(progress_done=3, progress_total=7, progress_note="pages")

    told = ask_json("show", row().pk)
    lines = "\n".join(ask("show", row().pk))

    assert (told["state"], told["attempt"], told["error"]) == ("failed", 2, "no luck")
    assert told["error_type"] == "builtins.ValueError"
    assert told["traceback"].endswith("ValueError: no luck\n")
    assert [(a["number"], a["error"]) for a in told["attempts"]] == [(1, "no luck")]
    assert told["progress"] == {"done": 3, "total": 7, "note": "pages"}
    assert told["subject"] == f"wagtailcore.page {page.pk}"
    assert told["arguments"] == {"page": f"<wagtailcore.page {page.pk}>", "password": "…"}
    assert "hunter2" not in lines + str(told)
    assert f"Task {row().pk}: Fail with page for “{page.title}”" in lines
    for told_line in ("State         failed", "Tries         2", "Progress      3/7 pages"):
        assert told_line in lines
    assert lines.endswith("ValueError: no luck")


def test_show__what_a_command_printed(ask: Ask, ask_json: Ask) -> None:
    ask("run", "check", "--tag=staticfiles")
    run_all()
    [*_, last] = ask("show", row().pk)
    assert last == "System check identified no issues (0 silenced)."
    assert ask_json("show", row().pk)["arguments"] == {"name": "check", "2": "--tag=staticfiles"}


def test_show__a_result(ask: Ask, ask_json: Ask) -> None:
    tasks.show_all(token="abc", number=1)
    run_all()
    assert ask_json("show", row().pk)["result"] == {"token": "…", "number": 1}
    assert "  Result        {'token': '…', 'number': 1}" in ask("show", row().pk)


def test_show__a_message_that_cannot_be_read(ask_json: Ask) -> None:
    tasks.add(1, 2)
    BackgroundTask.objects.update(message=b"garbage")
    assert ask_json("show", row().pk)["arguments"] is None


def test_show__a_task_that_does_not_exist(refusal: Ask) -> None:
    assert refusal("show", 7_000_000) == "There is no task 7000000."


@pytest.mark.parametrize("number", ["seven", "1.5"])
def test_show__no_number(number: str, refusal: Ask) -> None:
    assert "invalid int value" in refusal("show", number)


def test_show__what_it_had_to_say(ask: Ask, ask_json: Ask) -> None:
    tasks.add(1, 2)
    row = BackgroundTask.objects.get()
    message = {"level": 25, "text": "Done & dusted", "tags": "", "safe": False}
    BackgroundTask.objects.update(
        messages=[message], title="Add up", explanation="It rained.", side_effect="email", snoozes=2
    )

    lines = ask("show", row.pk)

    assert lines[0] == f"Task {row.pk}: Add up"
    for told in ("Done & dusted", "It rained.", "email", "tests.work.tasks.add"):
        assert any(told in line for line in lines[1:])
    assert ask_json("show", row.pk)["messages"] == [message]
