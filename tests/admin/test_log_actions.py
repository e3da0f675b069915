"""Tests of the entries in Wagtail's log about what people do to background tasks."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import reverse
from wagtail.models import ModelLogEntry, Page, PageLogEntry

from wagtail_async_hooks import ledger
from wagtail_async_hooks.admin import log_actions
from wagtail_async_hooks.models import BackgroundTask, MutedError, Pause

pytestmark = pytest.mark.django_db


def make(about: Any = None, **columns: Any) -> BackgroundTask:
    """Return the row of a task."""
    if about is not None:
        columns["subject_type"] = ContentType.objects.get_for_model(about)
        columns["subject_id"] = str(about.pk)
        columns.setdefault("subject_title", str(about))
    columns.setdefault("function", "shop.cdn.purge_cache")
    return BackgroundTask.objects.create(
        task_id="x", name="x", message=b"", enqueued_at=ledger.clock(), **columns
    )


@pytest.fixture
def page() -> Page:
    """A page."""
    return Page.objects.get(depth=1).add_child(title="Spring menu", slug="spring", owner=None)


def test_record__about_a_page__is_in_its_history(page: Page, editor: Any, client: Client) -> None:
    log_actions.record("retry", make(page), editor, reason="the CDN is back")

    [entry] = PageLogEntry.objects.filter(page=page.pk, action="wagtail_async_hooks.retry")
    assert entry.user == editor
    assert entry.label == "Spring menu"
    assert entry.message == "Ran the background task “Purge cache” again"
    assert entry.data["reason"] == "the CDN is back"
    client.force_login(editor)
    html = client.get(reverse("wagtailadmin_pages:history", args=[page.pk])).content.decode()
    assert "Ran the background task “Purge cache” again" in html


def test_record__about_no_object__is_about_the_task(editor: Any) -> None:
    row = make()

    log_actions.record("cancel", row, editor)

    [entry] = ModelLogEntry.objects.for_instance(row)
    assert (entry.label, entry.message) == (
        "Purge cache",
        "Cancelled the background task “Purge cache”",
    )


def test_record__about_another_object__is_in_its_history(editor: Any) -> None:
    group = Group.objects.get(name="Editors")

    log_actions.record("discard", make(group), editor)

    [entry] = ModelLogEntry.objects.for_instance(group)
    assert entry.message == "Discarded the background task “Purge cache”"


def test_record__about_an_object_that_is_gone__is_about_the_task(page: Page, editor: Any) -> None:
    row = make(page)
    page.delete()

    log_actions.record("run_now", row, editor)

    [entry] = ModelLogEntry.objects.for_instance(row)
    assert entry.label == "Purge cache for “Spring menu”"


def test_record__a_number_that_is_none(editor: Any) -> None:
    row = make(subject_type=ContentType.objects.get_for_model(Page), subject_id="not a number")

    log_actions.record("retry", row, editor)

    assert ModelLogEntry.objects.for_instance(row).exists()


def test_record__several_tasks_of_a_page__are_one_entry(page: Page, editor: Any) -> None:
    rows = [make(page), make(page), make()]

    log_actions.record("retry", rows, editor)

    [entry] = PageLogEntry.objects.filter(action="wagtail_async_hooks.retry")
    assert entry.message == "Ran 2 background tasks again"
    assert entry.data["tasks"] == [rows[0].pk, rows[1].pk]
    assert ModelLogEntry.objects.filter(action="wagtail_async_hooks.retry").count() == 1


def test_record__many__are_one_entry(page: Page, editor: Any) -> None:
    rows = [make(page)] + [BackgroundTask(pk=number) for number in range(1000, 1060)]

    log_actions.record("retry", rows, editor)

    assert not PageLogEntry.objects.filter(action="wagtail_async_hooks.retry").exists()
    [entry] = ModelLogEntry.objects.filter(action="wagtail_async_hooks.retry")
    assert (entry.label, entry.message) == ("61 background tasks", "Ran 61 background tasks again")
    assert len(entry.data["tasks"]) == 50


def test_record__none(editor: Any) -> None:
    log_actions.record("retry", [], editor)
    log_actions.record_many("retry", 0, editor)

    assert not ModelLogEntry.objects.filter(action="wagtail_async_hooks.retry").exists()


def test_record__an_action_that_is_none(editor: Any) -> None:
    with pytest.raises(ValueError, match="repeat"):
        log_actions.record("repeat", make(), editor)


def test_record_many(editor: Any) -> None:
    log_actions.record_many("discard", 4312, editor, filter="state=failed")

    [entry] = ModelLogEntry.objects.filter(action="wagtail_async_hooks.discard")
    assert entry.message == "Discarded 4312 background tasks"
    assert entry.data["filter"] == "state=failed"


def test_record_pause(editor: Any) -> None:
    pause = Pause(kind="queue", name="mail", reason="The server moves.")

    log_actions.record_pause("pause", pause, editor)
    log_actions.record_pause("resume", pause, editor)

    resumed, paused = ModelLogEntry.objects.filter(label="Queue “mail”").order_by("-pk")
    assert paused.message == "Paused background tasks: Queue “mail”"
    assert paused.comment == "The server moves."
    assert resumed.message == "Resumed background tasks: Queue “mail”"


def test_record_pause__everything(editor: Any) -> None:
    log_actions.record_pause("pause", Pause(kind="everything"), editor)

    [entry] = ModelLogEntry.objects.filter(action="wagtail_async_hooks.pause")
    assert entry.message == "Paused background tasks: All background tasks"


def test_record_muted(editor: Any) -> None:
    muted = MutedError(key="abc", error_type="OSError", function="shop.purge")

    log_actions.record_muted("mute", muted, editor)
    log_actions.record_muted("unmute", muted, editor)

    assert ModelLogEntry.objects.filter(label="OSError shop.purge").count() == 2


def test_history__is_shown_to_who_may_see_background_tasks(client: Client, editor: Any) -> None:
    user = get_user_model().objects.create_user("looker", "looker@example.com", "x")
    user.user_permissions.add(
        *Permission.objects.filter(codename__in=["access_admin", "view_backgroundtask"])
    )
    log_actions.record_pause("pause", Pause(kind="queue", name="mail"), editor)
    client.force_login(user)

    html = client.get(reverse("wagtailadmin_reports:site_history")).content.decode()

    assert "Queue “mail”" in html


def test_newest_about(page: Page, editor: Any) -> None:
    row, other = make(page), make(page)
    log_actions.record("retry", other, editor)
    log_actions.record("retry", row, editor)
    log_actions.record("cancel", row, editor)

    found = log_actions.newest_about(row, page)

    assert [entry.action.rpartition(".")[2] for entry in found] == ["cancel", "retry"]
