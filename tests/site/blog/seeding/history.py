"""A week of background tasks, as a site of some size would have them, and their workers.

What is enqueued, is enqueued by the site itself: editors publish pages in Wagtail's admin. Only
what became of it is written into the tables, as nobody wants to wait for a week.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.error import URLError

from django.contrib.auth import get_user_model
from django.core.mail import send_mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from wagtail.models import ModelLogEntry, Page, PageLogEntry

from tests.site.editing import form_data
from wagtail_async_hooks import ledger
from wagtail_async_hooks.models import (
    BackgroundTask,
    HookSample,
    Notice,
    QueueSample,
    Schedule,
    TaskAttempt,
    TaskStatistic,
    Worker,
)
from wagtail_async_hooks.types import ItemState, State
from wagtail_async_hooks.utils.errors import class_of, place_of, text_of, traceback_of

from .. import share_image, tasks, webhook
from ..models import BlogPage, HomePage

HOOKS: Final = "tests.site.blog.wagtail_hooks"
MINUTE: Final = datetime.timedelta(minutes=1)
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
RELEASES: Final = ("2026.46.1", "2026.47.0")

LONG_TITLE: Final = (
    "Everything that the council has decided about the bridge, the ferry, the market and the "
    "Donaudampfschifffahrtsgesellschaftskapitänsmützenverordnung since the great flood"
)
"""A title that has no room anywhere."""


def make() -> None:
    """Fill empty tables with a week of tasks, which ends now."""
    chance = random.Random("history")
    now = timezone.now()
    workers = _make_workers(now)
    pages = list(BlogPage.objects.live().order_by("pk"))
    for number, page in enumerate(pages[:12]):
        who = ("editor", "moderator", "admin")[number % 3]
        _publish(page, "moderator" if who == "editor" else who)
        age = DAY * (7 * (1 - number / 12)) + HOUR * chance.random()
        _end(_just_enqueued(), now - age, workers[number % 2], chance)
    for number, fail in enumerate((_webhook_refuses, _no_such_font, _disk_is_full) * 3):
        page = pages[number % len(pages)]
        _publish(page, "moderator")
        moment = now - DAY * (1 / (number + 1)) - 5 * MINUTE
        rows = _just_enqueued()
        _end(rows, moment, workers[0], chance)
        fail(_one(rows, fail.function), workers)
    _merge(pages[0], now, workers[1], chance)
    _publish_long_title(pages[1], now, workers[0], chance)
    _by_hand(now, workers, chance)
    _send_mail(now, workers[1])
    _bulk_action(pages, now, workers[1])
    _unfinished(pages, now, workers)
    _make_statistics(now, workers[0], chance)
    _make_samples(now, chance)
    _make_schedule(now)


def clear() -> None:
    """Delete all of it."""
    for model in (
        Notice,
        TaskAttempt,
        BackgroundTask,
        Worker,
        TaskStatistic,
        QueueSample,
        HookSample,
        Schedule,
    ):
        model.objects.all().delete()


def keep_alive() -> None:
    """Have the workers that are alive say so."""
    alive = Worker.objects.filter(stopped_at=None, host__startswith="web-")
    alive.update(heartbeat_at=timezone.now())


# Workers ------------------------------------------------------------------------------------


def _make_workers(now: datetime.datetime) -> list[Worker]:
    """Return two that are alive; another one died, and a fourth one was stopped."""

    def make(
        host: str, pid: int, release: str, began: datetime.timedelta, **columns: Any
    ) -> Worker:
        return Worker.objects.create(
            host=host,
            pid=pid,
            threads=4,
            release=release,
            started_at=now - began,
            **{"heartbeat_at": now, **columns},
        )

    alive = [
        make("web-1.saltmarsh.example", 4711, RELEASES[1], 26 * HOUR),
        make("web-2.saltmarsh.example", 1337, RELEASES[0], 3 * DAY, queues="default, mail"),
    ]
    make("batch.saltmarsh.example", 99, RELEASES[0], 2 * DAY, heartbeat_at=now - 3 * HOUR)
    ended = now - 26 * HOUR
    make(
        "web-1.saltmarsh.example", 4242, RELEASES[0], 6 * DAY, heartbeat_at=ended, stopped_at=ended
    )
    return alive


# What is enqueued, by the site itself -------------------------------------------------------


def _browser(username: str) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.get(username=username))
    return client


def _publish(page: BlogPage, username: str, **changes: Any) -> None:
    page = BlogPage.objects.get(pk=page.pk)
    form = form_data(page, publish=True, **changes)
    response = _browser(username).post(reverse("wagtailadmin_pages:edit", args=[page.pk]), form)
    assert response.status_code == 302, response.context["form"].errors


def _just_enqueued() -> list[BackgroundTask]:
    """Return the tasks that nothing was made of yet."""
    found = BackgroundTask.objects.filter(state=State.WAITING, started_at=None, worker=None)
    return list(found.order_by("pk"))


def _one(rows: Iterable[BackgroundTask], function: str) -> BackgroundTask:
    return next(row for row in rows if row.function == f"{HOOKS}.{function}")


# What became of it --------------------------------------------------------------------------


def _end(
    rows: list[BackgroundTask], moment: datetime.datetime, worker: Worker, chance: random.Random
) -> None:
    """Have tasks succeed that were enqueued at some time; Wagtail's log says the same time."""
    begun = moment
    for row in rows:
        begun += datetime.timedelta(seconds=0.02 + chance.random())
        ended = begun + datetime.timedelta(seconds=chance.lognormvariate(-1.5, 1))
        _change(
            row,
            state=State.SUCCEEDED,
            attempt=1,
            worker=worker,
            enqueued_at=moment,
            started_at=begun,
            finished_at=ended,
        )
    causes = {row.cause for row in rows}
    for log in (PageLogEntry, ModelLogEntry):
        log.objects.filter(uuid__in=causes).update(timestamp=moment)


def _change(row: BackgroundTask, **columns: Any) -> None:
    for name, value in columns.items():
        setattr(row, name, value)
    row.save(update_fields=list(columns))


def _fail(
    row: BackgroundTask, workers: list[Worker], error: Exception, attempts: int = 3, **more: Any
) -> None:
    """Have a task fail that had so many attempts, each a little later."""
    columns = {
        "error": f"{type(error).__name__}: {text_of(error)}",
        "error_type": class_of(error),
        "traceback": traceback_of(error),
    }
    begun = row.started_at
    assert begun is not None
    for number in range(1, attempts):
        ended = begun + datetime.timedelta(seconds=5.2)
        TaskAttempt.objects.create(
            task=row,
            number=number,
            worker=workers[number % 2],
            started_at=begun,
            ended_at=ended,
            **columns,
        )
        begun = ended + datetime.timedelta(seconds=10 * 2**number)
    _change(
        row,
        state=State.FAILED,
        attempt=attempts,
        started_at=begun,
        finished_at=begun + datetime.timedelta(seconds=5.1),
        error_place=place_of(error),
        **columns,
        **more,
    )


def _raised(function: Callable[[], Any]) -> Exception:
    """Return the error that a function of the site's raises."""
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("It raised nothing.")


def _webhook_refuses(row: BackgroundTask, workers: list[Worker]) -> None:
    """The far end of the webhook is down; port 9 of this machine is for discarding."""
    _fail(row, workers, _raised(lambda: webhook.post("http://127.0.0.1:9/", {})))


def _no_such_font(row: BackgroundTask, workers: list[Worker]) -> None:
    """The share image cannot be drawn."""
    explanation = "The title has characters that our font lacks. Shorten it, and publish again."
    error = _raised(lambda: share_image.draw(None, drawn_for="nobody"))
    _fail(row, workers, error, attempts=1, explanation=explanation)


def _disk_is_full(row: BackgroundTask, workers: list[Worker]) -> None:
    """The static copy cannot be written, and its worker died of it before."""
    error = OSError(28, "No space left on device", "/srv/saltmarsh/static_copies/17.html.part")
    _fail(row, workers, _raised(lambda: _raise(error)), attempts=2, deaths=1)


_webhook_refuses.function = "announce_page"  # type: ignore[attr-defined]
_no_such_font.function = "draw_share_image"  # type: ignore[attr-defined]
_disk_is_full.function = "write_static_copy"  # type: ignore[attr-defined]


def _raise(error: Exception) -> None:
    raise error


def _merge(page: BlogPage, now: datetime.datetime, worker: Worker, chance: random.Random) -> None:
    """Have a page published three times in a minute; one task did the work of the others."""
    by_time = []
    for number in range(3):
        _publish(page, "editor" if number == 3 else "moderator")
        rows = _just_enqueued()
        _end(rows, now - 50 * MINUTE + number * MINUTE / 3, worker, chance)
        by_time.append(_one(rows, "write_static_copy"))
    for row in by_time[:2]:
        _change(row, state=State.MERGED, merged_into=by_time[2], attempt=0, started_at=None)


def _publish_long_title(
    page: BlogPage, now: datetime.datetime, worker: Worker, chance: random.Random
) -> None:
    _publish(page, "admin", title=LONG_TITLE)
    _end(_just_enqueued(), now - 30 * MINUTE, worker, chance)


def _by_hand(now: datetime.datetime, workers: list[Worker], chance: random.Random) -> None:
    """A chain, a task that was cancelled, and one that came too late."""
    from wagtail_async_hooks import background

    background.enqueue(tasks.rebuild_text_digests.s().then(tasks.report_digests))
    first = _just_enqueued()
    _end(first, now - 3 * HOUR, workers[0], chance)
    for state, age in ((State.CANCELLED, 2 * HOUR), (State.EXPIRED, 90 * MINUTE)):
        tasks.rebuild_text_digests()
        for row in _just_enqueued():
            _change(
                row,
                state=state,
                enqueued_at=now - age,
                finished_at=now - age + 5 * MINUTE,
                error="it was cancelled" if state == State.CANCELLED else "it has expired",
            )


def _send_mail(now: datetime.datetime, worker: Worker) -> None:
    """An e-mail that could not be delivered: its side effect would be repeated."""
    send_mail("Your page waits for you", "Please look.", None, ["rowan@saltmarsh.example"])
    for row in _just_enqueued():
        _change(
            row, enqueued_at=now - 5 * HOUR, started_at=now - 5 * HOUR, worker=worker, attempt=1
        )
        _fail(row, [worker] * 2, URLError("the mail server hung up"), attempts=3)


def _bulk_action(pages: list[BlogPage], now: datetime.datetime, worker: Worker) -> None:
    """A bulk action that runs: some pages are done, one failed."""
    made = _letters(40)
    query = "&".join(f"id={page.pk}" for page in made)
    address = reverse("wagtail_bulk_action", args=["wagtailcore", "page", "publish"])
    _browser("moderator").post(f"{address}?{query}&next=/admin/pages/", {"include_descendants": ""})
    for row in _just_enqueued():
        if "bulk" not in row.function:
            _change(row, state=State.SUCCEEDED, attempt=1, finished_at=now, started_at=now)
            continue
        done = len(made) // 2
        _change(
            row,
            state=State.RUNNING,
            attempt=1,
            worker=worker,
            enqueued_at=now - 2 * MINUTE,
            started_at=now - MINUTE,
            progress_done=done,
            progress_total=len(made),
        )
        for number, page in enumerate(made[:done]):
            failed = number == 4
            ledger.record_item(
                row.pk,
                str(page.pk),
                page.title,
                ItemState.FAILED if failed else ItemState.DONE,
                error="Somebody has locked it." if failed else "",
            )


def _letters(number: int) -> list[Page]:
    """Return drafts of that many pages."""
    home = HomePage.objects.get()
    parent = home.add_child(instance=HomePage(title="Letters", slug="letters", live=False))
    for week in range(1, number + 1):
        title = f"Letters to the paper, week {week}"
        parent.add_child(instance=HomePage(title=title, slug=f"week-{week}", live=False))
    return list(Page.objects.child_of(parent).order_by("path"))


def _unfinished(pages: list[BlogPage], now: datetime.datetime, workers: list[Worker]) -> None:
    """What runs now, waits for a worker, and waits for its time."""
    _publish(pages[2], "moderator")
    rows = _just_enqueued()
    for row in rows:
        _change(row, enqueued_at=now - 40 * MINUTE / 60)
    running = _one(rows, "draw_share_image")
    _change(
        running,
        state=State.RUNNING,
        attempt=1,
        worker=workers[0],
        started_at=now - MINUTE / 2,
        progress_done=3,
        progress_total=8,
        progress_note="Drawing the hills",
    )
    later = _one(rows, "announce_page")
    _change(later, state=State.SCHEDULED, attempt=1, run_at=now + 2 * MINUTE)
    TaskAttempt.objects.create(
        task=later,
        number=1,
        worker=workers[1],
        started_at=now - MINUTE / 2,
        ended_at=now - MINUTE / 3,
        error="TimeoutError: timed out",
        error_type="TimeoutError",
    )
    for page in pages[3:6]:
        _publish(page, "admin")


# What charts are made of --------------------------------------------------------------------


def _make_statistics(now: datetime.datetime, worker: Worker, chance: random.Random) -> None:
    """Seven days, busy by day, with a bad hour yesterday."""
    functions = {
        ("after_publish_page", f"{HOOKS}.draw_share_image", "default"): 1.4,
        ("after_publish_page", f"{HOOKS}.write_static_copy", "default"): 0.05,
        ("after_publish_page", f"{HOOKS}.announce_page", "default"): 0.3,
        ("", "modelsearch.tasks.insert_or_update_object_task", "default"): 0.08,
        ("", "wagtail.tasks.update_reference_index_task", "default"): 0.02,
    }
    step = 5 * MINUTE
    last = now.replace(minute=now.minute - now.minute % 5, second=0, microsecond=0)
    rows = []
    for number in range(7 * 288):
        start = last - number * step
        busy = max(0.0, 1 - abs(start.hour - 13) / 8) * (0.3 if start.weekday() > 4 else 1)
        is_bad = 22 * HOUR < now - start < 23 * HOUR
        for (hook, function, queue), seconds in functions.items():
            done = int(chance.expovariate(1 / (20 * busy))) if busy else 0
            failed = done // 2 if is_bad and "announce" in function else int(chance.random() < 0.02)
            if done or failed:
                rows.append(
                    TaskStatistic(
                        worker=worker,
                        start=start,
                        queue=queue,
                        hook=hook,
                        function=function,
                        succeeded=done,
                        failed=failed,
                        ran=seconds * (done + failed),
                        longest_run=seconds * 3,
                    )
                )
    TaskStatistic.objects.bulk_create(rows, batch_size=500)


def _make_samples(now: datetime.datetime, chance: random.Random) -> None:
    """How many tasks waited, and how long the functions take that run in requests."""
    last = now.replace(minute=now.minute - now.minute % 5, second=0, microsecond=0)
    QueueSample.objects.bulk_create(
        QueueSample(
            start=last - number * 5 * MINUTE,
            queue="default",
            waiting=(waiting := int(chance.expovariate(0.3))),
            oldest=waiting * chance.random(),
        )
        for number in range(7 * 288)
    )
    HookSample.objects.bulk_create(
        HookSample(
            hook="before_edit_page",
            function="wagtail_async_hooks.integrations.scheduled_publishing.warn",
            at=now - number * HOUR,
            calls=20,
            seconds=0.9,
            durations=[0.03 + 0.04 * chance.random() for _ in range(10)],
        )
        for number in range(24)
    )


def _make_schedule(now: datetime.datetime) -> None:
    row = BackgroundTask.objects.filter(state=State.SUCCEEDED).latest("pk")
    due = now.replace(second=0, microsecond=0)
    Schedule.objects.update_or_create(
        name="publish_scheduled",
        defaults={
            "crontab": "*/5 * * * *",
            "time_zone": "UTC",
            "next_due_at": due + 3 * MINUTE,
            "last_due_at": due - 2 * MINUTE,
            "last_task": row,
        },
    )


def is_empty() -> bool:
    """Return whether there are no tasks yet."""
    return not BackgroundTask.objects.exists()
