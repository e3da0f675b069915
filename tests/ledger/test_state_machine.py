"""Random interleavings of all that happens to tasks, against a model of a few lines.

Hypothesis plays several workers, editors and the clock on the real ledger. After each step every
row has to be as the model says, and what section 2 of the design promises has to hold.
"""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from wagtail_async_hooks import ledger
from wagtail_async_hooks.ledger import postgresql
from wagtail_async_hooks.ledger.workers import HEARTBEAT_TIMEOUT
from wagtail_async_hooks.models import BackgroundTask, Worker
from wagtail_async_hooks.storage.database import DatabaseStorage
from wagtail_async_hooks.types import Claim, Outcome, State
from wagtail_async_hooks.worker.rescuing import MAX_DEATHS

pytestmark = pytest.mark.slow

HOUR = datetime.timedelta(hours=1)
ENDS = [State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED]
PRIORITIES = st.integers(min_value=-1, max_value=2)
WHICH = st.integers(min_value=0, max_value=999)
"""Chooses one of what there is."""


@dataclass
class Model:
    """What a task's row should say."""

    pk: int
    priority: int
    state: State
    due: bool = True
    key: str = ""
    """Of those with the same one the newest runs."""
    debounced: bool = False
    """While it is not due, those with the same key wait with it."""
    over: bool = False
    """Unless the burst has lasted for too long."""
    attempt: int = 0
    deaths: int = 0
    worker: int | None = None


@dataclass
class Owner:
    """A worker process, as others see it."""

    pk: int
    silent: bool = False
    """It is dead or frozen: no heartbeat for too long."""
    claims: list[Claim] = field(default_factory=list)
    """All it ever claimed: a frozen worker may finish anything it has begun, at any time."""


class LedgerMachine(RuleBasedStateMachine):
    """What may happen, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.tasks: dict[int, Model] = {}
        self.owners: dict[int, Owner] = {}
        self.final_rows: dict[int, dict[str, Any]] = {}
        self.attempts_seen: dict[int, int] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    # Who and what there is ------------------------------------------------------------------

    def owner(self, which: int) -> Owner:
        """Return one of the workers, be it alive or not."""
        return list(self.owners.values())[which % len(self.owners)]

    def in_state(self, *states: State) -> list[Model]:
        """Return the tasks in some states, as they are to be claimed."""
        found = [task for task in self.tasks.values() if task.state in states]
        return sorted(found, key=lambda task: (-task.priority, task.pk))

    def expect_claim(self, owner: Owner, task: Model | None, claim: Claim | None) -> None:
        """Check what was claimed, and note it.

        :param task: what comes next; another one may run in its place.
        """
        assert (claim is None) == (task is None)
        if task is None or claim is None:
            return
        task.attempt += 1
        alike = self.alike(task)
        newest = max([task, *alike], key=lambda one: one.pk)
        goes_on = newest.debounced and newest.state is State.SCHEDULED and not newest.due
        put_off = newest is not task and goes_on and not any(x.over for x in [task, *alike])
        others = [one for one in [task, *alike] if one is not newest]
        for one in others:
            one.state = State.MERGED
        assert (claim.pk, claim.is_deferred) == (newest.pk, put_off)
        assert {one.pk for one in claim.merged} == {one.pk for one in others}
        if put_off:
            return
        newest.attempt += newest is not task
        newest.state, newest.worker = State.RUNNING, owner.pk
        assert claim.attempt == newest.attempt
        owner.claims.append(claim)

    def alike(self, task: Model) -> list[Model]:
        """Return the other tasks with a task's key that wait, or are to wait."""
        waiting = self.in_state(State.WAITING, State.SCHEDULED)
        return [one for one in waiting if one.key == task.key != "" and one is not task]

    # Workers come and go --------------------------------------------------------------------

    @initialize()
    def two_workers(self) -> None:
        self.worker_starts()
        self.worker_starts()

    @precondition(lambda self: len(self.owners) < 5)
    @rule()
    def worker_starts(self) -> None:
        row = ledger.register_worker(Worker(host="here", pid=1, threads=1, release="test"))
        self.owners[row.pk] = Owner(row.pk)

    @rule(which=WHICH)
    def worker_falls_silent(self, which: int) -> None:
        owner = self.owner(which)
        owner.silent = True
        Worker.objects.filter(pk=owner.pk).update(
            heartbeat_at=timezone.now() - datetime.timedelta(seconds=HEARTBEAT_TIMEOUT + 1)
        )

    @rule(which=WHICH)
    def worker_beats(self, which: int) -> None:
        owner = self.owner(which)
        ledger.beat(owner.pk)
        owner.silent = False

    @rule(which=WHICH)
    def worker_stops(self, which: int) -> None:
        owner = self.owner(which)
        held = [task for task in self.in_state(State.RUNNING) if task.worker == owner.pk]
        assert ledger.stop_worker(owner.pk) == len(held)
        for task in held:
            task.state = State.WAITING

    @rule()
    def rescue(self) -> None:
        silent = {pk for pk, owner in self.owners.items() if owner.silent}
        dead = ledger.silent_workers()
        assert silent.issuperset(dead)
        rescued = ledger.rescue(dead, MAX_DEATHS)
        # Also what a worker claimed that had been given up, went on, and died for good.
        held = [task for task in self.in_state(State.RUNNING) if task.worker in silent]
        assert {task.pk for task, _ in rescued} == {task.pk for task in held}
        for task in held:
            task.deaths += 1
            task.state = State.WAITING if task.deaths < MAX_DEATHS else State.FAILED

    # Tasks ----------------------------------------------------------------------------------

    @rule(
        priority=PRIORITIES,
        when=st.sampled_from(["now", "due", "later"]),
        key=st.sampled_from(["", "", "a", "b"]),
        debounced=st.booleans(),
    )
    def enqueue(self, priority: int, when: str, key: str = "", debounced: bool = False) -> None:
        debounced = debounced and bool(key)
        now = timezone.now()
        state = State.WAITING if when == "now" else State.SCHEDULED
        pk = ledger.insert(
            {
                "task_id": f"task-{len(self.tasks)}",
                "name": "a task",
                "message": b"a message",
                "priority": priority,
                "state": state,
                "run_at": {"now": None, "due": now - HOUR, "later": now + HOUR}[when],
                "latest_at": now + 2 * HOUR if debounced else None,
                "coalesce_key": key,
                "enqueued_at": now,
            }
        )
        due = when != "later"
        self.tasks[pk] = Model(pk, priority, state, due, key, debounced)

    @rule(which=WHICH)
    def claim_the_next(self, which: int) -> None:
        owner = self.owner(which)
        waiting = self.in_state(State.WAITING)
        kept, claim = ledger.step(None, owner.pk)
        assert not kept
        self.expect_claim(owner, waiting[0] if waiting else None, claim)

    @precondition(lambda self: any(owner.claims for owner in self.owners.values()))
    @rule(
        which=WHICH,
        late=st.booleans(),
        state=st.sampled_from([*ENDS, State.WAITING, State.SCHEDULED]),
        due=st.booleans(),
        claim_next=st.booleans(),
    )
    def finish(self, which: int, late: bool, state: State, due: bool, claim_next: bool) -> None:
        """Record how an attempt ended, perhaps one that was given to another worker long ago."""
        claims = [(owner, claim) for owner in self.owners.values() for claim in owner.claims]
        current = [(owner, claim) for owner, claim in claims if self.is_current(claim)]
        choices = claims if late or not current else current
        owner, claim = choices[which % len(choices)]
        outcome = Outcome(claim, state, result=b"a result", error="an error")
        if state is State.SCHEDULED:
            outcome.run_at = timezone.now() + (-HOUR if due else HOUR)
        is_current = self.is_current(claim)
        kept, claimed = ledger.step(outcome, owner.pk, claim=claim_next)
        assert kept == is_current
        if kept:
            task = self.tasks[claim.pk]
            task.state, task.due = state, due
            if not state.is_final:
                task.debounced = task.over = False
        waiting = self.in_state(State.WAITING) if claim_next else []
        self.expect_claim(owner, waiting[0] if waiting else None, claimed)

    def is_current(self, claim: Claim) -> bool:
        """Return whether the task still belongs to the worker that made this claim."""
        task = self.tasks[claim.pk]
        return task.state is State.RUNNING and task.attempt == claim.attempt

    @rule()
    def promote_due(self) -> None:
        due = [task for task in self.in_state(State.SCHEDULED) if task.due]
        assert set(ledger.promote_due()) == {(task.pk, task.priority) for task in due}
        for task in due:
            task.state = State.WAITING

    @precondition(lambda self: self.in_state(State.SCHEDULED))
    @rule(which=WHICH)
    def time_passes_for(self, which: int) -> None:
        scheduled = self.in_state(State.SCHEDULED)
        task = scheduled[which % len(scheduled)]
        task.due = True
        BackgroundTask.objects.filter(pk=task.pk).update(run_at=timezone.now() - HOUR)

    @precondition(lambda self: self.in_bursts())
    @rule(which=WHICH)
    def burst_lasts_too_long(self, which: int) -> None:
        task = self.in_bursts()[which % len(self.in_bursts())]
        task.over = True
        BackgroundTask.objects.filter(pk=task.pk).update(latest_at=timezone.now() - HOUR)

    def in_bursts(self) -> list[Model]:
        """Return the tasks that are debounced, and have not ended."""
        states = (State.WAITING, State.SCHEDULED, State.RUNNING)
        return [task for task in self.in_state(*states) if task.debounced]

    @rule(state=st.sampled_from([State.WAITING, State.SCHEDULED]))
    def cancel(self, state: State) -> None:
        storage = DatabaseStorage()
        (storage.flush_queue if state is State.WAITING else storage.flush_schedule)()
        for task in self.in_state(state):
            task.state = State.CANCELLED

    # What holds at all times ----------------------------------------------------------------

    @invariant()
    def every_task_is_where_the_model_says(self) -> None:
        rows = {row["id"]: row for row in BackgroundTask.objects.values()}
        assert rows.keys() == self.tasks.keys(), "a task has vanished, or come from nowhere"
        for pk, task in self.tasks.items():
            row = rows[pk]
            said = (State(row["state"]), row["priority"], row["attempt"], row["deaths"])
            assert said == (task.state, task.priority, task.attempt, task.deaths)
            if task.state is State.RUNNING:
                assert row["worker_id"] == task.worker
            if task.state is State.MERGED:
                assert row["merged_into_id"] > pk, "an older task runs for a newer one"
            assert (row["latest_at"] is not None) == task.debounced
            assert row["attempt"] >= self.attempts_seen.get(pk, 0), "an attempt was forgotten"
            self.attempts_seen[pk] = row["attempt"]
            if task.state.is_final:
                assert self.final_rows.setdefault(pk, row) == row, "an ended task has changed"
            else:
                assert pk not in self.final_rows, "an ended task has come back"

    @invariant()
    def ends_are_told(self) -> None:
        for row in self.final_rows.values():
            dead = row["deaths"] >= MAX_DEATHS
            assert not dead or row["error"] == f"its worker died {row['deaths']} times"


def test_ledger__keeps_its_promises_in_any_order(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "LONG", math.inf)  # or else the order is not certain
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=80 if connection.vendor == "sqlite" else 30,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_step__finds_what_was_taken_from_the_worker_that_asks(db: None) -> None:
    """A thawed worker finishes what waits again, and that is what comes next."""
    machine = LedgerMachine()
    machine.two_workers()
    machine.enqueue(priority=0, when="now")
    machine.claim_the_next(which=0)
    machine.worker_falls_silent(which=0)
    machine.rescue()
    machine.finish(which=0, late=False, state=State.SUCCEEDED, due=False, claim_next=True)
    machine.every_task_is_where_the_model_says()
    assert machine.in_state(State.RUNNING)
    machine.teardown()


def test_rescue__reaches_what_a_worker_claimed_after_it_was_given_up(db: None) -> None:
    """A thawed worker may claim before its next heartbeat, and be killed before it."""
    machine = LedgerMachine()
    machine.two_workers()
    machine.worker_falls_silent(which=0)
    machine.rescue()
    machine.enqueue(priority=0, when="now")
    machine.claim_the_next(which=0)
    machine.rescue()
    machine.every_task_is_where_the_model_says()
    assert machine.in_state(State.WAITING)
    machine.teardown()
