"""Faults of processes: workers and web processes that are killed or frozen, or kill themselves."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.faults.harness import RESCUE_LIMIT, THREADS, WORK_SECONDS, Harness, Result, rows
from tests.processes import wait_until

MAX_DEATHS = 3
"""So many workers may die of a task."""


def worker_killed(harness: Harness) -> Result:
    """Kill a worker at random moments, each time starting another one in its place.

    Every worker ends at least as many tasks as it has threads before it is killed: a task that
    three workers in succession died with is failed on purpose, see :func:`poison`.
    """
    numbers = harness.submit(harness.size.tasks)
    most = harness.size.tasks * 3 // 4 // harness.size.kills
    for _ in range(harness.size.kills):
        ended = len(harness.traces.ended())
        worker = harness.start_worker()
        harness.wait_for_ends(ended + harness.random.randint(THREADS + 1, most))
        time.sleep(harness.random.uniform(0, WORK_SECONDS))
        harness.kill(worker)
    heir = harness.start_worker()
    harness.wait_until_done(harness.limit(RESCUE_LIMIT))
    result = harness.result(numbers)
    assert result.run_twice <= THREADS * harness.size.kills
    harness.stop_calmly(heir)
    return result


def worker_killed_beside_another(harness: Harness) -> Result:
    """Kill one of two workers; nothing but the other one's look at heartbeats can help."""
    victim, heir = harness.start_worker(), harness.start_worker()
    for worker in (victim, heir):
        worker.wait_for("Background hooks")
    numbers = harness.submit(harness.size.tasks)

    def both_work() -> bool:
        working = {int(pid) for word, _, pid in harness.traces.lines() if word == "ended"}
        return working == {victim.pid, heir.pid}

    wait_until(both_work, "both workers have ended tasks")
    harness.kill(victim)
    harness.wait_until_done(harness.limit(RESCUE_LIMIT))
    result = harness.result(numbers)
    assert result.run_twice <= THREADS
    assert rows().filter(deaths__gt=0).count() <= THREADS
    harness.stop_calmly(heir)
    return result


def web_killed_before_commit(harness: Harness) -> Result:
    """Kill a web process between its INSERT and its commit: the task never runs."""
    worker = harness.ready_worker()
    invented = [next(harness.numbers) for _ in range(harness.size.editors)]
    for number in invented:
        editor = harness.start("tests.faults.editor", "inserted", str(harness.traces), str(number))
        editor.wait_for("reached")
        harness.kill(editor)
    numbers = harness.submit(1)  # what comes later does run
    harness.wait_until_done()
    harness.stop_calmly(worker)
    begun = harness.traces.begun()
    assert not [number for number in invented if begun[number]], "a task was invented"
    assert rows().count() == len(numbers)
    return harness.result(numbers)


def web_killed_after_commit(harness: Harness) -> Result:
    """Kill a web process right after its commit, before it could notify anybody."""
    worker = harness.ready_worker()
    numbers = [next(harness.numbers) for _ in range(harness.size.editors)]
    for number in numbers:
        editor = harness.start("tests.faults.editor", "committed", str(harness.traces), str(number))
        editor.wait_for("reached")
        harness.kill(editor)
    wait_until(lambda: rows().count() == len(numbers), "the tasks are recorded")
    harness.wait_until_done()
    harness.stop_calmly(worker)
    return harness.result(numbers)


def poison(harness: Harness) -> Result:
    """Enqueue, among others, a task that kills its worker; a loop starts the next one."""
    from tests.work import fault_tasks

    half = harness.size.tasks // 2
    numbers = harness.submit(half)
    poisonous = next(harness.numbers)
    fault_tasks.die(str(harness.traces), poisonous)
    numbers += harness.submit(half)
    workers = [harness.start_worker()]

    def done() -> bool:
        if not workers[-1].is_running():
            assert workers[-1].wait() == 9, workers[-1].said()
            workers.append(harness.start_worker())
        return harness.unfinished() == 0

    wait_until(done, "every task has ended, whoever died")
    numbers += harness.submit(1)  # the last worker is at work
    harness.wait_until_done()
    harness.stop_calmly(workers[-1])
    row = rows().get(function="tests.work.fault_tasks.die")
    assert (row.state, row.deaths) == ("failed", MAX_DEATHS)
    assert row.error == f"its worker died {MAX_DEATHS} times"
    assert harness.traces.begun()[poisonous] == MAX_DEATHS
    return harness.result(numbers)


def fork(harness: Harness) -> Result:
    """Enqueue, among others, tasks that fork and whose children come back."""
    from tests.work import fault_tasks

    worker = harness.ready_worker()
    numbers = []
    for _ in range(harness.size.kills):
        numbers += harness.submit(harness.size.tasks // harness.size.kills, queries=True)
        for how in ("returns", "raises", "exits"):
            numbers.append(next(harness.numbers))
            fault_tasks.fork(str(harness.traces), numbers[-1], how)
    harness.wait_until_done()
    children = [int(pid) for word, _, pid in harness.traces.lines() if word == "child"]
    assert len(children) == 3 * harness.size.kills
    begun = {int(pid) for word, _, pid in harness.traces.lines() if word == "began"}
    assert begun == {worker.pid}, "a child has claimed a task"
    assert not any(Path(f"/proc/{pid}").exists() for pid in children), "a child lives on"
    result = harness.result(numbers)
    assert result.run_twice == 0
    harness.stop_calmly(worker)
    return result


def worker_frozen(harness: Harness) -> Result:
    """Freeze a worker beyond its heartbeat, have another one take over, and thaw it."""
    from tests.work import fault_tasks

    gate = harness.folder / "gate"
    number = next(harness.numbers)
    sleeper = harness.ready_worker(threads=1)
    fault_tasks.hold(str(harness.traces), number, str(gate))
    wait_until(lambda: harness.traces.begun()[number] == 1, "the task has begun")
    harness.freeze(sleeper)
    heir = harness.start_worker(threads=1)
    wait_until(lambda: harness.traces.begun()[number] == 2, "another worker has taken over")
    gate.touch()
    harness.wait_until_done()
    second_run = rows().values().get()
    assert (second_run["state"], second_run["attempt"]) == ("succeeded", 2)
    harness.stop_calmly(heir)
    sleeper.send(signal.SIGCONT)
    sleeper.wait_for("was given to another worker while it ran here")
    assert rows().values().get() == second_run, "the late finish has overwritten the second run"
    numbers = harness.submit(1)  # it goes on working
    harness.wait_until_done()
    harness.stop_calmly(sleeper)
    after = harness.result(numbers)
    return Result(1 + after.submitted, 1 + after.run, 1 + after.run_twice, after.lost)
