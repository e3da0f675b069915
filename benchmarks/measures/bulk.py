"""What a bulk action costs: in the request, as Wagtail's own, and in a worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from benchmarks import proc
from benchmarks.cases import Case
from benchmarks.measures import Metric

TITLE: Final = "Bulk actions"
EXPLAINED: Final = (
    "Many pages are published, moved below another page, or deleted by Wagtail's bulk actions, and "
    "images, which have them, get two tags: in the request as Wagtail does, or by a worker, with a "
    "transaction for each object, whose index is another task. The memory is that of the process "
    "that has done it."
)
METRICS: Final = {
    "request": Metric("the request, s", digits=2),
    "rate": Metric("objects per second", less_is_better=False),
    "queries": Metric("queries per object"),
    "memory": Metric("memory at the end, MB"),
}
BASELINE: Final = "dropped"
SMALL: Final = {"pages": 4}

_CONTENDERS: Final = {
    "wagtail_without_hooks": "Wagtail, in the request",
    "dropped": "Wagtail, all tasks dropped",
    "ours_without_hooks": "wagtail_async_hooks",
}

_SIZES: Final[Mapping[str, Mapping[str, Sequence[int]]]] = {
    "sqlite": {
        "publish": (500, 5_000),
        "move": (5_000,),
        "delete": (1_000,),
        "add_tags": (5_000,),
    },
    "postgres": {"publish": (500,), "delete": (1_000,)},
}
_QUICK: Final = {
    "sqlite": {"publish": (50, 200), "move": (50,), "delete": (50,), "add_tags": (50,)}
}


def cases(*, quick: bool) -> list[Case]:
    """Return who is measured."""
    sizes = _QUICK if quick else _SIZES
    return [
        Case(
            "bulk",
            contender,
            f"{title}, {action.replace('add_tags', 'tag')} {pages:,}",
            database,
            options={"action": action, "pages": pages},
        )
        for database, actions in sizes.items()
        for action, several in actions.items()
        for pages in several
        for contender, title in _CONTENDERS.items()
    ]


def rounds(*, quick: bool) -> int:
    """Return how often each case is run."""
    return 1


def run(case: Case) -> dict[str, list[float]]:
    """Have an action done to many pages, and to one of them with its queries counted."""
    import django

    django.setup()
    from django.test.utils import setup_test_environment

    setup_test_environment(debug=False)
    action, number = case.options["action"], case.options["pages"]
    _settle(case.contender)
    _do(action, _make(action, 20), case.contender)  # what is done once in a process
    few, many = _make(action, 20), _make(action, 60)
    counted = [_counted(action, keys, case.contender) for keys in (few, many)]
    keys = _made_elsewhere(action, number)
    done = _do(action, keys, case.contender)
    return {
        "request": [done.request],
        "rate": [number / done.seconds],
        "queries": [(counted[1] - counted[0]) / (len(many) - len(few))],
        "memory": [done.memory],
    }


def _settle(contender: str) -> None:
    from django.conf import settings
    from django.test import override_settings

    if contender == "ours_without_hooks":
        tasks = settings.WAGTAIL_TASKS
        actions = [".".join(_names(action)) for action in _SIZES["sqlite"]]
        bulk = {**tasks.get("BULK_ACTIONS", {}), "actions": actions, "threshold": 1}
        override_settings(WAGTAIL_TASKS={**tasks, "BULK_ACTIONS": bulk}).enable()
    override_settings(
        DATA_UPLOAD_MAX_NUMBER_FIELDS=None, WAGTAILADMIN_UNSAFE_PAGE_DELETION_LIMIT=10**9
    ).enable()


def _names(action: str) -> tuple[str, str, str]:
    """Return the names by which Wagtail knows an action: of an app, a model, and its own."""
    model = ("wagtailimages", "image") if action == "add_tags" else ("wagtailcore", "page")
    return (*model, action)


def _make(action: str, number: int) -> list[int]:
    """Make pages below a new one, or images; return their keys."""
    if action == "add_tags":
        return _make_images(number)
    from tests.integrations.bulk_actions.conftest import make_pages

    return make_pages(_parent(), number)


def _made_elsewhere(action: str, number: int) -> list[int]:
    """Make them in another process, so that they have never been in the memory of this one."""
    code = (
        "import django; django.setup(); from benchmarks.measures import bulk; "
        f"print(bulk._make({action!r}, {number:d}))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    keys: list[int] = json.loads(done.stdout.splitlines()[-1])
    return keys


def _make_images(number: int) -> list[int]:
    """Make images that all have the file of the first one."""
    from wagtail.images import get_image_model
    from wagtail.images.tests.utils import get_test_image_file

    model = get_image_model()
    first = model.objects.create(title="Bulk", file=get_test_image_file())
    first.pk = None
    model.objects.bulk_create(
        model(title="Bulk", file=first.file.name, width=640, height=480) for _ in range(number)
    )
    newest = model.objects.order_by("-pk").values_list("pk", flat=True)[:number]
    return sorted(newest)


def _parent() -> Any:
    from wagtail.models import Page

    slug = f"bulk-{time.monotonic_ns()}"
    root: Any = Page.get_first_root_node()
    return root.add_child(instance=Page(title=slug, slug=slug))


class _Done(NamedTuple):
    """How an action was done.

    :param request: seconds of the request.
    :param seconds: of the process that did it.
    :param memory: megabytes of that process, then.
    """

    request: float
    seconds: float
    memory: float


def _do(action: str, keys: list[int], contender: str) -> _Done:
    """Have it done, in the request or as a worker would."""
    from django.contrib.auth import get_user_model
    from django.test import Client
    from django.urls import reverse

    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    form = {"tags": "rare, old"} if action == "add_tags" else {}
    if action == "move":
        form = {"chooser": str(_parent().pk)}
    address = reverse("wagtail_bulk_action", args=_names(action))
    query = "&".join(f"id={key}" for key in keys)
    begun = time.perf_counter()
    response = client.post(f"{address}?{query}", form)
    request = time.perf_counter() - begun
    assert response.status_code == 302, response.status_code
    is_ours = contender == "ours_without_hooks"
    seconds = _work() if is_ours else request
    done = _Done(request, seconds, proc.memory([os.getpid()]).own)
    if is_ours:
        _forget()
    return done


def _work() -> float:
    """Do what the ledger has of bulk actions, as a worker's thread does; return the seconds."""
    from wagtail_async_hooks import background
    from wagtail_async_hooks.models import BackgroundTask
    from wagtail_async_hooks.types import State

    bulk = BackgroundTask.objects.filter(name__contains="run_bulk_action")
    others = BackgroundTask.objects.exclude(pk__in=bulk.values_list("pk", flat=True))
    others._raw_delete(others.db)
    begun = time.perf_counter()
    task = background.next()
    assert task is not None
    background.execute(task)
    seconds = time.perf_counter() - begun
    states = set(bulk.values_list("state", flat=True))
    assert states == {State.SUCCEEDED}, states
    return seconds


def _forget() -> None:
    """Delete all tasks, without loading what follows from thousands of objects."""
    from wagtail_async_hooks.models import BackgroundTask

    tasks = BackgroundTask.objects.all()
    tasks._raw_delete(tasks.db)


def _counted(action: str, keys: list[int], contender: str) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        _do(action, keys, contender)
    return len(queries)
