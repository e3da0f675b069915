"""Every background-safe hook, fired by Wagtail's real views: a worker's function sees the same.

Each scenario is one POST to a view. Two functions are registered for each hook: one is called in
the request, the other one in the background, by a real worker process after the views have
answered. So what is compared is what two functions saw of one and the same event, with its keys,
times and UUIDs. Whatever differs has to be in the table of :mod:`tests.fidelity.differences`, and
whatever is in the table has to differ somewhere.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Q

from tests.conftest import real_commits
from tests.fidelity import observing
from tests.fidelity.desk import LANGUAGE, TIME_ZONE, Desk, desk
from tests.fidelity.differences import DIFFERENCES, Difference, Found, compare
from tests.fidelity.observing import BACKGROUND, SYNC
from tests.fidelity.scenarios import SCENARIOS, Scenario
from tests.processes import Process
from wagtail_async_hooks.hooks.catalogue import BACKGROUND_SAFE
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Observations:
    """What the functions saw of all scenarios.

    :param records: by scenario, hook and where the function was called.
    :param fired: the hooks of each scenario, in their order.
    :param unsuccessful: tasks that have not succeeded, and why, by hook.
    :param worker_said: what the worker printed.
    """

    records: dict[tuple[str, str, str], dict[str, Any]]
    fired: dict[str, list[str]]
    unsuccessful: dict[str, list[str]]
    worker_said: str

    def seen(self, scenario: str, hook: str, where: str) -> dict[str, Any]:
        """Return what one function saw of one scenario."""
        record = self.records.get((scenario, hook, where))
        if record is None:
            told = "\n".join(self.unsuccessful.get(hook, [])) or self.worker_said[-2000:]
            raise AssertionError(f"{scenario}: nothing was seen of {hook} in the {where}.\n{told}")
        return dict(record["seen"])

    def differences(self, scenario: str, hook: str) -> list[Found]:
        """Return in what the two functions of one hook differ."""
        request, worker = (self.seen(scenario, hook, where) for where in (SYNC, BACKGROUND))
        action = request.get("action_type", "")
        return [Found(hook, *found, scenario, action) for found in compare(request, worker)]


@pytest.fixture(scope="module")
def observations(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Observations:
    """Run all scenarios, then one worker."""
    folder = tmp_path_factory.mktemp("fidelity")
    records = folder / "records.jsonl"
    with real_commits(django_db_blocker), desk() as at, observing.observed(records):
        for scenario in SCENARIOS:
            _act(scenario, at)
        # The demo's own hooks have fired as well, and would only take time.
        BackgroundTask.objects.exclude(function__startswith=observing.__name__).delete()
        with Process.manage("wagtail_worker", "--drain", output=folder / "worker.txt") as worker:
            worker.wait()
        return _read(records, worker.said())


def _act(scenario: Scenario, at: Desk) -> None:
    at.scenario = scenario.name
    try:
        scenario.run(at)
    except Exception as error:
        error.add_note(f"That was the scenario {scenario.name}.")
        raise


def _read(path: Path, worker_said: str) -> Observations:
    """Return what was observed; the ledger knows what has gone wrong."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    fired: dict[str, list[str]] = {}
    for line in lines:
        if line["where"] == SYNC:
            fired.setdefault(line["scenario"], []).append(line["hook"])
    unsuccessful: dict[str, list[str]] = {}
    for task in BackgroundTask.objects.filter(~Q(state=State.SUCCEEDED)):
        told = f"{task.name} is {task.state}: {task.error}\n{task.traceback}"
        unsuccessful.setdefault(task.hook, []).append(told)
    records = {(line["scenario"], line["hook"], line["where"]): line for line in lines}
    return Observations(records, fired, unsuccessful, worker_said)


CASES = [
    pytest.param(scenario.name, hook, id=f"{scenario.name}-{hook}")
    for scenario in SCENARIOS
    for hook in scenario.hooks
]


@pytest.mark.parametrize(("scenario", "hook"), CASES)
def test_worker__sees_what_the_request_saw(
    observations: Observations, scenario: str, hook: str
) -> None:
    found = observations.differences(scenario, hook)
    by_no_design = [f for f in found if not any(row.explains(f) for row in DIFFERENCES)]
    told = "\n".join(map(str, by_no_design))
    assert not by_no_design, f"{scenario}: {hook} sees something else in a worker.\n{told}"


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: row.what)
def test_differences__each_is_seen(observations: Observations, row: Difference) -> None:
    assert any(
        row.explains(found)
        for scenario in SCENARIOS
        for hook in scenario.hooks
        for found in observations.differences(scenario.name, hook)
    )


def test_worker__sees_changes_of_a_live_page_that_are_scheduled(
    observations: Observations,
) -> None:
    scenarios = ("schedule_changes_of_a_live_page", "edit_a_live_page_as_a_draft")
    scheduled, saved = (
        observations.seen(scenario, "after_edit_page", BACKGROUND)["page"] for scenario in scenarios
    )
    assert scheduled["title"].endswith(", changed")
    assert scheduled["go_live_at"] == "datetime 2099-01-01T00:00:00+00:00"
    for name in ("reference", "authors", "tags", "editor_id"):
        assert scheduled[name] == saved[name]
    assert _titles(scheduled) == _titles(saved) == ["One, corrected", "Three"]


def _titles(page: dict[str, Any]) -> list[str]:
    return [page["chapters"][str(place)]["title"] for place in range(page["chapters"]["length"])]


def test_scenarios__cover_the_catalogue(observations: Observations) -> None:
    for where in (SYNC, BACKGROUND):
        observed = {hook for _, hook, place in observations.records if place == where}
        assert observed == set(BACKGROUND_SAFE), f"in the {where}"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenarios__fire_their_hooks_once(observations: Observations, scenario: Scenario) -> None:
    assert observations.fired[scenario.name] == list(scenario.hooks)


def test_scenarios__one_half_is_seen_by_another_process(observations: Observations) -> None:
    processes = {
        where: {r["pid"] for (_, _, place), r in observations.records.items() if place == where}
        for where in (SYNC, BACKGROUND)
    }
    assert processes[SYNC] == {os.getpid()}
    assert len(processes[BACKGROUND]) == 1
    assert processes[BACKGROUND] != processes[SYNC]


def test_scenarios__have_an_editor_with_a_language_and_a_time_zone(
    observations: Observations,
) -> None:
    seen = observations.seen("create_a_draft", "after_create_page", SYNC)
    assert (seen["around"]["language"], seen["around"]["time_zone"]) == (LANGUAGE, TIME_ZONE)
    assert seen["around"]["log_user"] == seen["request"]["user"]["pk"]
    assert seen["request"]["site"][1] == "testserver"


def test_scenarios__have_blocks_tags_and_children(observations: Observations) -> None:
    seen = observations.seen("create_a_draft", "after_create_page", SYNC)
    page = seen["page"]
    assert [page["body"][str(place)]["type"] for place in range(4)] == [
        "heading",
        "paragraph",
        "step",
        "author",
    ]
    assert page["tags"] == ["rope", "salt"]
    assert (page["chapters"]["length"], page["chapters"]["0"]["notes"]["length"]) == (2, 2)
