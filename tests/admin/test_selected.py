"""Tests of what can be done with selected tasks, and of what is told beforehand."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from wagtail.models import ModelLogEntry

from tests.admin.making import log_in, make_section, make_task, make_user
from wagtail_async_hooks.models import BackgroundTask
from wagtail_async_hooks.types import State

pytestmark = pytest.mark.django_db

SELECTED = "/admin/background-tasks/selected/"


def plans(response: Any) -> dict[str, str]:
    """Return what the page says of each action."""
    assert response.status_code == 200
    return {plan.action.name: plan.sentence for plan in response.context["plans"]}


def states() -> list[str]:
    """Return the states of all tasks."""
    return list(BackgroundTask.objects.order_by("pk").values_list("state", flat=True))


def test_selected__tells_beforehand(operator: Client) -> None:
    keys = [make_task(state=State.FAILED).pk for _ in range(3)]
    keys += [make_task(state=State.RUNNING, attempt=1).pk for _ in range(2)]
    keys.append(make_task(state=State.FAILED, side_effect="email").pk)
    keys.append(make_task(state=State.SCHEDULED).pk)

    told = plans(operator.get(SELECTED, {"id": keys}))

    assert told["retry"] == (
        "Retry 3 of 7: 2 are still running; 1 waits for its time; "
        "1 may repeat its side effect (email)."
    )
    assert told["run-now"].startswith("Run now 1 of 7: ")
    assert told["cancel"].startswith("Cancel 3 of 7: 4 have failed.")
    assert told["discard"] == "Discard 5 of 7: 2 are still running."


def test_selected__of_all_that_match(operator: Client) -> None:
    for _ in range(3):
        make_task(state=State.FAILED, queue="slow")
    make_task(state=State.FAILED)

    response = operator.get(SELECTED, {"all": "1", "state": "failed", "queue": "slow"})

    assert plans(response)["retry"] == "Retry 3"
    data = dict(response.context["selection"])
    last = response.context["last"]
    make_task(state=State.FAILED, queue="slow")  # after somebody has read that
    response = operator.post(SELECTED, {**data, "last": last, "action": "retry"}, follow=True)
    assert "3 tasks wait to be run again." in response.content.decode()
    assert states() == ["waiting", "waiting", "waiting", "failed", "failed"]
    assert response.request["QUERY_STRING"] == "state=failed&queue=slow"


def test_selected__a_thousand_are_retried_with_one_entry_in_the_log(operator: Client) -> None:
    keys = [make_task(state=State.FAILED).pk for _ in range(120)]

    with CaptureQueriesContext(connection) as queries:
        operator.post(
            SELECTED, {"all": "1", "state": "failed", "last": keys[-1], "action": "retry"}
        )

    assert set(states()) == {"waiting"}
    entries = ModelLogEntry.objects.filter(action="wagtail_async_hooks.retry")
    assert [entry.data["number"] for entry in entries] == [120]
    assert len(queries) < 12 * 120


def test_selected__side_effects_are_repeated_only_if_asked(operator: Client) -> None:
    key = make_task(state=State.FAILED, side_effect="email").pk

    operator.post(SELECTED, {"id": [key], "action": "retry"})
    assert states() == ["failed"]
    operator.post(SELECTED, {"id": [key], "action": "retry", "repeat": "1"})
    assert states() == ["waiting"]


def test_selected__discards(operator: Client) -> None:
    keys = [make_task(state=State.FAILED).pk for _ in range(2)]
    response = operator.post(SELECTED, {"id": keys, "action": "discard"}, follow=True)
    assert "2 tasks were discarded." in response.content.decode()
    assert states() == []


@pytest.mark.parametrize(
    "parameters",
    [{}, {"id": ["x", "-1", "9" * 40]}, {"all": "1", "state": "nonsense"}, {"last": "x"}],
)
def test_selected__of_nothing(operator: Client, parameters: dict[str, Any]) -> None:
    assert "selected" in operator.get(SELECTED, parameters).content.decode().lower()


def test_selected__of_an_action_that_is_none(operator: Client) -> None:
    key = make_task(state=State.FAILED).pk
    assert operator.post(SELECTED, {"id": [key], "action": "explode"}).status_code == 302
    assert states() == ["failed"]


def test_selected__leads_to_no_other_site(operator: Client) -> None:
    key = make_task(state=State.FAILED).pk
    response = operator.post(
        SELECTED, {"id": [key], "action": "retry", "next": "https://evil.example/"}
    )
    assert response["Location"].startswith(reverse("wagtail_async_hooks:tasks"))


def test_editor__changes_the_tasks_of_her_pages_only() -> None:
    home, page = make_section("Mine")
    _, private = make_section("Private")
    client = log_in(make_user("ada", section=home))
    keys = [make_task(each, state=State.FAILED).pk for each in (page, private)]

    told = plans(client.get(SELECTED, {"id": keys}))
    assert told == {"retry": "Retry 1"}
    client.post(SELECTED, {"id": keys, "action": "retry"})
    assert states() == ["waiting", "failed"]
    assert client.post(SELECTED, {"id": keys, "action": "discard"}).status_code == 302
    client.post(SELECTED, {"all": "1", "action": "cancel"})
    assert states() == ["cancelled", "failed"]


def test_reader__changes_nothing_by_any_parameter() -> None:
    client = log_in(make_user("reader", "view"))
    key = make_task(state=State.FAILED).pk
    for action in ("retry", "run-now", "cancel", "discard"):
        for chosen in ({"id": [key]}, {"all": "1"}):
            client.post(SELECTED, {**chosen, "action": action, "repeat": "1", "last": key})
    assert states() == ["failed"]
    assert plans(client.get(SELECTED, {"id": [key]})) == {}
