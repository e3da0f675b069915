"""Tests of pauses: what is paused is not begun by any worker, and is not lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from tests.processes import Process, wait_until
from tests.work import tasks
from wagtail_async_hooks import background
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.queue import pausing
from wagtail_async_hooks.types import State
from wagtail_async_hooks.worker.bounds import ClaimBounds

HOOK = "after_publish_page"
FUNCTION = "tests.queue.test_pausing.plain"


@background.task()
def plain() -> None:
    """Do nothing."""


@pytest.fixture
def claim_bounds() -> Iterator[ClaimBounds]:
    """What a worker of this process serves."""
    claim_bounds = ClaimBounds(background, [], [])
    yield claim_bounds
    claim_bounds.reset()


def enqueue(queue: str = "default", hook: str = "", function: str = FUNCTION) -> int:
    """Record a task; return its row's number."""
    task = plain.task_class((), {})
    submission = task.submission
    submission.queue, submission.hook, submission.function = queue, hook, function
    background.enqueue(task)
    return BackgroundTask.objects.order_by("pk").last().pk  # type: ignore[union-attr]


def begun() -> list[int]:
    """Run what may be begun; return the numbers in the order in which it was."""
    numbers = []
    while (task := background.next()) is not None:
        numbers.append(task.claim.pk)
        background.execute(task)
    return numbers


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("target", "others"),
    [
        ({"queue": "slow"}, {1, 2, 3}),
        ({"hook": HOOK}, {0, 2, 3}),
        ({"function": "a.b"}, {0, 1, 3}),
        ({"queue": "Slow"}, {0, 1, 2, 3}),
        ({}, set()),
    ],
)
def test_pause__holds_back_what_it_names(
    claim_bounds: ClaimBounds, target: dict[str, str], others: set[int]
) -> None:
    numbers = [
        enqueue("slow"),
        enqueue(hook=HOOK),
        enqueue(function="a.b"),
        enqueue(),
    ]
    assert pausing.pause(**target)
    claim_bounds.refresh()
    assert begun() == [numbers[other] for other in sorted(others)]
    assert claim_bounds.held_back() == 4 - len(others)

    assert pausing.resume(**target)
    claim_bounds.refresh()
    assert begun() == [n for i, n in enumerate(numbers) if i not in others]
    assert claim_bounds.held_back() == 0


@pytest.mark.django_db
def test_pause__several_are_undone_one_by_one(claim_bounds: ClaimBounds) -> None:
    enqueue("slow", hook=HOOK)
    pausing.pause(queue="slow")
    pausing.pause(hook=HOOK)
    pausing.pause()
    for target in ({}, {"hook": HOOK}):
        pausing.resume(**target)
        claim_bounds.refresh()
        assert begun() == []
    pausing.resume(queue="slow")
    claim_bounds.refresh()
    assert len(begun()) == 1


@pytest.mark.django_db
def test_pause__says_who_when_and_why(editor: Any) -> None:
    assert pausing.pause(queue="slow", user=editor, reason="too slow")
    assert not pausing.pause(queue="slow", reason="another")
    pausing.pause()

    slow, everything = pausing.paused()

    assert (str(slow), slow.user, slow.reason) == ("queue slow", editor, "too slow")
    assert slow.paused_at <= everything.paused_at
    assert (str(everything), everything.user) == ("everything", None)
    assert not pausing.resume(hook=HOOK)
    assert pausing.resume(queue="slow")
    assert not pausing.resume(queue="slow")
    assert [str(pause) for pause in pausing.paused()] == ["everything"]


@pytest.mark.django_db
def test_pause__outlasts_who_made_it() -> None:
    user = get_user_model().objects.create_user("leaves", "leaves@example.com", "demo")
    pausing.pause(queue="slow", user=user)
    user.delete()
    [pause] = pausing.paused()
    assert pause.user is None


@pytest.mark.parametrize("call", [pausing.pause, pausing.resume])
def test_pause__names_of_no_use(call: Callable[..., bool]) -> None:
    with pytest.raises(TypeError, match="takes one of queue, hook, function, but was given sever"):
        call(queue="a", hook="b")
    for target in ({"queue": "q" * 65}, {"hook": "h\n"}, {"function": None}, {"hook": "h" * 101}):
        [kind] = target
        with pytest.raises(ValueError, match=rf"\({kind}=…\) should be a name of 1 to "):
            call(**target)


@pytest.mark.django_db
def test_pause__the_last_outcome_is_recorded_all_the_same(claim_bounds: ClaimBounds) -> None:
    pk = enqueue()
    enqueue()
    background.attempt(background.next())
    pausing.pause()
    claim_bounds.refresh()
    assert background.next() is None
    assert BackgroundTask.objects.get(pk=pk).state == State.SUCCEEDED


@pytest.mark.django_db
def test_look__one_query_and_a_line_for_what_changes(
    claim_bounds: ClaimBounds, caplog: Any, django_assert_num_queries: Any
) -> None:
    caplog.set_level(logging.INFO)
    pausing.pause(queue="slow", reason="why not")
    pausing.pause(hook=HOOK)
    for _ in range(2):
        with django_assert_num_queries(1):
            claim_bounds.refresh()
    pausing.resume(queue="slow")
    claim_bounds.refresh()
    told = [message for message in caplog.messages if message.startswith("Paused")]
    assert sorted(told) == [f"Paused: hook {HOOK}.", "Paused: queue slow (why not)."]
    assert caplog.messages.count("Resumed: queue slow.") == 1


@pytest.mark.django_db
def test_held_back__only_what_the_worker_serves() -> None:
    for queue in ("slow", "mail", "mail", "other"):
        enqueue(queue)
    pausing.pause(queue="mail")
    pausing.pause(queue="slow")
    for queues, exclude, number in ((["mail"], [], 2), ([], ["mail"], 1), (["other"], [], 0)):
        claim_bounds = ClaimBounds(background, queues, exclude)
        claim_bounds.refresh()
        assert claim_bounds.held_back() == number
        claim_bounds.reset()


# Real workers -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["redis"], indirect=True)
def test_workers__all_heed_a_pause_and_keep_the_order(
    start: Callable[..., Process], backend: dict[str, str], trace_file: Path
) -> None:
    def trace(word: object, queue: str = "slow") -> None:
        task = tasks.trace.task_class((str(trace_file), word), {})
        task.submission.queue = queue
        background.enqueue(task)

    def words() -> list[str]:
        return [line.split()[0] for line in trace_file.read_text().splitlines()]

    workers = [start("wagtail_worker", "--threads=1", **backend) for _ in range(2)]
    for worker in workers:
        worker.wait_for("Background hooks")
    pausing.pause(queue="slow", reason="a test")
    for worker in workers:
        worker.wait_for(r"Paused: queue slow \(a test\)")
    threading.Event().wait(2)  # what is promised: a claim may have been under way
    for number in range(20):
        trace(number)
    trace("other", "default")
    wait_until(words, "the other queue goes on")
    assert words() == ["other"], workers[0].said() + workers[1].said()

    workers[0].stop()
    drain = start("wagtail_worker", "--drain", **backend)  # after a restart it is still paused
    assert drain.wait() == 0
    assert "20 tasks wait because of a pause." in drain.said()
    assert words() == ["other"]

    pausing.resume(queue="slow")
    workers[1].wait_for("Resumed: queue slow")
    wait_until(lambda: len(words()) == 21, "all have run")
    assert words() == ["other", *map(str, range(20))]
    wait_until(lambda: not BackgroundTask.objects.filter(state=State.RUNNING).exists(), "all ended")
    assert set(BackgroundTask.objects.values_list("state", "attempt")) == {(State.SUCCEEDED, 1)}
