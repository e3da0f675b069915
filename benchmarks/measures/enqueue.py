"""What it costs to leave a task to a worker: for ours, beside creating such a row with Django."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from benchmarks import contenders
from benchmarks.cases import Case
from benchmarks.measures import Metric

TITLE: Final = "Leaving a task to a worker"
EXPLAINED: Final = (
    "One call with two numbers, in a transaction of its own. Ours is also called through a hook "
    "with a request and a page, and through `TASKS`. “A bare `create()`” inserts the same row "
    "with Django's ORM; a hook's has a user and a page, and so is in two more indexes."
)
METRICS: Final = {
    "time": Metric("time, µs", digits=0),
    "cpu": Metric("of which processor time, µs", digits=0),
}
BASELINE: Final = "ours_create"
SMALL: Final = {"times": 5}
WARM: Final = 20

_OF_OURS: Final = {
    "ours_create": "a bare `create()`",
    "ours_create_hook": "a bare `create()` of a hook's row",
    "ours_hook": "wagtail_async_hooks, a hook",
    "ours_api": "wagtail_async_hooks, by `TASKS`",
}


def cases(*, quick: bool) -> list[Case]:
    """Return who is measured."""
    options = {"times": 100 if quick else 1000}
    extra = [
        Case("enqueue", contender, title, database, options=options)
        for database in ("sqlite", "postgres", "mysql")
        for contender, title in _OF_OURS.items()
    ]
    found = contenders.cases("enqueue", options)
    return [*extra, *(_quickly(found) if quick else found)]


def _quickly(found: list[Case]) -> list[Case]:
    """Return one case of each library, and both databases of ours, which `create()` is for."""
    of_ours = [case for case in found if case.contender == "ours" and not case.redis]
    return [*of_ours, *contenders.some(found)[1:]]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def run(case: Case) -> dict[str, list[float]]:
    """Return the microseconds of each call."""
    call = _call_of(case)
    for _ in range(WARM):
        call()
    times, cpu = [], []
    for _ in range(case.options["times"]):
        begun, computed = time.perf_counter(), time.thread_time()
        call()
        cpu.append(1e6 * (time.thread_time() - computed))
        times.append(1e6 * (time.perf_counter() - begun))
    return {"time": times, "cpu": cpu}


def _call_of(case: Case) -> Callable[[], Any]:
    if case.contender in _OF_OURS:
        import django

        django.setup()
        return _calls()[case.contender]()
    module = contenders.module_of(case)
    module.set_up()
    return lambda: module.enqueue(0.0, time.monotonic())


def _calls() -> dict[str, Callable[[], Callable[[], Any]]]:
    """Return what makes the call of each."""
    return {
        "ours_create": lambda: _create(_plain()),
        "ours_create_hook": lambda: _create(_hook()),
        "ours_hook": _hook,
        "ours_api": _api,
    }


def _plain() -> Callable[[], Any]:
    """Return what records a task."""
    from benchmarks import tasks

    return lambda: tasks.ours(0.0, time.monotonic())


def _create(record: Callable[[], Any]) -> Callable[[], Any]:
    """Return what creates a row with the columns of one that is recorded."""
    from django.utils import timezone

    from wagtail_async_hooks import background
    from wagtail_async_hooks.models import BackgroundTask

    record()
    row = BackgroundTask.objects.get()
    columns = {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields}
    del columns["id"]
    assert background.storage.tasks.count() == 1
    numbers = iter(range(10**9))

    def create() -> None:
        fresh = {"task_id": f"{next(numbers):036}", "enqueued_at": timezone.now()}
        BackgroundTask.objects.create(**{**columns, **fresh})

    return create


def _hook() -> Callable[[], Any]:
    """Return what calls one of the demo's hooks, as it stands in Wagtail's registry."""
    from django.contrib.auth import get_user_model
    from django.test import RequestFactory
    from wagtail import hooks

    from tests.site.blog.models import BlogPage

    request = RequestFactory().post("/admin/pages/4/edit/")
    request.user = get_user_model().objects.get(username="admin")
    page = BlogPage.objects.live().order_by("pk")[0]
    function = hooks.get_hooks("after_publish_page")[0]
    return lambda: function(request, page)


def _api() -> Callable[[], Any]:
    """Return what enqueues a task of ``TASKS``."""
    from benchmarks import tasks

    return lambda: tasks.of_the_api.enqueue(0.0, time.monotonic())
