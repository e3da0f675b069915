"""What can be done with some tasks, told beforehand: how many, and why not the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from wagtail_async_hooks import ledger
from wagtail_async_hooks.queue import control
from wagtail_async_hooks.types import State

COLUMNS: Final = ("pk", "state", "side_effect", "attempt", "cancel_requested")
"""What is read of each task."""


class Action(NamedTuple):
    """Something that people do to tasks.

    :param name: in addresses and in Wagtail's log.
    :param label: of its button.
    :param do: does it to tasks, given by primary keys, and returns how many it was done to.
    :param destroys: whether it has to be asked first.
    """

    name: str
    label: Promise
    do: Callable[..., int]
    destroys: bool = False

    @property
    def log_name(self) -> str:
        """Its name in Wagtail's log."""
        return self.name.replace("-", "_")


RETRY: Final = Action("retry", gettext_lazy("Retry"), control.retry)
RUN_NOW: Final = Action("run-now", gettext_lazy("Run now"), control.run_now)
CANCEL: Final = Action("cancel", gettext_lazy("Cancel"), control.cancel)
DISCARD: Final = Action("discard", gettext_lazy("Discard"), control.discard, destroys=True)

ACTIONS: Final = {action.name: action for action in (RETRY, RUN_NOW, CANCEL, DISCARD)}
"""All of them, by name, in the order of their buttons."""

_POSSIBLE: Final = {
    RETRY.name: frozenset(ledger.RETRIABLE),
    RUN_NOW.name: frozenset([State.SCHEDULED]),
    CANCEL.name: frozenset(control.UNFINISHED),
    DISCARD.name: frozenset(State) - {State.RUNNING},
}


class Plan(NamedTuple):
    """What an action would do.

    :param keys: primary keys of the tasks to which it is done.
    :param total: how many tasks were chosen.
    :param states: how many of them are left out for their state.
    :param side_effects: how many of them are left out for what a second run would do once more.
    """

    action: Action
    keys: list[int]
    total: int
    states: Counter[State]
    side_effects: Counter[str]

    @property
    def label(self) -> str:
        """Text of the button, such as "Retry 12 of 40"."""
        if len(self.keys) == self.total:
            return f"{self.action.label} {self.total}"
        told = {"action": self.action.label, "number": len(self.keys), "total": self.total}
        return _("%(action)s %(number)d of %(total)d") % told

    @property
    def left_out(self) -> list[str]:
        """Why the others are left out, in clauses."""
        clauses = [_clause(state, number) for state, number in self.states.most_common()]
        for effect, number in self.side_effects.most_common():
            told = ngettext(
                "%(number)d may repeat its side effect (%(effect)s)",
                "%(number)d may repeat their side effect (%(effect)s)",
                number,
            )
            clauses.append(told % {"number": number, "effect": effect})
        return clauses

    @property
    def sentence(self) -> str:
        """What it would do to how many, and why not to the others."""
        if not self.left_out:
            return self.label
        told = {"what": self.label, "others": "; ".join(self.left_out)}
        return _("%(what)s: %(others)s.") % told


def can(action: Action, row: Any) -> bool:
    """Return whether an action can be done to a task, side effects left aside."""
    is_cancelled = action is CANCEL and getattr(row, "cancel_requested", False)
    return State(row.state) in _POSSIBLE[action.name] and not is_cancelled


def repeats(action: Action, row: Any) -> bool:
    """Return whether an action may repeat a side effect of a task."""
    return action is RETRY and bool(row.side_effect) and row.attempt > 0


def plan(action: Action, rows: Sequence[Any]) -> Plan:
    """Return what an action would do to some tasks.

    :param rows: with :data:`COLUMNS`.
    """
    keys: list[int] = []
    states: Counter[State] = Counter()
    effects: Counter[str] = Counter()
    for row in rows:
        if not can(action, row):
            states[State(row.state)] += 1
        elif repeats(action, row):
            effects[row.side_effect] += 1
        else:
            keys.append(row.pk)
    return Plan(action, keys, len(rows), states, effects)


def plans(rows: Sequence[Any], actions: Iterable[Action] = ACTIONS.values()) -> list[Plan]:
    """Return what some actions would do, but those that can be done to none of the tasks."""
    made = (plan(action, rows) for action in actions)
    return [each for each in made if each.keys or each.side_effects]


def _clause(state: State, number: int) -> str:
    """Return why tasks in a state are left out."""
    told = {
        State.RUNNING: ngettext(
            "%(number)d is still running", "%(number)d are still running", number
        ),
        State.WAITING: ngettext("%(number)d is waiting", "%(number)d are waiting", number),
        State.SCHEDULED: ngettext(
            "%(number)d waits for its time", "%(number)d wait for their time", number
        ),
        State.SUCCEEDED: ngettext("%(number)d has succeeded", "%(number)d have succeeded", number),
        State.FAILED: ngettext("%(number)d has failed", "%(number)d have failed", number),
        State.CANCELLED: ngettext("%(number)d was cancelled", "%(number)d were cancelled", number),
        State.EXPIRED: ngettext("%(number)d has expired", "%(number)d have expired", number),
        State.MERGED: ngettext(
            "%(number)d was done by another task", "%(number)d were done by other tasks", number
        ),
    }[state]
    return told % {"number": number}
