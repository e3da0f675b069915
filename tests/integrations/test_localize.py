"""Tests of the job backend for wagtail-localize: as it is called, and within the real package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.utils import translation
from wagtail.log_actions import LogContext
from wagtail.models import Page

from tests.draining import run_all
from tests.processes import run_site_tests
from tests.site.blog.models import Advert, HomePage
from tests.work import jobs
from wagtail_async_hooks import background
from wagtail_async_hooks.integrations.localize import BackgroundJobBackend, run_job
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State


@pytest.fixture(autouse=True)
def no_calls() -> None:
    """Forget the calls of earlier tests."""
    jobs.calls.clear()


@pytest.fixture
def backend() -> BackgroundJobBackend:
    """The backend, with jobs that may begin at once."""
    return BackgroundJobBackend({"DELAY": 0})


@pytest.fixture
def advert(db: None) -> Advert:
    """A model instance."""
    return Advert.objects.create(text="Tea")


@pytest.fixture
def page(db: None) -> HomePage:
    """A page."""
    root = Page.get_first_root_node()
    return root.add_child(instance=HomePage(title="Tides", slug="tides"))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged as an error."""
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


class Parcel:
    """Something that cannot be carried."""


# Options ------------------------------------------------------------------------------------


def test_options__a_mistake_is_told_at_once() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        BackgroundJobBackend({"QUEUE": "default", "PRIORITY": "high"})

    assert str(caught.value) == (
        'WAGTAILLOCALIZE_JOBS["OPTIONS"] has an unknown key "QUEUE"; known are: PRIORITY, DELAY, '
        'RETRIES, RETRY_DELAY, RETRY_BACKOFF. WAGTAILLOCALIZE_JOBS["OPTIONS"]["PRIORITY"] should '
        "be a whole number that fits 32 bits, but is 'high'."
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (0, 5, 3, 10, 0)),
        (
            {"PRIORITY": 7, "DELAY": 60, "RETRIES": 0, "RETRY_DELAY": 1.5, "RETRY_BACKOFF": 2},
            (7, 60, 0, 1.5, 2),
        ),
    ],
)
def test_options__reach_the_task(
    db: None, options: dict[str, Any], expected: tuple[float | None, ...]
) -> None:
    BackgroundJobBackend(options).enqueue(jobs.note, [], {})

    row = BackgroundTask.objects.get()
    task = background.deserialize_task(bytes(row.message))
    delay = row.run_at - row.enqueued_at
    found = (row.priority, round(delay.total_seconds()))
    assert (*found, task.retries, task.retry_delay, task.retry_backoff) == expected
    assert row.state == State.SCHEDULED


# Record and run -----------------------------------------------------------------------------


def test_enqueue__records_a_task(
    backend: BackgroundJobBackend, advert: Advert, editor: Any
) -> None:
    with LogContext(user=editor):
        backend.enqueue(jobs.note, ["x", advert], {"user": editor})

    row = BackgroundTask.objects.get()
    assert row.state == State.WAITING
    assert row.function == "tests.work.jobs.note"
    assert (row.subject_type.model, row.subject_id) == ("advert", str(advert.pk))
    assert row.user_id == editor.pk
    assert jobs.calls == []


def test_enqueue__a_worker_calls_the_function(
    backend: BackgroundJobBackend, advert: Advert, editor: Any
) -> None:
    backend.enqueue(jobs.note, ["x", advert], {"user": editor})
    Advert.objects.update(text="Coffee")

    run_all()

    [((word, found), kwargs)] = jobs.calls
    assert (word, found.text, kwargs) == ("x", "Coffee", {"user": editor})
    assert BackgroundTask.objects.get().state == State.SUCCEEDED


def test_enqueue__querysets_and_keyword_arguments(
    backend: BackgroundJobBackend, advert: Advert
) -> None:
    backend.enqueue(args=[], kwargs={"objects": Advert.objects.all()}, func=jobs.sum_up)

    run_all()

    assert jobs.calls == [((["Tea"], None), {})]


def test_enqueue__a_page_that_is_passed_by_its_key(
    backend: BackgroundJobBackend, page: HomePage
) -> None:
    backend.enqueue(jobs.rename, [page.pk, "Floods"], {})
    row = BackgroundTask.objects.get()
    assert (row.subject_type.model, row.subject_id) == ("homepage", str(page.pk))

    run_all()

    page.refresh_from_db()
    assert page.title == "Floods"


def test_enqueue__nothing_is_done_for_a_page_that_is_gone(
    backend: BackgroundJobBackend, page: HomePage
) -> None:
    backend.enqueue(jobs.rename, [page.pk, "Floods"], {})
    page.delete()

    run_all()

    row = BackgroundTask.objects.get(function="tests.work.jobs.rename")
    assert (row.state, row.error) == (State.CANCELLED, "its page was deleted")


def test_enqueue__a_rollback_leaves_no_task(backend: BackgroundJobBackend, db: None) -> None:
    with transaction.atomic():
        backend.enqueue(jobs.note, ["x"], {})
        transaction.set_rollback(True)

    assert not BackgroundTask.objects.exists()


def test_enqueue__what_has_failed_is_tried_again(db: None) -> None:
    BackgroundJobBackend({"DELAY": 0, "RETRIES": 1}).enqueue(jobs.fail, ["no luck"], {})

    run_all()

    row = BackgroundTask.objects.get()
    assert (row.state, row.attempt, row.error) == (State.SCHEDULED, 1, "no luck")


# Functions that a worker does not run -------------------------------------------------------


def nested() -> Callable[..., None]:
    """Return a function that nobody can find."""

    def inner(*args: Any) -> None:
        jobs.note(*args)

    return inner


def outside(*args: Any) -> None:
    """Do what a job does, in a module of no installed app."""
    jobs.note(*args)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (nested(), "a worker cannot find a function again that is defined inside another one"),
        (lambda *args: jobs.note(*args), "a worker cannot find a lambda again, it has no name"),
        (outside, "a worker only runs functions at the top level of an installed app's modules"),
    ],
    ids=["nested", "lambda", "of no app"],
)
def test_enqueue__a_function_that_would_not_be_found_runs_at_once(
    backend: BackgroundJobBackend,
    caplog: pytest.LogCaptureFixture,
    db: None,
    function: Callable[..., None],
    reason: str,
) -> None:
    backend.enqueue(function, ["x"], {})

    assert jobs.calls == [(("x",), {})]
    assert not BackgroundTask.objects.exists()
    [line] = told(caplog)
    assert line.endswith(f" runs at once: {reason}.")


@pytest.mark.parametrize("path", ["tests.work.jobs.gone", "subprocess.run", f"{__name__}.outside"])
def test_run_job__refuses_what_no_installed_app_has_loaded(db: None, path: str) -> None:
    background.enqueue(run_job.task_class((path, None, "x"), {}))

    run_all()

    row = BackgroundTask.objects.get()
    assert row.state == State.FAILED
    assert row.error.startswith(f"no module of an installed app that is loaded here defines {path}")
    assert jobs.calls == []


# Arguments that cannot be carried -----------------------------------------------------------


def test_enqueue__what_cannot_be_carried_runs_at_once(
    backend: BackgroundJobBackend, caplog: pytest.LogCaptureFixture, advert: Advert
) -> None:
    parcel = Parcel()

    with transaction.atomic():
        backend.enqueue(jobs.sum_up, [[advert]], {"parcel": parcel})

    assert jobs.calls == [((["Tea"], parcel), {})]
    assert not BackgroundTask.objects.exists()
    [line] = told(caplog)
    assert line.startswith("tests.work.jobs.sum_up (")
    assert (
        "runs at once, because its argument parcel cannot be carried to a worker: "
        "tests.integrations.test_localize.Parcel cannot be carried"
    ) in line


def test_enqueue__what_is_too_long_runs_at_once(
    backend: BackgroundJobBackend, caplog: pytest.LogCaptureFixture, db: None
) -> None:
    backend.enqueue(jobs.note, ["x" * 9_000_000], {})

    assert len(jobs.calls) == 1
    [line] = told(caplog)
    assert "its arguments cannot be carried to a worker: the message would take 9.0 MB" in line


def test_enqueue__arguments_that_do_not_fit_are_an_error_at_once(
    backend: BackgroundJobBackend, db: None
) -> None:
    with pytest.raises(TypeError, match="title"):
        backend.enqueue(jobs.rename, [1], {})

    assert not BackgroundTask.objects.exists()


@pytest.mark.usefixtures("no_table")
def test_enqueue__without_a_table_it_runs_at_once(
    backend: BackgroundJobBackend, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction.atomic():
        advert = Advert.objects.create(text="Tea")
        backend.enqueue(jobs.note, [advert], {})

    assert jobs.calls == [((advert,), {})]
    assert Advert.objects.filter(pk=advert.pk).exists()
    [line] = told(caplog)
    assert line.endswith("could not be recorded as a background task, so it runs at once.")


@pytest.mark.usefixtures("elsewhere")
def test_enqueue__with_another_database_it_is_recorded_after_the_commit(
    backend: BackgroundJobBackend,
) -> None:
    with transaction.atomic():
        with translation.override("fr"):
            backend.enqueue(jobs.note, ["x"], {})
        recorded_before = BackgroundTask.objects.count()

    assert recorded_before == 0
    row = BackgroundTask.objects.get()
    assert row.state == State.WAITING
    task = background.deserialize_task(bytes(row.message))
    assert task.submission.context.language == "fr"  # that of the call, not that of the commit


# Immediate mode -----------------------------------------------------------------------------


@pytest.mark.usefixtures("immediate")
def test_enqueue__in_immediate_mode_it_runs_at_once(backend: BackgroundJobBackend) -> None:
    parcel = Parcel()

    backend.enqueue(outside, [parcel], {})

    assert jobs.calls == [((parcel,), {})]


@pytest.mark.usefixtures("immediate")
def test_enqueue__in_immediate_mode_errors_are_raised(backend: BackgroundJobBackend) -> None:
    with pytest.raises(ValueError, match="no luck"):
        backend.enqueue(jobs.fail, ["no luck"], {})


# The real package ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(connection.vendor != "sqlite", reason="makes an SQLite database of its own")
def test_backend__within_wagtail_localize(tmp_path: Path) -> None:
    """Run ``tests/localize/site_tests.py``, on a site with other settings than these tests have."""
    run_site_tests("localize", tmp_path)
