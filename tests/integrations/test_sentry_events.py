"""Tests of a site with our integration for Sentry: what arrives there, of real workers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from wagtail.models import Page

from tests.processes import Process, wait_until
from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask, Worker

pytest.importorskip("sentry_sdk")

pytestmark = pytest.mark.slow

ADDRESS = "ada.lovelace@example.com"
MODULE = "tests.tracing.wagtail_hooks"
CONTEXT = "background task"

Event = dict[str, Any]


class Site:
    """A site with Sentry, whose processes are started one after the other."""

    def __init__(self, start: Callable[..., Process], folder: Path) -> None:
        self._start = start
        self._sent = folder / "sent.jsonl"
        self._sent.touch()
        self.options: dict[str, Any] = {}

    def start(self, *command: str, **environment: str) -> Process:
        """Start a command of the site."""
        return self._start(
            *command,
            DJANGO_SETTINGS_MODULE="tests.tracing.sentry_settings",
            SITE_BACKEND="database",
            TEST_SENT=str(self._sent),
            TEST_SENTRY=json.dumps(self.options),
            **environment,
        )

    def run(self, *command: str, **environment: str) -> str:
        """Run a command to its end; return what it says."""
        process = self.start(*command, **environment)
        process.wait()
        return process.said()

    def call(self, code: str, **environment: str) -> str:
        """Run some code of the site's module."""
        given = f"from {MODULE} import *; import sys\n{code}"
        process = self.start("shell", "-c", given, **environment)
        assert process.wait() == 0, process.said()
        return process.said()

    def sent(self, kind: str = "event") -> list[Event]:
        """Return what has arrived in Sentry."""
        complete, _, _ = self._sent.read_text().rpartition("\n")  # the rest is being written
        items = map(json.loads, complete.splitlines())
        return [payload for found, payload in items if found == kind]


@pytest.fixture
def site(start: Callable[..., Process], tmp_path: Path) -> Site:
    return Site(start, tmp_path)


@pytest.fixture
def ada(committed_db: None) -> Iterator[Any]:
    """A user who moves pages."""
    user = get_user_model().objects.create_superuser("ada", ADDRESS, "demo")
    yield user
    user.delete()


@pytest.fixture
def moved(site: Site, ada: Any) -> Callable[..., list[Event]]:
    """Move a page, and return what arrives of that, with options of Sentry."""

    def move(**options: Any) -> list[Event]:
        site.options = options
        site.call("move('ada')")
        site.run("wagtail_worker", "--drain", "--threads", "1")
        wait_until(purge_has_failed_or_waits, "it is due")
        site.run("wagtail_worker", "--drain", "--threads", "1")
        return site.sent()

    return move


def purge_has_failed_or_waits() -> bool:
    """Return whether what is retried is due."""
    background.read_schedule()
    return BackgroundTask.objects.get(function=f"{MODULE}.purge").state != "scheduled"


def functions_of(events: list[Event]) -> list[str]:
    """Return of which functions some events are."""
    return sorted(event["tags"]["task.function"].removeprefix(f"{MODULE}.") for event in events)


def test_coroutines_side_by_side__are_told_apart(site: Site) -> None:
    site.options = {"traces_sample_rate": 1.0}
    site.call("for number in range(4): fails_beside(number)")
    site.run("wagtail_worker", "--drain", "--threads", "1")

    events = site.sent()
    assert functions_of(events) == ["fails_beside"] * 4
    assert {(event["tags"]["of"], *crumbs(event)) for event in events} == {
        (str(number), f"about to wait {number}", f"about to fail {number}") for number in range(4)
    }
    rows = {row.pk for row in BackgroundTask.objects.all()}
    assert {event["contexts"][CONTEXT]["task"] for event in events} == rows
    attempts = site.sent("transaction")
    assert len({each["contexts"]["trace"]["span_id"] for each in attempts}) == 4
    assert {each["contexts"]["trace"]["status"] for each in attempts} == {"internal_error"}


def test_hooks_that_fail__are_one_event_each(site: Site, moved: Callable[..., list[Event]]) -> None:
    events = moved(traces_sample_rate=1.0)

    assert states() == {"ping": "failed", "purge": "failed", "log": "succeeded"}
    assert functions_of(events) == ["log", "ping", "purge"]
    log, ping, purge = sorted(events, key=lambda event: event["tags"]["task.function"])
    row = BackgroundTask.objects.get(function=f"{MODULE}.ping")
    page = Page.objects.get(depth=2)
    assert ping["contexts"][CONTEXT] == {
        "task": row.pk,
        "hook": "after_move_page",
        "function": f"{MODULE}.ping",
        "queue": "default",
        "attempt": 1,
        "object": f"{page.content_type.app_label}.{page.content_type.model} {page.pk}",
        "url": f"http://127.0.0.1:8000/admin/background-tasks/task/{row.pk}/",
    }
    assert ping["user"] == {"id": str(row.user_id)}
    assert ping["transaction"] == f"{MODULE}.ping"
    assert ping["tags"]["of"] == "ping"
    assert [value["type"] for value in ping["exception"]["values"]] == ["ConnectionError"]
    assert crumbs(ping) == ["about to ping"]

    assert purge["contexts"][CONTEXT]["attempt"] == 2
    assert crumbs(purge) == ["about to purge"]  # of this attempt alone
    assert "of" not in purge["tags"]
    # Both fail in the same function of the site's, and are two groups.
    assert ping["fingerprint"] == ["{{ default }}", f"{MODULE}.ping"]
    assert purge["fingerprint"] == ["{{ default }}", f"{MODULE}.purge"]

    assert log["logentry"]["message"] == "a line of the site's"
    assert log["contexts"][CONTEXT]["hook"] == "after_move_page"

    [request] = [t for t in site.sent("transaction") if t["contexts"]["trace"]["op"] != PROCESS]
    attempts = [t for t in site.sent("transaction") if t["contexts"]["trace"]["op"] == PROCESS]
    trace = request["contexts"]["trace"]["trace_id"]
    assert {event["contexts"]["trace"]["trace_id"] for event in [*attempts, *events]} == {trace}
    published = {span["span_id"]: span for span in request["spans"]}
    parents = [published[each["contexts"]["trace"]["parent_span_id"]] for each in attempts]
    assert [span["op"] for span in parents] == ["queue.publish"] * 4
    assert Counter(t["contexts"]["trace"]["status"] for t in attempts) == {
        "internal_error": 2,
        "aborted": 1,  # to be retried
        "ok": 1,
    }
    assert {t["contexts"]["trace"]["data"]["messaging.message.retry.count"] for t in attempts} == {
        0,
        1,
    }


PROCESS = "queue.process"


def crumbs(event: Event) -> list[str]:
    """Return what was noted by the site before an event."""
    values = event["breadcrumbs"]["values"]
    return [crumb["message"] for crumb in values if "about" in str(crumb.get("message"))]


def states() -> dict[str, str]:
    """Return the states of the tasks by the names of their functions."""
    rows = BackgroundTask.objects.values_list("function", "state")
    return {function.rpartition(".")[2]: state for function, state in rows}


def test_without_pii__nothing_of_the_message_is_sent(moved: Callable[..., list[Event]]) -> None:
    events = moved(send_default_pii=False, traces_sample_rate=1.0)

    told = json.dumps(events)
    assert "ping" in told
    for secret in (ADDRESS, "'ada'", '"ada"', "of the form"):
        assert secret not in told
    for frame in frames(events):
        if frame["module"].startswith(("huey.", "wagtail_async_hooks.")):
            assert "vars" not in frame
            assert not frame["in_app"]


def test_with_pii__the_user_is_named(moved: Callable[..., list[Event]]) -> None:
    [ping] = [e for e in moved(send_default_pii=True) if e["tags"].get("of") == "ping"]

    assert ping["user"]["username"] == "ada"
    assert ping["user"]["email"] == ADDRESS
    assert ping["contexts"][CONTEXT]["object_title"] == Page.objects.get(depth=2).title
    assert "sentry_headers" not in json.dumps(ping)


def frames(events: list[Event]) -> list[dict[str, Any]]:
    """Return the frames of all tracebacks."""
    return [
        frame
        for event in events
        for value in event.get("exception", {}).get("values", [])
        for frame in value["stacktrace"]["frames"]
    ]


def test_what_has_not_failed__is_no_event(site: Site) -> None:
    names = ("discarded", "snoozed", "retried", "reports_itself")
    site.call("".join(f"{name}({ADDRESS!r})\n" for name in names))
    site.run("wagtail_worker", "--drain")

    assert states() == {
        "discarded": "cancelled",
        "snoozed": "scheduled",
        "retried": "scheduled",
        "reports_itself": "failed",
    }
    [event] = site.sent()
    assert functions_of([event]) == ["reports_itself"]
    assert event["exception"]["values"][-1]["mechanism"]["handled"]  # by the site


def test_poison_task__is_one_event(site: Site) -> None:
    site.call(f"dies({ADDRESS!r})")
    BackgroundTask.objects.update(deaths=2)
    assert site.start("wagtail_worker").wait() == -9
    Worker.objects.all().delete()

    worker = site.start("wagtail_worker")
    wait_until(lambda: states() == {"dies": "failed"}, "it has failed")
    wait_until(site.sent, "it is reported")
    worker.stop()
    [event] = site.sent()
    assert event["fingerprint"] == [f"{MODULE}.dies", "its worker died 3 times"]
    assert event["contexts"][CONTEXT]["function"] == f"{MODULE}.dies"


def test_check__has_nothing_to_say(site: Site) -> None:
    assert "W045" not in site.run("check")


def test_immediate_mode__reports_as_well(site: Site) -> None:
    code = (
        "from django.test import override_settings\n"
        "with override_settings(WAGTAIL_TASKS={'BACKEND': ''}):\n"
        f"    retried({ADDRESS!r}); discarded({ADDRESS!r})\n"
    )
    site.call(code)

    [event] = site.sent()
    assert event["transaction"] == f"{MODULE}.retried"
    assert event["contexts"][CONTEXT]["attempt"] == 6


def test_streamed_spans__leave_events_alone(site: Site) -> None:
    site.options = {"_experiments": {"trace_lifecycle": "stream"}, "traces_sample_rate": 1.0}
    site.call(f"reports_itself({ADDRESS!r}); discarded({ADDRESS!r})")
    site.run("wagtail_worker", "--drain")

    assert states() == {"reports_itself": "failed", "discarded": "cancelled"}
    assert functions_of(site.sent()) == ["reports_itself"]
