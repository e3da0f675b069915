"""Tests of scheduled publishing: what has a time is kept by a task, and says when it was late."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from wagtail.models import Page, Revision
from wagtail.signals import page_published

from tests.processes import Process, wait_until
from tests.site.blog.models import Author, BlogPage, HomePage
from tests.site.editing import form_data
from wagtail_async_hooks import background, ledger
from wagtail_async_hooks.integrations import scheduled_publishing
from wagtail_async_hooks.integrations.scheduled_publishing import LATE_ACTION
from wagtail_async_hooks.models import BackgroundTask, Schedule, Worker
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker.scheduler import Scheduler

SOON = datetime.timedelta(seconds=3)
HOUR = datetime.timedelta(hours=1)


@pytest.fixture(autouse=True)
def opted_in(settings: Any) -> None:
    """A site that has opted in."""
    settings.WAGTAIL_TASKS = {"BACKEND": "database", "SCHEDULED_PUBLISHING": True}


def new_page() -> BlogPage:
    """Return a page that is not live."""
    root = Page.get_first_root_node()
    home = HomePage.objects.child_of(root).filter(slug="timed").first()
    home = home or root.add_child(instance=HomePage(title="Timed", slug="timed"))
    count = BlogPage.objects.count()
    page = BlogPage(title="Tides", slug=f"tides-{count}", introduction="High", live=False)
    return home.add_child(instance=page)


@pytest.fixture
def page(db: None) -> BlogPage:
    """A page that is not live."""
    return new_page()


@pytest.fixture
def real_page(committed_db: None) -> Iterator[BlogPage]:
    """A page in a database whose transactions are real; deleted afterwards."""
    page = new_page()
    yield page
    HomePage.objects.get(slug="timed").delete()


def schedule(instance: Any, **times: datetime.datetime) -> Revision:
    """Save times with an object and publish it, which schedules what lies ahead."""
    for name, moment in times.items():
        setattr(instance, name, moment)
    revision = instance.save_revision()
    revision.publish()
    instance.refresh_from_db()
    return revision


def planned(name: str = "") -> list[BackgroundTask]:
    """Return the tasks whose time has not come."""
    tasks = BackgroundTask.objects.filter(state=State.SCHEDULED, function__endswith=name)
    return list(tasks.order_by("pk"))


def run_now() -> list[BackgroundTask]:
    """Run what is planned as if its time had come for the worker; return how it ended."""
    tasks = planned()
    BackgroundTask.objects.filter(state=State.SCHEDULED).update(state=State.WAITING)
    while (task := background.next()) is not None:
        background.execute(task)
    background.settle()
    return list(BackgroundTask.objects.filter(pk__in=[task.pk for task in tasks]))


def make_due(**times: datetime.datetime) -> None:
    """Let the times of all pages and revisions have come."""
    Page.objects.filter(expire_at__isnull=False).update(expire_at=times["at"])
    for revision in Revision.objects.filter(approved_go_live_at__isnull=False):
        revision.content = {**revision.content, "go_live_at": times["at"].isoformat()}
        revision.approved_go_live_at = times["at"]
        Revision.objects.bulk_update([revision], ["content", "approved_go_live_at"])


def history(page: Page) -> list[str]:
    """Return the actions of a page's history, in their order."""
    from wagtail.models import PageLogEntry

    entries = PageLogEntry.objects.filter(page=page.pk).order_by("timestamp", "pk")
    return [entry.action for entry in entries]


# Plan ---------------------------------------------------------------------------------------


def test_plan__a_time_to_go_live(page: BlogPage) -> None:
    moment = timezone.now() + HOUR

    schedule(page, go_live_at=moment)

    [task] = planned()
    assert task.run_at == moment
    assert task.function.endswith(".publish_revision")
    assert (task.subject_type.model, task.subject_id) == ("blogpage", str(page.pk))


def test_plan__another_time_replaces_it(page: BlogPage) -> None:
    later = timezone.now() + 2 * HOUR
    schedule(page, go_live_at=timezone.now() + HOUR)

    revision = schedule(page, go_live_at=later)

    [task] = planned()
    assert task.run_at == later
    assert background.deserialize_task(bytes(task.message)).args[1] == revision.pk
    [former] = BackgroundTask.objects.filter(state=State.CANCELLED)
    assert former.error == "another time was set, or none"


def test_plan__publishing_at_once_leaves_nothing_planned(page: BlogPage) -> None:
    schedule(page, go_live_at=timezone.now() + HOUR)

    page.go_live_at = None
    page.save_revision().publish()

    assert planned() == []


def test_plan__unpublishing_leaves_nothing_planned(page: BlogPage) -> None:
    schedule(page, expire_at=timezone.now() + HOUR)
    [task] = planned()
    assert task.function.endswith(".expire_object")

    page.unpublish()

    assert planned() == []


def test_plan__a_page_that_is_only_scheduled_does_not_expire_before(page: BlogPage) -> None:
    now = timezone.now()

    schedule(page, go_live_at=now + HOUR, expire_at=now + 2 * HOUR)

    assert [task.run_at for task in planned()] == [now + HOUR]


def test_plan__a_snippet(db: None) -> None:
    author = Author.objects.create(name="Ada", live=False)
    moment = timezone.now() + HOUR

    schedule(author, go_live_at=moment)

    assert [task.run_at for task in planned()] == [moment]


def test_plan__rolls_back_with_the_change(real_page: BlogPage) -> None:
    with transaction.atomic():
        schedule(real_page, go_live_at=timezone.now() + HOUR)
        transaction.set_rollback(True)

    assert planned() == []


def test_plan__not_without_opting_in(page: BlogPage, settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}

    schedule(page, go_live_at=timezone.now() + HOUR)

    assert planned() == []


def test_plan__not_in_immediate_mode(page: BlogPage, settings: Any) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "", "SCHEDULED_PUBLISHING": True}

    schedule(page, go_live_at=timezone.now() + HOUR)

    assert planned() == []


def test_plan__drafts_cost_no_query(page: BlogPage, django_assert_num_queries: Any) -> None:
    revision = page.save_revision()

    with django_assert_num_queries(1):
        revision.save()


def test_plan__through_the_admin(page: BlogPage, client: Client, editor: Any) -> None:
    client.force_login(editor)
    moment = (timezone.now() + HOUR).replace(second=0, microsecond=0)
    edit = reverse("wagtailadmin_pages:edit", args=[page.pk])

    client.post(edit, form_data(page, publish=True, go_live_at=f"{moment:%Y-%m-%d %H:%M}"))

    assert [task.run_at for task in planned()] == [moment]
    revision = Revision.objects.get(approved_go_live_at=moment)
    client.post(reverse("wagtailadmin_pages:revisions_unschedule", args=[page.pk, revision.pk]))
    assert planned() == []


# Do it --------------------------------------------------------------------------------------


def test_publish__as_wagtails_command_does(page: BlogPage) -> None:
    revision = schedule(page, go_live_at=timezone.now() + HOUR)
    make_due(at=timezone.now() - datetime.timedelta(seconds=1))

    [task] = run_now()

    page.refresh_from_db()
    assert task.state == State.SUCCEEDED, task.traceback
    assert (page.live, page.live_revision_id) == (True, revision.pk)
    assert history(page)[-1] == "wagtail.publish.scheduled"


def test_expire__as_wagtails_command_does(page: BlogPage) -> None:
    schedule(page, expire_at=timezone.now() + HOUR)
    make_due(at=timezone.now() - datetime.timedelta(seconds=1))

    [task] = run_now()

    page.refresh_from_db()
    assert task.state == State.SUCCEEDED, task.traceback
    assert (page.live, page.expired) == (False, True)
    assert history(page)[-1] == "wagtail.unpublish.scheduled"


def test_publish__not_twice_if_the_command_was_first(page: BlogPage) -> None:
    published = []

    def count(sender: Any, **kwargs: Any) -> None:
        published.append(sender)

    schedule(page, go_live_at=timezone.now() + HOUR)
    [planned_task] = planned()
    make_due(at=timezone.now() - datetime.timedelta(seconds=1))
    page_published.connect(count)
    try:
        call_command("publish_scheduled")
        # As if it had been claimed before the command cancelled it.
        BackgroundTask.objects.filter(pk=planned_task.pk).update(state=State.SCHEDULED)
        [task] = run_now()
    finally:
        page_published.disconnect(count)

    assert (task.state, task.error) == (State.CANCELLED, "it is not scheduled any more")
    assert published == [BlogPage]


def test_publish__of_a_page_that_was_deleted(page: BlogPage) -> None:
    schedule(page, go_live_at=timezone.now() + HOUR)
    page.delete()

    [task] = run_now()

    assert (task.state, task.error) == (State.CANCELLED, "its page was deleted")


@pytest.mark.slow
def test_publish__at_its_time_by_a_worker_that_waits(
    real_page: BlogPage, start: Callable[..., Process]
) -> None:
    start("wagtail_worker")
    wait_until(ledger.is_served, "a worker")
    due = timezone.now() + SOON

    schedule(real_page, go_live_at=due)

    wait_until(lambda: Page.objects.get(pk=real_page.pk).live, "the page to go live")
    published_at = Page.objects.get(pk=real_page.pk).last_published_at
    assert published_at is not None
    assert due <= published_at


@pytest.mark.slow
def test_publish__at_once_by_a_worker_that_starts_after_its_time(
    real_page: BlogPage, start: Callable[..., Process]
) -> None:
    now = timezone.now()
    with mock.patch("django.utils.timezone.now", return_value=now - HOUR):
        schedule(real_page, go_live_at=now - datetime.timedelta(seconds=1))
    assert not Page.objects.get(pk=real_page.pk).live

    start("wagtail_worker")

    wait_until(lambda: Page.objects.get(pk=real_page.pk).live, "the page to go live")


# Catch up -----------------------------------------------------------------------------------

ENTRY = {"command": "publish_scheduled", "crontab": "*/5 * * * *"}


@pytest.fixture
def by_schedule(settings: Any) -> Callable[[], list[BackgroundTask]]:
    """Let the command recur beside the tasks; return what runs it, and what that records."""
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "SCHEDULE": {"publish": ENTRY}}
    scheduler = Scheduler()
    scheduler.enqueue_due()

    def run() -> list[BackgroundTask]:
        known = list(BackgroundTask.objects.values_list("pk", flat=True))
        Schedule.objects.update(next_due_at=timezone.now() - datetime.timedelta(seconds=1))
        scheduler.enqueue_due()
        while (task := background.next()) is not None:
            background.execute(task)
        return list(BackgroundTask.objects.exclude(pk__in=known).order_by("pk"))

    return run


@pytest.fixture
def published() -> Iterator[list[Any]]:
    """The pages that are published."""
    pages: list[Any] = []

    def count(sender: Any, instance: Any, **kwargs: Any) -> None:
        pages.append(instance)

    page_published.connect(count)
    yield pages
    page_published.disconnect(count)


def forget_plans() -> None:
    """Let no task know of any time."""
    BackgroundTask.objects.all().delete()


def test_catch_up__with_what_no_task_knows(
    page: BlogPage, by_schedule: Callable[[], list[BackgroundTask]], published: list[Any]
) -> None:
    author = Author.objects.create(name="Ada", live=True)
    old = new_page()
    for instance in (author, old):
        schedule(instance, expire_at=timezone.now() + HOUR)
    schedule(page, go_live_at=timezone.now() + HOUR)
    published.clear()
    make_due(at=timezone.now() - datetime.timedelta(seconds=1))
    Author.objects.update(expire_at=timezone.now() - datetime.timedelta(seconds=1))
    forget_plans()

    first, *others = by_schedule()

    assert first.function.endswith(".catch_up_scheduled_publishing")
    assert [task.state for task in (first, *others)] == [State.SUCCEEDED] * 4
    for instance in (author, old, page):
        instance.refresh_from_db()
    assert [author.live, old.live, page.live] == [False, False, True]
    assert history(page)[-1] == "wagtail.publish.scheduled"
    assert [p.pk for p in published] == [page.pk]
    assert len(by_schedule()) == 1


@pytest.mark.parametrize("state", [State.SCHEDULED, State.WAITING, State.RUNNING])
def test_catch_up__not_with_what_a_task_sees_to(page: BlogPage, state: State) -> None:
    schedule(page, go_live_at=timezone.now() + HOUR)
    moment = timezone.now() - datetime.timedelta(seconds=1)
    make_due(at=moment)
    BackgroundTask.objects.update(run_at=moment, state=state)

    assert scheduled_publishing.catch_up.call_local() == 0
    assert BackgroundTask.objects.count() == 1


def test_catch_up__beside_a_task_publishes_once(
    page: BlogPage, by_schedule: Callable[[], list[BackgroundTask]], published: list[Any]
) -> None:
    schedule(page, go_live_at=timezone.now() + HOUR)
    published.clear()
    make_due(at=timezone.now() - datetime.timedelta(seconds=1))
    tasks = BackgroundTask.objects.filter(pk__in=[task.pk for task in planned()])
    tasks.update(state=State.FAILED)  # as if nobody saw to it, ...
    assert scheduled_publishing.catch_up.call_local() == 1
    tasks.update(state=State.WAITING)  # ... and then both

    by_schedule()

    assert [p.pk for p in published] == [page.pk]
    assert history(page).count("wagtail.publish.scheduled") == 1


def test_catch_up__is_not_for_a_site_without_the_tasks(
    page: BlogPage,
    by_schedule: Callable[[], list[BackgroundTask]],
    published: list[Any],
    settings: Any,
) -> None:
    schedule(page, go_live_at=timezone.now() + HOUR)
    published.clear()
    make_due(at=timezone.now() - datetime.timedelta(seconds=1))
    settings.WAGTAIL_TASKS = {**settings.WAGTAIL_TASKS, "SCHEDULED_PUBLISHING": False}

    [task] = by_schedule()

    assert task.function == "manage.py publish_scheduled"
    assert [p.pk for p in published] == [page.pk]


def test_stands_in_for__wagtails_command_as_it_is() -> None:
    stands_in_for = scheduled_publishing.stands_in_for

    assert stands_in_for("publish_scheduled")
    assert not stands_in_for("publish_scheduled", "--dryrun")
    assert not stands_in_for("publish_scheduled", dryrun=True)
    assert not stands_in_for("publish_scheduled_pages")
    assert not stands_in_for("")


# Explain ------------------------------------------------------------------------------------


def late_message(page: Page) -> str:
    """Return what the history of a page says about coming late."""
    from wagtail.models import PageLogEntry

    return str(PageLogEntry.objects.get(page=page.pk, action=LATE_ACTION).message)


def worker(begin: datetime.datetime, end: datetime.datetime) -> None:
    """Record that a worker ran."""
    Worker.objects.create(
        host="a", pid=1, threads=1, release="1", started_at=begin, heartbeat_at=end, stopped_at=end
    )


def test_explain__no_worker_ran(page: BlogPage) -> None:
    due = timezone.now() - datetime.timedelta(minutes=8)
    worker(due - HOUR, due - datetime.timedelta(minutes=2))
    worker(due + datetime.timedelta(minutes=6), timezone.now())
    schedule(page, go_live_at=timezone.now() + HOUR)
    make_due(at=due)

    run_now()

    assert history(page)[-2:] == ["wagtail.publish.scheduled", LATE_ACTION]
    message = late_message(page)
    assert message.startswith("Went live 8 minutes late: no background worker ran between ")
    for moment in (due - datetime.timedelta(minutes=2), due + datetime.timedelta(minutes=6)):
        assert f"{timezone.localtime(moment):%m/%d/%Y}" in message


def test_explain__workers_were_busy(page: BlogPage) -> None:
    due = timezone.now() - datetime.timedelta(minutes=5)
    worker(due - HOUR, timezone.now())
    schedule(page, expire_at=timezone.now() + HOUR)
    make_due(at=due)

    run_now()

    assert late_message(page) == (
        "Expired 5 minutes late: background workers were busy with other tasks."
    )


def test_explain__there_never_was_a_worker(page: BlogPage) -> None:
    schedule(page, go_live_at=timezone.now() + HOUR)
    make_due(at=timezone.now() - datetime.timedelta(minutes=5))

    run_now()

    assert late_message(page) == (
        "Went live 5 minutes late: no background worker ran at that time."
    )


def test_explain__not_what_was_in_time(page: BlogPage) -> None:
    schedule(page, go_live_at=timezone.now() + HOUR)
    make_due(at=timezone.now() - datetime.timedelta(seconds=30))

    run_now()

    assert LATE_ACTION not in history(page)


def test_explain__is_shown_in_the_history(page: BlogPage, client: Client, editor: Any) -> None:
    schedule(page, go_live_at=timezone.now() + HOUR)
    make_due(at=timezone.now() - datetime.timedelta(minutes=5))
    run_now()
    client.force_login(editor)

    answer = client.get(reverse("wagtailadmin_pages:history", args=[page.pk]))

    assert "Went live 5 minutes late: no background worker ran" in answer.content.decode()


# Warn ---------------------------------------------------------------------------------------


WARNING = "No background worker is running at the moment"


@pytest.fixture
def forms(page: BlogPage) -> list[str]:
    """The addresses of all forms in which a time can be set."""
    author = Author.objects.create(name="Ada")
    home = page.get_parent()
    return [
        reverse("wagtailadmin_pages:edit", args=[page.pk]),
        reverse("wagtailadmin_pages:add", args=["blog", "blogpage", home.pk]),
        reverse("wagtailsnippets_blog_author:edit", args=[author.pk]),
        reverse("wagtailsnippets_blog_author:add"),
    ]


def test_warn__where_no_worker_lives(forms: list[str], client: Client, editor: Any) -> None:
    client.force_login(editor)

    for form in forms:
        assert WARNING in client.get(form).content.decode()


def test_warn__not_where_one_lives(forms: list[str], client: Client, editor: Any) -> None:
    client.force_login(editor)
    Worker.objects.create(
        host="a",
        pid=1,
        threads=1,
        release="1",
        started_at=timezone.now(),
        heartbeat_at=timezone.now(),
    )

    for form in forms:
        assert WARNING not in client.get(form).content.decode()


def test_warn__not_without_opting_in(
    forms: list[str], client: Client, editor: Any, settings: Any
) -> None:
    settings.WAGTAIL_TASKS = {"BACKEND": "database"}
    client.force_login(editor)

    for form in forms:
        assert WARNING not in client.get(form).content.decode()
